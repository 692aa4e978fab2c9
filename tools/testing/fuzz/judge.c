// SPDX-License-Identifier: GPL-2.0-only
/*
 * A second opinion on streams, written from <uapi/linux/vfio_migration.h>: a stream is
 * looked at as a whole, with all of it in memory. It shares nothing with the parser
 * but the structures.
 *
 * Where the text does not say which of several faults of one header is named, any of
 * them will do. What is wrong with a payload is found in the background, so it may be
 * overtaken by what is wrong with a later header.
 */
#include <shim/memory.h>

#include "fuzz.h"

/* "Errors of the data". */
static const int documented[] = {
	EILSEQ, EBADMSG, EPROTONOSUPPORT, EMEDIUMTYPE, ESTALE, EMSGSIZE, EPROTO,
	ENODATA, E2BIG, EINVAL, EIO, ENOMEM,
};

static u64 fault(int err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(documented); i++)
		if (documented[i] == err)
			return 1ULL << i;
	return 0;
}

bool fuzz_fault_is(const struct fuzz_fault *found, int err)
{
	return found->errnos & fault(err);
}

static u64 sum(const void *from, size_t length)
{
	return XXH64(from, length, 0);
}

static bool zeros(const void *from, size_t length)
{
	const u8 *p = from;

	while (length--)
		if (*p++)
			return false;
	return true;
}

static u64 judge_device(const struct vfio_mig_stream_header *h)
{
	const char id[32] = FUZZ_ID;
	u32 version = le32toh(h->device_version);
	u64 faults = 0;

	if (h->features || h->reserved || !zeros(h->padding, sizeof(h->padding)))
		faults |= fault(EPROTONOSUPPORT);
	if (memcmp(h->id, id, sizeof(id)) || le64toh(h->size) != FUZZ_SIZE)
		faults |= fault(EMEDIUMTYPE);
	if (version < FUZZ_MIN_VERSION || version > FUZZ_VERSION)
		faults |= fault(ESTALE);
	return faults;
}

static u64 judge_stream_header(const u8 *stream, size_t length)
{
	const struct vfio_mig_stream_header *h = (const void *)stream;

	if (memcmp(stream, VFIO_MIG_STREAM_MAGIC, length < 8 ? length : 8))
		return fault(EILSEQ);
	if (length < sizeof(*h))
		return fault(ENODATA);
	if (le64toh(h->sum) != sum(h, sizeof(*h) - 8))
		return fault(EBADMSG);
	if (le32toh(h->version) != 1 || le32toh(h->length) != 128)
		return fault(EPROTONOSUPPORT);
	return judge_device(h);
}

static bool known(u32 type)
{
	return type < FUZZ_NR_TYPES || type == VFIO_MIG_SECTION_END;
}

static u64 judge_section_header(const struct vfio_mig_section_header *h,
				u64 stream_id, u64 sequence)
{
	u32 type = le32toh(h->type), flags = le32toh(h->flags);
	u32 length = le32toh(h->length);
	u64 faults = 0;

	if (le64toh(h->sum) != sum(h, sizeof(*h) - 8))
		return fault(EBADMSG);
	if (le64toh(h->stream_id) != stream_id || le64toh(h->sequence) != sequence)
		faults |= fault(EPROTO);
	if (length > VFIO_MIG_SECTION_MAX)
		faults |= fault(EMSGSIZE);
	if (flags > VFIO_MIG_SECTION_OPTIONAL || h->reserved)
		faults |= fault(EPROTONOSUPPORT);
	if (!known(type) && !(flags & VFIO_MIG_SECTION_OPTIONAL))
		faults |= fault(EPROTONOSUPPORT);
	if (type == VFIO_MIG_SECTION_END &&
	    length != sizeof(struct vfio_mig_section_end))
		faults |= fault(EPROTO);
	return faults;
}

