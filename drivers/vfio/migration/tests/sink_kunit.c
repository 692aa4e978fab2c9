// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the session that saves, from the driver's side
 *
 * The ways to fill a section, in place, by copying and by donating pages (B5), and
 * their limits; and what becomes of a section that is not sent.
 */
#include <linux/mm.h>

#include "fake.h"
#include "image.h"

/* With the smallest window. */
#define MIGT_ROOM	SZ_16K

static const struct migt_section migt_full[] = {
	{ .type = 1, .object = 77, .length = MIGT_ROOM },
};

/* The device whose save() is @save, in STOP_COPY. */
static struct migt_fake *migt_saver(struct kunit *test,
				    int (*save)(struct migt_fake *fake,
						struct vfio_mig_sink *sink))
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	fake->save = save;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();

	return fake;
}

/* The stream that came of it is one of these sections. */
static void migt_expect_sections(struct migt_fake *fake,
				 const struct migt_section *sections,
				 unsigned int nr)
{
	ssize_t length;
	void *got;

	got = kunit_kzalloc(fake->test, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(fake->test, got);
	length = migt_read_all(fake, got, SZ_64K);
	migt_expect_stream(fake, sections, nr, got, length);
}

static int migt_save_in_place(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct kunit *test = fake->test;
	size_t given, n = 0;
	void *to;

	KUNIT_EXPECT_EQ(test, vfio_mig_sink_room(sink), MIGT_ROOM);
	vfio_mig_sink_section(sink, 1, 77);
	while ((to = vfio_mig_sink_reserve(sink, &given))) {
		KUNIT_EXPECT_EQ(test, given, PAGE_SIZE);
		KUNIT_EXPECT_TRUE(test, PAGE_ALIGNED(to));
		migt_fill(to, 77, n, given);
		vfio_mig_sink_commit(sink, given);
		n += given;
		KUNIT_EXPECT_EQ(test, vfio_mig_sink_room(sink), MIGT_ROOM - n);
	}
	KUNIT_EXPECT_EQ(test, n, MIGT_ROOM);

	return VFIO_MIG_DONE;
}

static void migt_sink_in_place(struct kunit *test)
{
	struct migt_fake *fake = migt_saver(test, migt_save_in_place);

	migt_expect_sections(fake, migt_full, 1);
}

/* Commits of any length, none at all among them. */
static int migt_save_in_pieces(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	static const size_t pieces[] = { 100, 0, 3995, 1, 0, 4096, 1, 4095 };
	struct kunit *test = fake->test;
	size_t given, n = 0;
	unsigned int i;
	void *to;

	vfio_mig_sink_section(sink, 1, 77);
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		to = vfio_mig_sink_reserve(sink, &given);
		KUNIT_EXPECT_EQ(test, offset_in_page(to), offset_in_page(n));
		KUNIT_EXPECT_EQ(test, given, PAGE_SIZE - offset_in_page(n));
		migt_fill(to, 77, n, pieces[i]);
		vfio_mig_sink_commit(sink, pieces[i]);
		n += pieces[i];
	}
	KUNIT_EXPECT_EQ(test, n, 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, vfio_mig_sink_room(sink), MIGT_ROOM - n);
	/* Reserved and not used. */
	KUNIT_EXPECT_NOT_NULL(test, vfio_mig_sink_reserve(sink, &given));

	return VFIO_MIG_DONE;
}

static void migt_sink_in_pieces(struct kunit *test)
{
	static const struct migt_section section = { 1, 0, 77, 3 * PAGE_SIZE };
	struct migt_fake *fake = migt_saver(test, migt_save_in_pieces);

	migt_expect_sections(fake, &section, 1);
}

static int migt_save_bytes(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct kunit *test = fake->test;
	size_t given, n;
	u8 buf[300];

	vfio_mig_sink_section(sink, 1, 77);
	for (n = 0; n < MIGT_ROOM - 299; n += 299) {
		migt_fill(buf, 77, n, 299);
		KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_bytes(sink, buf, 299));
	}
	n = MIGT_ROOM - n;
	migt_fill(buf, 77, MIGT_ROOM - n, n);
	KUNIT_EXPECT_EQ(test, -ENOSPC, vfio_mig_sink_bytes(sink, buf, n + 1));
	KUNIT_EXPECT_EQ(test, n, vfio_mig_sink_room(sink));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_bytes(sink, buf, n));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_room(sink));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_bytes(sink, buf, 0));
	KUNIT_EXPECT_EQ(test, -ENOSPC, vfio_mig_sink_bytes(sink, buf, 1));
	KUNIT_EXPECT_NULL(test, vfio_mig_sink_reserve(sink, &given));

	return VFIO_MIG_DONE;
}

