// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the session that resumes
 *
 * What a write gives and what poll tells in each situation (B3), how much is
 * accepted ahead of a driver that is slow (B6), and what a driver can do with a
 * section: put it off, take bytes and pages of it, refuse it.
 */
#include <linux/mm.h>

#include "fake.h"
#include "image.h"

#define MIGT_OUT	(EPOLLOUT | EPOLLWRNORM)
#define MIGT_OVER	(EPOLLERR | EPOLLHUP)

static int migt_load_later(struct migt_fake *fake, struct vfio_mig_source *source)
{
	return VFIO_MIG_IDLE;
}

/* A device in RESUMING that does @load. */
static struct migt_fake *migt_resumer(struct kunit *test,
				      int (*load)(struct migt_fake *fake,
						  struct vfio_mig_source *source))
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	fake->load = load;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);

	return fake;
}

/* The driver goes on, by @load. */
static void migt_continue(struct migt_fake *fake,
			  int (*load)(struct migt_fake *fake,
				      struct vfio_mig_source *source))
{
	fake->load = load;
	vfio_mig_kick(fake->mig);
	migt_settle();
}

static void migt_expect_write(struct migt_fake *fake, const void *from,
			      size_t length, ssize_t outcome, __poll_t events)
{
	KUNIT_EXPECT_EQ(fake->test, migt_poll(fake->file), events);
	KUNIT_EXPECT_EQ(fake->test, migt_write(fake->file, from, length),
			outcome);
}

struct migt_room {
	const char *name;
	u32 length;
	unsigned int nr;
	unsigned int fit;
};

/* Sections that fit into the smallest window, one of them perhaps beyond it. */
static const struct migt_room migt_rooms[] = {
	{ "pages_16k", SZ_16K, 8, 4 },
	{ "longest", VFIO_MIG_SECTION_MAX, 3, 1 },
	{ "beyond", 3 * PAGE_SIZE, 8, 6 },
	{ "small", 1, 15, 15 },
	{ "page_and_a_byte", PAGE_SIZE + 1, 10, 8 },
};

KUNIT_ARRAY_PARAM_DESC(migt_room, migt_rooms, name);

/* A slow driver stops the writer between sections, never within one. */
static void migt_resume_window(struct kunit *test)
{
	const struct migt_room *room = test->param_value;
	struct migt_section sections[MIGT_IMAGE_SECTIONS];
	struct migt_fake *fake = migt_resumer(test, migt_load_later);
	struct migt_image *image;
	unsigned int i;
	size_t fit;

	for (i = 0; i < room->nr; i++)
		sections[i] = (struct migt_section){ 0, 0, i, room->length };
	image = migt_image_make(test, 1, sections, room->nr);
	fit = room->fit < room->nr ? image->at[room->fit] : image->length;
	migt_expect_write(fake, image->data, image->length, fit, MIGT_OUT);
	migt_settle();
	if (fit < image->length)
		migt_expect_write(fake, image->data + fit, 1, -EAGAIN, 0);
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 0);
	migt_continue(fake, NULL);
	KUNIT_EXPECT_EQ(test, migt_poll(fake->file), MIGT_OUT);
	migt_expect_loaded(fake, sections, room->fit, room->name);
	KUNIT_EXPECT_EQ(test, migt_session(fake->file)->load.pages, 0);
}

/* Sections of nothing are not for nothing. */
static void migt_resume_empty_sections(struct kunit *test)
{
	struct migt_fake *fake = migt_resumer(test, migt_load_later);
	struct migt_image *image = migt_image_begin(test, 1, SZ_8K);
	struct vfio_mig_section_header *header;
	unsigned int i;
	size_t at;

	migt_image_seal(image);
	migt_expect_write(fake, image->data, 128, 128, MIGT_OUT);
	for (i = 0; i < 16; i++) {
		image->nr = 0;
		image->length = 128;
		migt_image_add(image, &(struct migt_section){ .object = i });
		header = migt_image_section(image, 0);
		header->sequence = cpu_to_le64(i);
		migt_image_seal(image);
		at = image->at[0];
		migt_expect_write(fake, image->data + at, 56, 56, MIGT_OUT);
	}
	migt_expect_write(fake, image->data + at, 56, -EAGAIN, 0);
	migt_settle();
	migt_expect_write(fake, image->data + at, 56, -EAGAIN, 0);
	migt_continue(fake, NULL);
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 16);
}

