// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: a driver that lacks memory
 *
 * While something is queued the reader is about to give memory back, and save() is
 * called again then: what it has put into the section is sent once, and nothing has
 * failed. With nothing queued, no one would call it again, and the reader is told.
 */
#include "fake.h"
#include "image.h"

#define MIGT_STEPS	4

/**
 * struct migt_diet - what each call of save() does
 * @bytes: that it puts into a section, whose object is the number of the call
 * @ret: that it returns
 */
struct migt_diet {
	size_t bytes;
	int ret;
};

static int migt_save_diet(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	const struct migt_diet *diet = fake->priv;
	unsigned int step = min(fake->saves, MIGT_STEPS) - 1;
	u8 bytes[64];

	vfio_mig_sink_section(sink, 0, step);
	migt_fill(bytes, step, 0, sizeof(bytes));
	KUNIT_EXPECT_EQ(fake->test, 0,
			vfio_mig_sink_bytes(sink, bytes, diet[step].bytes));

	return diet[step].ret;
}

static struct migt_fake *migt_starving(struct kunit *test,
				       const struct migt_diet *diet)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	fake->save = migt_save_diet;
	fake->priv = (void *)diet;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();

	return fake;
}

static void migt_starve_queued(struct kunit *test)
{
	static const struct migt_diet diet[MIGT_STEPS] = {
		{ 10, VFIO_MIG_MORE }, { 20, -ENOMEM }, { 30, VFIO_MIG_DONE },
	};
	static const struct migt_section sections[] = {
		{ 0, 0, 0, 10 }, { 0, 0, 1, 20 }, { 0, 0, 2, 30 },
	};
	struct migt_fake *fake = migt_starving(test, diet);
	u8 *got = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	ssize_t n;

	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_EXPECT_EQ(test, fake->saves, 2);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), EPOLLIN | EPOLLRDNORM);
	n = migt_read_all(fake, got, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, fake->saves, 3);
	migt_expect_stream(fake, sections, ARRAY_SIZE(sections), got, n);
	migt_expect_read(fake, 0, EPOLLIN | EPOLLRDNORM);
}

static void migt_starve_alone(struct kunit *test)
{
	static const struct migt_diet diet[MIGT_STEPS] = {
		{ 0, -ENOMEM }, { 0, VFIO_MIG_DONE }, { 0, VFIO_MIG_DONE },
		{ 0, VFIO_MIG_DONE },
	};
	struct migt_fake *fake = migt_starving(test, diet);

	migt_expect_read(fake, -ENOMEM, EPOLLERR);
	vfio_mig_kick(fake->mig);
	migt_settle();
	migt_expect_read(fake, -ENOMEM, EPOLLERR);
	KUNIT_EXPECT_EQ(test, fake->saves, 1);
}

/* The last of it is read, and there is still no memory. */
static void migt_starve_to_the_end(struct kunit *test)
{
	static const struct migt_diet diet[MIGT_STEPS] = {
		{ 10, VFIO_MIG_MORE }, { 0, -ENOMEM }, { 0, -ENOMEM },
		{ 0, -ENOMEM },
	};
	struct migt_fake *fake = migt_starving(test, diet);
	u8 got[256];

	KUNIT_EXPECT_EQ(test, migt_read(fake->file, got, sizeof(got)),
			128 + 56 + 10);
	migt_settle();
	migt_expect_read(fake, -ENOMEM, EPOLLERR);
}

static struct kunit_case migt_starve_cases[] = {
	KUNIT_CASE(migt_starve_queued),
	KUNIT_CASE(migt_starve_alone),
	KUNIT_CASE(migt_starve_to_the_end),
	{}
};

static struct kunit_suite migt_starve_suite = {
	.name = "vfio_migration_starve",
	.test_cases = migt_starve_cases,
};

kunit_test_suite(migt_starve_suite);
