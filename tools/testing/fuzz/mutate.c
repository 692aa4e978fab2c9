// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mutations that know what a stream looks like. Bytes that change at random are refused
 * for their checksum, so most mutations seal again what they have changed, and some
 * number the sections anew or set the totals right, so that only one thing is wrong.
 */
#include <shim/memory.h>

#include "fuzz.h"

size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size,
			       unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2,
				 size_t size2, u8 *out, size_t max_size,
				 unsigned int seed);

#define HEADER		sizeof(struct vfio_mig_stream_header)
#define SECTION		sizeof(struct vfio_mig_section_header)
#define MAX_PARTS	256

/**
 * struct parts - a stream taken apart
 * @data: the stream
 * @length: of it
 * @max: that it may have
 * @nr: sections
 * @at: where each begins, and where the last one ends
 */
struct parts {
	u8 *data;
	size_t length;
	size_t max;
	unsigned int nr;
	size_t at[MAX_PARTS + 1];
};

static u64 rng_state;

static u32 rng(u32 below)
{
	u64 z = rng_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return below ? (u32)(z >> 32) % below : 0;
}

/* For the report. */
static unsigned long mutations;

static void tell_mutations(void)
{
	fprintf(stderr, "# mutations %lu\n", mutations);
}

static void count_mutation(void)
{
	if (!mutations++)
		atexit(tell_mutations);
}

static struct vfio_mig_section_header *section(const struct parts *p,
					       unsigned int i)
{
	return (void *)(p->data + p->at[i]);
}

static void seal_header(struct vfio_mig_section_header *h)
{
	h->sum = htole64(XXH64(h, SECTION - 8, 0));
}

static void seal(struct vfio_mig_section_header *h)
{
	h->payload_sum = htole64(XXH64(h + 1, le32toh(h->length), 0));
	seal_header(h);
}

static void seal_stream(u8 *stream)
{
	struct vfio_mig_stream_header *h = (void *)stream;

	h->sum = htole64(XXH64(h, HEADER - 8, 0));
}

static void take_apart(struct parts *p)
{
	size_t at = HEADER, length;

	p->nr = 0;
	p->at[0] = at;
	while (p->nr < MAX_PARTS && at <= p->length && p->length - at >= SECTION) {
		length = le32toh(section(p, p->nr)->length);
		if (length > p->length - at - SECTION)
			break;
		at += SECTION + length;
		p->at[++p->nr] = at;
	}
}

/* As a sender would number them, and count them at the end. */
static void repair(struct parts *p)
{
	const struct vfio_mig_stream_header *first = (void *)p->data;
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;
	u64 bytes = 0;
	unsigned int i;

	for (i = 0; i < p->nr; i++) {
		h = section(p, i);
		h->sequence = htole64(i);
		h->stream_id = first->stream_id;
		if (le32toh(h->type) == VFIO_MIG_SECTION_END &&
		    le32toh(h->length) == sizeof(*end)) {
			end = (void *)(h + 1);
			end->sections = htole64(i);
			end->bytes = htole64(bytes);
		}
		bytes += le32toh(h->length);
		seal(h);
	}
}

/* The bytes from @from to @to become @n others, or none if there is no room. */
static bool replace(struct parts *p, size_t from, size_t to, const void *with,
		    size_t n)
{
	static u8 copy[FUZZ_MAX_STREAM];

	if (from > to || to > p->length || n > sizeof(copy) ||
	    p->length - (to - from) + n > p->max)
		return false;
	memcpy(copy, with, n);
	memmove(p->data + from + n, p->data + to, p->length - to);
	memcpy(p->data + from, copy, n);
	p->length += n - (to - from);
	take_apart(p);
	return true;
}

static bool append_section(struct parts *p, u32 type, size_t length)
{
	struct {
		struct vfio_mig_section_header header;
		u8 payload[2048];
	} s = { .header.type = htole32(type), .header.length = htole32(length) };
	size_t end = p->at[p->nr];
	size_t i;

	s.header.object = htole64(rng(4));
	if (type != VFIO_MIG_SECTION_END)
		for (i = 0; i < length; i++)
			s.payload[i] = rng(256);
	return replace(p, end, end, &s, SECTION + length);
}

