/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fuzzing the parser of migration streams.
 *
 * An input is a plan, then a stream. The plan says how the stream is written, what
 * the driver does with it, and what comes in between; all of it is in the input, so
 * that an input always does the same.
 */
#ifndef _FUZZ_H
#define _FUZZ_H

#include <shim/file.h>
#include <uapi/linux/vfio_migration.h>

/* Bits of fuzz_plan.how. */
#define FUZZ_NONBLOCK	0x01	/* writes do not wait */
#define FUZZ_EAGER	0x02	/* the worker is faster than the writer */
#define FUZZ_AFTER	0x04	/* it runs after each write, else when it must */
#define FUZZ_SIGNALS	0x08	/* some sleeps end by a signal */
#define FUZZ_FAULTS	0x10	/* some user memory cannot be read */
#define FUZZ_CLOSED	0x20	/* the fd is closed before RESUMING is left */
#define FUZZ_YIELD	0x40	/* others want the worker, too */
#define FUZZ_ASK	0x80	/* leaving RESUMING is tried in between */

/**
 * struct fuzz_plan - the first bytes of an input
 * @how: bits above
 * @window: of the session, in pages, below 64, and one
 * @reset: after how many copies from user memory a reset comes; 0 for never
 * @fail: which allocation fails; 0 for none
 * @repeat: how often more the first section of the stream comes; see fuzz_expand()
 * @segments: how the stream is cut, in turn; see fuzz_segment()
 * @driver: what load() does with each section, in turn; see driver.c
 */
struct fuzz_plan {
	u8 how;
	u8 window;
	u8 reset;
	u8 fail;
	u8 repeat;
	u8 segments[6];
	u8 driver[5];
};

/* Of the device that is loaded. */
#define FUZZ_ID		"fuzz device"
#define FUZZ_SIZE	4096
#define FUZZ_VERSION	3
#define FUZZ_MIN_VERSION 2
#define FUZZ_NR_TYPES	3

/* What load() does with a section at last. */
int fuzz_driver_errno(const struct fuzz_plan *plan, unsigned int nth,
		      size_t length);

/**
 * struct fuzz_fault - something that is wrong with a stream
 * @offset: where that begins
 * @errnos: set of those that name it, empty if nothing is wrong
 */
struct fuzz_fault {
	u64 offset;
	u64 errnos;
};

struct fuzz_section {
	const struct vfio_mig_section_header *header;
	const u8 *payload;
	u64 offset;
	u32 length;
	bool for_driver;
};

#define FUZZ_MAX_STREAM		0x60000
#define FUZZ_MAX_SECTIONS	0x2000

/**
 * struct fuzz_verdict - what has to become of a stream
 * @incoming: what the writer can be told while it writes
 * @content: what is found in a section that is complete before that
 * @nr: sections that are complete
 * @sections: these
 * @ended: the last of them is the end section
 * @longest: payload of a section that may begin
 */
struct fuzz_verdict {
	struct fuzz_fault incoming;
	struct fuzz_fault content;
	unsigned int nr;
	struct fuzz_section sections[FUZZ_MAX_SECTIONS];
	bool ended;
	size_t longest;
};

/* judge.c: by the text of <uapi/linux/vfio_migration.h>, not by the parser's code */
void fuzz_judge(struct fuzz_verdict *verdict, const struct fuzz_plan *plan,
		const u8 *stream, size_t length);
/* False also if @err is none that the text has. */
bool fuzz_fault_is(const struct fuzz_fault *fault, int err);

/* driver.c: a device that is loaded */
struct vfio_mig;
struct vfio_mig_source;

struct fuzz_driver {
	const struct fuzz_plan *plan;
	const struct fuzz_verdict *verdict;
	unsigned int next;	/* of verdict->sections that is to come */
	unsigned int consumed;	/* that it was given and took */
	unsigned int idled;	/* times that it was put off */
	bool wants_kick;
	bool refused;
	struct page *taken[FUZZ_MAX_SECTIONS];
	unsigned int nr_taken;
};

extern struct fuzz_driver fuzz_driver;
int fuzz_load(struct vfio_mig *mig, struct vfio_mig_source *source);
void fuzz_driver_free(void);

/* mutate.c */
size_t fuzz_expand(const struct fuzz_plan *plan, const u8 *stream, size_t length,
		   u8 *to, size_t size);

#endif
