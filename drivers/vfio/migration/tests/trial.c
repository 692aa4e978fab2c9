// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: streams to be refused
 *
 * One small stream with everything that there is in streams: sections of both
 * types that the fake device knows, an empty one, one of a type that it does not
 * know and may skip, and the end. It is damaged in a test, and then written as a
 * client does.
 *
 * All bytes up to the one that gives the fault away are accepted, and the driver
 * gets what is complete by then; after that byte every call reports the error, the
 * driver gets nothing any more, and a reset leaves nothing of it (B9).
 */
#include "trial.h"

const struct migt_section migt_trial_sections[MIGT_TRIAL_SECTIONS] = {
	{ .type = 0, .object = 3, .length = 5 },
	{ .type = 1, .object = 4, .length = 0 },
	{ .type = 9, .flags = 1, .object = 5, .length = 3 },
	{ .type = 1, .flags = 1, .object = 6, .length = 7 },
};

static bool migt_known(unsigned int i)
{
	return migt_trial_sections[i].type < MIGT_TYPES;
}

/**
 * migt_trial_image - the stream, undamaged
 * @test: that it belongs to
 * @stream_id: its id
 *
 * Return: the stream.
 */
struct migt_image *migt_trial_image(struct kunit *test, u64 stream_id)
{
	return migt_image_make(test, stream_id, migt_trial_sections,
			       MIGT_TRIAL_SECTIONS);
}

/**
 * migt_trial_loaded - what the driver gets of the beginning of the stream
 * @image: the stream
 * @length: bytes that there are of it
 *
 * Return: how many sections.
 */
unsigned int migt_trial_loaded(const struct migt_image *image, size_t length)
{
	unsigned int i, nr = 0;

	for (i = 0; i < MIGT_TRIAL_SECTIONS; i++)
		if (image->at[i + 1] <= length)
			nr += migt_known(i);

	return nr;
}

/**
 * migt_trial_of - a trial of a stream, to be accepted
 * @trial: to set up
 * @fake: device
 * @image: stream; the trial uses its bytes
 */
void migt_trial_of(struct migt_trial *trial, struct migt_fake *fake,
		   const struct migt_image *image)
{
	memset(trial, 0, sizeof(*trial));
	trial->fake = fake;
	trial->data = image->data;
	trial->length = image->length;
	trial->seen = image->length;
	trial->loaded = migt_trial_loaded(image, image->length);
}

/* Everything up to what gives the fault away. */
static void migt_write_good(const struct migt_trial *trial)
{
	struct migt_fake *fake = trial->fake;
	ssize_t ret = 0;

	if (trial->seen)
		ret = migt_write(fake->file, trial->data, trial->seen);
	KUNIT_EXPECT_EQ_MSG(fake->test, ret, trial->seen, "%s", trial->what);
	migt_settle();
	KUNIT_EXPECT_EQ_MSG(fake->test, migt_poll(fake->file),
			    EPOLLOUT | EPOLLWRNORM, "%s", trial->what);
	migt_expect_loaded(fake, migt_trial_sections, trial->loaded, trial->what);
}

/* The byte that gives it away. */
static void migt_write_bad(const struct migt_trial *trial)
{
	struct migt_fake *fake = trial->fake;
	size_t left = trial->length - trial->seen;
	struct kunit *test = fake->test;
	ssize_t ret;

	ret = migt_write(fake->file, trial->data + trial->seen, 1);
	KUNIT_EXPECT_EQ_MSG(test, ret, trial->late ? 1 : trial->error, "%s",
			    trial->what);
	migt_settle();
	ret = migt_write(fake->file, trial->data + trial->seen, left);
	KUNIT_EXPECT_EQ_MSG(test, ret, trial->error, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, migt_poll(fake->file), EPOLLERR, "%s",
			    trial->what);
	ret = migt_write(fake->file, "VFIOMIG\n", 8);
	KUNIT_EXPECT_EQ_MSG(test, ret, trial->error, "%s", trial->what);
}

/* The SET that leaves RESUMING says what is wrong, and the session is over. */
static void migt_judge(const struct migt_trial *trial)
{
	struct migt_fake *fake = trial->fake;
	struct kunit *test = fake->test;
	u32 state = trial->error ? VFIO_DEVICE_STATE_ERROR :
				   VFIO_DEVICE_STATE_STOP;

	KUNIT_EXPECT_EQ_MSG(test, migt_go(fake, VFIO_DEVICE_STATE_STOP),
			    trial->error, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, migt_state(fake), state, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, migt_write(fake->file, "VFIOMIG\n", 8),
			    -ENODEV, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, migt_poll(fake->file), EPOLLERR | EPOLLHUP,
			    "%s", trial->what);
	migt_expect_loaded(fake, migt_trial_sections, trial->loaded, trial->what);
}

/* The client can ask why, and where (A12). */
static void migt_expect_error(const struct migt_trial *trial)
{
	struct migt_fake *fake = trial->fake;
	struct kunit *test = fake->test;
	struct vfio_mig_error error;

	vfio_mig_last_error(fake->mig, &error);
	KUNIT_EXPECT_EQ_MSG(test, error.err, trial->error, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, error.reason.offset, trial->at, "%s",
			    trial->what);
	KUNIT_EXPECT_EQ_MSG(test, error.from, VFIO_DEVICE_STATE_RESUMING, "%s",
			    trial->what);
	KUNIT_EXPECT_EQ_MSG(test, error.to, VFIO_DEVICE_STATE_STOP, "%s",
			    trial->what);
	KUNIT_EXPECT_GT_MSG(test, strlen(error.reason.text), 0, "%s",
			    trial->what);
}

/**
 * migt_trial_run - load a stream, and see that what has to happen does
 * @trial: stream and expectations; the device is RUNNING before and after
 */
void migt_trial_run(struct migt_trial *trial)
{
	struct migt_fake *fake = trial->fake;
	struct kunit *test = fake->test;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	migt_write_good(trial);
	if (trial->seen < trial->length)
		migt_write_bad(trial);
	migt_judge(trial);
	if (trial->error)
		migt_expect_error(trial);
	fake->resets = 0;
	migt_reset(fake);
	KUNIT_EXPECT_EQ_MSG(test, fake->resets, 1, "%s", trial->what);
	KUNIT_EXPECT_EQ_MSG(test, fake->nr_loaded, 0, "%s", trial->what);
	migt_close(fake);
	migt_expect_sessions(fake, 0);
}