/* Put off, a section comes again, from its start. */
static int migt_load_half(struct migt_fake *fake, struct vfio_mig_source *source)
{
	bool *ready = fake->priv;
	u8 byte;

	KUNIT_EXPECT_EQ(fake->test, vfio_mig_source_left(source), 100);
	KUNIT_EXPECT_EQ(fake->test, vfio_mig_source_bytes(source, &byte, 1), 0);
	KUNIT_EXPECT_EQ(fake->test, byte, migt_byte(9, 0));
	KUNIT_EXPECT_EQ(fake->test, vfio_mig_source_left(source), 99);
	fake->saves++;

	return *ready ? VFIO_MIG_MORE : VFIO_MIG_IDLE;
}

static void migt_resume_put_off(struct kunit *test)
{
	static const struct migt_section section = { 0, 0, 9, 100 };
	struct migt_image *image = migt_image_make(test, 1, &section, 1);
	struct migt_fake *fake = migt_resumer(test, migt_load_half);
	unsigned int before;
	bool ready = false;

	fake->priv = &ready;
	migt_write_image(fake, image);
	migt_settle();
	before = fake->saves;
	KUNIT_EXPECT_GT(test, before, 0);
	migt_continue(fake, migt_load_half);
	KUNIT_EXPECT_EQ(test, fake->saves, before + 1);
	ready = true;
	migt_continue(fake, migt_load_half);
	KUNIT_EXPECT_EQ(test, fake->saves, before + 2);
	/* Taken, it does not come again. */
	migt_continue(fake, migt_load_half);
	KUNIT_EXPECT_EQ(test, fake->saves, before + 2);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
}

/* More than there is, and then what there is. */
static int migt_load_too_much(struct migt_fake *fake,
			      struct vfio_mig_source *source)
{
	struct kunit *test = fake->test;
	u8 buf[101], expected[100];

	migt_fill(expected, 9, 0, 100);
	KUNIT_EXPECT_EQ(test, vfio_mig_source_type(source), 1);
	KUNIT_EXPECT_EQ(test, vfio_mig_source_object(source), 9);
	KUNIT_EXPECT_EQ(test, -EINVAL, vfio_mig_source_bytes(source, buf, 101));
	KUNIT_EXPECT_EQ(test, vfio_mig_source_left(source), 100);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, buf, 60));
	KUNIT_EXPECT_EQ(test, -EINVAL, vfio_mig_source_bytes(source, buf, 41));
	KUNIT_EXPECT_NULL(test, vfio_mig_source_take_page(source));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, buf + 60, 40));
	KUNIT_EXPECT_EQ(test, vfio_mig_source_left(source), 0);
	KUNIT_EXPECT_EQ(test, -EINVAL, vfio_mig_source_bytes(source, buf, 1));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, buf, 0));
	KUNIT_EXPECT_MEMEQ(test, buf, expected, 100);
	fake->nr_loaded++;

	return VFIO_MIG_MORE;
}

static void migt_resume_bytes(struct kunit *test)
{
	static const struct migt_section section = { 1, 0, 9, 100 };
	struct migt_image *image = migt_image_make(test, 1, &section, 1);
	struct migt_fake *fake = migt_resumer(test, migt_load_too_much);

	migt_write_image(fake, image);
	migt_settle();
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 1);
}

/* Pages to keep, as far as they are whole; the rest as bytes. */
static int migt_load_pages(struct migt_fake *fake, struct vfio_mig_source *source)
{
	struct page **pages = fake->priv;
	struct kunit *test = fake->test;
	u8 buf[100], expected[100];

	pages[0] = vfio_mig_source_take_page(source);
	/* In the middle of a page, there is none. */
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, buf, 1));
	KUNIT_EXPECT_NULL(test, vfio_mig_source_take_page(source));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, pages[3],
						       PAGE_SIZE - 1));
	pages[1] = vfio_mig_source_take_page(source);
	KUNIT_EXPECT_EQ(test, vfio_mig_source_left(source), 100);
	KUNIT_EXPECT_NULL(test, vfio_mig_source_take_page(source));
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_source_bytes(source, buf, 100));
	migt_fill(expected, 9, 3 * PAGE_SIZE, 100);
	KUNIT_EXPECT_MEMEQ(test, buf, expected, 100);

	return VFIO_MIG_MORE;
}

