// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: forged streams (B9)
 *
 * Streams whose checksums are all right, made by another version, for another
 * device, or by somebody who means no good. Each field is set to what it must not
 * be, and the errno is the one that include/uapi/linux/vfio_migration.h names.
 */
#include <linux/unaligned.h>

#include "trial.h"

/* Where a forgery is: in the stream header, in a section's, or in the end. */
#define MIGT_STREAM	(-1)
#define MIGT_LAST	MIGT_TRIAL_SECTIONS
#define MIGT_TOTALS	(MIGT_TRIAL_SECTIONS + 1)

/* Offset and size of a field. */
#define MIGT_FIELD(offset, size)	((offset) << 4 | (size))

/* What stands where, as numbers: it is for good. */
enum migt_field {
	STREAM_VERSION		= MIGT_FIELD(8, 4),
	STREAM_LENGTH		= MIGT_FIELD(12, 4),
	STREAM_STREAM_ID	= MIGT_FIELD(16, 8),
	STREAM_ID_0		= MIGT_FIELD(24, 1),
	STREAM_ID_3		= MIGT_FIELD(27, 1),
	STREAM_ID_4		= MIGT_FIELD(28, 1),
	STREAM_ID_31		= MIGT_FIELD(55, 1),
	STREAM_SIZE		= MIGT_FIELD(56, 8),
	STREAM_DEVICE_VERSION	= MIGT_FIELD(64, 4),
	STREAM_RESERVED		= MIGT_FIELD(68, 4),
	STREAM_FEATURES		= MIGT_FIELD(72, 8),
	STREAM_OPTIONAL		= MIGT_FIELD(80, 8),
	STREAM_PADDING_0	= MIGT_FIELD(88, 1),
	STREAM_PADDING_31	= MIGT_FIELD(119, 1),

	SECTION_TYPE		= MIGT_FIELD(0, 4),
	SECTION_FLAGS		= MIGT_FIELD(4, 4),
	SECTION_LENGTH		= MIGT_FIELD(8, 4),
	SECTION_RESERVED	= MIGT_FIELD(12, 4),
	SECTION_SEQUENCE	= MIGT_FIELD(16, 8),
	SECTION_STREAM_ID	= MIGT_FIELD(24, 8),

	TOTALS_SECTIONS		= MIGT_FIELD(0, 8),
	TOTALS_BYTES		= MIGT_FIELD(8, 8),
	TOTALS_RESERVED_0	= MIGT_FIELD(16, 8),
	TOTALS_RESERVED_1	= MIGT_FIELD(24, 8),
};

/**
 * struct migt_forgery - a field that is not what it should be
 * @name: for people
 * @part: section, or one of the above
 * @field: of it
 * @value: of the field instead
 * @error: what comes of it, 0 if nothing does
 */
struct migt_forgery {
	const char *name;
	int part;
	enum migt_field field;
	u64 value;
	int error;
};

