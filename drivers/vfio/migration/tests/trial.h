/* SPDX-License-Identifier: GPL-2.0-only */
/* VFIO migration core, KUnit tests: streams to be refused */
#ifndef _VFIO_MIGRATION_TESTS_TRIAL_H
#define _VFIO_MIGRATION_TESTS_TRIAL_H

#include "image.h"

#define MIGT_TRIAL_SECTIONS	4

extern const struct migt_section migt_trial_sections[MIGT_TRIAL_SECTIONS];

/**
 * struct migt_trial - a stream, and what has to become of it
 * @fake: device that it is for
 * @data: the bytes
 * @length: how many
 * @error: it is refused with; 0 if it is accepted
 * @seen: bytes that are accepted before it is refused; the next one gives it away.
 *	Those that only their end gives away have their length here
 * @late: found by the worker, when that byte was accepted
 * @at: where in the stream the fault begins, as LAST_ERROR has it
 * @loaded: sections of migt_trial_sections that the driver gets
 * @what: for people
 */
struct migt_trial {
	struct migt_fake *fake;
	const u8 *data;
	size_t length;
	int error;
	size_t seen;
	bool late;
	u64 at;
	unsigned int loaded;
	char what[64];
};

struct migt_image *migt_trial_image(struct kunit *test, u64 stream_id);
unsigned int migt_trial_loaded(const struct migt_image *image, size_t length);
void migt_trial_of(struct migt_trial *trial, struct migt_fake *fake,
		   const struct migt_image *image);
void migt_trial_run(struct migt_trial *trial);

#endif /* _VFIO_MIGRATION_TESTS_TRIAL_H */
