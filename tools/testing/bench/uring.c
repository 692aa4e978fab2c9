// SPDX-License-Identifier: GPL-2.0-only
/*
 * uring_256: 256 sessions with small windows on one io_uring, against one session
 *
 * All reads go to the same buffer on both sides: it is the sessions that are
 * compared, not how much memory a client wants to keep. The clock starts before the
 * first SET_STATE, so that no window is filled for nothing. In a round of its own,
 * which is not timed, the sessions' memory is added up while they are read, and
 * io_uring's requests that went to a thread are counted; in another one that they are
 * counted is tried, with sessions that can not do without a thread.
 *
 * All sessions are open and have their windows full, but how many reads are under way is
 * the client's choice, and it matters: with one of each, whatever is read has waited for
 * as long as all other windows took, and has left the cache. That is what is asked for,
 * and the figure; with fewer, it is in rows.
 */
#include <unistd.h>

#include <json-c/json.h>
#include <liburing.h>
#include <linux/vfio_migration.h>

#include "bench.h"

#define NR		256
#define CONTROL_NR	8
/* Reads under way. */
static const unsigned int under_way[] = { NR, 64, 16 };
#define CASES		ARRAY_SIZE(under_way)
#define MANY_SIZE	scaled(8 * MIB)

struct context {
	struct io_uring ring[CASES];
	struct io_uring *used;
	struct vfm_device *many[NR];
	struct engine_source source[NR];
	struct vfm_device *one;
	void *buffer;
	uint64_t windows;
	uint64_t held;
	unsigned int watched;
	unsigned int iowq;
	unsigned int iowq_control;
};

static void begin_save(struct context *c, unsigned int i,
		       struct vfm_device *dev)
{
	c->source[i] = (struct engine_source) {
		.fd = vfm_set_state(dev, VFM_STOP_COPY),
		.buffer = c->buffer,
		.chunk = BUFFER_SIZE,
	};
}

static void end_save(struct context *c, unsigned int i, struct vfm_device *dev,
		     uint64_t size)
{
	VFIO_ASSERT_GT(c->source[i].bytes, size);
	close(c->source[i].fd);
	vfm_set_state_nofd(dev, VFM_RUNNING);
}

static void begin_many(struct context *c)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		begin_save(c, i, c->many[i]);
}

static void end_many(struct context *c)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		end_save(c, i, c->many[i], MANY_SIZE);
}

static void many(void *context, struct sample *sample)
{
	struct context *c = context;

	sample_begin(sample);
	begin_many(c);
	engine_drain(c->used, c->source, NR, NULL, NULL);
	sample_end(sample, NR * MANY_SIZE);
	end_many(c);
}

static void one(void *context, struct sample *sample)
{
	struct context *c = context;

	sample_begin(sample);
	begin_save(c, 0, c->one);
	engine_drain(c->used, c->source, 1, NULL, NULL);
	sample_end(sample, NR * MANY_SIZE);
	end_save(c, 0, c->one, NR * MANY_SIZE);
}

static void watch(void *context)
{
	struct context *c = context;
	uint64_t held = 0;
	unsigned int i;

	for (i = 0; i < NR; i++)
		held += vfm_session_holds(c->source[i].fd);
	c->held = held > c->held ? held : c->held;
	c->watched++;
	VFIO_ASSERT_LE(held, c->windows + NR * VFIO_MIG_SECTION_MAX);
}

static void watch_many(struct context *c)
{
	c->used = &c->ring[0];
	iowq_begin();
	begin_many(c);
	engine_drain(c->used, c->source, NR, watch, c);
	c->iowq = iowq_end();
	end_many(c);
}

/* Without FMODE_NOWAIT. Nothing else is left to be measured on these devices. */
static void watch_control(struct context *c)
{
	unsigned int i;

	for (i = 0; i < CONTROL_NR; i++) {
		vfm_close(c->many[i]);
		vfm_attr_set(c->many[i], "nowait", 0);
		vfm_open(c->many[i]);
	}
	iowq_begin();
	for (i = 0; i < CONTROL_NR; i++)
		begin_save(c, i, c->many[i]);
	engine_drain(c->used, c->source, CONTROL_NR, NULL, NULL);
	c->iowq_control = iowq_end();
	for (i = 0; i < CONTROL_NR; i++)
		end_save(c, i, c->many[i], MANY_SIZE);
	VFIO_ASSERT_GT(c->iowq_control, 0, "io-wq is not counted");
}

static struct json_object *memory_and_threads(struct context *c)
{
	struct json_object *o = json_object_new_object();

	watch_many(c);
	watch_control(c);
	if (c->iowq)
		add_text(o, "short_of", "requests that need no thread");
	else if (c->held > c->windows)
		add_text(o, "short_of", "memory within the windows");
	add_count(o, "iowq", c->iowq);
	add_count(o, "iowq_control", c->iowq_control);
	add_count(o, "sessions", NR);
	add_count(o, "control_sessions", CONTROL_NR);
	add_count(o, "windows_bytes", c->windows);
	add_count(o, "held_bytes_max", c->held);
	add_count(o, "held_looked_at", c->watched);
	add_count(o, "state_bytes", NR * MANY_SIZE);
	return o;
}

static const struct figure figure = {
	.key = "uring_256",
	.ours = "256 sessions of 8 MiB with windows of 64, 128, 192 and 256 KiB, read to their ends by one thread with one io_uring and a read of each under way, from the first SET_STATE(STOP_COPY), pages donated",
	.other = "one session of as much, 2 GiB, with the default window of 4 MiB, from SET_STATE(STOP_COPY), read by the same code",
	.not_for = "the speed of a client that keeps the data: all reads here go to one buffer",
	.goal = 0.9,
};

static struct json_object *measure_all(struct context *c, struct outcome *outcome)
{
	struct json_object *rows = json_object_new_array(), *row;
	size_t i;

	for (i = 0; i < CASES; i++) {
		c->used = &c->ring[i];
		measure(&outcome[i], UNIT_GBPS, many, one, c);
		row = outcome_json(&outcome[i]);
		add_count(row, "under_way", under_way[i]);
		json_object_array_add(rows, row);
	}
	return rows;
}

static void context_init(struct context *c)
{
	uint64_t window;
	unsigned int i;

	c->buffer = buffer_new(BUFFER_SIZE);
	for (i = 0; i < CASES; i++)
		engine_init(&c->ring[i], under_way[i]);
	c->one = device_new(MIGSIM_SNAPSHOT, NR * MANY_SIZE, 4 * MIB);
	for (i = 0; i < NR; i++) {
		window = (i % 4 + 1) * 64 * KIB;
		c->many[i] = device_new(MIGSIM_SNAPSHOT, MANY_SIZE, window);
		c->windows += window;
	}
}

static void context_exit(struct context *c)
{
	unsigned int i;

	for (i = 0; i < CASES; i++)
		io_uring_queue_exit(&c->ring[i]);
	for (i = 0; i < NR; i++)
		device_free(c->many[i]);
	device_free(c->one);
	free(c);
}

void bench_uring_256(void)
{
	struct context *c = vfm_zalloc(sizeof(*c));
	struct outcome outcome[CASES];
	struct json_object *rows, *more;

	context_init(c);
	rows = measure_all(c, outcome);
	more = memory_and_threads(c);
	add_count(more, "under_way", under_way[0]);
	json_object_object_add(more, "rows", rows);
	report(&figure, &outcome[0], more);
	context_exit(c);
}
