// SPDX-License-Identifier: GPL-2.0-only
/*
 * async_styles: three ways to read many data fds, at 1, 8 and 64 devices
 *
 * One io_uring; epoll with O_NONBLOCK; a blocking worker for each device, which is a
 * thread, and in User Mode Linux a process. The devices are in STOP_COPY before the
 * clock starts. System calls are counted where they are made; context switches are
 * those of the client, and beside them those of the whole machine, in which the
 * kernel's workers are.
 */
#include <sys/epoll.h>
#include <unistd.h>

#include <json-c/json.h>
#include <liburing.h>

#include "bench.h"

#define MAX_NR	64
#define TOTAL	scaled(512 * MIB)
#define WINDOW	(1 * MIB)

enum style { STYLE_URING, STYLE_EPOLL, STYLE_BLOCKING, STYLE_NR };

static const char * const style_names[STYLE_NR] = {
	[STYLE_URING] = "io_uring",
	[STYLE_EPOLL] = "epoll",
	[STYLE_BLOCKING] = "blocking",
};

struct counts {
	uint64_t calls;
	uint64_t switches;
	uint64_t machine;
};

struct context {
	struct io_uring ring;
	int epoll;
	unsigned int nr;
	struct vfm_device *dev[MAX_NR];
	struct engine_source source[MAX_NR];
	void *buffer[MAX_NR];
	uint64_t *calls;	/* of the workers */
	uint64_t *bytes;
	struct counts counts[STYLE_NR];
};

static uint64_t size_each(const struct context *c)
{
	return TOTAL / c->nr;
}

static uint64_t drain_uring(struct context *c)
{
	uint64_t calls = engine_drain(&c->ring, c->source, c->nr, NULL, NULL);
	unsigned int i;

	for (i = 0; i < c->nr; i++)
		c->bytes[i] = c->source[i].bytes;
	return calls;
}

/* Return: whether there is nothing more to come. */
static bool read_ready(struct context *c, unsigned int i, uint64_t *calls)
{
	ssize_t n;

	do {
		n = read(c->source[i].fd, c->buffer[i], BUFFER_SIZE);
		++*calls;
		if (n > 0)
			c->bytes[i] += n;
	} while (n > 0);
	VFIO_ASSERT_TRUE(!n || errno == EAGAIN, "read: %s", strerror(errno));
	return !n;
}

static uint64_t drain_epoll(struct context *c)
{
	struct epoll_event events[MAX_NR];
	unsigned int left = c->nr;
	uint64_t calls = 0;
	int i, n;

	while (left) {
		n = epoll_wait(c->epoll, events, MAX_NR, -1);
		calls++;
		for (i = 0; i < n; i++) {
			if (!read_ready(c, events[i].data.u32, &calls))
				continue;
			left--;
			epoll_ctl(c->epoll, EPOLL_CTL_DEL,
				  c->source[events[i].data.u32].fd, NULL);
			calls++;
		}
	}
	return calls;
}

static void read_blocking(void *context, unsigned int i, unsigned int step)
{
	struct context *c = context;
	ssize_t n;

	do {
		n = read(c->source[i].fd, c->buffer[i], BUFFER_SIZE);
		c->calls[i]++;
		if (n > 0)
			c->bytes[i] += n;
	} while (n > 0);
	VFIO_ASSERT_EQ(n, 0, "read: %s", strerror(errno));
}

static void begin_saves(struct context *c, enum style style)
{
	struct epoll_event event = { .events = EPOLLIN };
	unsigned int i;

	for (i = 0; i < c->nr; i++) {
		c->bytes[i] = 0;
		c->calls[i] = 0;
		c->source[i].fd = vfm_set_state(c->dev[i], VFM_STOP_COPY);
		c->source[i].buffer = c->buffer[i];
		c->source[i].chunk = BUFFER_SIZE;
		if (style != STYLE_EPOLL)
			continue;
		vfm_nonblock(c->source[i].fd, true);
		event.data.u32 = i;
		VFIO_ASSERT_EQ(epoll_ctl(c->epoll, EPOLL_CTL_ADD,
					 c->source[i].fd, &event), 0);
	}
}

static void end_saves(struct context *c)
{
	unsigned int i;

	for (i = 0; i < c->nr; i++) {
		VFIO_ASSERT_GT(c->bytes[i], size_each(c));
		close(c->source[i].fd);
		vfm_set_state_nofd(c->dev[i], VFM_RUNNING);
	}
}

static void drain(struct context *c, enum style style, struct crew *crew,
		  struct counts *counts)
{
	unsigned int i;

	switch (style) {
	case STYLE_URING:
		counts->calls += drain_uring(c);
		return;
	case STYLE_EPOLL:
		counts->calls += drain_epoll(c);
		return;
	default:
		crew_step(crew, 0);
	}
	for (i = 0; i < c->nr; i++)
		counts->calls += c->calls[i];
}

