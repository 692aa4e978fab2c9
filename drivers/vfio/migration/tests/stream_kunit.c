// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: damaged streams (B9)
 *
 * Every single bit of a whole stream flipped, the stream cut at every byte, bytes
 * behind its end, and its sections swapped, repeated, left out and taken from
 * another stream. See trial.c for what has to come of each.
 */
#include "trial.h"

/**
 * struct migt_part - a header or a payload
 * @begin: where it begins
 * @end: where the next one does
 * @header: where its header begins
 */
struct migt_part {
	size_t begin;
	size_t end;
	size_t header;
};

static void migt_part_of(const struct migt_image *image, unsigned int i,
			 struct migt_part *part)
{
	if (!i) {
		*part = (struct migt_part){ 0, 128, 0 };
		return;
	}
	part->header = image->at[(i - 1) / 2];
	part->begin = image->at[(i - 1) / 2];
	part->end = part->begin + migt_image_section_size(image, (i - 1) / 2);
	if (i % 2)
		part->end = part->begin + 56;
	else
		part->begin += 56;
}

/* Header and payload of each section, the end, and the stream header. */
#define MIGT_PARTS	(1 + 2 * (MIGT_TRIAL_SECTIONS + 1))

static const void *migt_part_gen_params(struct kunit *test, const void *prev,
					char *desc)
{
	uintptr_t i = (uintptr_t)prev;

	if (i == MIGT_PARTS)
		return NULL;
	if (!i)
		strscpy(desc, "stream_header", KUNIT_PARAM_DESC_SIZE);
	else
		snprintf(desc, KUNIT_PARAM_DESC_SIZE, "section_%zu_%s",
			 (i - 1) / 2, i % 2 ? "header" : "payload");

	return (void *)(i + 1);
}

static void migt_flip(struct migt_trial *trial, const struct migt_image *good,
		      struct migt_image *bad, size_t byte, unsigned int bit)
{
	bad->data[byte] = good->data[byte] ^ BIT(bit);
	snprintf(trial->what, sizeof(trial->what), "byte %zu bit %u", byte, bit);
	migt_trial_run(trial);
	bad->data[byte] = good->data[byte];
}

/*
 * A wrong byte of the magic is seen at once, everything else when the header or
 * the payload is complete.
 */
static void migt_stream_flipped(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *good = migt_trial_image(test, 7);
	struct migt_image *bad = migt_image_copy(good);
	struct migt_trial trial;
	struct migt_part part;
	size_t byte;
	u8 bit;

	migt_part_of(good, (uintptr_t)test->param_value - 1, &part);
	migt_trial_of(&trial, fake, bad);
	trial.loaded = migt_trial_loaded(good, part.end - 1);
	trial.at = part.header;
	trial.late = part.begin != part.header;
	for (byte = part.begin; byte < part.end; byte++) {
		trial.error = byte < 8 ? -EILSEQ : -EBADMSG;
		trial.seen = byte < 8 ? byte : part.end - 1;
		for (bit = 0; bit < 8; bit++)
			migt_flip(&trial, good, bad, byte, bit);
	}
}

static void migt_stream_cut(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);
	struct migt_trial trial;
	size_t length;

	migt_trial_of(&trial, fake, image);
	trial.error = -ENODATA;
	for (length = 0; length < image->length; length++) {
		trial.length = length;
		trial.seen = length;
		trial.at = length;
		trial.loaded = migt_trial_loaded(image, length);
		snprintf(trial.what, sizeof(trial.what), "cut at %zu", length);
		migt_trial_run(&trial);
	}
}

static void migt_stream_good(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_trial trial;

	migt_trial_of(&trial, fake, migt_trial_image(test, 7));
	migt_trial_run(&trial);
	KUNIT_EXPECT_EQ(test, trial.loaded, 3);
}

static void migt_stream_appended(struct kunit *test)
{
	static const size_t extra[] = { 1, 56, 4096 };
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_image_copy(migt_trial_image(test, 7));
	struct migt_trial trial;
	unsigned int i;

	migt_trial_of(&trial, fake, image);
	trial.error = -E2BIG;
	trial.at = image->length;
	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		trial.length = image->length + extra[i];
		snprintf(trial.what, sizeof(trial.what), "%zu more", extra[i]);
		migt_trial_run(&trial);
	}
	/* However good they are. */
	memcpy(image->data + image->length, image->data, image->length);
	trial.length = 2 * image->length;
	strscpy(trial.what, "itself", sizeof(trial.what));
	migt_trial_run(&trial);
}

/* In one write with the end of the stream: the error counts, not the good part. */
static void migt_stream_appended_at_once(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_image_copy(migt_trial_image(test, 7));

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	KUNIT_EXPECT_EQ(test, migt_write(fake->file, image->data,
					 image->length + 1), -E2BIG);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), -E2BIG);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_ERROR);
}

