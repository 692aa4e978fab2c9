// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: back from STOP_COPY (A11)
 *
 * The end section is taken out of the stream again as long as no byte of it was
 * given to a reader; and whatever the device went through, the stream has every
 * section, and one end, in the end.
 */
#include <linux/uio.h>

#include "fake.h"
#include "image.h"

static const struct migt_section migt_sections[] = {
	{ 0, 0, 1, 100 }, { 1, 0, 2, 5000 }, { 0, 0, 3, 1 },
};

#define MIGT_END_BYTES	88

struct migt_way {
	const char *name;
	unsigned int flags;
	u32 target;
};

/* Where there is a way back to. */
static const struct migt_way migt_ways[] = {
	{ "to_PRE_COPY", MIGT_ALL, VFIO_DEVICE_STATE_PRE_COPY },
	{ "to_PRE_COPY_P2P", MIGT_ALL, VFIO_DEVICE_STATE_PRE_COPY_P2P },
	{ "without_P2P", MIGT_ALL & ~VFIO_MIGRATION_P2P,
	  VFIO_DEVICE_STATE_PRE_COPY },
};

KUNIT_ARRAY_PARAM_DESC(migt_way, migt_ways, name);

/**
 * struct migt_trip - a device on its way there and back
 * @fake: device, whose client has opted in
 * @target: where it goes back to
 * @got: the stream
 * @length: of it
 */
struct migt_trip {
	struct migt_fake *fake;
	u32 target;
	u8 *got;
	ssize_t length;
};

/* Two of three sections, in STOP_COPY, with nothing read. */
static void migt_trip_init(struct kunit *test, struct migt_trip *trip)
{
	const struct migt_way *way = test->param_value;
	struct migt_fake *fake;

	fake = migt_new(test, way->flags, NULL);
	trip->fake = fake;
	trip->target = way->target;
	trip->length = 0;
	trip->got = kunit_kzalloc(test, SZ_32K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, trip->got);
	WRITE_ONCE(fake->mig->copy_back, true);
	fake->sections = migt_sections;
	fake->nr_sections = 2;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
}

static void migt_trip_read(struct migt_trip *trip)
{
	trip->length += migt_read_all(trip->fake, trip->got + trip->length,
				      SZ_32K - trip->length);
}

/* To STOP_COPY once more, the third section, and the end. */
static void migt_trip_end(struct migt_trip *trip)
{
	struct migt_fake *fake = trip->fake;
	struct kunit *test = fake->test;
	struct vfio_mig_save *save;
	u8 byte;

	fake->nr_sections = 3;
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 0);
	migt_trip_read(trip);
	migt_expect_stream(fake, migt_sections, 3, trip->got, trip->length);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, &byte, 1), 0);
	save = &migt_session(fake->file)->save;
	KUNIT_EXPECT_EQ(test, save->unread_initial, 0);
	KUNIT_EXPECT_EQ(test, save->unread_later, 0);
	KUNIT_EXPECT_EQ(test, save->produced, trip->length);
}

/* With nothing read, and the end in the queue. */
static void migt_back_unread(struct kunit *test)
{
	struct migt_trip trip;

	migt_trip_init(test, &trip);
	KUNIT_EXPECT_EQ(test, migt_go(trip.fake, trip.target), 0);
	KUNIT_EXPECT_EQ(test, migt_state(trip.fake), trip.target);
	migt_trip_end(&trip);
}

/* All but the end read; then there is a temporary end instead. */
static void migt_back_all_read(struct kunit *test)
{
	struct migt_trip trip;
	u8 byte;

	migt_trip_init(test, &trip);
	trip.length = migt_session(trip.fake->file)->save.queued - MIGT_END_BYTES;
	KUNIT_EXPECT_EQ(test, trip.length,
			migt_read(trip.fake->file, trip.got, trip.length));
	KUNIT_EXPECT_EQ(test, migt_go(trip.fake, trip.target), 0);
	migt_settle();
	KUNIT_EXPECT_EQ(test, migt_read(trip.fake->file, &byte, 1), -ENOMSG);
	KUNIT_EXPECT_EQ(test, migt_poll(trip.fake->file), EPOLLPRI);
	migt_trip_end(&trip);
}