/* Workers are made when their data fd is there, which they inherit. */
static void save(struct context *c, enum style style, struct sample *sample)
{
	struct counts *counts = &c->counts[style];
	struct crew *crew = NULL;

	begin_saves(c, style);
	if (style == STYLE_BLOCKING)
		crew = crew_new(c->nr, in_uml(), read_blocking, c);
	counts->switches -= switches_now();
	counts->machine -= machine_switches_now();
	sample_begin(sample);
	drain(c, style, crew, counts);
	sample_end(sample, TOTAL);
	counts->machine += machine_switches_now();
	counts->switches += switches_now();
	if (crew) {
		counts->switches += crew_switches(crew);
		sample->cpu.own += crew_cpu(crew);
		crew_free(crew);
	}
	end_saves(c);
}

static double per_gib(double amount)
{
	return amount / rounds / ((double)TOTAL / GIB);
}

/* The ratio of a row is to io_uring, round by round. */
static struct json_object *row(struct context *c, enum style style,
			       const struct series all[STYLE_NR])
{
	const struct outcome outcome = {
		.ours = all[style],
		.other = all[STYLE_URING],
		.rounds = rounds,
		.unit = UNIT_GBPS,
	};
	const struct series *series = &outcome.ours;
	const struct counts *counts = &c->counts[style];
	struct json_object *o = outcome_json(&outcome);

	add_count(o, "devices", c->nr);
	add_text(o, "style", style_names[style]);
	add_spread(o, &outcome);
	add_number(o, "cpu_s_per_gib", per_gib((series->cpu.own +
						series->cpu.workers) / 1e9));
	add_number(o, "client_cpu_s_per_gib", per_gib(series->cpu.own / 1e9));
	add_number(o, "syscalls_per_gib", per_gib(counts->calls));
	add_number(o, "switches_per_gib", per_gib(counts->switches));
	add_number(o, "machine_switches_per_gib", per_gib(counts->machine));
	return o;
}

static void measure_styles(struct context *c, struct series *series,
			   struct json_object *rows)
{
	struct sample sample;
	unsigned int i, style;

	for (style = 0; style < STYLE_NR; style++)
		save(c, style, &sample);
	memset(c->counts, 0, sizeof(c->counts));
	for (i = 0; i < rounds; i++) {
		for (style = 0; style < STYLE_NR; style++) {
			save(c, style, &sample);
			sample_add(&series[style], UNIT_GBPS, i, &sample);
		}
	}
	for (style = 0; style < STYLE_NR; style++)
		json_object_array_add(rows, row(c, style, series));
}

static void measure_nr(struct context *c, unsigned int nr,
		       struct outcome *outcome, struct json_object *rows)
{
	struct series series[STYLE_NR] = { 0 };
	unsigned int i;

	c->nr = nr;
	for (i = 0; i < nr; i++)
		c->dev[i] = device_new(MIGSIM_SNAPSHOT, size_each(c), WINDOW);
	measure_styles(c, series, rows);
	for (i = 0; i < nr; i++)
		device_free(c->dev[i]);
	outcome->ours = series[STYLE_URING];
	outcome->other = series[STYLE_BLOCKING];
}

static const struct figure figure = {
	.key = "async_styles",
	.ours = "one io_uring at 64 devices; all styles and numbers are in rows, each against io_uring; pages donated",
	.other = "a blocking worker for each of the 64 devices",
	.not_for = "a time from SET_STATE: what is in the windows of 1 MiB when the clock starts, at 64 devices up to an eighth of all, is in no style's time; nor for the number of CPUs that a client should use: this machine has few, and workers of the kernel compete for them; in User Mode Linux the price of a system call is ten to forty times a real one's",
};

void bench_async_styles(void)
{
	static const unsigned int numbers[] = { 1, 8, 64 };
	struct context *c = vfm_zalloc(sizeof(*c));
	struct json_object *more = json_object_new_object();
	struct json_object *rows = json_object_new_array();
	struct outcome outcome = { .unit = UNIT_GBPS, .rounds = rounds };
	size_t i;

	engine_init(&c->ring, MAX_NR);
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	VFIO_ASSERT_GE(c->epoll, 0);
	c->calls = shared_new(MAX_NR * sizeof(*c->calls));
	c->bytes = shared_new(MAX_NR * sizeof(*c->bytes));
	for (i = 0; i < MAX_NR; i++)
		c->buffer[i] = buffer_new(BUFFER_SIZE);
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		measure_nr(c, numbers[i], &outcome, rows);
	json_object_object_add(more, "rows", rows);
	report(&figure, &outcome, more);
	io_uring_queue_exit(&c->ring);
	free(c);
}
