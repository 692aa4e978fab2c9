// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: what comes late
 *
 * A save() that a test stops in the middle keeps the device busy, and the test does
 * meanwhile what another task might: it arms a poll, resets the device, dies. A late
 * completion is taken for no other drain, and pages are freed by no one who must not
 * take long.
 */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "fake.h"
#include "image.h"

#define MIGT_GATE_MS	20000

/**
 * struct migt_gate - a save() that goes on when it is told to
 * @in: it has been called
 * @go: it may go on
 * @ret: what it returns
 */
struct migt_gate {
	struct completion in;
	struct completion go;
	int ret;
};

static int migt_save_gate(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct migt_gate *gate = fake->priv;

	complete(&gate->in);
	wait_for_completion(&gate->go);

	return gate->ret;
}

/* A device whose worker is in save(), in state @state. */
static struct migt_fake *migt_gated(struct kunit *test, struct migt_gate *gate,
				    u32 state)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	init_completion(&gate->in);
	init_completion(&gate->go);
	fake->save = migt_save_gate;
	fake->priv = gate;
	KUNIT_ASSERT_EQ(test, migt_go(fake, state), 1);
	KUNIT_EXPECT_GT(test,
			wait_for_completion_timeout(&gate->in,
						    msecs_to_jiffies(MIGT_GATE_MS)), 0);

	return fake;
}

static void migt_let_go(struct migt_gate *gate)
{
	complete_all(&gate->go);
	migt_settle();
}

/*
 * io_uring reads, is told to wait, and arms a poll: by then the device has come to the
 * temporary end, and the worker wakes no one any more.
 */
static void migt_late_arming(struct kunit *test)
{
	struct migt_gate gate = { .ret = VFIO_MIG_IDLE };
	struct migt_watch watch;
	struct migt_fake *fake;
	u8 byte;

	fake = migt_gated(test, &gate, VFIO_DEVICE_STATE_PRE_COPY);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, &byte, 1), -EAGAIN);
	migt_let_go(&gate);
	KUNIT_EXPECT_EQ(test, migt_watch_begin(&watch, fake->file), EPOLLPRI);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, &byte, 1), -ENOMSG);
	migt_watch_end(&watch);
}

/* The bus has reset the device, which the driver only learns when save() is over. */
static void migt_late_reset(struct kunit *test)
{
	struct migt_gate gate = { .ret = VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_gated(test, &gate, VFIO_DEVICE_STATE_STOP_COPY);
	vfio_mig_reset_prepare(fake->mig);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig),
			VFIO_DEVICE_STATE_STOP_COPY);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig),
			VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	migt_let_go(&gate);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig), VFIO_DEVICE_STATE_STOP);
}

/* Closed meanwhile: the next opening is told nothing of it. */
static void migt_late_reset_close(struct kunit *test)
{
	struct migt_gate gate = { .ret = VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_gated(test, &gate, VFIO_DEVICE_STATE_STOP_COPY);
	vfio_mig_reset_prepare(fake->mig);
	vfio_mig_reset_done(fake->mig);
	migt_let_go(&gate);
	vfio_mig_close(fake->mig);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, vfio_mig_open(fake->mig, &migt_config), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

static bool migt_drain_done(struct vfio_mig *mig)
{
	bool done;

	spin_lock_irq(&mig->reset_lock);
	done = mig->drain.done;
	spin_unlock_irq(&mig->reset_lock);

	return done;
}

static int migt_drain(struct vfio_mig *mig, u64 cookie)
{
	struct migt_fake *fake = vfio_mig_priv(mig);
	u64 *draining = fake->priv;

	*draining = cookie;

	return 0;
}

/* The completion of a drain that is over says nothing of the next one. */
static void migt_late_drained(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	const struct vfio_mig_ops *before = fake->mig->ops;
	struct vfio_mig_ops ops = *before;
	struct vfio_mig *mig = fake->mig;
	u64 draining, cookie[2];
	struct file *file[2];
	int i;

	ops.drain = migt_drain;
	mig->ops = &ops;
	fake->priv = &draining;
	for (i = 0; i < 2; i++) {
		mutex_lock(&mig->state_mutex);
		file[i] = vfio_mig_drain_start(mig);
		mutex_unlock(&mig->state_mutex);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, file[i]);
		cookie[i] = draining;
		if (!i)
			__fput_sync(file[i]);
	}
	KUNIT_EXPECT_NE(test, cookie[0], cookie[1]);
	vfio_mig_drained(mig, 0);
	vfio_mig_drained(mig, cookie[0]);
	KUNIT_EXPECT_FALSE(test, migt_drain_done(mig));
	vfio_mig_drained(mig, cookie[1]);
	KUNIT_EXPECT_TRUE(test, migt_drain_done(mig));
	__fput_sync(file[1]);
	KUNIT_EXPECT_EQ(test, draining, 0);
	mig->ops = before;
}

/* A device with more than one section queued, and room for a reader to take all. */
static struct migt_fake *migt_filled(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 0, 0, 1, VFIO_MIG_SECTION_MAX },
		{ 0, 0, 2, VFIO_MIG_SECTION_MAX },
		{ 0, 0, 3, VFIO_MIG_SECTION_MAX },
	};
	struct vfio_mig_config config = migt_config;
	struct migt_fake *fake;

	config.window = SZ_1M;
	fake = migt_new(test, MIGT_ALL, &config);
	fake->sections = sections;
	fake->nr_sections = ARRAY_SIZE(sections);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();

	return fake;
}

