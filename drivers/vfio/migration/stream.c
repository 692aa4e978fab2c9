// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: the format of the stream
 *
 * Builds and checks headers. Every header carries its own checksum, which is
 * verified before anything else in it is believed; it covers reserved bytes too.
 * include/uapi/linux/vfio_migration.h is the specification.
 */
#include <linux/build_bug.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "session.h"

static_assert(sizeof(struct vfio_mig_stream_header) == 128);
static_assert(sizeof(struct vfio_mig_section_header) == 56);
static_assert(sizeof(struct vfio_mig_section_end) == 32);
static_assert(sizeof(VFIO_MIG_STREAM_MAGIC) - 1 ==
	      sizeof_field(struct vfio_mig_stream_header, magic));
static_assert(sizeof_field(struct vfio_mig_stream_header, id) ==
	      VFIO_MIG_ID_LEN);
static_assert(VFIO_MIG_SECTION_MAX % PAGE_SIZE == 0);

static __le64 vfio_mig_stream_sum(const struct vfio_mig_stream_header *header)
{
	return cpu_to_le64(xxh64(header, offsetof(typeof(*header), sum), 0));
}

static __le64 vfio_mig_section_sum(const struct vfio_mig_section_header *header)
{
	return cpu_to_le64(xxh64(header, offsetof(typeof(*header), sum), 0));
}

/**
 * vfio_mig_sum_pages - checksum of a payload
 * @pages: holds it
 * @length: bytes, at most VFIO_MIG_SECTION_MAX
 *
 * Return: XXH64 with seed 0.
 */
u64 vfio_mig_sum_pages(struct page **pages, size_t length)
{
	struct xxh64_state state;
	void *from;
	size_t n;

	xxh64_reset(&state, 0);
	for (; length; length -= n, pages++) {
		n = min_t(size_t, length, PAGE_SIZE);
		/* A donated page may be in high memory. */
		from = kmap_local_page(*pages);
		xxh64_update(&state, from, n);
		kunmap_local(from);
	}

	return xxh64_digest(&state);
}

/**
 * vfio_mig_fill_stream_header - build a stream's first bytes
 * @header: to fill
 * @config: of the device
 * @stream_id: of the stream
 */
void vfio_mig_fill_stream_header(struct vfio_mig_stream_header *header,
				 const struct vfio_mig_config *config,
				 u64 stream_id)
{
	memset(header, 0, sizeof(*header));
	memcpy(header->magic, VFIO_MIG_STREAM_MAGIC, sizeof(header->magic));
	header->version = cpu_to_le32(VFIO_MIG_STREAM_VERSION);
	header->length = cpu_to_le32(sizeof(*header));
	header->stream_id = cpu_to_le64(stream_id);
	memcpy(header->id, config->id, sizeof(header->id));
	header->size = cpu_to_le64(config->size);
	header->device_version = cpu_to_le32(config->version);
	header->sum = vfio_mig_stream_sum(header);
}

/**
 * vfio_mig_fill_section_header - complete a section header by its checksum
 * @header: with all else filled in
 */
void vfio_mig_fill_section_header(struct vfio_mig_section_header *header)
{
	header->sum = vfio_mig_section_sum(header);
}

static int vfio_mig_check_device(struct vfio_mig_session *session,
				 const struct vfio_mig_stream_header *header)
{
	const struct vfio_mig_config *config = &session->config;
	u32 version = le32_to_cpu(header->device_version);

	if (memcmp(header->id, config->id, sizeof(header->id)))
		return vfio_mig_session_fail(session, -EMEDIUMTYPE, 0,
					     "made by %*pE, this is %.32s",
					     (int)strnlen(header->id,
							  VFIO_MIG_ID_LEN),
					     header->id, config->id);
	if (le64_to_cpu(header->size) != config->size)
		return vfio_mig_session_fail(session, -EMEDIUMTYPE, 0,
					     "size %llu, the device has %llu",
					     le64_to_cpu(header->size),
					     config->size);
	if (version < config->min_version || version > config->version)
		return vfio_mig_session_fail(session, -ESTALE, 0,
					     "version %u, the device reads %u to %u",
					     version, config->min_version,
					     config->version);
	return 0;
}

/**
 * vfio_mig_check_stream_header - may this device load this stream
 * @session: resuming session, which fails for good if not
 * @header: complete, with its magic checked before
 *
 * Rule: B9.
 * Return: 0, or the session's error.
 */
