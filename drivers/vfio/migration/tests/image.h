/* SPDX-License-Identifier: GPL-2.0-only */
/* VFIO migration core, KUnit tests: streams made by hand */
#ifndef _VFIO_MIGRATION_TESTS_IMAGE_H
#define _VFIO_MIGRATION_TESTS_IMAGE_H

#include "fake.h"

#define MIGT_IMAGE_SECTIONS	16

/**
 * struct migt_image - a whole stream in memory
 * @test: that it belongs to
 * @data: the bytes
 * @size: room for them
 * @length: how many there are
 * @nr: sections so far
 * @at: offset of each section's header
 * @bytes: sum of the payloads' lengths
 */
struct migt_image {
	struct kunit *test;
	u8 *data;
	size_t size;
	size_t length;
	unsigned int nr;
	size_t at[MIGT_IMAGE_SECTIONS];
	u64 bytes;
};

struct migt_image *migt_image_begin(struct kunit *test, u64 stream_id,
				    size_t size);
void migt_image_add(struct migt_image *image,
		    const struct migt_section *section);
void migt_image_end(struct migt_image *image);
struct migt_image *migt_image_make(struct kunit *test, u64 stream_id,
				   const struct migt_section *sections,
				   unsigned int nr);
struct migt_image *migt_image_copy(const struct migt_image *image);
struct vfio_mig_stream_header *migt_image_stream(struct migt_image *image);
struct vfio_mig_section_header *migt_image_section(struct migt_image *image,
						   unsigned int i);
size_t migt_image_section_size(const struct migt_image *image, unsigned int i);
void migt_image_seal(struct migt_image *image);
void migt_expect_stream(struct migt_fake *fake,
			const struct migt_section *sections, unsigned int nr,
			const void *got, ssize_t length);
void migt_write_image(struct migt_fake *fake, const struct migt_image *image);

#endif /* _VFIO_MIGRATION_TESTS_IMAGE_H */
