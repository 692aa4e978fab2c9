// SPDX-License-Identifier: GPL-2.0-only
/* What decode prints for people and, with --json, writes for machines. */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "decode.h"

static const char *sum_text(enum sum sum)
{
	return sum == SUM_RIGHT ? "right" : sum == SUM_WRONG ? "WRONG" : "-";
}

static const char *err_name(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "error";
}

/* The id as C would write it: it comes from anybody. */
static const char *id_text(const struct vfio_mig_stream_header *h,
			   char buf[static 4 * sizeof(h->id) + 1])
{
	size_t i, len = sizeof(h->id), n = 0;

	while (len && !h->id[len - 1])
		len--;
	for (i = 0; i < len; i++) {
		unsigned char c = h->id[i];

		if (isprint(c) && c != '\\')
			buf[n++] = c;
		else
			n += sprintf(buf + n, "\\x%02x", c);
	}
	buf[n] = '\0';
	return buf;
}

static void hex(struct json_object *o, const char *key, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
	json_object_object_add(o, key, json_object_new_string(text));
}

static void num(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void sum(struct json_object *o, const char *key, enum sum sum)
{
	json_object_object_add(o, key, sum == SUM_UNKNOWN ? NULL :
			       json_object_new_boolean(sum == SUM_RIGHT));
}

static struct json_object *fault_json(const struct fault *f)
{
	struct json_object *o;

	if (!f->err)
		return NULL;
	o = json_object_new_object();
	num(o, "errno", f->err);
	json_object_object_add(o, "name",
			       json_object_new_string(err_name(f->err)));
	num(o, "offset", f->offset);
	json_object_object_add(o, "reason", json_object_new_string(f->reason));
	return o;
}

/* Puts @o, which it frees, behind @prefix. */
static void put(struct decode *d, const char *prefix, struct json_object *o)
{
	fprintf(d->json, "%s%s", prefix,
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int decode_out_open(struct decode *d)
{
	const char *json = d->opt->json;

	if (json) {
		int ret = outfile_open(&d->out, json);

		if (ret) {
			say("%s: %s", json, strerror(-ret));
			return ret;
		}
		d->json = d->out.f;
		put(d, "{\n\"file\": ", json_object_new_string(d->name));
	}
	d->table = !d->opt->quiet && d->json != stdout;
	return 0;
}

static void header_json(struct decode *d, const struct decoded_header *header,
			const char *id)
{
	const struct vfio_mig_stream_header *h = &header->h;
	struct json_object *o = NULL;

	if (header->sum != SUM_UNKNOWN) {
		o = json_object_new_object();
		num(o, "version", le32toh(h->version));
		num(o, "length", le32toh(h->length));
		hex(o, "stream_id", le64toh(h->stream_id));
		json_object_object_add(o, "id", json_object_new_string(id));
		num(o, "size", le64toh(h->size));
		num(o, "device_version", le32toh(h->device_version));
		hex(o, "features", le64toh(h->features));
		hex(o, "features_optional", le64toh(h->features_optional));
		sum(o, "sum_right", header->sum);
		json_object_object_add(o, "error", fault_json(&header->fault));
	}
	put(d, ",\n\"header\": ", o);
	fputs(",\n\"sections\": [", d->json);
}

void decode_out_header(struct decode *d, const struct decoded_header *header)
{
	const struct vfio_mig_stream_header *h = &header->h;
	char id[4 * sizeof(h->id) + 1];

	id_text(h, id);
	if (d->json)
		header_json(d, header, id);
	if (!d->table || header->sum == SUM_UNKNOWN)
		return;
	printf("format version %u, stream %#018llx\n"
	       "device type %s, version %u, size %llu\n"
	       "features %#llx, optional %#llx\n"
	       "header of %u bytes, checksum %s\n",
	       le32toh(h->version), (unsigned long long)le64toh(h->stream_id),
	       id, le32toh(h->device_version),
	       (unsigned long long)le64toh(h->size),
	       (unsigned long long)le64toh(h->features),
	       (unsigned long long)le64toh(h->features_optional),
	       le32toh(h->length), sum_text(header->sum));
	if (!header->fault.err)
		printf("%12s %8s %10s %-8s %6s %18s %-6s %s\n", "offset",
		       "section", "type", "flags", "length", "object", "header",
		       "payload");
}

/* Whether @s was read and is one; what it says may still be wrong. */
static bool has_totals(const struct decoded_section *s)
{
	return s->payload == SUM_RIGHT &&
	       le32toh(s->h.type) == VFIO_MIG_SECTION_END &&
	       le32toh(s->h.length) == sizeof(s->end);
}

static struct json_object *totals_json(const struct decoded_section *s)
{
	struct json_object *o;

	if (!has_totals(s))
		return NULL;
	o = json_object_new_object();
	num(o, "sections", le64toh(s->end.sections));
	num(o, "bytes", le64toh(s->end.bytes));
	return o;
}

static void section_json(struct decode *d, const struct decoded_section *s)
{
	struct json_object *o = json_object_new_object();
	uint32_t type = le32toh(s->h.type);

	num(o, "offset", s->offset);
	sum(o, "header_sum_right", s->header);
	/* Nothing else in a wrong header is worth telling. */
	if (s->header == SUM_RIGHT) {
		num(o, "sequence", le64toh(s->h.sequence));
		num(o, "type", type);
		json_object_object_add(o, "name", type != VFIO_MIG_SECTION_END ?
				       NULL : json_object_new_string("END"));
		json_object_object_add(o, "optional",
			json_object_new_boolean(le32toh(s->h.flags) &
						VFIO_MIG_SECTION_OPTIONAL));
		num(o, "flags", le32toh(s->h.flags));
		num(o, "length", le32toh(s->h.length));
		num(o, "object", le64toh(s->h.object));
		sum(o, "payload_sum_right", s->payload);
		json_object_object_add(o, "totals", totals_json(s));
	}
	json_object_object_add(o, "error", fault_json(&s->fault));
	put(d, d->listed ? ",\n" : "\n", o);
}

static const char *type_text(uint32_t type, char buf[static 16])
{
	if (type == VFIO_MIG_SECTION_END)
		return "END";
	snprintf(buf, 16, type & VFIO_MIG_SECTION_CORE ? "%#x" : "%u", type);
	return buf;
}

static const char *flags_text(uint32_t flags, char buf[static 16])
{
	if (flags == VFIO_MIG_SECTION_OPTIONAL)
		return "optional";
	snprintf(buf, 16, flags ? "%#x" : "-", flags);
	return buf;
}

static void section_line(const struct decoded_section *s)
{
	char type[16], flags[16];

	printf("%12llu ", (unsigned long long)s->offset);
	if (s->header == SUM_RIGHT)
		printf("%8llu %10s %-8s %6u %#18llx",
		       (unsigned long long)le64toh(s->h.sequence),
		       type_text(le32toh(s->h.type), type),
		       flags_text(le32toh(s->h.flags), flags),
		       le32toh(s->h.length),
		       (unsigned long long)le64toh(s->h.object));
	else
		printf("%8s %10s %-8s %6s %18s", "?", "?", "?", "?", "?");
	printf(" %-6s %s\n", sum_text(s->header), sum_text(s->payload));
	if (has_totals(s))
		printf("%12s totals: %llu sections before it, %llu bytes of payload\n",
		       "", (unsigned long long)le64toh(s->end.sections),
		       (unsigned long long)le64toh(s->end.bytes));
	if (s->fault.err)
		printf("%12s %s: %s\n", "", err_name(s->fault.err),
		       s->fault.reason);
}

void decode_out_section(struct decode *d, const struct decoded_section *s)
{
	if (d->json)
		section_json(d, s);
	d->listed = true;
	if (d->table)
		section_line(s);
}

static void verdict_json(struct decode *d)
{
	fputs("\n]", d->json);
	put(d, ",\n\"sections_read\": ", json_object_new_uint64(d->sections));
	put(d, ",\n\"bytes_read\": ", json_object_new_uint64(d->offset));
	put(d, ",\n\"faults\": ", json_object_new_uint64(d->faults));
	put(d, ",\n\"valid\": ", json_object_new_boolean(!d->faults));
	put(d, ",\n\"error\": ", fault_json(&d->first));
}

/* Return: 0 only for a stream that a receiver takes, and that was told so. */
int decode_out_verdict(struct decode *d)
{
	const struct fault *f = &d->first;
	int ret = f->err ? -f->err : 0;

	if (d->table && !f->err)
		printf("valid: %llu sections, %llu bytes\n",
		       (unsigned long long)d->sections,
		       (unsigned long long)d->offset);
	ret = stdio_flush() ?: ret;
	if (f->err)
		say("%s: %s at byte %llu: %s%s", d->name, err_name(f->err),
		    (unsigned long long)f->offset, f->reason,
		    d->faults > 1 ? "; it is not the only fault" : "");
	if (!d->json)
		return ret;
	verdict_json(d);
	fputs("\n}\n", d->json);
	return outfile_close(&d->out) ?: ret;
}
