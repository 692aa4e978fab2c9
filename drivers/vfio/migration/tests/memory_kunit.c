// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the memory of a session (B6)
 *
 * A session holds no more than its window, uses its own pages again unless somebody
 * else has them, and when it is over it has none, whoever ends it and whatever was
 * in it.
 */
#include <linux/mm.h>

#include "fake.h"
#include "image.h"

/**
 * enum migt_filling - how a device with no end of state fills sections
 * @MIGT_IN_PLACE: in the core's pages
 * @MIGT_DONATING: by a page of its own, again and again
 * @MIGT_BY_TURNS: a section one way, the next the other
 * @MIGT_THEN_DONATING: the first window in place, and then by donating
 */
enum migt_filling {
	MIGT_IN_PLACE,
	MIGT_DONATING,
	MIGT_BY_TURNS,
	MIGT_THEN_DONATING,
};

/**
 * struct migt_filler - a device with no end of state
 * @filling: how
 * @page: that it donates
 * @beyond: times that save() was called without room for a section
 */
struct migt_filler {
	enum migt_filling filling;
	struct page *page;
	unsigned int beyond;
};

static bool migt_donates(const struct migt_fake *fake)
{
	const struct migt_filler *filler = fake->priv;

	switch (filler->filling) {
	case MIGT_IN_PLACE:
		return false;
	case MIGT_DONATING:
		return true;
	case MIGT_BY_TURNS:
		return fake->saves % 2;
	default:
		return fake->saves > 4;
	}
}

static void migt_fill_page(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct migt_filler *filler = fake->priv;
	size_t given;

	if (migt_donates(fake)) {
		KUNIT_EXPECT_EQ(fake->test, 0,
				vfio_mig_sink_add_page(sink, filler->page));
		return;
	}
	KUNIT_EXPECT_NOT_ERR_OR_NULL(fake->test,
				     vfio_mig_sink_reserve(sink, &given));
	vfio_mig_sink_commit(sink, given);
}

static int migt_save_endless(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct vfio_mig_session *session = fake->mig->session;
	struct migt_filler *filler = fake->priv;
	size_t held;

	spin_lock(&session->lock);
	held = session->save.pages << PAGE_SHIFT;
	spin_unlock(&session->lock);
	if (held + vfio_mig_sink_room(sink) > session->window)
		filler->beyond++;
	while (vfio_mig_sink_room(sink))
		migt_fill_page(fake, sink);

	return VFIO_MIG_MORE;
}

static const struct migt_window {
	const char *name;
	size_t window;
	size_t rounded;
	size_t section;
	enum migt_filling filling;
} migt_windows[] = {
	{ "smallest", SZ_64K, SZ_64K, SZ_16K, MIGT_IN_PLACE },
	{ "smallest_donating", SZ_64K, SZ_64K, SZ_16K, MIGT_DONATING },
	{ "smallest_by_turns", SZ_64K, SZ_64K, SZ_16K, MIGT_BY_TURNS },
	{ "smallest_then_donating", SZ_64K, SZ_64K, SZ_16K, MIGT_THEN_DONATING },
	{ "odd", SZ_64K + 4097, SZ_64K + 4096, SZ_16K, MIGT_IN_PLACE },
	{ "quarter", SZ_256K, SZ_256K, SZ_64K, MIGT_IN_PLACE },
	{ "quarter_by_turns", SZ_256K, SZ_256K, SZ_64K, MIGT_BY_TURNS },
	{ "large", SZ_1M + 12288, SZ_1M + 12288, SZ_64K, MIGT_IN_PLACE },
	{ "default", 0, SZ_4M, SZ_64K, MIGT_IN_PLACE },
	{ "default_donating", 0, SZ_4M, SZ_64K, MIGT_DONATING },
};

KUNIT_ARRAY_PARAM_DESC(migt_window, migt_windows, name);

/* A device with no end of state, in @state. */
static struct migt_fake *migt_endless(struct kunit *test, size_t window,
				      struct migt_filler *filler, u32 state)
{
	struct vfio_mig_config config = migt_config;
	struct migt_fake *fake;

	config.window = window;
	fake = migt_new(test, MIGT_ALL, &config);
	filler->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, filler->page);
	fake->save = migt_save_endless;
	fake->priv = filler;
	KUNIT_ASSERT_EQ(test, migt_go(fake, state), 1);
	migt_settle();

	return fake;
}

static void migt_no_more(struct migt_fake *fake)
{
	struct migt_filler *filler = fake->priv;

	migt_reset(fake);
	migt_settle();
	KUNIT_EXPECT_EQ(fake->test, page_count(filler->page), 1);
	put_page(filler->page);
}