static void make_good(struct parts *p)
{
	struct vfio_mig_stream_header h = {
		.version = htole32(VFIO_MIG_STREAM_VERSION),
		.length = htole32(HEADER),
		.stream_id = htole64(1 + rng(8)),
		.id = FUZZ_ID,
		.size = htole64(FUZZ_SIZE),
		.device_version = htole32(FUZZ_VERSION - rng(2)),
	};
	unsigned int n = rng(6);

	memcpy(h.magic, VFIO_MIG_STREAM_MAGIC, sizeof(h.magic));
	memcpy(p->data, &h, HEADER);
	p->length = HEADER;
	take_apart(p);
	while (n--)
		append_section(p, rng(FUZZ_NR_TYPES), rng(3) ? rng(900) : 256);
	append_section(p, VFIO_MIG_SECTION_END, sizeof(struct vfio_mig_section_end));
	seal_stream(p->data);
	repair(p);
}

static u64 interesting(u64 old)
{
	static const u64 values[] = {
		0, 1, 2, 3, 31, 32, 33, 55, 56, 255, 256, 257, 4096,
		VFIO_MIG_SECTION_MAX - 1, VFIO_MIG_SECTION_MAX,
		VFIO_MIG_SECTION_MAX + 1, 0x7fffffff, 0x80000000, 0x80000001,
		0xffffffff, 0x100000000ULL, ~0ULL,
	};

	switch (rng(4)) {
	case 0:
		return old + 1 - 2 * rng(2);
	case 1:
		return old ^ 1ULL << rng(64);
	default:
		return values[rng(ARRAY_SIZE(values))];
	}
}

static void change_field(u8 *at, unsigned int size)
{
	u64 value = 0;

	memcpy(&value, at, size);
	value = interesting(value);
	memcpy(at, &value, size);
}

static void mutate_stream_header(struct parts *p)
{
	static const struct { u8 at, size; } fields[] = {
		{ 0, 8 }, { 8, 4 }, { 12, 4 }, { 16, 8 }, { 24, 8 }, { 48, 8 },
		{ 56, 8 }, { 64, 4 }, { 68, 4 }, { 72, 8 }, { 80, 8 }, { 88, 8 },
		{ 112, 8 }, { 120, 8 },
	};
	unsigned int i = rng(ARRAY_SIZE(fields));

	if (p->length < HEADER)
		return;
	change_field(p->data + fields[i].at, fields[i].size);
	if (rng(8))
		seal_stream(p->data);
	if (rng(2))
		repair(p);
}

static void mutate_section_header(struct parts *p)
{
	static const struct { u8 at, size; } fields[] = {
		{ 0, 4 }, { 4, 4 }, { 8, 4 }, { 12, 4 }, { 16, 8 }, { 24, 8 },
		{ 32, 8 }, { 40, 8 }, { 48, 8 },
	};
	unsigned int i = rng(ARRAY_SIZE(fields));
	struct vfio_mig_section_header *h;

	if (!p->nr)
		return;
	h = section(p, rng(p->nr));
	change_field((u8 *)h + fields[i].at, fields[i].size);
	if (rng(8))
		seal_header(h);
}

/* A section that nobody knows, which may be skipped, or else may not. */
static void mutate_kind(struct parts *p)
{
	struct vfio_mig_section_header *h;

	if (!p->nr)
		return;
	h = section(p, rng(p->nr));
	h->type = htole32(rng(2) ? FUZZ_NR_TYPES + rng(3) : interesting(rng(4)));
	h->flags = htole32(rng(4) ? VFIO_MIG_SECTION_OPTIONAL : 0);
	seal_header(h);
	if (rng(2))
		repair(p);
}

static void mutate_payload(struct parts *p)
{
	struct vfio_mig_section_header *h;
	u32 length;

	if (!p->nr)
		return;
	h = section(p, rng(p->nr));
	length = le32toh(h->length);
	if (!length)
		return;
	if (length >= 8 && rng(2))
		change_field((u8 *)(h + 1) + rng(length / 8) * 8, 8);
	else
		((u8 *)(h + 1))[rng(length)] ^= 1 << rng(8);
	if (rng(4))
		seal(h);
}

