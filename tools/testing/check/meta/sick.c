// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bugs of the kinds that the debug kernels are there to find: loading this has to
 * fail the run of a machine, whichever of them is asked for. All but a race leave a
 * machine behind that can go on.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>

static char *what = "";
module_param(what, charp, 0444);

static int table[8];

static void sick_use_after_free(void)
{
	char *p = kmalloc(64, GFP_KERNEL);

	kfree(p);
	OPTIMIZER_HIDE_VAR(p);
	pr_info("%d\n", *p);
}

static void sick_leak(void)
{
	int i;

	/* One that the stack still points to by chance would not count. */
	for (i = 0; i < 16; i++)
		pr_info("%p\n", kmalloc(64, GFP_KERNEL));
}

static void sick_lock(void)
{
	static DEFINE_MUTEX(a);
	static DEFINE_MUTEX(b);

	mutex_lock(&a);
	mutex_lock(&b);
	mutex_unlock(&b);
	mutex_unlock(&a);
	mutex_lock(&b);
	mutex_lock(&a);
	mutex_unlock(&a);
	mutex_unlock(&b);
}

static void sick_sleep(void)
{
	static DEFINE_SPINLOCK(lock);

	spin_lock(&lock);
	might_sleep();
	spin_unlock(&lock);
}

static void sick_bounds(void)
{
	int index = ARRAY_SIZE(table);

	OPTIMIZER_HIDE_VAR(index);
	table[index] = 1;
}

static void sick_timer_fn(struct timer_list *unused)
{
}

static void sick_object(void)
{
	struct timer_list *timer = kmalloc(sizeof(*timer), GFP_KERNEL);

	timer_setup(timer, sick_timer_fn, 0);
	mod_timer(timer, jiffies + 60 * HZ);
	kfree(timer);
}

static long shared;

static int sick_count(void *unused)
{
	while (!kthread_should_stop()) {
		shared++;
		cond_resched();
	}
	return 0;
}

/* Two that count without a lock, until somebody has noticed. */
static void sick_race(void)
{
	struct task_struct *a = kthread_run(sick_count, NULL, "sick-a");
	struct task_struct *b = kthread_run(sick_count, NULL, "sick-b");

	msleep(30000);
	kthread_stop(a);
	kthread_stop(b);
}

static const struct {
	const char *what;
	void (*fn)(void);
} sick[] = {
	{ "use_after_free", sick_use_after_free },
	{ "leak", sick_leak },
	{ "lock", sick_lock },
	{ "sleep", sick_sleep },
	{ "bounds", sick_bounds },
	{ "object", sick_object },
	{ "race", sick_race },
};

static int __init sick_init(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(sick); i++)
		if (!strcmp(what, sick[i].what))
			sick[i].fn();
	return 0;
}
module_init(sick_init);

/* For the next one. */
static void __exit sick_exit(void)
{
}
module_exit(sick_exit);

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
