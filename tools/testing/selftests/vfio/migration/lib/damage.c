// SPDX-License-Identifier: GPL-2.0-only
/* What is done to a section is done to one in the middle, or to the end section. */
#include <endian.h>

#include <libvfio/damage.h>

static size_t mid(const struct vfm_trial *t)
{
	return (t->parsed.nr - 1) / 2;
}

static size_t last(const struct vfm_trial *t)
{
	return t->parsed.nr - 1;
}

static size_t offset(const struct vfm_trial *t, size_t i)
{
	return t->parsed.section[i].offset;
}

/* Headers whose checksum is wrong, and bits of what it covers. */

static size_t magic(struct vfm_trial *t)
{
	vfm_trial_header(t)->magic[7] ^= 0x80;
	return 0;
}

static size_t header_sum(struct vfm_trial *t)
{
	vfm_trial_header(t)->sum ^= htole64(1);
	return 0;
}

static size_t section_sum(struct vfm_trial *t)
{
	vfm_trial_section(t, mid(t))->sum ^= htole64(1ULL << 63);
	return offset(t, mid(t));
}

static size_t section_length(struct vfm_trial *t)
{
	vfm_trial_section(t, mid(t))->length ^= htole32(1);
	return offset(t, mid(t));
}

static size_t payload(struct vfm_trial *t)
{
	struct vfio_mig_section_header *h = vfm_trial_section(t, mid(t));

	((u8 *)(h + 1))[le32toh(h->length) - 1] ^= 1;
	return offset(t, mid(t));
}

static size_t payload_sum(struct vfm_trial *t)
{
	struct vfio_mig_section_header *h = vfm_trial_section(t, mid(t));

	h->payload_sum ^= htole64(1);
	vfm_section_seal_header(h);
	return offset(t, mid(t));
}

static size_t end_payload(struct vfm_trial *t)
{
	vfm_buf_copy(&t->bad, &t->good);
	t->bad.data[t->bad.len - 1] ^= 1;
	return offset(t, last(t));
}

/* Good checksums over a stream header that is not for this receiver. */

#define FORGE_HEADER(_name, _change)					\
static size_t _name(struct vfm_trial *t)				\
{									\
	struct vfio_mig_stream_header *h = vfm_trial_header(t);		\
									\
	_change;							\
	vfm_header_seal(h);						\
	return 0;							\
}

FORGE_HEADER(newer, h->version = htole32(VFIO_MIG_STREAM_VERSION + 1))
FORGE_HEADER(header_length, h->length = htole32(256))
FORGE_HEADER(feature, h->features = htole64(1ULL << 40))
FORGE_HEADER(header_reserved, h->reserved = htole32(1))
FORGE_HEADER(header_padding, h->padding[31] = 1)
FORGE_HEADER(other_type, h->id[0] ^= 0x20)
FORGE_HEADER(longer_type, h->id[31] = 'x')
FORGE_HEADER(other_size, h->size = htole64(le64toh(h->size) + 4096))
FORGE_HEADER(device_version, h->device_version = htole32(1000))

/* The same for section headers. */

#define FORGE_SECTION(_name, _which, _change)				\
static size_t _name(struct vfm_trial *t)				\
{									\
	const size_t i = _which(t);					\
	struct vfio_mig_section_header *h = vfm_trial_section(t, i);	\
									\
	_change;							\
	vfm_section_seal_header(h);					\
	return offset(t, i);						\
}

FORGE_SECTION(type, mid, h->type = htole32(0x7fffffff))
FORGE_SECTION(core_type, mid, h->type = htole32(VFIO_MIG_SECTION_CORE | 77))
FORGE_SECTION(flag, mid, h->flags = htole32(1U << 31))
FORGE_SECTION(reserved, mid, h->reserved = htole32(1))
FORGE_SECTION(too_long, mid, h->length = htole32(VFIO_MIG_SECTION_MAX + 1))
FORGE_SECTION(much_too_long, mid, h->length = htole32(0xffffffff))
FORGE_SECTION(sequence, mid, h->sequence = htole64(le64toh(h->sequence) + 1))
FORGE_SECTION(stream_id, mid, h->stream_id ^= htole64(1))
FORGE_SECTION(end_length, last, h->length = htole32(24))

/* And for the payload of the end section. */

#define FORGE_END(_name, _change)					\
static size_t _name(struct vfm_trial *t)				\
{									\
	const size_t i = last(t);					\
	struct vfio_mig_section_header *h = vfm_trial_section(t, i);	\
	struct vfio_mig_section_end *end = (void *)(h + 1);		\
									\
	_change;							\
	vfm_section_seal(h);						\
	return offset(t, i);						\
}

FORGE_END(end_sections, end->sections = htole64(le64toh(end->sections) + 1))
FORGE_END(end_bytes, end->bytes = htole64(le64toh(end->bytes) - 1))
FORGE_END(end_reserved, end->reserved[1] = htole64(1))

/* Sections that are right, but not here. */

static size_t dropped(struct vfm_trial *t)
{
	vfm_trial_drop(t, mid(t));
	return offset(t, mid(t));
}