static void migt_sink_bytes(struct kunit *test)
{
	struct migt_fake *fake = migt_saver(test, migt_save_bytes);

	migt_expect_sections(fake, migt_full, 1);
}

/* A section is what the driver says of it, and not what it said of the last. */
static int migt_save_kinds(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	u8 byte;

	if (fake->saves == 1) {
		vfio_mig_sink_section(sink, 0, 5);
		vfio_mig_sink_section(sink, 1, U64_MAX);
		byte = migt_byte(U64_MAX, 0);
	} else {
		byte = migt_byte(0, 0);
	}
	/* The third is empty, which is none. */
	if (fake->saves != 3)
		vfio_mig_sink_bytes(sink, &byte, 1);

	return fake->saves == 4 ? VFIO_MIG_DONE : VFIO_MIG_MORE;
}

static void migt_sink_kinds(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 1, 0, U64_MAX, 1 }, { 0, 0, 0, 1 }, { 0, 0, 0, 1 },
	};
	struct migt_fake *fake = migt_saver(test, migt_save_kinds);

	migt_expect_sections(fake, sections, ARRAY_SIZE(sections));
}

/* What stands in the section when there is nothing more for now is sent. */
static int migt_save_then_idle(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	u8 byte = migt_byte(0, 0);

	vfio_mig_sink_bytes(sink, &byte, 1);

	return fake->saves == 1 ? VFIO_MIG_IDLE : VFIO_MIG_DONE;
}

static void migt_sink_idle(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 0, 0, 0, 1 }, { 0, 0, 0, 1 },
	};
	struct migt_fake *fake = migt_saver(test, migt_save_then_idle);

	KUNIT_EXPECT_EQ(test, migt_session(fake->file)->save.queued, 128 + 57);
	vfio_mig_kick(fake->mig);
	migt_expect_sections(fake, sections, 2);
}

static struct page *migt_page(struct migt_fake *fake, u64 object)
{
	struct page *page = alloc_page(GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(fake->test, page);
	migt_fill(page_address(page), object, 0, PAGE_SIZE);

	return page;
}

/* Donated pages between filled ones. */
static int migt_save_donated(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct page **pages = fake->priv;
	struct kunit *test = fake->test;
	struct page *unused;
	size_t given;
	void *to;

	vfio_mig_sink_section(sink, 1, 77);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_add_page(sink, pages[0]));
	KUNIT_EXPECT_EQ(test, 2, page_count(pages[0]));
	/* Reserved and not used: the page goes where it would have been. */
	to = vfio_mig_sink_reserve(sink, &given);
	KUNIT_EXPECT_NOT_NULL(test, to);
	unused = virt_to_page(to);
	get_page(unused);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_add_page(sink, pages[1]));
	KUNIT_EXPECT_EQ(test, 1, page_count(unused));
	put_page(unused);
	to = vfio_mig_sink_reserve(sink, &given);
	KUNIT_EXPECT_EQ(test, given, PAGE_SIZE);
	migt_fill(to, 77, 2 * PAGE_SIZE, PAGE_SIZE);
	vfio_mig_sink_commit(sink, 5);
	KUNIT_EXPECT_EQ(test, -EINVAL, vfio_mig_sink_add_page(sink, pages[2]));
	vfio_mig_sink_commit(sink, PAGE_SIZE - 5);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_sink_add_page(sink, pages[2]));
	KUNIT_EXPECT_EQ(test, -ENOSPC, vfio_mig_sink_add_page(sink, pages[2]));
	KUNIT_EXPECT_NULL(test, vfio_mig_sink_reserve(sink, &given));

	return VFIO_MIG_DONE;
}

