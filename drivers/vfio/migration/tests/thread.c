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
	allow_signal(SIGKILL);
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

/**
 * migt_kill - send a thread a fatal signal
 * @thread: thread
 */
void migt_kill(struct migt_thread *thread)
{
	send_sig(SIGKILL, thread->task, 1);
}

/* Short of something that never comes. Return: whether to go on waiting. */
static bool migt_patient(unsigned long *us)
{
	usleep_range(MIGT_NAP_US, 2 * MIGT_NAP_US);
	*us += MIGT_NAP_US;

	return *us < MIGT_PATIENCE_MS * USEC_PER_MSEC;
}

/**
 * migt_wait_asleep - wait until a thread waits
 * @thread: thread
 * @wait: where
 */
void migt_wait_asleep(struct migt_thread *thread, struct wait_queue_head *wait)
{
	unsigned long us = 0;

	while (!wq_has_sleeper(wait) && !completion_done(&thread->done) &&
	       migt_patient(&us))
		continue;
	KUNIT_EXPECT_TRUE_MSG(thread->fake->test, wq_has_sleeper(wait),
			      "it did not go to sleep");
}

/**
 * migt_wait_arcs - wait until the driver was asked for some arcs
 * @thread: that makes them
 * @nr: how many
 */
void migt_wait_arcs(struct migt_thread *thread, unsigned int nr)
{
	struct migt_fake *fake = thread->fake;
	unsigned long us = 0;

	while (READ_ONCE(fake->nr_arcs) < nr &&
	       !completion_done(&thread->done) && migt_patient(&us))
		continue;
	KUNIT_EXPECT_GE_MSG(fake->test, READ_ONCE(fake->nr_arcs), nr,
			    "there was no arc %u", nr);
}
