// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: arcs and transitions that take time
 *
 * What ends the sleep of an arc, and that of RESUMING -> STOP for a driver that is
 * still loading: the condition, a reset, a signal; and where the device is then
 * (A5, A6, A7). And the worker, which waits for nothing.
 */
#include "fake.h"
#include "image.h"

/**
 * struct migt_sleep - an arc that sleeps
 * @go: the condition that it waits for
 * @in: arc that does, counted from 1; others complete
 * @hour: wait for time rather than for the condition
 * @killable: it has had an effect
 */
struct migt_sleep {
	bool go;
	unsigned int in;
	bool hour;
	bool killable;
};

static int migt_arc_sleeps(struct migt_fake *fake)
{
	struct migt_sleep *sleep = fake->priv;

	if (fake->nr_arcs < sleep->in)
		return 0;
	if (sleep->hour)
		return vfio_mig_wait_us(fake->mig, 3600ULL * USEC_PER_SEC);
	if (sleep->killable)
		return vfio_mig_wait_event_killable(fake->mig,
						    READ_ONCE(sleep->go));

	return vfio_mig_wait_event(fake->mig, READ_ONCE(sleep->go));
}

static int migt_go_p2p(struct migt_fake *fake)
{
	return migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY_P2P);
}

static int migt_go_stop(struct migt_fake *fake)
{
	return migt_go(fake, VFIO_DEVICE_STATE_STOP);
}

static int migt_get(struct migt_fake *fake)
{
	enum vfio_device_mig_state state;
	int ret;

	ret = fake->vdev.mig_ops->migration_get_state(&fake->vdev, &state);

	return ret ?: state;
}

/* A thread whose SET to STOP sleeps in its arc number @sleep->in. */
static struct migt_thread *migt_asleep(struct migt_fake *fake,
				       struct migt_sleep *sleep)
{
	struct migt_thread *thread;

	fake->arc = migt_arc_sleeps;
	fake->priv = sleep;
	thread = migt_start(fake, migt_go_stop);
	migt_wait_asleep(thread, &fake->mig->wait);

	return thread;
}

static void migt_kick_go(struct migt_fake *fake, struct migt_sleep *sleep)
{
	WRITE_ONCE(sleep->go, true);
	vfio_mig_kick(fake->mig);
}

static void migt_wait_condition(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 1 };
	struct migt_thread *thread, *getter;

	thread = migt_asleep(fake, &sleep);
	/* A kick alone is not what it waits for. */
	vfio_mig_kick(fake->mig);
	migt_wait_asleep(thread, &fake->mig->wait);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig),
			VFIO_DEVICE_STATE_RUNNING);
	/* Who asks for the state meanwhile is told the one that comes of it. */
	getter = migt_start(fake, migt_get);
	migt_kick_go(fake, &sleep);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_join(getter), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 2);
}

static void migt_wait_reset(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 2 };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_reset(fake);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ECANCELED);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 2);
}

/* The bus has the device for a while: nobody touches it before that is over. */
static void migt_wait_bus_reset(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 2 };
	struct migt_thread *thread, *getter;

	thread = migt_asleep(fake, &sleep);
	vfio_mig_reset_prepare(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ECANCELED);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	getter = migt_start(fake, migt_get);
	migt_wait_asleep(getter, &fake->mig->wait);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(getter), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
}

static int migt_reset_device(struct migt_fake *fake)
{
	return vfio_mig_reset(fake->mig) ?: migt_get(fake);
}

/* Who asks for another reset meanwhile is not told that it is done before it is. */
static void migt_wait_bus_and_ioctl(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_thread *thread;

	KUNIT_ASSERT_EQ(test, migt_go_stop(fake), 0);
	vfio_mig_reset_prepare(fake->mig);
	thread = migt_start(fake, migt_reset_device);
	migt_wait_asleep(thread, &fake->mig->wait);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
}

/* The bus may come while an arc is prepared, or in save(): nothing is called then. */
static int migt_save_prepare(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	unsigned int *infos = fake->priv;

	vfio_mig_reset_prepare(fake->mig);
	*infos = fake->infos;

	return VFIO_MIG_IDLE;
}

static void migt_wait_bus_in_save(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	unsigned int infos = 0;

	fake->priv = &infos;
	fake->save = migt_save_prepare;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_GT(test, infos, 0);
	KUNIT_EXPECT_EQ(test, fake->infos, infos);
	KUNIT_EXPECT_EQ(test, fake->saves, 1);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

static int migt_close_device(struct migt_fake *fake)
{
	vfio_mig_close(fake->mig);

	return 0;
}

static int migt_open_device(struct migt_fake *fake)
{
	return vfio_mig_open(fake->mig, &migt_config);
}

/* Nor is it touched by the last close, which may come then, or by an open. */
static void migt_wait_bus_close(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_thread *thread;

	vfio_mig_reset_prepare(fake->mig);
	thread = migt_start(fake, migt_close_device);
	migt_wait_asleep(thread, &fake->mig->wait);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, migt_open_device(fake), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
}

/* A closed device has nothing to reset, but is not to be opened yet. */
static void migt_wait_bus_open(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_thread *thread;

	vfio_mig_close(fake->mig);
	vfio_mig_reset_prepare(fake->mig);
	thread = migt_start(fake, migt_open_device);
	migt_wait_asleep(thread, &fake->mig->wait);
	KUNIT_EXPECT_EQ(test, vfio_mig_state(fake->mig), VFIO_DEVICE_STATE_STOP);
	vfio_mig_reset_done(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_go_stop(fake), 0);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
}

static void migt_wait_time(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 1, .hour = true };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_reset(fake);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ECANCELED);
	/* The hardware is at work: a signal ends nothing, a fatal one the sleep. */
	thread = migt_asleep(fake, &sleep);
	migt_signal(thread);
	migt_wait_asleep(thread, &fake->mig->wait);
	migt_kill(thread);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -EINTR);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