static void mutate_order(struct parts *p)
{
	unsigned int i = rng(p->nr), j = rng(p->nr + 1);
	size_t n;

	if (!p->nr)
		return;
	n = p->at[i + 1] - p->at[i];
	switch (rng(3)) {
	case 0:		/* once more, somewhere */
		replace(p, p->at[j], p->at[j], section(p, i), n);
		break;
	case 1:		/* not at all */
		replace(p, p->at[i], p->at[i + 1], "", 0);
		break;
	case 2:		/* behind the next */
		if (i + 1 < p->nr &&
		    replace(p, p->at[i + 2], p->at[i + 2], section(p, i), n))
			replace(p, p->at[i], p->at[i + 1], "", 0);
		break;
	}
	if (rng(2))
		repair(p);
}

/* Longer, shorter, or in two. */
static void mutate_length(struct parts *p)
{
	struct vfio_mig_section_header *h, second;
	u8 more[512] = { 0 };
	u32 length, cut;
	size_t at;

	if (!p->nr)
		return;
	h = section(p, rng(p->nr));
	length = le32toh(h->length);
	cut = rng(length + 1);
	at = (u8 *)(h + 1) - p->data;
	switch (rng(3)) {
	case 0:
		h->length = htole32(cut);
		replace(p, at + cut, at + length, "", 0);
		break;
	case 1:
		cut = 1 + rng(sizeof(more));
		if (replace(p, at + length, at + length, more, cut))
			((struct vfio_mig_section_header *)(p->data + at) - 1)->length =
				htole32(length + cut);
		break;
	case 2:
		second = *h;
		second.length = htole32(length - cut);
		if (p->length + SECTION > p->max)
			return;
		h->length = htole32(cut);
		replace(p, at + cut, at + cut, &second, SECTION);
		break;
	}
	take_apart(p);
	if (rng(8))
		repair(p);
}

static void mutate_ends(struct parts *p)
{
	struct vfio_mig_section_end *end;
	u8 more[64];
	size_t i;

	switch (rng(4)) {
	case 0:
		p->length = rng(p->length + 1);
		break;
	case 1:
		for (i = 0; i < sizeof(more); i++)
			more[i] = rng(256);
		replace(p, p->length, p->length, more, 1 + rng(sizeof(more)));
		break;
	default:
		if (!p->nr || le32toh(section(p, p->nr - 1)->length) < sizeof(*end))
			return;
		end = (void *)(section(p, p->nr - 1) + 1);
		change_field((u8 *)end + 8 * rng(4), 8);
		seal(section(p, p->nr - 1));
		break;
	}
}

static void mutate_more(struct parts *p)
{
	static const u32 types[] = { 0, 1, 2, VFIO_MIG_SECTION_END };
	u32 type = types[rng(4)];

	append_section(p, type, type == VFIO_MIG_SECTION_END ?
		       sizeof(struct vfio_mig_section_end) : rng(2048));
	mutate_order(p);
	if (rng(4))
		repair(p);
}

static void mutate_plan(struct fuzz_plan *plan)
{
	u8 *byte = (u8 *)plan + rng(sizeof(*plan));

	switch (rng(5)) {
	case 0:
		*byte = 0;
		break;
	case 4:		/* what needs several of them to happen */
		plan->how |= FUZZ_SIGNALS | (rng(2) ? FUZZ_ASK : 0);
		plan->how &= ~(FUZZ_EAGER | FUZZ_AFTER);
		plan->reset = 1 + rng(24);
		break;
	case 1:
		*byte ^= 1 << rng(8);
		break;
	case 2:
		*byte = rng(256);
		break;
	case 3:
		memset(plan->segments, 0xff, sizeof(plan->segments));
		break;
	}
}

static void mutate_any(struct parts *p)
{
	p->length = LLVMFuzzerMutate(p->data, p->length, p->max);
}

