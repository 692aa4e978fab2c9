/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-mig-bench: figures, each the ratio of two things done by turns
 *
 * A subject is one file with one function, which measures one figure and hands it to
 * report(). It runs in a process of its own: what it asserts ends it, and the others
 * go on.
 *
 * A figure is measured by measure(): both sides once without being counted, then by
 * turns for as many rounds as were asked for. Each side marks what is timed with
 * sample_begin() and sample_end(); what has to be set up and checked is outside.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libvfio/migration.h>
#include <libvfio/migsim.h>

#define KIB		1024ul
#define MIB		(1024ul * KIB)
#define GIB		(1024ul * MIB)
#define MIN_ROUNDS	7
#define MAX_ROUNDS	99

/* What all figures but those of many devices move, and by how much at once. */
#define STATE_SIZE	scaled(256 * MIB)
#define BUFFER_SIZE	(1 * MIB)

/* main.c */
extern unsigned int rounds;
uint64_t scaled(uint64_t size);
const char *environment(void);
bool in_uml(void);

/* measure.c */

/* CPU time of this process and its children, and of the kernel's workers. */
struct cpu {
	uint64_t own;
	uint64_t workers;
};

struct sample {
	uint64_t begin;
	uint64_t end;
	uint64_t ns;
	uint64_t amount;
	struct cpu cpu;
};

enum unit {
	UNIT_GBPS,		/* 10^9 bytes a second */
	UNIT_US,		/* microseconds for one */
	UNIT_BYTES,		/* the amount itself */
};

struct series {
	double value[MAX_ROUNDS];
	uint64_t amount;
	struct cpu cpu;
};

/* @ours and @other, round by round. */
struct outcome {
	struct series ours;
	struct series other;
	unsigned int rounds;
	enum unit unit;
};

typedef void (*side_fn)(void *context, struct sample *sample);

uint64_t now_ns(void);
struct cpu cpu_now(void);
void sample_begin(struct sample *sample);
void sample_stop(struct sample *sample);
void sample_end(struct sample *sample, uint64_t amount);
void sample_add(struct series *series, enum unit unit, unsigned int round,
		const struct sample *sample);
void measure(struct outcome *outcome, enum unit unit, side_fn ours,
	     side_fn other, void *context);
double median(const double *values, unsigned int nr);
uint64_t switches_now(void);
uint64_t machine_switches_now(void);

/* report.c */
struct json_object;

struct figure {
	const char *key;
	const char *ours;
	const char *other;
	const char *not_for;	/* what the figure must not be used for */
	double goal;		/* that the ratio should reach, 0 if none is set */
	double goal_donated;	/* with donated pages, if that is another */
};

struct json_object *outcome_json(const struct outcome *outcome);
void add_spread(struct json_object *object, const struct outcome *outcome);
void add_text(struct json_object *object, const char *key, const char *text);
void add_number(struct json_object *object, const char *key, double number);
void add_count(struct json_object *object, const char *key, uint64_t count);
void add_goal(struct json_object *object, double goal);
void report(const struct figure *figure, const struct outcome *outcome,
	    struct json_object *more);
int report_open(const char *path);

/* donate.c */
void report_donate(const struct figure *figure, struct vfm_device *dev,
		   side_fn ours, side_fn other, void *context);

/* device.c */
struct vfm_device *device_new(const char *type, uint64_t size, uint64_t window);
struct vfm_device *device_classic(uint64_t size);
void device_free(struct vfm_device *dev);
void device_fill(struct vfm_device *dev, uint64_t size, uint64_t salt);
uint64_t device_sum(struct vfm_device *dev, uint64_t size);
void *buffer_new(size_t size);
void *shared_new(size_t size);
int memfd_new(uint64_t size);

/* stream.c: the ways of one data fd */
uint64_t read_all(int fd, void *buffer, size_t chunk);
uint64_t pread_all(int fd, void *buffer, size_t chunk, uint64_t size);
int pipe_new(int fds[2]);
uint64_t splice_all(int fd, const int pipe[2], int null);
uint64_t save_length(struct vfm_device *dev, void *buffer);
void wait_queued(int fd, uint64_t length);

/* engine.c: many data fds on one io_uring */
struct engine_source {
	int fd;
	void *buffer;
	size_t chunk;
	uint64_t bytes;
	int error;
	bool done;
};

struct io_uring;
void engine_init(struct io_uring *ring, unsigned int nr);
uint64_t engine_drain(struct io_uring *ring, struct engine_source *sources,
		      unsigned int nr, void (*watch)(void *context),
		      void *context);

/* trace.c: how often io_uring used a thread of its own */
void iowq_begin(void);
unsigned int iowq_end(void);

/* crew.c: a worker for each device, and all begin a step at once */
struct crew;
typedef void (*crew_fn)(void *context, unsigned int index, unsigned int step);
struct crew *crew_new(unsigned int nr, bool processes, crew_fn fn,
		      void *context);
void crew_step(struct crew *crew, unsigned int step);
uint64_t crew_cpu(const struct crew *crew);
uint64_t crew_switches(const struct crew *crew);
void crew_free(struct crew *crew);

/* one subject each */
void bench_read_prepared(void);
void bench_read_stream(void);
void bench_splice_prepared(void);
void bench_splice_stream(void);
void bench_read_vs_mainline(void);
void bench_save_restore_vs_mainline(void);
void bench_local_move_vs_copy(void);
void bench_uring_256(void);
void bench_vs_qemu_mode(void);
void bench_async_styles(void);
void bench_v1_region(void);
void bench_setstate_vs_noop(void);
void bench_checksum(void);
void bench_checksum_native(void);
void bench_overhead_bytes(void);

#endif /* BENCH_H */