/* The pages in the ring are the device's own, and come back when they were read. */
static void migt_sink_donated(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct vfio_mig_save *save;
	struct page *pages[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		pages[i] = migt_page(fake, 77);
		migt_fill(page_address(pages[i]), 77,
			  (i == 2 ? 3 : i) * PAGE_SIZE, PAGE_SIZE);
	}
	fake->save = migt_save_donated;
	fake->priv = pages;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	save = &migt_session(fake->file)->save;
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, page_count(pages[i]), 2);
	/* Two headers come before. */
	KUNIT_EXPECT_PTR_EQ(test, vfio_mig_chunk_at(save, 2)->page, pages[0]);
	KUNIT_EXPECT_PTR_EQ(test, vfio_mig_chunk_at(save, 3)->page, pages[1]);
	KUNIT_EXPECT_PTR_EQ(test, vfio_mig_chunk_at(save, 5)->page, pages[2]);
	migt_expect_sections(fake, migt_full, 1);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, page_count(pages[i]), 1);
		put_page(pages[i]);
	}
}

/* What a failing save() put in is not sent, and given back. */
static int migt_save_and_fail(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct page **pages = fake->priv;
	size_t given;

	KUNIT_EXPECT_EQ(fake->test, 0, vfio_mig_sink_add_page(sink, pages[0]));
	pages[1] = virt_to_page(vfio_mig_sink_reserve(sink, &given));
	get_page(pages[1]);
	vfio_mig_sink_commit(sink, given);
	pages[2] = virt_to_page(vfio_mig_sink_reserve(sink, &given));
	get_page(pages[2]);

	return -EIO;
}

static void migt_sink_failed(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct page *pages[3];
	unsigned int i;

	pages[0] = migt_page(fake, 0);
	fake->save = migt_save_and_fail;
	fake->priv = pages;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_EQ(test, migt_session(fake->file)->save.queued, 0);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ_MSG(test, page_count(pages[i]), 1, "page %u", i);
		put_page(pages[i]);
	}
}

/*
 * A page that the device keeps no reference to is the core's to free, but never one
 * to fill: it is not known what kind of page it is.
 */
static int migt_save_given_away(struct migt_fake *fake,
				struct vfio_mig_sink *sink)
{
	struct page **pages = fake->priv;
	size_t given;

	if (fake->saves == 2) {
		vfio_mig_sink_reserve(sink, &given);
		vfio_mig_sink_commit(sink, given);
		return VFIO_MIG_MORE;
	}
	KUNIT_EXPECT_EQ(fake->test, 0, vfio_mig_sink_add_page(sink, *pages));
	put_page(*pages);
	fake->priv = pages + 1;

	return fake->saves == 3 ? -EIO : VFIO_MIG_MORE;
}

static void migt_sink_given_away(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct page *pages[2] = { migt_page(fake, 0), migt_page(fake, 0) };
	struct vfio_mig_save *save;
	u8 *buf;

	buf = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	fake->priv = pages;
	fake->save = migt_save_given_away;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	save = &migt_session(fake->file)->save;
	KUNIT_EXPECT_EQ(test, save->nr_spare, 0);
	KUNIT_EXPECT_EQ(test, migt_read_all(fake, buf, SZ_16K),
			128 + 2 * (56 + PAGE_SIZE));
	/* The one that the core had the device fill. */
	KUNIT_EXPECT_EQ(test, save->nr_spare, 1);
	KUNIT_EXPECT_EQ(test, fake->saves, 3);
}

/* Nor is what a save() put in that a reset overtook. */
static int migt_save_and_reset(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct page **pages = fake->priv;

	KUNIT_EXPECT_EQ(fake->test, 0, vfio_mig_sink_add_page(sink, pages[0]));
	vfio_mig_reset_done(fake->mig);

	return VFIO_MIG_MORE;
}

static void migt_sink_reset(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct page *page = migt_page(fake, 0);

	fake->save = migt_save_and_reset;
	fake->priv = &page;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	put_page(page);
}

static struct kunit_case migt_sink_cases[] = {
	KUNIT_CASE(migt_sink_in_place),
	KUNIT_CASE(migt_sink_in_pieces),
	KUNIT_CASE(migt_sink_bytes),
	KUNIT_CASE(migt_sink_kinds),
	KUNIT_CASE(migt_sink_idle),
	KUNIT_CASE(migt_sink_donated),
	KUNIT_CASE(migt_sink_failed),
	KUNIT_CASE(migt_sink_reset),
	KUNIT_CASE(migt_sink_given_away),
	{}
};

static struct kunit_suite migt_sink_suite = {
	.name = "vfio_migration_sink",
	.test_cases = migt_sink_cases,
};

kunit_test_suite(migt_sink_suite);