static size_t repeated(struct vfm_trial *t)
{
	vfm_trial_repeat(t, mid(t));
	return offset(t, mid(t)) + t->parsed.section[mid(t)].length;
}

static size_t swapped(struct vfm_trial *t)
{
	vfm_trial_swap(t, mid(t));
	return offset(t, mid(t));
}

/* Too short, too long. */

static size_t nothing(struct vfm_trial *t)
{
	vfm_trial_cut(t, 0);
	return 0;
}

static size_t cut(struct vfm_trial *t, size_t len)
{
	vfm_trial_cut(t, len);
	return len;
}

static size_t cut_magic(struct vfm_trial *t)
{
	return cut(t, 5);
}

static size_t cut_header(struct vfm_trial *t)
{
	return cut(t, sizeof(struct vfio_mig_stream_header) - 1);
}

static size_t cut_before_section(struct vfm_trial *t)
{
	return cut(t, offset(t, mid(t)));
}

static size_t cut_section(struct vfm_trial *t)
{
	return cut(t, offset(t, mid(t)) + 1);
}

static size_t cut_payload(struct vfm_trial *t)
{
	return cut(t, offset(t, mid(t)) + t->parsed.section[mid(t)].length - 1);
}

static size_t cut_end(struct vfm_trial *t)
{
	return cut(t, t->good.len - 1);
}

static size_t byte_more(struct vfm_trial *t)
{
	vfm_buf_copy(&t->bad, &t->good);
	vfm_buf_append(&t->bad, "", 1);
	return t->good.len;
}

static size_t stream_more(struct vfm_trial *t)
{
	vfm_buf_copy(&t->bad, &t->good);
	vfm_buf_append(&t->bad, t->good.data, t->good.len);
	return t->good.len;
}

#define DAMAGE(_make, _err, _reason) \
	{ .name = #_make, .err = _err, .make = _make, .reason = _reason }
#define DEVICE(_make, _err, _reason) \
	{ .name = #_make, .err = _err, .make = _make, .reason = _reason, \
	  .device = true }

const struct vfm_damage vfm_damages[] = {
	DAMAGE(magic, EILSEQ, "not a migration stream"),
	DAMAGE(header_sum, EBADMSG, "checksum of the stream header"),
	DAMAGE(newer, EPROTONOSUPPORT, "version 2"),
	DAMAGE(header_length, EPROTONOSUPPORT, "version"),
	DAMAGE(feature, EPROTONOSUPPORT, "features 0x10000000000"),
	DAMAGE(header_reserved, EPROTONOSUPPORT, "reserved"),
	DAMAGE(header_padding, EPROTONOSUPPORT, "reserved"),
	DEVICE(other_type, EMEDIUMTYPE, "made by Migsim-"),
	DEVICE(longer_type, EMEDIUMTYPE, "made by migsim-"),
	DEVICE(other_size, EMEDIUMTYPE, "size "),
	DEVICE(device_version, ESTALE, "version 1000"),
	DAMAGE(section_sum, EBADMSG, "checksum of the header of section "),
	DAMAGE(section_length, EBADMSG, "checksum of the header of section "),
	DAMAGE(payload, EBADMSG, "checksum of section "),
	DAMAGE(payload_sum, EBADMSG, "checksum of section "),
	DAMAGE(end_payload, EBADMSG, "checksum of section "),
	DEVICE(type, EPROTONOSUPPORT, "type 0x7fffffff"),
	DAMAGE(core_type, EPROTONOSUPPORT, "type 0x8000004d"),
	DAMAGE(flag, EPROTONOSUPPORT, "flags 0x80000000"),
	DAMAGE(reserved, EPROTONOSUPPORT, "flags"),
	DAMAGE(too_long, EMSGSIZE, "65537 bytes"),
	DAMAGE(much_too_long, EMSGSIZE, "4294967295 bytes"),
	DAMAGE(sequence, EPROTO, " is due"),
	DAMAGE(stream_id, EPROTO, "of another stream"),
	DAMAGE(dropped, EPROTO, " is due"),
	DAMAGE(repeated, EPROTO, " is due"),
	DAMAGE(swapped, EPROTO, " is due"),
	DAMAGE(end_length, EPROTO, "end section of 24 bytes"),
	DAMAGE(end_sections, EPROTO, "the end says"),
	DAMAGE(end_bytes, EPROTO, "the end says"),
	DAMAGE(end_reserved, EPROTONOSUPPORT, "unknown totals"),
	DAMAGE(nothing, ENODATA, "ends before"),
	DAMAGE(cut_magic, ENODATA, "ends before"),
	DAMAGE(cut_header, ENODATA, "ends before"),
	DAMAGE(cut_before_section, ENODATA, "ends before"),
	DAMAGE(cut_section, ENODATA, "ends before"),
	DAMAGE(cut_payload, ENODATA, "ends before"),
	DAMAGE(cut_end, ENODATA, "ends before"),
	DAMAGE(byte_more, E2BIG, "after the end"),
	DAMAGE(stream_more, E2BIG, "after the end"),
	{ 0 }
};
