// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the session that saves, from the reader's side
 *
 * What a read gives and what poll tells, in each situation that the table in
 * include/uapi/linux/vfio_migration.h has, and who is woken when it changes (B2, B4);
 * and that the stream is the same, byte by byte, however it is read.
 */
#include "fake.h"
#include "image.h"

#define MIGT_IN		(EPOLLIN | EPOLLRDNORM)
#define MIGT_OVER	(EPOLLERR | EPOLLHUP)

/* Header, payload and end of a stream of one section. */
#define MIGT_STREAM_OF(length)	(128 + 56 + (length) + 88)

/**
 * struct migt_script - what save() does next
 * @bytes: that it puts into the section
 * @ret: that it returns
 */
struct migt_script {
	size_t bytes;
	int ret;
};

static int migt_save_script(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	const struct migt_script *script = fake->priv;
	u8 buf[64] = {};

	KUNIT_EXPECT_EQ(fake->test, 0,
			vfio_mig_sink_bytes(sink, buf, script->bytes));

	return script->ret;
}

/* A device whose save() follows @script, in state @state. */
static struct migt_fake *migt_scripted(struct kunit *test,
				       struct migt_script *script, u32 state)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	fake->save = migt_save_script;
	fake->priv = script;
	KUNIT_ASSERT_EQ(test, migt_go(fake, state), 1);
	migt_settle();

	return fake;
}

/* The script's next page; the worker is idle. */
static void migt_kick(struct migt_fake *fake, size_t bytes, int ret)
{
	struct migt_script *script = fake->priv;

	script->bytes = bytes;
	script->ret = ret;
	vfio_mig_kick(fake->mig);
}

static void migt_skip(struct migt_fake *fake, size_t length)
{
	u8 buf[64];
	ssize_t ret;

	for (; length; length -= ret) {
		ret = migt_read(fake->file, buf, min(length, sizeof(buf)));
		KUNIT_ASSERT_GT(fake->test, ret, 0);
	}
}

static void migt_session_temporary_end(struct kunit *test)
{
	struct migt_script script = { 64, VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_PRE_COPY);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), MIGT_IN);
	migt_skip(fake, 128 + 56 + 64);
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);

	/* There is more, and then there is not: as often as it likes. */
	migt_kick(fake, 8, VFIO_MIG_IDLE);
	migt_settle();
	migt_expect_read(fake, 56 + 8, MIGT_IN);
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);

	/* A look that finds nothing. */
	migt_kick(fake, 0, VFIO_MIG_IDLE);
	migt_settle();
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
}

/* IDLE is not the end while precopy_info() has something left (B8). */
static void migt_session_slow_device(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_PRE_COPY);
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
	fake->initial = 1;
	migt_kick(fake, 0, VFIO_MIG_IDLE);
	migt_settle();
	migt_expect_read(fake, -EAGAIN, 0);
	fake->initial = 0;
	fake->dirty = 1;
	migt_kick(fake, 0, VFIO_MIG_IDLE);
	migt_settle();
	migt_expect_read(fake, -EAGAIN, 0);
	fake->dirty = 0;
	migt_kick(fake, 0, VFIO_MIG_IDLE);
	migt_settle();
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
}

static void migt_session_permanent_end(struct kunit *test)
{
	struct migt_script script = { 8, VFIO_MIG_DONE };
	struct migt_fake *fake;
	unsigned int i;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	migt_skip(fake, MIGT_STREAM_OF(8));
	for (i = 0; i < 5; i++)
		migt_expect_read(fake, 0, MIGT_IN);
	/* Whatever the device says. */
	migt_kick(fake, 8, -EIO);
	migt_settle();
	migt_expect_read(fake, 0, MIGT_IN);
	KUNIT_EXPECT_EQ(test, fake->saves, 1);
}

/* A device with no state at all has a stream. */
static void migt_session_empty(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_DONE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	migt_skip(fake, 128 + 88);
	migt_expect_read(fake, 0, MIGT_IN);
}

