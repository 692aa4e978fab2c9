/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking a migration stream of the core apart and putting a changed one together
 * again. Only for tests that forge streams; to all others a stream is bytes.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_STREAM_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_STREAM_H

#include <linux/vfio_migration.h>

#include <libvfio/migration.h>

struct vfm_section {
	size_t offset;		/* of its header in the stream */
	size_t length;		/* header and payload */
	struct vfio_mig_section_header *header;
	u8 *payload;
};

/* A parsed stream; it points into the buffer that it was parsed from. */
struct vfm_stream {
	struct vfm_buf *buf;
	struct vfio_mig_stream_header *header;
	struct vfm_section *section;
	size_t nr;		/* the end section is the last of them */
};

u64 vfm_xxh64(const void *data, size_t len);

/*
 * Checks by the description in <linux/vfio_migration.h> all that can be checked
 * without knowing the device, and asserts that it holds.
 */
void vfm_stream_parse(struct vfm_stream *stream, struct vfm_buf *buf);
void vfm_stream_free(struct vfm_stream *stream);

/* Computes checksums again after a change, so that only the change is wrong. */
void vfm_header_seal(struct vfio_mig_stream_header *header);
void vfm_section_seal(struct vfio_mig_section_header *header);
void vfm_section_seal_header(struct vfio_mig_section_header *header);

void vfm_buf_append(struct vfm_buf *buf, const void *data, size_t len);
void vfm_buf_copy(struct vfm_buf *to, const struct vfm_buf *from);

#endif