static const struct migt_forgery migt_forgeries[] = {
	{ "version_newer", MIGT_STREAM, STREAM_VERSION, 2, -EPROTONOSUPPORT },
	{ "version_0", MIGT_STREAM, STREAM_VERSION, 0, -EPROTONOSUPPORT },
	{ "version_max", MIGT_STREAM, STREAM_VERSION, U32_MAX, -EPROTONOSUPPORT },
	{ "header_shorter", MIGT_STREAM, STREAM_LENGTH, 127, -EPROTONOSUPPORT },
	{ "header_longer", MIGT_STREAM, STREAM_LENGTH, 129, -EPROTONOSUPPORT },
	{ "id_other", MIGT_STREAM, STREAM_ID_0, 'M', -EMEDIUMTYPE },
	{ "id_shorter", MIGT_STREAM, STREAM_ID_3, 0, -EMEDIUMTYPE },
	{ "id_longer", MIGT_STREAM, STREAM_ID_4, '2', -EMEDIUMTYPE },
	{ "id_after_nul", MIGT_STREAM, STREAM_ID_31, 1, -EMEDIUMTYPE },
	{ "size_smaller", MIGT_STREAM, STREAM_SIZE, 41, -EMEDIUMTYPE },
	{ "size_larger", MIGT_STREAM, STREAM_SIZE, 43, -EMEDIUMTYPE },
	{ "size_0", MIGT_STREAM, STREAM_SIZE, 0, -EMEDIUMTYPE },
	{ "size_high_half", MIGT_STREAM, STREAM_SIZE, 42 | BIT_ULL(32), -EMEDIUMTYPE },
	{ "device_newer", MIGT_STREAM, STREAM_DEVICE_VERSION, 4, -ESTALE },
	{ "device_max", MIGT_STREAM, STREAM_DEVICE_VERSION, U32_MAX, -ESTALE },
	{ "device_too_old", MIGT_STREAM, STREAM_DEVICE_VERSION, 1, -ESTALE },
	{ "device_0", MIGT_STREAM, STREAM_DEVICE_VERSION, 0, -ESTALE },
	{ "device_old", MIGT_STREAM, STREAM_DEVICE_VERSION, 2, 0 },
	{ "stream_reserved", MIGT_STREAM, STREAM_RESERVED, 1, -EPROTONOSUPPORT },
	{ "feature_low", MIGT_STREAM, STREAM_FEATURES, 1, -EPROTONOSUPPORT },
	{ "feature_high", MIGT_STREAM, STREAM_FEATURES, BIT_ULL(63), -EPROTONOSUPPORT },
	{ "features_optional", MIGT_STREAM, STREAM_OPTIONAL, U64_MAX, 0 },
	{ "padding_first", MIGT_STREAM, STREAM_PADDING_0, 1, -EPROTONOSUPPORT },
	{ "padding_last", MIGT_STREAM, STREAM_PADDING_31, 0x80, -EPROTONOSUPPORT },
	{ "stream_of_others", MIGT_STREAM, STREAM_STREAM_ID, 8, -EPROTO },

	{ "type_unknown", 0, SECTION_TYPE, MIGT_TYPES, -EPROTONOSUPPORT },
	{ "type_last", 0, SECTION_TYPE, 0x7fffffff, -EPROTONOSUPPORT },
	{ "type_of_core", 0, SECTION_TYPE, 0x80000001, -EPROTONOSUPPORT },
	{ "type_must_know", 2, SECTION_FLAGS, 0, -EPROTONOSUPPORT },
	{ "type_of_core_optional", 2, SECTION_TYPE, 0xffffffff, 0 },
	{ "known_made_optional", 0, SECTION_FLAGS, 1, 0 },
	{ "known_made_mandatory", 3, SECTION_FLAGS, 0, 0 },
	{ "flag_1", 0, SECTION_FLAGS, 2, -EPROTONOSUPPORT },
	{ "flag_31", 0, SECTION_FLAGS, BIT(31), -EPROTONOSUPPORT },
	{ "flag_with_optional", 2, SECTION_FLAGS, 3, -EPROTONOSUPPORT },
	{ "too_long", 0, SECTION_LENGTH, 65537, -EMSGSIZE },
	{ "too_long_empty", 1, SECTION_LENGTH, BIT(31), -EMSGSIZE },
	{ "too_long_by_far", 3, SECTION_LENGTH, U32_MAX, -EMSGSIZE },
	{ "too_long_optional", 2, SECTION_LENGTH, 65537, -EMSGSIZE },
	{ "section_reserved", 0, SECTION_RESERVED, 1, -EPROTONOSUPPORT },
	{ "section_reserved_high", 3, SECTION_RESERVED, BIT(31),
	  -EPROTONOSUPPORT },
	{ "sequence_early", 0, SECTION_SEQUENCE, 1, -EPROTO },
	{ "sequence_late", 3, SECTION_SEQUENCE, 2, -EPROTO },
	{ "sequence_high_half", 1, SECTION_SEQUENCE, 1 | BIT_ULL(32), -EPROTO },
	{ "section_alien", 1, SECTION_STREAM_ID, 8, -EPROTO },
	{ "section_of_zero", 0, SECTION_STREAM_ID, 0, -EPROTO },
	{ "section_alien_high", 2, SECTION_STREAM_ID, 7 | BIT_ULL(32), -EPROTO },

	{ "end_shorter", MIGT_LAST, SECTION_LENGTH, 31, -EPROTO },
	{ "end_longer", MIGT_LAST, SECTION_LENGTH, 33, -EPROTO },
	{ "end_empty", MIGT_LAST, SECTION_LENGTH, 0, -EPROTO },
	{ "end_too_long", MIGT_LAST, SECTION_LENGTH, 65537, -EMSGSIZE },
	{ "end_flag", MIGT_LAST, SECTION_FLAGS, 2, -EPROTONOSUPPORT },
	{ "end_reserved", MIGT_LAST, SECTION_RESERVED, 1, -EPROTONOSUPPORT },
	{ "end_early", MIGT_LAST, SECTION_SEQUENCE, 3, -EPROTO },
	{ "end_alien", MIGT_LAST, SECTION_STREAM_ID, 8, -EPROTO },
	{ "fewer_sections", MIGT_TOTALS, TOTALS_SECTIONS, 3, -EPROTO },
	{ "more_sections", MIGT_TOTALS, TOTALS_SECTIONS, 5, -EPROTO },
	{ "fewer_bytes", MIGT_TOTALS, TOTALS_BYTES, 14, -EPROTO },
	{ "more_bytes", MIGT_TOTALS, TOTALS_BYTES, 16, -EPROTO },
	{ "bytes_high_half", MIGT_TOTALS, TOTALS_BYTES, 15 | BIT_ULL(32), -EPROTO },
	{ "totals_reserved_0", MIGT_TOTALS, TOTALS_RESERVED_0, 1, -EPROTONOSUPPORT },
	{ "totals_reserved_1", MIGT_TOTALS, TOTALS_RESERVED_1, BIT_ULL(63),
	  -EPROTONOSUPPORT },
};

KUNIT_ARRAY_PARAM_DESC(migt_forgery, migt_forgeries, name);

