// SPDX-License-Identifier: GPL-2.0-only
/*
 * vs_qemu_mode: eight devices saved by a client like vfio-migrate, against the same
 * eight saved in the order and with the calls of QEMU
 *
 * Ours: a thread for each device makes SET_STATE, all at once, with a barrier between
 * the phases; one io_uring reads. QEMU's: SET_STATE one after the other, for each
 * device in turn blocking reads of 1 MiB; in its multifd form, a blocking thread for
 * each device makes the last SET_STATE and the reads. Threads exist before the clock
 * starts. In User Mode Linux the readers of the multifd form are processes.
 */
#include <unistd.h>

#include <json-c/json.h>
#include <liburing.h>

#include "bench.h"

#define NR	8
#define SIZE	scaled(32 * MIB)

enum { STEP_P2P, STEP_STOP_COPY, STEP_READ };

struct context {
	struct io_uring ring;
	struct vfm_device *dev[NR];
	struct engine_source source[NR];
	struct crew *setters;
	struct crew *readers;
	void *buffer[NR];
	uint64_t *bytes;
};

/* Of a device, to the millisecond as slow hardware is. */
struct latencies {
	unsigned int p2p_us;
	unsigned int stop_us;
	unsigned int save_us;
};

static const struct latencies slow = { 5000, 10000, 20000 };

static void set(void *context, unsigned int i, unsigned int step)
{
	struct context *c = context;

	if (step == STEP_P2P)
		vfm_set_state_nofd(c->dev[i], VFM_RUNNING_P2P);
	else
		c->source[i].fd = vfm_set_state(c->dev[i], VFM_STOP_COPY);
}

static void save_one(struct context *c, unsigned int i)
{
	int fd = vfm_set_state(c->dev[i], VFM_STOP_COPY);

	c->bytes[i] = read_all(fd, c->buffer[i], BUFFER_SIZE);
	close(fd);
}

static void read_one(void *context, unsigned int i, unsigned int step)
{
	save_one(context, i);
}

static void finish(struct context *c)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		VFIO_ASSERT_GT(c->bytes[i], SIZE);
		c->bytes[i] = 0;
		vfm_set_state_nofd(c->dev[i], VFM_RUNNING);
	}
}

static void ours(void *context, struct sample *sample)
{
	struct context *c = context;
	unsigned int i;

	sample_begin(sample);
	crew_step(c->setters, STEP_P2P);
	crew_step(c->setters, STEP_STOP_COPY);
	engine_drain(&c->ring, c->source, NR, NULL, NULL);
	sample_end(sample, NR * SIZE);
	for (i = 0; i < NR; i++) {
		c->bytes[i] = c->source[i].bytes;
		close(c->source[i].fd);
	}
	finish(c);
}

static void stop_serial(struct context *c)
{
	unsigned int i;

	for (i = 0; i < NR; i++)
		vfm_set_state_nofd(c->dev[i], VFM_RUNNING_P2P);
	for (i = 0; i < NR; i++)
		vfm_set_state_nofd(c->dev[i], VFM_STOP);
}

static void serial(void *context, struct sample *sample)
{
	struct context *c = context;
	unsigned int i;

	sample_begin(sample);
	stop_serial(c);
	for (i = 0; i < NR; i++)
		save_one(c, i);
	sample_end(sample, NR * SIZE);
	finish(c);
}

static void multifd(void *context, struct sample *sample)
{
	struct context *c = context;

	sample_begin(sample);
	stop_serial(c);
	crew_step(c->readers, STEP_READ);
	sample_end(sample, NR * SIZE);
	sample->cpu.own += crew_cpu(c->readers);
	finish(c);
}

static void set_latencies(struct context *c, const struct latencies *l)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		vfm_close(c->dev[i]);
		vfm_attr_set(c->dev[i], "p2p_latency_us", l->p2p_us);
		vfm_attr_set(c->dev[i], "stop_latency_us", l->stop_us);
		vfm_attr_set(c->dev[i], "save_latency_us", l->save_us);
		vfm_open(c->dev[i]);
	}
}

/* The crews inherit the devices' fds. */
static struct json_object *row(struct context *c, struct outcome *outcome,
			       const char *form, const struct latencies *l,
			       side_fn other)
{
	struct json_object *o;

	set_latencies(c, l);
	c->readers = crew_new(NR, in_uml(), read_one, c);
	c->setters = crew_new(NR, false, set, c);
	measure(outcome, UNIT_GBPS, ours, other, c);
	crew_free(c->setters);
	crew_free(c->readers);
	o = outcome_json(outcome);
	add_text(o, "form", form);
	add_count(o, "p2p_latency_us", l->p2p_us);
	add_count(o, "stop_latency_us", l->stop_us);
	add_count(o, "save_latency_us", l->save_us);
	return o;
}

static const struct figure figure = {
	.key = "vs_qemu_mode",
	.ours = "eight devices of 32 MiB saved at the same time: SET_STATE from a thread each, one io_uring",
	.other = "QEMU's multifd form without latencies: SET_STATE to STOP one after the other, then a blocking reader for each device; all four cases are in rows",
	.not_for = "a comparison with QEMU itself, which also moves the guest's memory; these are its calls in its order",
};

void bench_vs_qemu_mode(void)
{
	static const struct latencies none;
	struct context *c = vfm_zalloc(sizeof(*c));
	struct json_object *more = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	struct outcome outcome, headline;
	unsigned int i;

	engine_init(&c->ring, NR);
	c->bytes = shared_new(NR * sizeof(*c->bytes));
	for (i = 0; i < NR; i++) {
		c->buffer[i] = buffer_new(BUFFER_SIZE);
		c->dev[i] = device_new(MIGSIM_SNAPSHOT, SIZE, 4 * MIB);
		c->source[i].buffer = c->buffer[i];
		c->source[i].chunk = BUFFER_SIZE;
	}
	json_object_array_add(rows, row(c, &outcome, "serial", &none, serial));
	json_object_array_add(rows, row(c, &headline, "multifd", &none, multifd));
	json_object_array_add(rows, row(c, &outcome, "serial", &slow, serial));
	json_object_array_add(rows, row(c, &outcome, "multifd", &slow, multifd));
	json_object_object_add(more, "rows", rows);
	report(&figure, &headline, more);
	io_uring_queue_exit(&c->ring);
	for (i = 0; i < NR; i++)
		device_free(c->dev[i]);
	free(c);
}