/* The sum of all sections that are complete before section @nr. */
static u64 payload_before(const struct fuzz_verdict *verdict, unsigned int nr)
{
	u64 bytes = 0;

	while (nr--)
		bytes += verdict->sections[nr].length;
	return bytes;
}

static u64 judge_end(const struct fuzz_verdict *verdict, unsigned int nr)
{
	const struct vfio_mig_section_end *end =
		(const void *)verdict->sections[nr].payload;
	u64 faults = 0;

	if (le64toh(end->sections) != nr ||
	    le64toh(end->bytes) != payload_before(verdict, nr))
		faults |= fault(EPROTO);
	if (end->reserved[0] || end->reserved[1])
		faults |= fault(EPROTONOSUPPORT);
	return faults;
}

/* The content of complete sections, in order, up to the first that is refused. */
static void judge_content(struct fuzz_verdict *verdict,
			  const struct fuzz_plan *plan)
{
	const struct fuzz_section *s;
	unsigned int i, calls = 0;
	u64 faults = 0;

	for (i = 0; i < verdict->nr && !faults; i++) {
		s = &verdict->sections[i];
		verdict->content.offset = s->offset;
		if (le64toh(s->header->payload_sum) != sum(s->payload, s->length))
			faults = fault(EBADMSG);
		else if (le32toh(s->header->type) == VFIO_MIG_SECTION_END)
			faults = judge_end(verdict, i);
		else if (s->for_driver)
			faults = fault(-fuzz_driver_errno(plan, calls++,
							  s->length));
	}
	verdict->content.errnos = faults;
}

/* Return: whether a section that is complete begins at *@at, behind which it then is. */
static bool judge_section(struct fuzz_verdict *verdict, const u8 *stream,
			  size_t length, size_t *at)
{
	const struct vfio_mig_stream_header *first = (const void *)stream;
	struct fuzz_section *s = &verdict->sections[verdict->nr];
	size_t left = length - *at;

	verdict->incoming = (struct fuzz_fault) { length, fault(ENODATA) };
	s->header = (const void *)(stream + *at);
	if (left < sizeof(*s->header))
		return false;
	verdict->incoming.errnos = judge_section_header(s->header,
							le64toh(first->stream_id),
							verdict->nr);
	verdict->incoming.offset = *at;
	if (verdict->incoming.errnos)
		return false;
	s->length = le32toh(s->header->length);
	s->payload = (const u8 *)(s->header + 1);
	s->offset = *at;
	s->for_driver = le32toh(s->header->type) < FUZZ_NR_TYPES;
	if (s->length > verdict->longest)
		verdict->longest = s->length;
	if (left - sizeof(*s->header) < s->length) {
		verdict->incoming = (struct fuzz_fault) { length, fault(ENODATA) };
		return false;
	}
	*at += sizeof(*s->header) + s->length;
	verdict->nr++;
	verdict->ended = le32toh(s->header->type) == VFIO_MIG_SECTION_END;
	return true;
}

void fuzz_judge(struct fuzz_verdict *verdict, const struct fuzz_plan *plan,
		const u8 *stream, size_t length)
{
	size_t at = sizeof(struct vfio_mig_stream_header);

	verdict->incoming.offset = 0;
	verdict->incoming.errnos = judge_stream_header(stream, length);
	verdict->content.errnos = 0;
	verdict->nr = 0;
	verdict->ended = false;
	verdict->longest = 0;
	if (verdict->incoming.errnos == fault(ENODATA))
		verdict->incoming.offset = length;
	if (verdict->incoming.errnos)
		return;

	while (verdict->nr < FUZZ_MAX_SECTIONS && !verdict->ended)
		if (!judge_section(verdict, stream, length, &at))
			break;
	if (verdict->ended)
		verdict->incoming = (struct fuzz_fault) {
			at, at < length ? fault(E2BIG) : 0
		};
	judge_content(verdict, plan);
	/* Whoever only learns of the end has heard of all else before. */
	if (verdict->content.errnos && verdict->incoming.errnos == fault(ENODATA))
		verdict->incoming.errnos = 0;
}