/* STOP_COPY has no temporary end: a device that is not ready is waited for. */
static void migt_session_stop_copy_waits(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_PRE_COPY);
	migt_expect_read(fake, -ENOMSG, EPOLLPRI);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 0);
	migt_settle();
	migt_expect_read(fake, -EAGAIN, 0);
	migt_kick(fake, 8, VFIO_MIG_DONE);
	migt_settle();
	migt_skip(fake, MIGT_STREAM_OF(8));
	migt_expect_read(fake, 0, MIGT_IN);
}

/* A device that runs is never done. */
static void migt_session_done_early(struct kunit *test)
{
	struct migt_script script = { 8, VFIO_MIG_DONE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_PRE_COPY);
	migt_expect_read(fake, -EIO, EPOLLERR);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 0);
	migt_settle();
	migt_expect_read(fake, -EIO, EPOLLERR);
}

static const struct {
	const char *name;
	int said;
	int told;
} migt_errors[] = {
	{ "EINVAL", -EINVAL, -EINVAL },
	{ "EIO", -EIO, -EIO },
	{ "no_errno", VFIO_MIG_DONE + 1, -EIO },
	/* These would mean something else to the reader. */
	{ "EAGAIN", -EAGAIN, -EIO },
	{ "ENOMSG", -ENOMSG, -EIO },
	{ "ENODEV", -ENODEV, -EIO },
	{ "ECANCELED", -ECANCELED, -EIO },
	{ "EINTR", -EINTR, -EIO },
	{ "EOPNOTSUPP", -EOPNOTSUPP, -EIO },
	{ "ERESTARTSYS", -ERESTARTSYS, -EIO },
};

KUNIT_ARRAY_PARAM_DESC(migt_error, migt_errors, name);

/* What was produced before can be read; then the error stays. */
static void migt_session_driver_error(struct kunit *test)
{
	const typeof(migt_errors[0]) *error = test->param_value;
	struct migt_script script = { 8, VFIO_MIG_IDLE };
	struct migt_fake *fake;
	unsigned int i;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	migt_kick(fake, 8, error->said);
	migt_settle();
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), MIGT_IN);
	migt_skip(fake, 128 + 56 + 8);
	for (i = 0; i < 3; i++)
		migt_expect_read(fake, error->told, EPOLLERR);
	/* The device is not asked again, whatever it would say. */
	migt_kick(fake, 8, -ENOMEM);
	migt_settle();
	migt_expect_read(fake, error->told, EPOLLERR);
	KUNIT_EXPECT_EQ(test, fake->saves, 2);
}

/* An error that stays does so as long as the session, and no longer. */
static void migt_session_error_goes(struct kunit *test)
{
	struct migt_script script = { 0, -EIO };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	migt_expect_read(fake, -EIO, EPOLLERR);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	migt_expect_read(fake, -ENODEV, MIGT_OVER);
	script.ret = VFIO_MIG_DONE;
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	migt_skip(fake, 128 + 88);
	migt_expect_read(fake, 0, MIGT_IN);
}

/* A second reader is not let in, and told so by poll. */
static void migt_session_second_reader(struct kunit *test)
{
	struct migt_script script = { 8, VFIO_MIG_DONE };
	struct vfio_mig_session *session;
	struct migt_watch watch;
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	session = migt_session(fake->file);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_slot_take(session, vfio_mig_save_ready,
						    true));
	migt_expect_read(fake, -EAGAIN, 0);
	KUNIT_EXPECT_EQ(test, migt_watch_begin(&watch, fake->file), 0);
	vfio_mig_slot_release(session);
	KUNIT_EXPECT_GT(test, atomic_read(&watch.woken), 0);
	migt_watch_end(&watch);
	migt_expect_read(fake, 64, MIGT_IN);
}