static void migt_expect_within(struct migt_fake *fake,
			       const struct migt_window *window, size_t least)
{
	struct vfio_mig_save *save = &migt_session(fake->file)->save;
	struct kunit *test = fake->test;
	size_t held = save->pages << PAGE_SHIFT;

	KUNIT_EXPECT_GT(test, held, least);
	KUNIT_EXPECT_LE(test, held, window->rounded);
	KUNIT_EXPECT_LE_MSG(test, held + (save->nr_spare << PAGE_SHIFT),
			    window->rounded, "with pages that wait for use");
}

/*
 * Without a reader it fills up until the next section would be too much; with one,
 * there is always something to read when the worker has done what it can.
 */
static void migt_memory_window(struct kunit *test)
{
	const struct migt_window *window = test->param_value;
	struct migt_filler filler = { .filling = window->filling };
	struct migt_fake *fake;
	size_t length = 1, read;
	ssize_t ret;
	void *buf;

	buf = kunit_kzalloc(test, SZ_32K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	fake = migt_endless(test, window->window, &filler,
			    VFIO_DEVICE_STATE_STOP_COPY);
	KUNIT_EXPECT_EQ(test, migt_session(fake->file)->window, window->rounded);
	migt_expect_within(fake, window, window->rounded - window->section);
	for (read = 0; read < 3 * window->rounded; read += ret) {
		length = length * 7 % SZ_32K;
		ret = migt_read(fake->file, buf, length);
		KUNIT_ASSERT_GT(test, ret, 0);
		migt_settle();
		migt_expect_within(fake, window, 0);
	}
	KUNIT_EXPECT_EQ(test, filler.beyond, 0);
	migt_no_more(fake);
}

/* While the device runs, little is made that gets stale. */
static void migt_memory_ahead(struct kunit *test)
{
	struct migt_filler filler = { .filling = MIGT_IN_PLACE };
	struct vfio_mig_save *save;
	struct migt_fake *fake;
	void *buf;

	buf = kunit_kzalloc(test, SZ_1M, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	fake = migt_endless(test, SZ_4M, &filler, VFIO_DEVICE_STATE_PRE_COPY);
	save = &migt_session(fake->file)->save;
	KUNIT_EXPECT_GE(test, save->queued, SZ_1M);
	KUNIT_EXPECT_LT(test, save->queued, SZ_1M + SZ_64K + 56 + 128);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, buf, SZ_1M), SZ_1M);
	migt_settle();
	/* The worker may have filled it up before the reader was done. */
	KUNIT_EXPECT_GT(test, save->queued, SZ_512K);
	KUNIT_EXPECT_LT(test, save->queued, SZ_1M + SZ_64K + 56 + 128);
	/* Stopped, it goes up to the window. */
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 0);
	migt_settle();
	KUNIT_EXPECT_GT(test, save->queued, SZ_4M - SZ_64K);
	migt_no_more(fake);
}

/**
 * struct migt_reuse - a device that sends a page at a time
 * @page: that it got last
 * @pin: keep a reference to it, as a pipe does
 */
struct migt_reuse {
	struct page *page;
	bool pin;
};

static int migt_save_page(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	struct migt_reuse *reuse = fake->priv;
	size_t given;
	void *to;

	to = vfio_mig_sink_reserve(sink, &given);
	memset(to, fake->saves, given);
	vfio_mig_sink_commit(sink, given);
	reuse->page = virt_to_page(to);
	if (reuse->pin)
		get_page(reuse->page);

	return VFIO_MIG_IDLE;
}

static void migt_next_page(struct migt_fake *fake)
{
	vfio_mig_kick(fake->mig);
	migt_settle();
}

/* A page that was read is used again, unless somebody else has it: B5. */
static void migt_memory_reused(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_reuse reuse = {};
	struct page *first, *held;
	void *buf;

	buf = kunit_kzalloc(test, SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	fake->save = migt_save_page;
	fake->priv = &reuse;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	first = reuse.page;
	KUNIT_EXPECT_EQ(test, migt_read_all(fake, buf, SZ_64K), 128 + 56 + 4096);

	reuse.pin = true;
	migt_next_page(fake);
	KUNIT_EXPECT_PTR_EQ(test, reuse.page, first);
	KUNIT_EXPECT_EQ(test, migt_read_all(fake, buf, SZ_64K), 56 + 4096);
	KUNIT_EXPECT_EQ(test, page_count(first), 1);

	reuse.pin = false;
	held = first;
	migt_next_page(fake);
	KUNIT_EXPECT_PTR_NE(test, reuse.page, held);
	KUNIT_EXPECT_EQ(test, page_count(held), 1);
	memset(buf, 2, PAGE_SIZE);
	KUNIT_EXPECT_MEMEQ(test, page_address(held), buf, PAGE_SIZE);
	put_page(held);
}

static void migt_leave(struct migt_fake *fake)
{
	KUNIT_EXPECT_EQ(fake->test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
}

static void migt_close_device(struct migt_fake *fake)
{
	vfio_mig_close(fake->mig);
}

struct migt_over {
	const char *name;
	void (*end)(struct migt_fake *fake);
};

static const struct migt_over migt_saving_overs[] = {
	{ "leaving", migt_leave },
	{ "reset", migt_reset },
	{ "closing_the_fd", migt_close },
	{ "closing_the_device", migt_close_device },
	{ "no_fd", migt_drop },
};

KUNIT_ARRAY_PARAM_DESC(migt_saving_over, migt_saving_overs, name);

/* Chunks, a page half read, spare pages, headers: nothing stays. */
static void migt_memory_saving_over(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 0, 0, 1, SZ_16K }, { 0, 0, 2, 1 }, { 1, 0, 3, 5000 },
		{ 1, 0, 4, SZ_16K }, { 1, 0, 5, SZ_16K },
	};
	const struct migt_over *over = test->param_value;
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_pins *pins;
	void *buf;

	buf = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	pins = kunit_kzalloc(test, sizeof(*pins), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_ASSERT_NOT_NULL(test, pins);
	fake->sections = sections;
	fake->nr_sections = ARRAY_SIZE(sections);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, buf, 10000), 10000);
	migt_settle();
	KUNIT_EXPECT_GT(test, migt_session(fake->file)->save.nr_spare, 0);
	migt_pin_session(fake, pins);
	KUNIT_EXPECT_GT(test, pins->nr, 10);
	over->end(fake);
	migt_settle();
	migt_expect_only_pins(fake, pins);
}