static void *migt_long_buffer(struct kunit *test)
{
	void *buffer = kunit_kzalloc(test, SZ_1M, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buffer);

	return buffer;
}

static int migt_read_dying(struct migt_fake *fake)
{
	send_sig(SIGKILL, current, 1);

	return migt_read(fake->file, fake->priv, SZ_1M);
}

static int migt_write_dying(struct migt_fake *fake)
{
	struct migt_image *image = fake->priv;

	send_sig(SIGKILL, current, 1);

	return migt_write_wait(fake->file, image->data, image->length);
}

/* However much there is, a task that is killed goes after a section. */
static void migt_late_read(struct kunit *test)
{
	struct migt_fake *fake = migt_filled(test);
	int n;

	fake->priv = migt_long_buffer(test);
	n = migt_join(migt_start(fake, migt_read_dying));
	KUNIT_EXPECT_GT(test, n, 0);
	KUNIT_EXPECT_LE(test, n, 256 + VFIO_MIG_SECTION_MAX);
	KUNIT_EXPECT_GT(test, migt_read(fake->file, fake->priv, SZ_1M),
			2 * VFIO_MIG_SECTION_MAX);
}

static void migt_late_write(struct kunit *test)
{
	static const struct migt_section section = {
		0, 0, 1, VFIO_MIG_SECTION_MAX
	};
	const struct migt_section sections[] = { section, section, section };
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_image_make(test, 1, sections, 3);
	int n;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	fake->priv = image;
	n = migt_join(migt_start(fake, migt_write_dying));
	KUNIT_EXPECT_GT(test, n, 0);
	KUNIT_EXPECT_LE(test, n, 256 + VFIO_MIG_SECTION_MAX);
}

struct migt_busy {
	struct work_struct work;
	struct completion go;
};

static void migt_busy_func(struct work_struct *work)
{
	struct migt_busy *busy = container_of(work, struct migt_busy, work);

	wait_for_completion(&busy->go);
}

static void migt_pin_payload(struct migt_fake *fake, struct migt_pins *pins)
{
	const struct vfio_mig_save *save = &migt_session(fake->file)->save;
	const struct vfio_mig_chunk *chunk;
	unsigned long i;

	for (i = save->head; i != save->tail; i++) {
		chunk = vfio_mig_chunk_at(save, i);
		if (chunk->payload)
			migt_pin(fake, pins, chunk->page);
	}
	KUNIT_EXPECT_GT(fake->test, pins->nr, 0);
}

/*
 * A reset frees no pages itself: with no work item that could, they are still there
 * when it is over.
 */
static void migt_late_purge(struct kunit *test)
{
	struct migt_fake *fake = migt_filled(test);
	struct migt_busy busy;
	struct migt_pins pins = {};
	unsigned int i, held = 0;

	migt_pin_payload(fake, &pins);
	INIT_WORK_ONSTACK(&busy.work, migt_busy_func);
	init_completion(&busy.go);
	workqueue_set_max_active(vfio_mig_wq, 1);
	queue_work(vfio_mig_wq, &busy.work);
	migt_reset(fake);
	for (i = 0; i < pins.nr; i++)
		held += page_count(pins.page[i]) > 1;
	KUNIT_EXPECT_EQ(test, held, pins.nr);
	complete(&busy.go);
	migt_settle();
	workqueue_set_max_active(vfio_mig_wq, WQ_DFL_ACTIVE);
	destroy_work_on_stack(&busy.work);
	migt_expect_only_pins(fake, &pins);
}

static struct kunit_case migt_late_cases[] = {
	KUNIT_CASE(migt_late_arming),
	KUNIT_CASE(migt_late_reset),
	KUNIT_CASE(migt_late_reset_close),
	KUNIT_CASE(migt_late_drained),
	KUNIT_CASE(migt_late_read),
	KUNIT_CASE(migt_late_write),
	KUNIT_CASE(migt_late_purge),
	{}
};

static struct kunit_suite migt_late_suite = {
	.name = "vfio_migration_late",
	.test_cases = migt_late_cases,
};

kunit_test_suite(migt_late_suite);