/* The end of the session does not wait for a reader, who frees the memory then. */
static void migt_session_ends_under_reader(struct kunit *test)
{
	struct migt_script script = { 8, VFIO_MIG_DONE };
	struct vfio_mig_session *session;
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	session = migt_session(fake->file);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_slot_take(session, vfio_mig_save_ready,
						    true));
	migt_reset(fake);
	KUNIT_EXPECT_NE(test, session->save.head, session->save.tail);
	migt_expect_read(fake, -ENODEV, MIGT_OVER);
	vfio_mig_slot_release(session);
	migt_settle();
	KUNIT_EXPECT_EQ(test, session->save.head, session->save.tail);
	KUNIT_EXPECT_EQ(test, session->save.pages, 0);
}

enum migt_ending {
	MIGT_BY_DATA,
	MIGT_BY_DONE,
	MIGT_BY_ERROR,
	MIGT_BY_TEMPORARY_END,
	MIGT_BY_LEAVING,
	MIGT_BY_RESET,
	MIGT_BY_BUS_RESET,
	MIGT_BY_CLOSE,
};

struct migt_wake {
	const char *name;
	u32 state;
	enum migt_ending ending;
	int outcome;
	__poll_t events;
};

static const struct migt_wake migt_wakes[] = {
	{ "precopy_data", VFIO_DEVICE_STATE_PRE_COPY, MIGT_BY_DATA, 64, MIGT_IN },
	{ "precopy_error", VFIO_DEVICE_STATE_PRE_COPY, MIGT_BY_ERROR, -EIO,
	  EPOLLERR },
	{ "precopy_end", VFIO_DEVICE_STATE_PRE_COPY, MIGT_BY_TEMPORARY_END,
	  -ENOMSG, EPOLLPRI },
	{ "precopy_leaving", VFIO_DEVICE_STATE_PRE_COPY, MIGT_BY_LEAVING,
	  -ENODEV, MIGT_OVER },
	{ "precopy_reset", VFIO_DEVICE_STATE_PRE_COPY, MIGT_BY_RESET, -ENODEV,
	  MIGT_OVER },
	{ "data", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_DATA, 64, MIGT_IN },
	{ "done", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_DONE, 64, MIGT_IN },
	{ "error", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_ERROR, -EIO, EPOLLERR },
	{ "leaving", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_LEAVING, -ENODEV,
	  MIGT_OVER },
	{ "reset", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_RESET, -ENODEV,
	  MIGT_OVER },
	{ "bus_reset", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_BUS_RESET, -ENODEV,
	  MIGT_OVER },
	{ "close", VFIO_DEVICE_STATE_STOP_COPY, MIGT_BY_CLOSE, -ENODEV,
	  MIGT_OVER },
};

KUNIT_ARRAY_PARAM_DESC(migt_wake, migt_wakes, name);

static void migt_make_end(struct migt_fake *fake, enum migt_ending ending)
{
	switch (ending) {
	case MIGT_BY_DATA:
		return migt_kick(fake, 8, VFIO_MIG_IDLE);
	case MIGT_BY_DONE:
		return migt_kick(fake, 0, VFIO_MIG_DONE);
	case MIGT_BY_ERROR:
		return migt_kick(fake, 0, -EIO);
	case MIGT_BY_TEMPORARY_END:
		fake->initial = 0;
		return migt_kick(fake, 0, VFIO_MIG_IDLE);
	case MIGT_BY_LEAVING:
		KUNIT_EXPECT_EQ(fake->test, 0,
				migt_go(fake, VFIO_DEVICE_STATE_STOP));
		return;
	case MIGT_BY_RESET:
		return migt_reset(fake);
	case MIGT_BY_BUS_RESET:
		return vfio_mig_reset_prepare(fake->mig);
	default:
		return vfio_mig_close(fake->mig);
	}
}

static int migt_reader(struct migt_fake *fake)
{
	u8 buf[64];

	return migt_read_wait(fake->file, buf, sizeof(buf));
}