/* The driver will not have it now. */
static int migt_load_later(struct migt_fake *fake, struct vfio_mig_source *source)
{
	return VFIO_MIG_IDLE;
}

static int migt_load_refuse(struct migt_fake *fake,
			    struct vfio_mig_source *source)
{
	return -EINVAL;
}

static void migt_refuse(struct migt_fake *fake)
{
	fake->load = migt_load_refuse;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(fake->test, migt_go(fake, VFIO_DEVICE_STATE_STOP),
			-EINVAL);
}

static void migt_load_all(struct migt_fake *fake)
{
	fake->load = NULL;
	vfio_mig_kick(fake->mig);
	KUNIT_EXPECT_EQ(fake->test, migt_go(fake, VFIO_DEVICE_STATE_STOP),
			-ENODATA);
}

static const struct migt_over migt_resuming_overs[] = {
	{ "leaving", migt_load_all },
	{ "refused", migt_refuse },
	{ "reset", migt_reset },
	{ "closing_the_device", migt_close_device },
	{ "no_fd", migt_drop },
};

KUNIT_ARRAY_PARAM_DESC(migt_resuming_over, migt_resuming_overs, name);

/* A device in RESUMING that waits with two sections and a piece of the third. */
static struct migt_fake *migt_half_loaded(struct kunit *test)
{
	static const struct migt_section sections[] = {
		{ 0, 0, 1, SZ_16K }, { 0, 0, 2, 1 }, { 1, 0, 3, 9000 },
	};
	struct migt_image *image = migt_image_make(test, 1, sections, 3);
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	size_t length = image->at[2] + 56 + 4097;

	fake->load = migt_load_later;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	KUNIT_EXPECT_EQ(test, length,
			migt_write(fake->file, image->data, length));
	migt_settle();

	return fake;
}

static void migt_memory_resuming_over(struct kunit *test)
{
	const struct migt_over *over = test->param_value;
	struct migt_fake *fake = migt_half_loaded(test);
	struct migt_pins *pins;

	pins = kunit_kzalloc(test, sizeof(*pins), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pins);
	migt_pin_session(fake, pins);
	KUNIT_EXPECT_EQ(test, pins->nr, 4 + 1 + 2);
	over->end(fake);
	migt_settle();
	migt_expect_only_pins(fake, pins);
}

/* What was accepted is loaded, also if the client has closed its fd since. */
static void migt_memory_closed_early(struct kunit *test)
{
	struct migt_fake *fake = migt_half_loaded(test);

	migt_close(fake);
	fake->load = NULL;
	vfio_mig_kick(fake->mig);
	migt_settle();
	KUNIT_EXPECT_EQ(test, fake->nr_loaded, 2);
	KUNIT_EXPECT_EQ(test, fake->corrupt, 0);
	migt_expect_sessions(fake, 1);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), -ENODATA);
	migt_expect_sessions(fake, 0);
}

static struct kunit_case migt_memory_cases[] = {
	KUNIT_CASE_PARAM(migt_memory_window, migt_window_gen_params),
	KUNIT_CASE(migt_memory_ahead),
	KUNIT_CASE(migt_memory_reused),
	KUNIT_CASE_PARAM(migt_memory_saving_over, migt_saving_over_gen_params),
	KUNIT_CASE_PARAM(migt_memory_resuming_over, migt_resuming_over_gen_params),
	KUNIT_CASE(migt_memory_closed_early),
	{}
};

static struct kunit_suite migt_memory_suite = {
	.name = "vfio_migration_memory",
	.test_cases = migt_memory_cases,
};

kunit_test_suite(migt_memory_suite);