static u64 migt_errors(struct migt_fake *fake)
{
	struct vfio_mig_error error;

	vfio_mig_last_error(fake->mig, &error);

	return error.count;
}

/* Before the first arc has had an effect, the call starts anew, and nothing failed. */
static void migt_wait_signal_first(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 1 };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_signal(thread);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ERESTARTNOHAND);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 1);
	KUNIT_EXPECT_EQ(test, migt_errors(fake), 0);
}

/* The driver says that it has had an effect. */
static void migt_wait_signal_killable(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 1, .killable = true };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_signal(thread);
	migt_wait_asleep(thread, &fake->mig->wait);
	migt_kick_go(fake, &sleep);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, migt_errors(fake), 0);
}

/* In the second arc, the first has had one: only a fatal signal ends the walk. */
static void migt_wait_signal_second(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 2 };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_signal(thread);
	migt_wait_asleep(thread, &fake->mig->wait);
	migt_kick_go(fake, &sleep);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, migt_errors(fake), 0);
}

/* On the way back, a dying caller waits for nothing. */
static void migt_wait_signal_fatal(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 2 };
	struct migt_thread *thread;

	thread = migt_asleep(fake, &sleep);
	migt_kill(thread);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -EINTR);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING_P2P);
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 3);
	KUNIT_EXPECT_EQ(test, migt_errors(fake), 1);
}

/* What arc() returns that is neither 0 nor an errno, or for the kernel only. */
static int migt_arc_returns(struct migt_fake *fake)
{
	const int *result = fake->priv;

	return fake->nr_arcs == 1 ? 0 : *result;
}

static void migt_wait_result(struct kunit *test)
{
	static const struct { int result, error; } results[] = {
		{ 1, -EIO }, { INT_MAX, -EIO }, { INT_MIN, -EIO },
		{ -MAX_ERRNO - 1, -EIO }, { -ERESTARTSYS, -EINTR },
		{ -ERESTARTNOHAND, -EINTR }, { -EXDEV, -EXDEV },
	};
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	unsigned int i;

	fake->arc = migt_arc_returns;
	for (i = 0; i < ARRAY_SIZE(results); i++) {
		fake->priv = (void *)&results[i].result;
		migt_forget(fake);
		KUNIT_EXPECT_EQ_MSG(test, migt_go_stop(fake), results[i].error,
				    "%d", results[i].result);
		migt_reset(fake);
	}
}

/*
 * Whether there is something new, only save() can say, which has to wait for the
 * arc: until then, readers wait. The worker gives way, and is called again.
 */
static void migt_wait_worker(struct kunit *test)
{
	static const struct migt_section section = { 0, 0, 1, 8 };
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_sleep sleep = { .in = 1 };
	struct migt_thread *thread;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
	migt_forget(fake);
	fake->arc = migt_arc_sleeps;
	fake->priv = &sleep;
	thread = migt_start(fake, migt_go_p2p);
	migt_wait_asleep(thread, &fake->mig->wait);
	fake->sections = &section;
	fake->nr_sections = 1;
	vfio_mig_kick(fake->mig);
	migt_expect_read(fake, -EAGAIN, 0);
	migt_settle();
	migt_expect_read(fake, -EAGAIN, 0);
	KUNIT_EXPECT_EQ(test, fake->saves, 0);
	WRITE_ONCE(sleep.go, true);
	wake_up_all(&fake->mig->wait);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	migt_settle();
	migt_expect_read(fake, 64, EPOLLIN | EPOLLRDNORM);
}

static int migt_load_later(struct migt_fake *fake, struct vfio_mig_source *source)
{
	return VFIO_MIG_IDLE;
}

/*
 * A device in RESUMING with all of a stream, whose driver is not ready, and a
 * thread that sleeps on its way to STOP.
 */
static struct migt_thread *migt_half_way(struct kunit *test,
					 struct migt_fake **fake)
{
	static const struct migt_section section = { 0, 0, 1, 10 };
	struct migt_image *image = migt_image_make(test, 1, &section, 1);
	struct migt_thread *thread;

	*fake = migt_new(test, MIGT_ALL, NULL);
	(*fake)->load = migt_load_later;
	KUNIT_ASSERT_EQ(test, migt_go(*fake, VFIO_DEVICE_STATE_RESUMING), 1);
	migt_write_image(*fake, image);
	migt_settle();
	thread = migt_start(*fake, migt_go_stop);
	migt_wait_asleep(thread, &migt_session((*fake)->file)->wait);