int vfio_mig_check_stream_header(struct vfio_mig_session *session,
				 const struct vfio_mig_stream_header *header)
{
	if (header->sum != vfio_mig_stream_sum(header))
		return vfio_mig_session_fail(session, -EBADMSG, 0,
					     "checksum of the stream header");
	if (le32_to_cpu(header->version) != VFIO_MIG_STREAM_VERSION ||
	    le32_to_cpu(header->length) != sizeof(*header))
		return vfio_mig_session_fail(session, -EPROTONOSUPPORT, 0,
					     "format version %u with a header of %u bytes, known is %u with %zu",
					     le32_to_cpu(header->version),
					     le32_to_cpu(header->length),
					     VFIO_MIG_STREAM_VERSION,
					     sizeof(*header));
	if (header->features || header->reserved ||
	    memchr_inv(header->padding, 0, sizeof(header->padding)))
		return vfio_mig_session_fail(session, -EPROTONOSUPPORT, 0,
					     "features %#llx, or reserved bytes that are not 0",
					     le64_to_cpu(header->features));

	return vfio_mig_check_device(session, header);
}

static bool vfio_mig_known_type(const struct vfio_mig_session *session, u32 type)
{
	return type == VFIO_MIG_SECTION_END ||
	       type < session->config.nr_types;
}

static int vfio_mig_check_section_kind(struct vfio_mig_session *session,
				       const struct vfio_mig_section_header *header)
{
	u32 type = le32_to_cpu(header->type);
	u32 flags = le32_to_cpu(header->flags);
	u64 at = session->load.header_at;

	if ((flags & ~VFIO_MIG_SECTION_OPTIONAL) || header->reserved)
		return vfio_mig_session_fail(session, -EPROTONOSUPPORT, at,
					     "section flags %#x, or reserved bytes that are not 0",
					     flags);
	if (!vfio_mig_known_type(session, type) &&
	    !(flags & VFIO_MIG_SECTION_OPTIONAL))
		return vfio_mig_session_fail(session, -EPROTONOSUPPORT, at,
					     "section type %#x", type);
	if (type == VFIO_MIG_SECTION_END &&
	    le32_to_cpu(header->length) != sizeof(struct vfio_mig_section_end))
		return vfio_mig_session_fail(session, -EPROTO, at,
					     "end section of %u bytes",
					     le32_to_cpu(header->length));
	return 0;
}

/**
 * vfio_mig_check_section_header - is this the section that must come now
 * @session: resuming session, which fails for good if not; the caller owns its
 *	slot
 * @header: complete
 *
 * Rule: B9.
 * Return: 0, or the session's error.
 */
int vfio_mig_check_section_header(struct vfio_mig_session *session,
				  const struct vfio_mig_section_header *header)
{
	const struct vfio_mig_load *load = &session->load;
	u64 at = load->header_at;

	if (header->sum != vfio_mig_section_sum(header))
		return vfio_mig_session_fail(session, -EBADMSG, at,
					     "checksum of the header of section %llu",
					     load->sequence);
	if (le64_to_cpu(header->stream_id) != load->stream_id)
		return vfio_mig_session_fail(session, -EPROTO, at,
					     "section %llu is of another stream",
					     load->sequence);
	if (le64_to_cpu(header->sequence) != load->sequence)
		return vfio_mig_session_fail(session, -EPROTO, at,
					     "section %llu where %llu is due",
					     le64_to_cpu(header->sequence),
					     load->sequence);
	if (le32_to_cpu(header->length) > VFIO_MIG_SECTION_MAX)
		return vfio_mig_session_fail(session, -EMSGSIZE, at,
					     "section of %u bytes",
					     le32_to_cpu(header->length));

	return vfio_mig_check_section_kind(session, header);
}

/**
 * vfio_mig_check_end - does the stream add up
 * @session: resuming session, which fails for good if not; the caller is its
 *	worker
 * @at: where in the stream the end section begins
 * @end: payload of the end section, whose checksum is right
 *
 * Return: 0, or the session's error.
 */
int vfio_mig_check_end(struct vfio_mig_session *session, u64 at,
		       const struct vfio_mig_section_end *end)
{
	const struct vfio_mig_load *load = &session->load;

	if (le64_to_cpu(end->sections) != load->nr_loaded ||
	    le64_to_cpu(end->bytes) != load->bytes)
		return vfio_mig_session_fail(session, -EPROTO, at,
					     "%llu sections, %llu bytes; the end says %llu, %llu",
					     load->nr_loaded, load->bytes,
					     le64_to_cpu(end->sections),
					     le64_to_cpu(end->bytes));
	if (end->reserved[0] || end->reserved[1])
		return vfio_mig_session_fail(session, -EPROTONOSUPPORT, at,
					     "unknown totals in the end section");
	return 0;
}
