// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-migrate decode: what a receiver of a stream of the VFIO migration core
 * would say of it, without one. The rules, their order and their errnos are those
 * of Documentation/driver-api/vfio-migration-stream.rst. Only a device can judge
 * what it is for: type, size and version of the device, the driver's section types
 * and what is in them are told and not judged.
 *
 * A receiver stops at the first fault. This goes on while it is known where the
 * next section begins, that is as long as section headers are right.
 */
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "decode.h"

/* Keeps the first fault of @f only. */
static void __attribute__((format(printf, 4, 5)))
fault(struct fault *f, int err, uint64_t offset, const char *fmt, ...)
{
	va_list ap;

	if (f->err)
		return;
	f->err = err;
	f->offset = offset;
	va_start(ap, fmt);
	vsnprintf(f->reason, sizeof(f->reason), fmt, ap);
	va_end(ap);
}

static void remember(struct decode *d, const struct fault *f)
{
	if (!f->err)
		return;
	if (!d->faults++)
		d->first = *f;
}

/* Less than @len is the end of the file or an error, which is kept. */
static size_t take(struct decode *d, void *to, size_t len)
{
	size_t n = fread(to, 1, len, d->in);

	if (n < len && ferror(d->in))
		d->error = errno;
	d->offset += n;
	return n;
}

/* What is to be said when a file is over too early. */
static void cut_off(struct decode *d, struct fault *f)
{
	if (d->error)
		fault(f, d->error, d->offset, "%s: %s", d->name,
		      strerror(d->error));
	else
		fault(f, ENODATA, d->offset, "it ends before its end section");
}

static enum sum compare(const void *data, size_t len, uint64_t sum)
{
	return XXH64(data, len, 0) == le64toh(sum) ? SUM_RIGHT : SUM_WRONG;
}

