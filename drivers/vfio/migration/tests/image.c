// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: streams made by hand
 *
 * The second implementation of the format, from what is written in
 * include/uapi/linux/vfio_migration.h. A test changes what it likes and has the
 * checksums made right again, or not.
 */
#include <linux/xxhash.h>

#include "image.h"

/* @size bytes more, zeroed. */
static void *migt_image_grow(struct migt_image *image, size_t size)
{
	void *at = image->data + image->length;

	KUNIT_ASSERT_LE(image->test, image->length + size, image->size);
	image->length += size;

	return at;
}

/**
 * migt_image_begin - begin a stream for the device of migt_config
 * @test: that it belongs to
 * @stream_id: of the stream
 * @size: bytes that there will be at most
 *
 * Return: the stream, with its header.
 */
struct migt_image *migt_image_begin(struct kunit *test, u64 stream_id,
				    size_t size)
{
	struct vfio_mig_stream_header *header;
	struct migt_image *image;

	image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, image);
	image->data = kunit_kzalloc(test, size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, image->data);
	image->test = test;
	image->size = size;

	header = migt_image_grow(image, 128);
	memcpy(header->magic, "VFIOMIG\n", 8);
	header->version = cpu_to_le32(1);
	header->length = cpu_to_le32(128);
	header->stream_id = cpu_to_le64(stream_id);
	memcpy(header->id, migt_config.id, sizeof(header->id));
	header->size = cpu_to_le64(migt_config.size);
	header->device_version = cpu_to_le32(migt_config.version);

	return image;
}

static struct vfio_mig_section_header *
migt_image_head(struct migt_image *image, u32 type, u32 flags, u32 length)
{
	struct vfio_mig_section_header *header;

	KUNIT_ASSERT_LT(image->test, image->nr, MIGT_IMAGE_SECTIONS);
	image->at[image->nr] = image->length;
	header = migt_image_grow(image, 56);
	header->type = cpu_to_le32(type);
	header->flags = cpu_to_le32(flags);
	header->length = cpu_to_le32(length);
	header->sequence = cpu_to_le64(image->nr++);
	header->stream_id = migt_image_stream(image)->stream_id;

	return header;
}

/**
 * migt_image_add - add a section
 * @image: stream
 * @section: what it is
 */
void migt_image_add(struct migt_image *image, const struct migt_section *section)
{
	struct vfio_mig_section_header *header;

	header = migt_image_head(image, section->type, section->flags,
				 section->length);
	header->object = cpu_to_le64(section->object);
	migt_fill(migt_image_grow(image, section->length), section->object, 0,
		  section->length);
	image->bytes += section->length;
}

/**
 * migt_image_end - add the end section, and all checksums
 * @image: stream
 */
void migt_image_end(struct migt_image *image)
{
	struct vfio_mig_section_end *end;
	unsigned int nr = image->nr;

	migt_image_head(image, 0x80000000, 0, 32);
	end = migt_image_grow(image, 32);
	end->sections = cpu_to_le64(nr);
	end->bytes = cpu_to_le64(image->bytes);
	migt_image_seal(image);
}

/**
 * migt_image_make - a stream of some sections
 * @test: that it belongs to
 * @stream_id: of the stream
 * @sections: what is in it
 * @nr: how many
 *
 * Return: the stream.
 */
struct migt_image *migt_image_make(struct kunit *test, u64 stream_id,
				   const struct migt_section *sections,
				   unsigned int nr)
{
	struct migt_image *image;
	size_t size = 128 + 56 + 32;
	unsigned int i;

	for (i = 0; i < nr; i++)
		size += 56 + sections[i].length;
	image = migt_image_begin(test, stream_id, size);
	for (i = 0; i < nr; i++)
		migt_image_add(image, &sections[i]);
	migt_image_end(image);

	return image;
}

/**
 * migt_image_copy - a stream to be changed
 * @image: stream
 *
 * Return: another one, with room for a page more.
 */
struct migt_image *migt_image_copy(const struct migt_image *image)
{
	struct migt_image *copy;

	copy = migt_image_begin(image->test, 0, image->length + PAGE_SIZE);
	memcpy(copy->data, image->data, image->length);
	memcpy(copy->at, image->at, sizeof(copy->at));
	copy->length = image->length;
	copy->nr = image->nr;

	return copy;
}

/**
 * migt_image_stream - the stream header
 * @image: stream
 *
 * Return: the header, to look at and to change.
 */
struct vfio_mig_stream_header *migt_image_stream(struct migt_image *image)
{
	return (void *)image->data;
}

/**
 * migt_image_section - the header of a section
 * @image: stream
 * @i: which one
 *
 * Return: the header, to look at and to change; the payload follows it.
 */
struct vfio_mig_section_header *migt_image_section(struct migt_image *image,
						   unsigned int i)
{
	return (void *)(image->data + image->at[i]);
}

/**
 * migt_image_section_size - how long a section is
 * @image: stream
 * @i: which one
 *
 * Return: bytes of its header and payload.
 */
size_t migt_image_section_size(const struct migt_image *image, unsigned int i)
{
	return (i + 1 < image->nr ? image->at[i + 1] : image->length) -
	       image->at[i];
}

/**
 * migt_image_seal - make all checksums right
 * @image: stream
 */
void migt_image_seal(struct migt_image *image)
{
	struct vfio_mig_stream_header *stream = migt_image_stream(image);
	struct vfio_mig_section_header *header;
	unsigned int i;

	stream->sum = cpu_to_le64(xxh64(stream, 120, 0));
	for (i = 0; i < image->nr; i++) {
		header = migt_image_section(image, i);
		header->payload_sum =
			cpu_to_le64(xxh64(header + 1,
					  migt_image_section_size(image, i) - 56,
					  0));
		header->sum = cpu_to_le64(xxh64(header, 48, 0));
	}
}

/**
 * migt_write_image - load a stream that is good, and smaller than the window
 * @fake: device in RESUMING
 * @image: stream
 */
void migt_write_image(struct migt_fake *fake, const struct migt_image *image)
{
	KUNIT_ASSERT_EQ(fake->test, image->length,
			migt_write(fake->file, image->data, image->length));
}

/**
 * migt_expect_stream - see that a stream is as the format says
 * @fake: device that saved it
 * @sections: that have to be in it
 * @nr: how many
 * @got: the stream, with the id that the core chose
 * @length: of it
 */
void migt_expect_stream(struct migt_fake *fake,
			const struct migt_section *sections, unsigned int nr,
			const void *got, ssize_t length)
{
	const struct vfio_mig_stream_header *header = got;
	struct migt_image *image;

	image = migt_image_make(fake->test, le64_to_cpu(header->stream_id),
				sections, nr);
	KUNIT_ASSERT_EQ(fake->test, length, image->length);
	KUNIT_EXPECT_MEMEQ(fake->test, got, image->data, length);
}