static void mutate(struct fuzz_plan *plan, struct parts *p)
{
	static void (*const kinds[])(struct parts *) = {
		mutate_stream_header, mutate_section_header, mutate_kind,
		mutate_payload, mutate_order, mutate_length, mutate_ends,
		mutate_more, mutate_any, repair, mutate_section_header,
	};
	unsigned int i = rng(ARRAY_SIZE(kinds) + 3);

	take_apart(p);
	if (i < ARRAY_SIZE(kinds))
		kinds[i](p);
	else
		mutate_plan(plan);
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	struct fuzz_plan *plan = (void *)data;
	struct parts p = {
		.data = data + sizeof(*plan),
		.max = max_size - sizeof(*plan),
	};
	unsigned int n;

	count_mutation();
	rng_state = seed;
	if (max_size < 4096)
		return LLVMFuzzerMutate(data, size, max_size);
	if (size < sizeof(*plan) + 8 || !rng(500)) {
		memset(plan, 0, sizeof(*plan));
		plan->window = rng(64);
		memset(plan->segments, 0xff, sizeof(plan->segments));
		make_good(&p);
		return sizeof(*plan) + p.length;
	}
	p.length = size - sizeof(*plan);
	for (n = 1 + rng(3); n; n--)
		mutate(plan, &p);
	return sizeof(*plan) + p.length;
}

/* Sections of one stream in the middle of another. */
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2,
				 size_t size2, u8 *out, size_t max_size,
				 unsigned int seed)
{
	const size_t skip = sizeof(struct fuzz_plan);
	struct parts p = { .data = out + skip, .max = max_size - skip };
	struct parts q = { .data = (u8 *)data2 + skip };
	unsigned int i, j;

	rng_state = seed;
	count_mutation();
	if (size1 < skip || size2 < skip || size1 > max_size)
		return 0;
	memcpy(out, data1, size1);
	p.length = size1 - skip;
	q.length = size2 - skip;
	take_apart(&p);
	take_apart(&q);
	if (!p.nr || !q.nr)
		return size1;
	i = rng(q.nr);
	j = rng(p.nr + 1);
	replace(&p, p.at[j], p.at[j], section(&q, i), q.at[i + 1] - q.at[i]);
	if (rng(2))
		repair(&p);
	return skip + p.length;
}

/* What was sealed before is sealed after it was numbered anew. */
static void renumber(struct parts *p, unsigned int from, unsigned int by, u64 bytes)
{
	struct vfio_mig_section_header *h;
	struct vfio_mig_section_end *end;
	bool good, good_payload;

	for (; from < p->nr; from++) {
		h = section(p, from);
		good = le64toh(h->sum) == XXH64(h, SECTION - 8, 0);
		good_payload = le64toh(h->payload_sum) ==
			       XXH64(h + 1, le32toh(h->length), 0);
		h->sequence = htole64(le64toh(h->sequence) + by);
		if (le32toh(h->type) == VFIO_MIG_SECTION_END &&
		    le32toh(h->length) == sizeof(*end) && good_payload) {
			end = (void *)(h + 1);
			end->sections = htole64(le64toh(end->sections) + by);
			end->bytes = htole64(le64toh(end->bytes) + bytes);
			h->payload_sum = htole64(XXH64(end, sizeof(*end), 0));
		}
		if (good)
			seal_header(h);
	}
}

/* The stream of an input: long ones are too long to keep, so they are made here. */
size_t fuzz_expand(const struct fuzz_plan *plan, const u8 *stream, size_t length,
		   u8 *to, size_t size)
{
	struct parts p = { .data = to, .max = size };
	/* Seldom many: long streams take long. */
	unsigned int n = plan->repeat == 0xff ? 200 : plan->repeat >> 5;
	unsigned int i;
	size_t one;

	p.length = min(length, size / 2);
	memcpy(to, stream, p.length);
	if (!n || p.length < HEADER)
		return p.length;
	take_apart(&p);
	if (p.nr < 2)
		return p.length;
	one = p.at[1] - p.at[0];
	n = min((size_t)n, (p.max - p.length) / one);
	memmove(to + p.at[1] + n * one, to + p.at[1], p.length - p.at[1]);
	for (i = 1; i <= n; i++) {
		memcpy(to + p.at[0] + i * one, to + p.at[0], one);
		section(&p, 0)->sequence = 0;
	}
	p.length += n * one;
	/* Each of the copies is one further on. */
	for (i = 1; i <= n; i++) {
		struct parts copy = { .data = to, .nr = 1, .at = { p.at[0] + i * one } };

		renumber(&copy, 0, i, 0);
	}
	one -= SECTION;
	for (i = 0; i + 1 < p.nr; i++)
		p.at[i] = p.at[i + 1] + n * (one + SECTION);
	p.nr--;
	renumber(&p, 0, n, n * one);
	return p.length;
}