static void migt_expect_page(struct kunit *test, struct page *page, u64 offset)
{
	void *expected = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, expected);
	KUNIT_ASSERT_NOT_NULL(test, page);
	migt_fill(expected, 9, offset, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, page_count(page), 1);
	KUNIT_EXPECT_MEMEQ(test, page_address(page), expected, PAGE_SIZE);
	put_page(page);
}

static void migt_resume_take_pages(struct kunit *test)
{
	static const struct migt_section section = { 1, 0, 9, 3 * PAGE_SIZE + 100 };
	struct migt_image *image = migt_image_make(test, 1, &section, 1);
	struct migt_fake *fake = migt_resumer(test, migt_load_pages);
	struct page *pages[4] = {};

	pages[3] = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages[3]);
	fake->priv = pages;
	migt_write_image(fake, image);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	migt_close(fake);
	migt_expect_sessions(fake, 0);
	/* The device's alone, with nothing left of the session. */
	migt_expect_page(test, pages[0], 0);
	migt_expect_page(test, pages[1], 2 * PAGE_SIZE);
}

/* A section of which pages are gone cannot be given again. */
static int migt_load_take_and_put_off(struct migt_fake *fake,
				      struct vfio_mig_source *source)
{
	put_page(vfio_mig_source_take_page(source));

	return VFIO_MIG_IDLE;
}

static void migt_resume_take_and_put_off(struct kunit *test)
{
	static const struct migt_section section = { 1, 0, 9, PAGE_SIZE };
	struct migt_image *image = migt_image_make(test, 1, &section, 1);
	struct migt_fake *fake = migt_resumer(test, migt_load_later);

	migt_write_image(fake, image);
	migt_settle();
	migt_continue(fake, migt_load_take_and_put_off);
	migt_expect_write(fake, "x", 1, -EIO, EPOLLERR);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), -EIO);
}

static const struct {
	const char *name;
	int said;
	int told;
} migt_refusals[] = {
	{ "EINVAL", -EINVAL, -EINVAL },
	{ "EIO", -EIO, -EIO },
	{ "ENOMEM", -ENOMEM, -ENOMEM },
	{ "EAGAIN", -EAGAIN, -EIO },
	{ "ENODEV", -ENODEV, -EIO },
	{ "ECANCELED", -ECANCELED, -EIO },
	{ "EINTR", -EINTR, -EIO },
	{ "ENODATA", -ENODATA, -EIO },
	{ "EOPNOTSUPP", -EOPNOTSUPP, -EIO },
};

KUNIT_ARRAY_PARAM_DESC(migt_refusal, migt_refusals, name);

static int migt_load_refuse(struct migt_fake *fake,
			    struct vfio_mig_source *source)
{
	fake->saves++;

	return *(int *)fake->priv;
}

/* The first refusal counts, and nothing is loaded after it. */
static void migt_resume_refused(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 1, 0, 1, 10 }, { 1, 0, 2, 10 },
	};
	const typeof(migt_refusals[0]) *refusal = test->param_value;
	struct migt_image *image = migt_image_make(test, 1, sections, 2);
	struct migt_fake *fake = migt_resumer(test, migt_load_later);
	int said = refusal->said;

	migt_write_image(fake, image);
	migt_settle();
	fake->priv = &said;
	migt_continue(fake, migt_load_refuse);
	migt_expect_write(fake, "x", 1, refusal->told, EPOLLERR);
	said = -ENOMEM;
	migt_continue(fake, migt_load_refuse);
	migt_expect_write(fake, "x", 1, refusal->told, EPOLLERR);
	KUNIT_EXPECT_EQ(test, fake->saves, 1);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP),
			refusal->told);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_ERROR);
	migt_expect_write(fake, "x", 1, -ENODEV, MIGT_OVER);
}

static void migt_resume_second_writer(struct kunit *test)
{
	struct migt_fake *fake = migt_resumer(test, NULL);
	struct vfio_mig_session *session = migt_session(fake->file);
	struct migt_watch watch;

	KUNIT_EXPECT_EQ(test, 1, vfio_mig_slot_take(session, vfio_mig_load_ready,
						    true));
	migt_expect_write(fake, "VFIOMIG\n", 8, -EAGAIN, 0);
	KUNIT_EXPECT_EQ(test, migt_watch_begin(&watch, fake->file), 0);
	vfio_mig_slot_release(session);
	KUNIT_EXPECT_GT(test, atomic_read(&watch.woken), 0);
	migt_watch_end(&watch);
	migt_expect_write(fake, "VFIOMIG\n", 8, 8, MIGT_OUT);
}