/* Whoever is asleep learns of it, in read as in poll. */
static void migt_session_wakes(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	const struct migt_wake *wake = test->param_value;
	struct vfio_mig_session *session;
	struct migt_thread *reader;
	struct migt_fake *fake;

	fake = migt_new(test, MIGT_ALL, NULL);
	fake->initial = 1;
	fake->save = migt_save_script;
	fake->priv = &script;
	KUNIT_ASSERT_EQ(test, migt_go(fake, wake->state), 1);
	session = migt_session(fake->file);
	migt_settle();
	reader = migt_start(fake, migt_reader);
	migt_wait_asleep(reader, &session->wait);
	migt_make_end(fake, wake->ending);
	KUNIT_EXPECT_EQ(test, migt_join(reader), wake->outcome);
	vfio_mig_reset_done(fake->mig);
}

static void migt_session_poll_wakes(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	const struct migt_wake *wake = test->param_value;
	struct migt_watch watch;
	struct migt_fake *fake;

	fake = migt_new(test, MIGT_ALL, NULL);
	fake->initial = 1;
	fake->save = migt_save_script;
	fake->priv = &script;
	KUNIT_ASSERT_EQ(test, migt_go(fake, wake->state), 1);
	migt_settle();
	KUNIT_EXPECT_EQ(test, migt_watch_begin(&watch, fake->file), 0);
	migt_make_end(fake, wake->ending);
	migt_settle();
	if (wake->events)
		KUNIT_EXPECT_GT(test, atomic_read(&watch.woken), 0);
	migt_watch_end(&watch);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), wake->events);
	vfio_mig_reset_done(fake->mig);
}

static void migt_session_signal(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	struct migt_thread *reader;
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	reader = migt_start(fake, migt_reader);
	migt_wait_asleep(reader, &migt_session(fake->file)->wait);
	migt_signal(reader);
	KUNIT_EXPECT_EQ(test, migt_join(reader), -ERESTARTSYS);
	migt_kick(fake, 8, VFIO_MIG_DONE);
	migt_settle();
	migt_expect_read(fake, 64, MIGT_IN);
}

/* Sections of all lengths, more than the window holds. */
static const struct migt_section migt_split_sections[] = {
	{ .type = 0, .object = 1, .length = 1 },
	{ .type = 0, .object = 2, .length = 16384 },
	{ .type = 1, .object = 3, .length = 4095 },
	{ .type = 1, .object = 4, .length = 4097 },
	{ .type = 0, .object = 5, .length = 8192 },
	{ .type = 1, .object = 6, .length = 16383 },
	{ .type = 0, .object = 7, .length = 56 },
	{ .type = 0, .object = 8, .length = 12289 },
};

static const void *migt_seed_gen_params(struct kunit *test, const void *prev,
					char *desc)
{
	uintptr_t seed = (uintptr_t)prev + 1;

	if (seed > 5)
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "seed_%zu", seed);

	return (void *)seed;
}

static void migt_session_split(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct vfio_mig_session *session;
	struct rnd_state rnd;
	ssize_t length;
	void *got;

	got = kunit_kzalloc(test, SZ_128K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, got);
	prandom_seed_state(&rnd, (uintptr_t)test->param_value);
	fake->sections = migt_split_sections;
	fake->nr_sections = ARRAY_SIZE(migt_split_sections);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	session = migt_session(fake->file);
	length = migt_read_split(fake, &rnd, got, SZ_128K);
	migt_expect_stream(fake, fake->sections, fake->nr_sections, got,
			   length);
	KUNIT_EXPECT_EQ(test, session->save.unread_initial, 0);
	KUNIT_EXPECT_EQ(test, session->save.unread_later, 0);
	KUNIT_EXPECT_EQ(test, session->save.queued, 0);
}

