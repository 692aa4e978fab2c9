/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-migrate decode: decode.c reads and judges, decode_out.c tells. What was
 * told is forgotten, so that a stream of any length takes the same memory.
 */
#ifndef VFIO_MIGRATE_DECODE_H
#define VFIO_MIGRATE_DECODE_H

#include <linux/vfio_migration.h>

#include "migrate.h"

/* The first thing that a receiver would object to. */
struct fault {
	int err;		/* 0: nothing */
	uint64_t offset;	/* as in VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR */
	char reason[160];
};

enum sum {
	SUM_UNKNOWN,		/* cut off, or not to be read */
	SUM_RIGHT,
	SUM_WRONG,
};

struct decoded_header {
	struct vfio_mig_stream_header h;
	enum sum sum;
	struct fault fault;
};

struct decoded_section {
	struct vfio_mig_section_header h;
	uint64_t offset;
	enum sum header;
	enum sum payload;
	struct vfio_mig_section_end end;	/* if it is one */
	struct fault fault;
};

struct decode {
	const char *name;
	FILE *in;
	int error;		/* errno of reading */
	uint64_t offset;	/* bytes taken so far */
	uint64_t stream_id;
	uint64_t due;		/* sequence number to come */
	uint64_t sections;	/* seen so far */
	uint64_t bytes;		/* of their payloads */
	bool ended;		/* the end section has come */
	uint64_t faults;
	struct fault first;
	const struct options *opt;
	FILE *json;
	struct outfile out;
	bool table;
	bool listed;		/* a section was told of */
	unsigned char payload[VFIO_MIG_SECTION_MAX];
};

/* decode_out.c */
int decode_out_open(struct decode *d);
void decode_out_header(struct decode *d, const struct decoded_header *header);
void decode_out_section(struct decode *d, const struct decoded_section *s);
int decode_out_verdict(struct decode *d);

#endif /* VFIO_MIGRATE_DECODE_H */
