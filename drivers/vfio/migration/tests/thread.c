// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: things that block
 *
 * A test that looks at what a sleeping thread does starts it, waits until it is
 * asleep where it should be, does something, and waits for its end. Only a test
 * that fails ever waits for long.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "fake.h"

/* Longer than anything takes, on a slow machine too. */
#define MIGT_PATIENCE_MS	20000
#define MIGT_NAP_US		200

static int migt_thread_func(void *data)
{
	struct migt_thread *thread = data;
	int ret;

	allow_signal(SIGUSR1);
	ret = thread->run(thread->fake);
	complete(&thread->done);

	return ret;
}

/**
 * migt_start - start a second thread
 * @fake: device
 * @run: what it does
 *
 * Return: the thread, for migt_join().
 */
struct migt_thread *migt_start(struct migt_fake *fake,
			       int (*run)(struct migt_fake *fake))
{
	struct kunit *test = fake->test;
	struct migt_thread *thread;

	thread = kunit_kzalloc(test, sizeof(*thread), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, thread);
	init_completion(&thread->done);
	thread->fake = fake;
	thread->run = run;
	thread->task = kthread_create(migt_thread_func, thread, "migt");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, thread->task);
	get_task_struct(thread->task);
	wake_up_process(thread->task);

	return thread;
}

/**
 * migt_join - wait for the end of a thread
 * @thread: that something has been done about; a reset is the last resort
 *
 * Return: what it returns.
 */
int migt_join(struct migt_thread *thread)
{
	bool over;
	int ret;

	over = wait_for_completion_timeout(&thread->done,
					   msecs_to_jiffies(MIGT_PATIENCE_MS));
	KUNIT_EXPECT_TRUE_MSG(thread->fake->test, over, "the thread hangs");
	if (!over)
		vfio_mig_reset(thread->fake->mig);
	ret = kthread_stop(thread->task);
	put_task_struct(thread->task);

	return ret;
}

/**
 * migt_signal - interrupt a thread
 * @thread: thread
 */
void migt_signal(struct migt_thread *thread)
{
	send_sig(SIGUSR1, thread->task, 1);
}

static bool migt_wait_until(bool (*over)(const void *what, unsigned int n),
			    const void *what, unsigned int n)
{
	unsigned long us;

	for (us = 0; us < MIGT_PATIENCE_MS * USEC_PER_MSEC; us += MIGT_NAP_US) {
		if (over(what, n))
			return true;
		usleep_range(MIGT_NAP_US, 2 * MIGT_NAP_US);
	}

	return false;
}

static bool migt_has_sleeper(const void *wait, unsigned int n)
{
	return wq_has_sleeper((struct wait_queue_head *)wait);
}

static bool migt_has_arcs(const void *fake, unsigned int n)
{
	return READ_ONCE(((const struct migt_fake *)fake)->nr_arcs) >= n;
}

/**
 * migt_wait_asleep - wait until somebody waits
 * @fake: device
 * @wait: where
 */
void migt_wait_asleep(struct migt_fake *fake, struct wait_queue_head *wait)
{
	KUNIT_EXPECT_TRUE_MSG(fake->test,
			      migt_wait_until(migt_has_sleeper, wait, 0),
			      "nobody went to sleep");
}

/**
 * migt_wait_arcs - wait until the driver was asked for some arcs
 * @fake: device
 * @nr: how many
 */
void migt_wait_arcs(struct migt_fake *fake, unsigned int nr)
{
	KUNIT_EXPECT_TRUE_MSG(fake->test,
			      migt_wait_until(migt_has_arcs, fake, nr),
			      "there was no arc %u", nr);
}