static size_t migt_forgery_at(const struct migt_image *image, int part)
{
	if (part == MIGT_STREAM)
		return 0;
	if (part == MIGT_TOTALS)
		return image->at[MIGT_LAST] + 56;

	return image->at[part];
}

/* What has to be complete to be looked at: its header and its last byte. */
static void migt_forgery_seen(const struct migt_image *image,
			      const struct migt_forgery *forgery,
			      struct migt_trial *trial)
{
	int part = forgery->part;

	trial->error = forgery->error;
	/* Which stream it is shows in the first section. */
	if (part == MIGT_STREAM && forgery->error == -EPROTO)
		part = 0;
	if (part == MIGT_STREAM) {
		trial->at = 0;
		trial->seen = 127;
	} else if (part == MIGT_TOTALS) {
		trial->at = image->at[MIGT_LAST];
		trial->late = true;
		trial->seen = image->length - 1;
	} else {
		trial->at = image->at[part];
		trial->seen = image->at[part] + 55;
	}
}

static void migt_put(u8 *part, enum migt_field field, u64 value)
{
	unsigned int size = field & 0xf;
	u8 *to = part + (field >> 4);

	if (size == 1)
		*to = value;
	else if (size == 4)
		put_unaligned_le32(value, to);
	else
		put_unaligned_le64(value, to);
}

static void migt_forge_field(struct kunit *test)
{
	const struct migt_forgery *forgery = test->param_value;
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);
	struct migt_trial trial;

	migt_put(image->data + migt_forgery_at(image, forgery->part),
		 forgery->field, forgery->value);
	migt_image_seal(image);
	migt_trial_of(&trial, fake, image);
	if (forgery->error)
		migt_forgery_seen(image, forgery, &trial);
	trial.loaded = migt_trial_loaded(image, trial.seen);
	migt_trial_run(&trial);
}

/* The core promises nothing of objects: they are the driver's to look at. */
static void migt_forge_object(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);

	migt_image_section(image, 1)->object = cpu_to_le64(U64_MAX);
	migt_image_seal(image);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	migt_write_image(fake, image);
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	KUNIT_EXPECT_EQ(test, fake->loaded[1].object, U64_MAX);
}

/* Whoever leaves a section out and gives the others new numbers. */
static void migt_forge_renumbered(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image;
	struct migt_trial trial;
	size_t gone;

	image = migt_trial_image(test, 7);
	gone = migt_image_section_size(image, 3);
	memmove(image->data + image->at[3], image->data + image->at[4], 88);
	image->length -= gone;
	image->nr--;
	migt_image_section(image, 3)->sequence = cpu_to_le64(3);
	migt_image_seal(image);
	migt_trial_of(&trial, fake, image);
	trial.error = -EPROTO;
	trial.at = image->at[3];
	trial.late = true;
	trial.seen = image->length - 1;
	trial.loaded = 2;
	migt_trial_run(&trial);
}

/* No byte of an unknown version is believed but the two numbers. */
static void migt_forge_version_first(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);
	struct migt_trial trial;

	memset(image->data + 16, 0xa5, 104);
	migt_image_stream(image)->version = cpu_to_le32(2);
	migt_image_seal(image);
	migt_trial_of(&trial, fake, image);
	trial.error = -EPROTONOSUPPORT;
	trial.seen = 127;
	trial.loaded = 0;
	migt_trial_run(&trial);
}

/* The first fault counts, although what follows is a worse one. */
static void migt_forge_two_faults(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);
	struct migt_trial trial;

	migt_image_stream(image)->device_version = cpu_to_le32(9);
	migt_image_section(image, 0)->length = cpu_to_le32(U32_MAX);
	migt_image_seal(image);
	migt_image_section(image, 1)->sum = 0;
	migt_trial_of(&trial, fake, image);
	trial.error = -ESTALE;
	trial.seen = 127;
	trial.loaded = 0;
	migt_trial_run(&trial);
}

/* Nor is what the driver says of a later section. */
static int migt_load_refuse(struct migt_fake *fake,
			    struct vfio_mig_source *source)
{
	return fake->nr_loaded ? -EINVAL : migt_load_section(fake, source);
}

/* A section that the driver refuses ends it, as a checksum would. */
static void migt_forge_content(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct migt_image *image = migt_trial_image(test, 7);
	struct migt_trial trial;

	fake->load = migt_load_refuse;
	migt_trial_of(&trial, fake, image);
	trial.error = -EINVAL;
	trial.at = image->at[1];
	trial.late = true;
	trial.seen = image->at[1] + 55;
	trial.loaded = 1;
	migt_trial_run(&trial);
}

static struct kunit_case migt_forge_cases[] = {
	KUNIT_CASE_PARAM(migt_forge_field, migt_forgery_gen_params),
	KUNIT_CASE(migt_forge_object),
	KUNIT_CASE(migt_forge_renumbered),
	KUNIT_CASE(migt_forge_version_first),
	KUNIT_CASE(migt_forge_two_faults),
	KUNIT_CASE(migt_forge_content),
	{}
};

static struct kunit_suite migt_forge_suite = {
	.name = "vfio_migration_forged",
	.test_cases = migt_forge_cases,
};

kunit_test_suite(migt_forge_suite);