/* One session for all saving states: the stream goes on. */
static void migt_session_split_states(struct kunit *test)
{
	static const u32 states[] = {
		VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P,
		VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_STOP_COPY,
	};
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct rnd_state rnd;
	ssize_t length = 0;
	unsigned int i;
	void *got;

	got = kunit_kzalloc(test, SZ_128K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, got);
	prandom_seed_state(&rnd, (uintptr_t)test->param_value);
	fake->sections = migt_split_sections;
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		fake->nr_sections = 2 * (i + 1);
		KUNIT_ASSERT_EQ(test, migt_go(fake, states[i]), !i);
		vfio_mig_kick(fake->mig);
		length += migt_read_split(fake, &rnd, got + length,
					  SZ_128K - length);
	}
	migt_expect_stream(fake, fake->sections, fake->nr_sections, got,
			   length);
	migt_expect_read(fake, 0, MIGT_IN);
}

static void migt_session_file(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_DONE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	KUNIT_EXPECT_TRUE(test, fake->file->f_mode & FMODE_READ);
	KUNIT_EXPECT_FALSE(test, fake->file->f_mode & FMODE_WRITE);
	KUNIT_EXPECT_TRUE(test, fake->file->f_mode & FMODE_NOWAIT);
	KUNIT_EXPECT_TRUE(test, fake->file->f_mode & FMODE_STREAM);
	KUNIT_EXPECT_FALSE(test, fake->file->f_mode &
				 (FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE));
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, NULL, 0), 0);
}

/* To a client's fallbacks, the file looks like one that has neither. */
static void migt_session_hidden(struct kunit *test)
{
	struct vfio_mig_config config = migt_config;
	struct migt_fake *fake;
	u8 buf[64];

	config.no_poll = true;
	config.no_nowait = true;
	fake = migt_new(test, MIGT_ALL, &config);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_FALSE(test, fake->file->f_mode & FMODE_NOWAIT);
	KUNIT_EXPECT_FALSE(test, file_can_poll(fake->file));
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, buf, 64), -EAGAIN);
	KUNIT_EXPECT_EQ(test, migt_read_wait(fake->file, buf, 64), 64);
	fake->file->f_flags |= O_NONBLOCK;
	KUNIT_EXPECT_EQ(test, migt_read_wait(fake->file, buf, 64), 64);
}

/* Nobody can read any more: save() is not called, and the state stays. */
static void migt_session_reader_gone(struct kunit *test)
{
	struct migt_script script = { 0, VFIO_MIG_IDLE };
	struct migt_fake *fake;

	fake = migt_scripted(test, &script, VFIO_DEVICE_STATE_STOP_COPY);
	migt_close(fake);
	migt_forget(fake);
	vfio_mig_kick(fake->mig);
	migt_settle();
	KUNIT_EXPECT_EQ(test, fake->saves, 0);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_STOP_COPY);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RUNNING), 0);
	migt_expect_sessions(fake, 0);
}

static struct kunit_case migt_session_cases[] = {
	KUNIT_CASE(migt_session_temporary_end),
	KUNIT_CASE(migt_session_slow_device),
	KUNIT_CASE(migt_session_permanent_end),
	KUNIT_CASE(migt_session_empty),
	KUNIT_CASE(migt_session_stop_copy_waits),
	KUNIT_CASE(migt_session_done_early),
	KUNIT_CASE_PARAM(migt_session_driver_error, migt_error_gen_params),
	KUNIT_CASE(migt_session_error_goes),
	KUNIT_CASE(migt_session_second_reader),
	KUNIT_CASE(migt_session_ends_under_reader),
	KUNIT_CASE_PARAM(migt_session_wakes, migt_wake_gen_params),
	KUNIT_CASE_PARAM(migt_session_poll_wakes, migt_wake_gen_params),
	KUNIT_CASE(migt_session_signal),
	KUNIT_CASE_PARAM(migt_session_split, migt_seed_gen_params),
	KUNIT_CASE_PARAM(migt_session_split_states, migt_seed_gen_params),
	KUNIT_CASE(migt_session_file),
	KUNIT_CASE(migt_session_hidden),
	KUNIT_CASE(migt_session_reader_gone),
	{}
};

static struct kunit_suite migt_session_suite = {
	.name = "vfio_migration_session",
	.test_cases = migt_session_cases,
};

kunit_test_suite(migt_session_suite);