/* Sections of the good stream and of another one, in any order. */
#define MIGT_ALIEN	0x80
#define MIGT_END	MIGT_TRIAL_SECTIONS

struct migt_order {
	unsigned int nr;
	u8 section[8];
};

/*
 * The judge of an order: it may say section 0, section 1 and so on, to the end
 * section, and then nothing more.
 */
static void migt_judge_order(struct migt_trial *trial,
			     const struct migt_order *order,
			     const struct migt_image *good,
			     const struct migt_image *bad)
{
	unsigned int i;

	for (i = 0; i < order->nr && i <= MIGT_END; i++)
		if (order->section[i] != i)
			break;
	trial->length = bad->length;
	trial->loaded = migt_trial_loaded(good, good->at[min(i, MIGT_END)]);
	if (i == order->nr && i <= MIGT_END) {
		trial->error = -ENODATA;
		trial->at = bad->length;
		trial->seen = bad->length;
	} else if (i > MIGT_END) {
		trial->error = -E2BIG;
		trial->at = good->length;
		trial->seen = good->length;
	} else {
		trial->error = -EPROTO;
		trial->at = good->at[i];
		trial->seen = good->at[i] + 55;
	}
}

static void migt_try_order(struct migt_fake *fake, const struct migt_order *order,
			   const char *what, unsigned int i, unsigned int j)
{
	struct migt_image *good = migt_trial_image(fake->test, 7);
	struct migt_image *alien = migt_trial_image(fake->test, 8);
	struct migt_image *bad = migt_image_copy(good);
	struct migt_trial trial;
	unsigned int k, nr;

	bad->length = 128;
	for (k = 0; k < order->nr; k++) {
		const struct migt_image *from =
			order->section[k] & MIGT_ALIEN ? alien : good;

		nr = order->section[k] & ~MIGT_ALIEN;
		memcpy(bad->data + bad->length, from->data + from->at[nr],
		       migt_image_section_size(from, nr));
		bad->length += migt_image_section_size(from, nr);
	}
	migt_trial_of(&trial, fake, bad);
	migt_judge_order(&trial, order, good, bad);
	snprintf(trial.what, sizeof(trial.what), "%s %u %u", what, i, j);
	migt_trial_run(&trial);
}

static const struct migt_order migt_in_order = {
	.nr = MIGT_END + 1,
	.section = { 0, 1, 2, 3, MIGT_END },
};

static void migt_stream_swapped(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_order order;
	unsigned int i, j;

	for (i = 0; i <= MIGT_END; i++)
		for (j = i + 1; j <= MIGT_END; j++) {
			order = migt_in_order;
			swap(order.section[i], order.section[j]);
			migt_try_order(fake, &order, "swapped", i, j);
		}
}

/* Section @i comes once more, in front of what was section @j. */
static void migt_stream_repeated(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_order order;
	unsigned int i, j;

	for (i = 0; i <= MIGT_END; i++)
		for (j = i + 1; j <= MIGT_END + 1; j++) {
			order = migt_in_order;
			memmove(order.section + j + 1, order.section + j,
				order.nr - j);
			order.section[j] = i;
			order.nr++;
			migt_try_order(fake, &order, "repeated", i, j);
		}
}

static void migt_stream_dropped(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_order order;
	unsigned int i;

	for (i = 0; i <= MIGT_END; i++) {
		order = migt_in_order;
		order.nr--;
		memmove(order.section + i, order.section + i + 1, order.nr - i);
		migt_try_order(fake, &order, "dropped", i, 0);
	}
}

/* The alien's sections are as good, and have the right number. */
static void migt_stream_alien(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_order order;
	unsigned int i;

	for (i = 0; i <= MIGT_END; i++) {
		order = migt_in_order;
		order.section[i] |= MIGT_ALIEN;
		migt_try_order(fake, &order, "alien", i, 0);
	}
}

static struct kunit_case migt_stream_cases[] = {
	KUNIT_CASE(migt_stream_good),
	KUNIT_CASE_PARAM(migt_stream_flipped, migt_part_gen_params),
	KUNIT_CASE(migt_stream_cut),
	KUNIT_CASE(migt_stream_appended),
	KUNIT_CASE(migt_stream_appended_at_once),
	KUNIT_CASE(migt_stream_swapped),
	KUNIT_CASE(migt_stream_repeated),
	KUNIT_CASE(migt_stream_dropped),
	KUNIT_CASE(migt_stream_alien),
	{}
};

static struct kunit_suite migt_stream_suite = {
	.name = "vfio_migration_stream",
	.test_cases = migt_stream_cases,
};

kunit_test_suite(migt_stream_suite);