static const void *migt_seed_gen_params(struct kunit *test, const void *prev,
					char *desc)
{
	uintptr_t seed = (uintptr_t)prev + 1;

	if (seed > 5)
		return NULL;
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "seed_%zu", seed);

	return (void *)seed;
}

/* Sections of all lengths, more than the window holds. */
static const struct migt_section migt_split_sections[] = {
	{ 0, 0, 1, 1 }, { 0, 0, 2, 0 }, { 1, 0, 3, 65536 }, { 1, 0, 4, 4095 },
	{ 1, 0, 5, 4097 }, { 0, 0, 6, 56 }, { 0, 0, 7, 20000 }, { 0, 0, 8, 88 },
};

/* Any split of the stream gives the same sections (B3). */
static void migt_resume_split(struct kunit *test)
{
	const unsigned int nr = ARRAY_SIZE(migt_split_sections);
	struct migt_image *image = migt_image_make(test, 1, migt_split_sections,
						   nr);
	struct migt_fake *fake = migt_resumer(test, NULL);
	struct rnd_state rnd;

	prandom_seed_state(&rnd, (uintptr_t)test->param_value);
	migt_write_split(fake, &rnd, image->data, image->length);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	migt_expect_loaded(fake, migt_split_sections, nr, "split");
}

/* And so do single bytes. */
static void migt_resume_bytewise(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 0, 0, 1, 1 }, { 0, 0, 2, 0 }, { 1, 0, 3, 77 },
	};
	struct migt_image *image = migt_image_make(test, 1, sections, 3);
	struct migt_fake *fake = migt_resumer(test, NULL);
	size_t i;

	for (i = 0; i < image->length; i++)
		migt_expect_write(fake, image->data + i, 1, 1, MIGT_OUT);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	migt_expect_loaded(fake, sections, 3, "bytewise");
}

/* What is saved then is what was loaded, byte by byte (B10). */
static void migt_resume_idempotent(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 1, 0, 5, 4097 }, { 0, 0, 6, 56 }, { 0, 0, 7, 16000 },
	};
	struct migt_image *image = migt_image_make(test, 0x1234567, sections, 3);
	struct vfio_mig_config config = migt_config;
	struct migt_fake *fake;
	ssize_t length;
	void *got;

	config.idempotent = true;
	fake = migt_new(test, MIGT_ALL, &config);
	got = kunit_kzalloc(test, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	migt_write_image(fake, image);
	fake->sections = sections;
	fake->nr_sections = 3;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	length = migt_read_all(fake, got, SZ_64K);
	KUNIT_ASSERT_EQ(test, length, image->length);
	KUNIT_EXPECT_MEMEQ(test, got, image->data, length);
	/* Once it has run, it is another state, and another stream. */
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RUNNING), 0);
	fake->next = 0;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	KUNIT_EXPECT_EQ(test, migt_read_all(fake, got, SZ_64K), length);
	KUNIT_EXPECT_MEMNEQ(test, got, image->data, 128);
}

static struct kunit_case migt_resume_cases[] = {
	KUNIT_CASE_PARAM(migt_resume_window, migt_room_gen_params),
	KUNIT_CASE(migt_resume_empty_sections),
	KUNIT_CASE(migt_resume_put_off),
	KUNIT_CASE(migt_resume_bytes),
	KUNIT_CASE(migt_resume_take_pages),
	KUNIT_CASE(migt_resume_take_and_put_off),
	KUNIT_CASE_PARAM(migt_resume_refused, migt_refusal_gen_params),
	KUNIT_CASE(migt_resume_second_writer),
	KUNIT_CASE_PARAM(migt_resume_split, migt_seed_gen_params),
	KUNIT_CASE(migt_resume_bytewise),
	KUNIT_CASE(migt_resume_idempotent),
	{}
};

static struct kunit_suite migt_resume_suite = {
	.name = "vfio_migration_resume",
	.test_cases = migt_resume_cases,
};

kunit_test_suite(migt_resume_suite);