	return thread;
}

/* Until it is over, nothing more is accepted, and nobody sees the state. */
static void migt_wait_load(struct kunit *test)
{
	struct migt_thread *thread, *getter;
	struct migt_fake *fake;

	thread = migt_half_way(test, &fake);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), 0);
	KUNIT_EXPECT_EQ(test, migt_write(fake->file, "x", 1), -EAGAIN);
	getter = migt_start(fake, migt_get);
	migt_wait_asleep(getter, &fake->mig->wait);
	fake->load = NULL;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 0);
	KUNIT_EXPECT_EQ(test, migt_join(getter), VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 1);
}

/* Interrupted, the device is in RESUMING as before, and bytes are accepted. */
static void migt_wait_load_signal(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_half_way(test, &fake);
	migt_forget(fake);
	migt_signal(thread);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ERESTARTNOHAND);
	KUNIT_EXPECT_EQ(test, migt_errors(fake), 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RESUMING);
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 0);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), EPOLLOUT | EPOLLWRNORM);
	fake->load = NULL;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
}

static void migt_wait_load_reset(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_half_way(test, &fake);
	migt_reset(fake);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ECANCELED);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, migt_write(fake->file, "x", 1), -ENODEV);
	migt_close(fake);
	migt_expect_sessions(fake, 0);
}

/* What the driver says at last is what the SET says. */
static int migt_load_refuse(struct migt_fake *fake,
			    struct vfio_mig_source *source)
{
	return -EINVAL;
}

static void migt_wait_load_refused(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_half_way(test, &fake);
	fake->load = migt_load_refuse;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -EINVAL);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_ERROR);
}

static const struct migt_section migt_long = { 0, 0, 1, VFIO_MIG_SECTION_MAX };

/* One section more than fits. */
static int migt_writer(struct migt_fake *fake)
{
	struct migt_image *image = fake->priv;

	return migt_write_wait(fake->file, image->data, image->length);
}

static struct migt_thread *migt_full(struct kunit *test, struct migt_fake **fake)
{
	struct migt_section sections[] = { migt_long, migt_long };
	struct migt_thread *thread;

	*fake = migt_new(test, MIGT_ALL, NULL);
	(*fake)->load = migt_load_later;
	(*fake)->priv = migt_image_make(test, 1, sections, 2);
	KUNIT_ASSERT_EQ(test, migt_go(*fake, VFIO_DEVICE_STATE_RESUMING), 1);
	thread = migt_start(*fake, migt_writer);
	migt_wait_asleep(thread, &migt_session((*fake)->file)->wait);

	return thread;
}

/* A blocking write goes on until all is accepted. */
static void migt_wait_write(struct kunit *test)
{
	struct migt_image *image;
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_full(test, &fake);
	image = fake->priv;
	fake->load = NULL;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), image->length);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 2);
}

/* Interrupted, it tells how much was. */
static void migt_wait_write_signal(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_full(test, &fake);
	migt_signal(thread);
	KUNIT_EXPECT_EQ(test, migt_join(thread), 128 + 56 + 65536);
}

static void migt_wait_write_reset(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_full(test, &fake);
	migt_reset(fake);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -ENODEV);
}

static void migt_wait_write_refused(struct kunit *test)
{
	struct migt_thread *thread;
	struct migt_fake *fake;

	thread = migt_full(test, &fake);
	fake->load = migt_load_refuse;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(test, migt_join(thread), -EINVAL);
}

static struct kunit_case migt_wait_cases[] = {
	KUNIT_CASE(migt_wait_condition),
	KUNIT_CASE(migt_wait_reset),
	KUNIT_CASE(migt_wait_bus_reset),
	KUNIT_CASE(migt_wait_bus_and_ioctl),
	KUNIT_CASE(migt_wait_bus_in_save),
	KUNIT_CASE(migt_wait_bus_close),
	KUNIT_CASE(migt_wait_bus_open),
	KUNIT_CASE(migt_wait_time),
	KUNIT_CASE(migt_wait_signal_first),
	KUNIT_CASE(migt_wait_signal_killable),
	KUNIT_CASE(migt_wait_signal_second),
	KUNIT_CASE(migt_wait_signal_fatal),
	KUNIT_CASE(migt_wait_result),
	KUNIT_CASE(migt_wait_worker),
	KUNIT_CASE(migt_wait_load),
	KUNIT_CASE(migt_wait_load_signal),
	KUNIT_CASE(migt_wait_load_reset),
	KUNIT_CASE(migt_wait_load_refused),
	KUNIT_CASE(migt_wait_write),
	KUNIT_CASE(migt_wait_write_signal),
	KUNIT_CASE(migt_wait_write_reset),
	KUNIT_CASE(migt_wait_write_refused),
	{}
};

static struct kunit_suite migt_wait_suite = {
	.name = "vfio_migration_wait",
	.test_cases = migt_wait_cases,
};

kunit_test_suite(migt_wait_suite);