static bool is_zero(const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static void check_format(struct decoded_header *header)
{
	const struct vfio_mig_stream_header *h = &header->h;
	struct fault *f = &header->fault;

	if (header->sum != SUM_RIGHT)
		fault(f, EBADMSG, 0, "checksum of the stream header");
	if (le32toh(h->version) != VFIO_MIG_STREAM_VERSION ||
	    le32toh(h->length) != sizeof(*h))
		fault(f, EPROTONOSUPPORT, 0,
		      "format version %u with a header of %u bytes, known is %u with %zu",
		      le32toh(h->version), le32toh(h->length),
		      VFIO_MIG_STREAM_VERSION, sizeof(*h));
	if (h->features || h->reserved ||
	    !is_zero(h->padding, sizeof(h->padding)))
		fault(f, EPROTONOSUPPORT, 0,
		      "features 0x%llx, or reserved bytes that are not 0",
		      (unsigned long long)le64toh(h->features));
}

/* Return: whether sections can be expected to follow. */
static bool stream_header(struct decode *d)
{
	struct decoded_header header = { 0 };
	struct vfio_mig_stream_header *h = &header.h;
	size_t n = take(d, h, sizeof(*h));

	if (memcmp(h->magic, VFIO_MIG_STREAM_MAGIC,
		   n < sizeof(h->magic) ? n : sizeof(h->magic))) {
		fault(&header.fault, EILSEQ, 0, "not a migration stream");
	} else if (n < sizeof(*h)) {
		cut_off(d, &header.fault);
	} else {
		header.sum = compare(h, offsetof(typeof(*h), sum), h->sum);
		check_format(&header);
	}
	d->stream_id = le64toh(h->stream_id);
	remember(d, &header.fault);
	decode_out_header(d, &header);
	return !header.fault.err;
}

static void check_kind(struct decoded_section *s)
{
	uint32_t type = le32toh(s->h.type), flags = le32toh(s->h.flags);

	if ((flags & ~VFIO_MIG_SECTION_OPTIONAL) || s->h.reserved)
		fault(&s->fault, EPROTONOSUPPORT, s->offset,
		      "section flags 0x%x, or reserved bytes that are not 0",
		      flags);
	if (type > VFIO_MIG_SECTION_END && !(flags & VFIO_MIG_SECTION_OPTIONAL))
		fault(&s->fault, EPROTONOSUPPORT, s->offset,
		      "section type 0x%x", type);
	if (type == VFIO_MIG_SECTION_END && le32toh(s->h.length) != sizeof(s->end))
		fault(&s->fault, EPROTO, s->offset, "end section of %u bytes",
		      le32toh(s->h.length));
}

/* In the order in which a receiver looks. */
static void check_header(struct decode *d, struct decoded_section *s)
{
	struct fault *f = &s->fault;

	if (s->header != SUM_RIGHT)
		fault(f, EBADMSG, s->offset,
		      "checksum of the header of section %llu",
		      (unsigned long long)d->due);
	if (le64toh(s->h.stream_id) != d->stream_id)
		fault(f, EPROTO, s->offset, "section %llu is of another stream",
		      (unsigned long long)d->due);
	if (le64toh(s->h.sequence) != d->due)
		fault(f, EPROTO, s->offset, "section %llu where %llu is due",
		      (unsigned long long)le64toh(s->h.sequence),
		      (unsigned long long)d->due);
	if (le32toh(s->h.length) > VFIO_MIG_SECTION_MAX)
		fault(f, EMSGSIZE, s->offset, "section of %u bytes",
		      le32toh(s->h.length));
	check_kind(s);
}

static void check_end(struct decode *d, struct decoded_section *s)
{
	struct vfio_mig_section_end *end = &s->end;

	memcpy(end, d->payload, sizeof(*end));
	if (le64toh(end->sections) != d->sections ||
	    le64toh(end->bytes) != d->bytes)
		fault(&s->fault, EPROTO, s->offset,
		      "%llu sections, %llu bytes; the end says %llu, %llu",
		      (unsigned long long)d->sections,
		      (unsigned long long)d->bytes,
		      (unsigned long long)le64toh(end->sections),
		      (unsigned long long)le64toh(end->bytes));
	if (end->reserved[0] || end->reserved[1])
		fault(&s->fault, EPROTONOSUPPORT, s->offset,
		      "unknown totals in the end section");
}

/* Return: false if what follows it cannot be found. */
static bool payload(struct decode *d, struct decoded_section *s)
{
	size_t len = le32toh(s->h.length);

	if (s->header != SUM_RIGHT || len > VFIO_MIG_SECTION_MAX)
		return false;
	if (take(d, d->payload, len) < len) {
		cut_off(d, &s->fault);
		return false;
	}
	s->payload = compare(d->payload, len, s->h.payload_sum);
	if (s->payload != SUM_RIGHT)
		fault(&s->fault, EBADMSG, s->offset, "checksum of section %llu",
		      (unsigned long long)d->due);
	return true;
}

/* Return: whether another section can be expected to follow. */
static bool section(struct decode *d)
{
	struct decoded_section s = { .offset = d->offset };
	bool more;

	if (take(d, &s.h, sizeof(s.h)) < sizeof(s.h)) {
		cut_off(d, &s.fault);
		remember(d, &s.fault);
		return false;
	}
	s.header = compare(&s.h, offsetof(typeof(s.h), sum), s.h.sum);
	check_header(d, &s);
	more = payload(d, &s);
	d->ended = s.header == SUM_RIGHT &&
		   le32toh(s.h.type) == VFIO_MIG_SECTION_END;
	if (more && d->ended && le32toh(s.h.length) == sizeof(s.end))
		check_end(d, &s);
	remember(d, &s.fault);
	decode_out_section(d, &s);
	d->due = le64toh(s.h.sequence) + 1;
	d->sections++;
	d->bytes += le32toh(s.h.length);
	return more && !d->ended;
}

/* One byte more is enough to know. */
static void nothing_follows(struct decode *d)
{
	struct fault f = { 0 };
	uint64_t end = d->offset;
	char c;

	if (take(d, &c, 1))
		fault(&f, E2BIG, end, "bytes after the end section");
	else if (d->error)
		cut_off(d, &f);
	remember(d, &f);
}

int decode_run(const struct options *opt, const char *name)
{
	struct decode *d = xcalloc(1, sizeof(*d));
	int ret = -EIO;

	d->name = name;
	d->opt = opt;
	d->in = strcmp(name, "-") ? fopen(name, "re") : stdin;
	if (!d->in) {
		say("%s: %s", name, strerror(errno));
	} else if (!decode_out_open(d)) {
		if (stream_header(d))
			while (section(d))
				;
		if (d->ended && !d->error)
			nothing_follows(d);
		ret = decode_out_verdict(d);
	}
	if (d->in && d->in != stdin)
		fclose(d->in);
	free(d);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