/* There and back, again and again. */
static void migt_back_often(struct kunit *test)
{
	struct migt_trip trip;
	unsigned int i;

	migt_trip_init(test, &trip);
	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, migt_go(trip.fake, trip.target), 0);
		KUNIT_EXPECT_EQ(test, 0, migt_go(trip.fake,
						 VFIO_DEVICE_STATE_STOP_COPY));
		/* The end may be there again, or not yet. */
		if (i % 2)
			migt_settle();
	}
	/* If it is, there is nothing after it. */
	KUNIT_EXPECT_EQ(test, migt_go(trip.fake, trip.target), 0);
	migt_trip_end(&trip);
}

/* From the first byte of the end on, it is too late; the stream can be read. */
static void migt_back_too_late(struct kunit *test)
{
	struct migt_trip trip;
	struct migt_fake *fake;
	size_t n;

	migt_trip_init(test, &trip);
	fake = trip.fake;
	n = migt_session(fake->file)->save.queued - MIGT_END_BYTES;
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, trip.got, n), n);
	trip.length = n;
	migt_forget(fake);
	for (n = 1; n <= MIGT_END_BYTES; n++) {
		KUNIT_EXPECT_EQ(test, 1, migt_read(fake->file,
						   trip.got + trip.length++, 1));
		KUNIT_EXPECT_EQ(test, migt_go(fake, trip.target), -ENODATA);
		KUNIT_EXPECT_EQ(test, migt_state(fake),
				VFIO_DEVICE_STATE_STOP_COPY);
	}
	KUNIT_EXPECT_EQ(test, fake->nr_arcs, 0);
	migt_trip_read(&trip);
	migt_expect_stream(fake, migt_sections, 2, trip.got, trip.length);
}

/* The driver stays in STOP_COPY after all: it is done again. */
static void migt_back_refused(struct kunit *test)
{
	struct migt_trip trip;
	struct migt_fake *fake;

	migt_trip_init(test, &trip);
	fake = trip.fake;
	migt_forget(fake);
	fake->faults[0] = (struct migt_fault){ 1, MIGT_FAIL };
	KUNIT_EXPECT_EQ(test, migt_go(fake, trip.target), -MIGT_ERRNO);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_STOP_COPY);
	migt_trip_read(&trip);
	migt_expect_stream(fake, migt_sections, 2, trip.got, trip.length);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), EPOLLIN | EPOLLRDNORM);
}

/*
 * A reader that is about to get the end, with nothing before it: either it is too
 * late, or the reader has to wait. The session is not over.
 */
static void migt_back_under_reader(struct kunit *test)
{
	struct vfio_mig_session *session;
	struct migt_trip trip;
	struct iov_iter iter;
	struct kvec vec;
	ssize_t n;
	int ret;

	migt_trip_init(test, &trip);
	session = migt_session(trip.fake->file);
	n = session->save.queued - MIGT_END_BYTES;
	KUNIT_EXPECT_EQ(test, migt_read(trip.fake->file, trip.got, n), n);
	KUNIT_EXPECT_EQ(test, 1, vfio_mig_slot_take(session, vfio_mig_save_ready,
						    true));
	ret = migt_go(trip.fake, trip.target);
	vec.iov_base = trip.got + n;
	vec.iov_len = MIGT_END_BYTES;
	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, MIGT_END_BYTES);
	n = vfio_mig_save_read(session, &iter);
	vfio_mig_slot_release(session);
	KUNIT_EXPECT_EQ(test, ret, n == MIGT_END_BYTES ? -ENODATA : 0);
	KUNIT_EXPECT_NE(test, n, -ENODEV);
}

/* It is an extension: who did not ask for it does not have it (A4). */
static void migt_back_not_asked(struct kunit *test)
{
	struct migt_trip trip;

	migt_trip_init(test, &trip);
	WRITE_ONCE(trip.fake->mig->copy_back, false);
	migt_forget(trip.fake);
	KUNIT_EXPECT_EQ(test, migt_go(trip.fake, trip.target), -EINVAL);
	KUNIT_EXPECT_EQ(test, trip.fake->nr_arcs, 0);
	migt_trip_read(&trip);
	migt_expect_stream(trip.fake, migt_sections, 2, trip.got, trip.length);
}

static struct kunit_case migt_back_cases[] = {
	KUNIT_CASE_PARAM(migt_back_unread, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_all_read, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_often, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_too_late, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_refused, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_under_reader, migt_way_gen_params),
	KUNIT_CASE_PARAM(migt_back_not_asked, migt_way_gen_params),
	{}
};

static struct kunit_suite migt_back_suite = {
	.name = "vfio_migration_back",
	.test_cases = migt_back_cases,
};

kunit_test_suite(migt_back_suite);
