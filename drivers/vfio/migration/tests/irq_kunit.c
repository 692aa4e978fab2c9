// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: what a driver says from an interrupt
 *
 * The interrupt is that of a timer, which comes with interrupts disabled and, except
 * with PREEMPT_RT, at any moment. A kernel with lockdep also judges which locks are
 * taken there. A timer of mode HRTIMER_MODE_REL_HARD would not do: with PREEMPT_RT
 * that interrupt remains one, in which no spinlock_t may be taken.
 */
#include <linux/hrtimer.h>

#include "fake.h"

/**
 * struct migt_irq - an interrupt that a test waits for
 * @timer: that it is of
 * @fake: device
 * @say: what the driver says
 * @hard: it came as an interrupt
 * @done: it is over
 */
struct migt_irq {
	struct hrtimer timer;
	struct migt_fake *fake;
	void (*say)(struct migt_fake *fake);
	bool hard;
	struct completion done;
};

static enum hrtimer_restart migt_irq_comes(struct hrtimer *timer)
{
	struct migt_irq *irq = container_of(timer, struct migt_irq, timer);

	irq->hard = in_hardirq();
	irq->say(irq->fake);
	complete(&irq->done);

	return HRTIMER_NORESTART;
}

static void migt_interrupt(struct migt_fake *fake,
			   void (*say)(struct migt_fake *fake))
{
	struct migt_irq irq = { .fake = fake, .say = say };

	init_completion(&irq.done);
	hrtimer_setup_on_stack(&irq.timer, migt_irq_comes, CLOCK_MONOTONIC,
			       HRTIMER_MODE_REL);
	hrtimer_start(&irq.timer, 0, HRTIMER_MODE_REL);
	wait_for_completion(&irq.done);
	hrtimer_cancel(&irq.timer);
	destroy_hrtimer_on_stack(&irq.timer);
	KUNIT_EXPECT_EQ(fake->test, irq.hard, !IS_ENABLED(CONFIG_PREEMPT_RT));
}

static const struct migt_section migt_irq_section[] = {
	{ .type = 1, .object = 7, .length = 64 },
};

/* More to save has come, and that is what it says. */
static void migt_irq_say_more(struct migt_fake *fake)
{
	fake->next = 0;
	vfio_mig_kick(fake->mig);
}

static void migt_irq_kick_worker(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	unsigned int i;
	u8 buf[256];

	fake->sections = migt_irq_section;
	fake->nr_sections = 1;
	fake->next = 1;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	for (i = 0; i < 10; i++) {
		KUNIT_ASSERT_EQ(test, migt_read(fake->file, buf, sizeof(buf)),
				-ENOMSG);
		migt_interrupt(fake, migt_irq_say_more);
		migt_settle();
		KUNIT_ASSERT_GT(test, migt_read(fake->file, buf, sizeof(buf)), 0);
	}
}

static int migt_irq_arc(struct migt_fake *fake)
{
	return vfio_mig_wait_event(fake->mig, READ_ONCE(fake->dirty));
}

static int migt_irq_go_stop(struct migt_fake *fake)
{
	return migt_go(fake, VFIO_DEVICE_STATE_STOP);
}

/* The condition of an arc that sleeps, which @dirty stands for. */
static void migt_irq_say_go(struct migt_fake *fake)
{
	WRITE_ONCE(fake->dirty, 1);
	vfio_mig_kick(fake->mig);
}

static void migt_irq_kick_arc(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_thread *thread;

	fake->arc = migt_irq_arc;
	thread = migt_start(fake, migt_irq_go_stop);
	migt_wait_asleep(thread, &fake->mig->wait);
	migt_interrupt(fake, migt_irq_say_go);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_STOP);
}

static void migt_irq_say_reinit(struct migt_fake *fake)
{
	vfio_mig_reinit(fake->mig);
	vfio_mig_drained(fake->mig, 1);
}

static void migt_irq_say_reset(struct migt_fake *fake)
{
	vfio_mig_reset_prepare(fake->mig);
}

static void migt_irq_others(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct vfio_mig_session *session;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	session = migt_session(fake->file);
	migt_interrupt(fake, migt_irq_say_reinit);
	KUNIT_EXPECT_TRUE(test, test_bit(VFIO_MIG_REINIT, &session->flags));
	migt_interrupt(fake, migt_irq_say_reset);
	KUNIT_EXPECT_TRUE(test, vfio_mig_ended(session));
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
}

static struct kunit_case migt_irq_cases[] = {
	KUNIT_CASE(migt_irq_kick_worker),
	KUNIT_CASE(migt_irq_kick_arc),
	KUNIT_CASE(migt_irq_others),
	{}
};

static struct kunit_suite migt_irq_suite = {
	.name = "vfio_migration_irq",
	.test_cases = migt_irq_cases,
};

kunit_test_suite(migt_irq_suite);
