// SPDX-License-Identifier: GPL-2.0-only
/* The stream format, written from its description and not from the kernel code. */
#include <endian.h>

#include <libvfio/stream.h>

#define P1 0x9e3779b185ebca87ULL
#define P2 0xc2b2ae3d27d4eb4fULL
#define P3 0x165667b19e3779f9ULL
#define P4 0x85ebca77c2b2ae63ULL
#define P5 0x27d4eb2f165667c5ULL

static u64 rotl(u64 x, int n)
{
	return x << n | x >> (64 - n);
}

static u64 load64(const u8 *p)
{
	u64 x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

static u32 load32(const u8 *p)
{
	u32 x;

	memcpy(&x, p, sizeof(x));
	return le32toh(x);
}

static u64 xxh_round(u64 acc, u64 input)
{
	return rotl(acc + input * P2, 31) * P1;
}

static u64 xxh_stripes(const u8 **data, size_t len)
{
	u64 v[4] = { P1 + P2, P2, 0, -P1 };
	const u8 *p = *data;
	u64 h;
	int i;

	for (; len >= 32; len -= 32)
		for (i = 0; i < 4; i++, p += 8)
			v[i] = xxh_round(v[i], load64(p));

	h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
	for (i = 0; i < 4; i++)
		h = (h ^ xxh_round(0, v[i])) * P1 + P4;
	*data = p;
	return h;
}

u64 vfm_xxh64(const void *data, size_t len)
{
	const u8 *p = data, *end = p + len;
	u64 h;

	h = (len >= 32 ? xxh_stripes(&p, len) : P5) + len;
	for (; end - p >= 8; p += 8)
		h = rotl(h ^ xxh_round(0, load64(p)), 27) * P1 + P4;
	for (; end - p >= 4; p += 4)
		h = rotl(h ^ load32(p) * P1, 23) * P2 + P3;
	for (; p < end; p++)
		h = rotl(h ^ *p * P5, 11) * P1;

	h = (h ^ h >> 33) * P2;
	h = (h ^ h >> 29) * P3;
	return h ^ h >> 32;
}

void vfm_header_seal(struct vfio_mig_stream_header *header)
{
	header->sum = htole64(vfm_xxh64(header, sizeof(*header) - 8));
}

void vfm_section_seal_header(struct vfio_mig_section_header *header)
{
	header->sum = htole64(vfm_xxh64(header, sizeof(*header) - 8));
}

void vfm_section_seal(struct vfio_mig_section_header *header)
{
	header->payload_sum = htole64(vfm_xxh64(header + 1,
						le32toh(header->length)));
	vfm_section_seal_header(header);
}

static void vfm_check_header(const struct vfio_mig_stream_header *h)
{
	static const u8 zero[sizeof(h->padding)];

	VFIO_ASSERT_FALSE(memcmp(h->magic, VFIO_MIG_STREAM_MAGIC, 8));
	VFIO_ASSERT_EQ(le32toh(h->version), VFIO_MIG_STREAM_VERSION);
	VFIO_ASSERT_EQ(le32toh(h->length), sizeof(*h));
	VFIO_ASSERT_EQ(h->reserved, 0);
	VFIO_ASSERT_FALSE(memcmp(h->padding, zero, sizeof(zero)));
	VFIO_ASSERT_EQ(le64toh(h->sum), vfm_xxh64(h, sizeof(*h) - 8));
}

static void vfm_check_section(const struct vfm_stream *stream,
			      const struct vfm_section *s)
{
	const struct vfio_mig_section_header *h = s->header;

	VFIO_ASSERT_EQ(le64toh(h->sum), vfm_xxh64(h, sizeof(*h) - 8));
	VFIO_ASSERT_LE(le32toh(h->length), VFIO_MIG_SECTION_MAX);
	VFIO_ASSERT_EQ(h->reserved, 0);
	VFIO_ASSERT_EQ(le64toh(h->sequence), stream->nr);
	VFIO_ASSERT_EQ(h->stream_id, stream->header->stream_id);
	VFIO_ASSERT_LE(s->offset + s->length, stream->buf->len);
	VFIO_ASSERT_EQ(le64toh(h->payload_sum),
		       vfm_xxh64(s->payload, le32toh(h->length)));
}

static void vfm_check_end(const struct vfm_stream *stream, u64 bytes)
{
	const struct vfm_section *s = &stream->section[stream->nr - 1];
	const struct vfio_mig_section_end *end = (const void *)s->payload;

	VFIO_ASSERT_EQ(le32toh(s->header->length), sizeof(*end));
	VFIO_ASSERT_EQ(le64toh(end->sections), stream->nr - 1);
	VFIO_ASSERT_EQ(le64toh(end->bytes), bytes);
	VFIO_ASSERT_EQ(s->offset + s->length, stream->buf->len);
}

void vfm_stream_parse(struct vfm_stream *stream, struct vfm_buf *buf)
{
	size_t offset = sizeof(struct vfio_mig_stream_header);
	struct vfm_section s = { 0 };
	u64 bytes = 0;
	u32 type;

	VFIO_ASSERT_GE(buf->len, offset);
	*stream = (struct vfm_stream) {
		.buf = buf,
		.header = (void *)buf->data,
	};
	vfm_check_header(stream->header);

	do {
		bytes += s.header ? le32toh(s.header->length) : 0;
		VFIO_ASSERT_LE(offset + sizeof(*s.header), buf->len);
		s.offset = offset;
		s.header = (void *)(buf->data + offset);
		s.payload = (void *)(s.header + 1);
		s.length = sizeof(*s.header) + le32toh(s.header->length);
		vfm_check_section(stream, &s);

		stream->section = realloc(stream->section,
					  (stream->nr + 1) * sizeof(s));
		VFIO_ASSERT_TRUE(stream->section);
		stream->section[stream->nr++] = s;
		offset += s.length;
		type = le32toh(s.header->type);
	} while (type != VFIO_MIG_SECTION_END);

	vfm_check_end(stream, bytes);
}

void vfm_stream_free(struct vfm_stream *stream)
{
	free(stream->section);
	*stream = (struct vfm_stream) { 0 };
}

void vfm_buf_append(struct vfm_buf *buf, const void *data, size_t len)
{
	memcpy(vfm_buf_room(buf, len), data, len);
	buf->len += len;
}

void vfm_buf_copy(struct vfm_buf *to, const struct vfm_buf *from)
{
	to->len = 0;
	vfm_buf_append(to, from->data, from->len);
}
