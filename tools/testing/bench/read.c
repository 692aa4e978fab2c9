// SPDX-License-Identifier: GPL-2.0-only
/* read_prepared and read_stream: read(2) of a data fd against pread(2) of a memfd. */
#include <unistd.h>

#include "bench.h"

struct context {
	struct vfm_device *dev;
	int memfd;
	void *buffer;
	uint64_t length;
};

static void context_init(struct context *c, uint64_t window)
{
	c->buffer = buffer_new(BUFFER_SIZE);
	c->memfd = memfd_new(STATE_SIZE);
	c->dev = device_new(MIGSIM_SNAPSHOT, STATE_SIZE, window);
	c->length = save_length(c->dev, c->buffer);
	VFIO_ASSERT_GT(c->length, STATE_SIZE);
}

static void end_save(struct context *c, int fd, uint64_t bytes)
{
	VFIO_ASSERT_EQ(bytes, c->length);
	close(fd);
	vfm_set_state_nofd(c->dev, VFM_RUNNING);
}

static void prepared(void *context, struct sample *sample)
{
	struct context *c = context;
	int fd = vfm_set_state(c->dev, VFM_STOP_COPY);
	uint64_t bytes;

	wait_queued(fd, c->length);
	sample_begin(sample);
	bytes = read_all(fd, c->buffer, BUFFER_SIZE);
	sample_end(sample, bytes);
	end_save(c, fd, bytes);
}

static void stream(void *context, struct sample *sample)
{
	struct context *c = context;
	uint64_t bytes;
	int fd;

	sample_begin(sample);
	fd = vfm_set_state(c->dev, VFM_STOP_COPY);
	bytes = read_all(fd, c->buffer, BUFFER_SIZE);
	sample_end(sample, bytes);
	end_save(c, fd, bytes);
}

static void memfd(void *context, struct sample *sample)
{
	struct context *c = context;
	uint64_t bytes;

	sample_begin(sample);
	bytes = pread_all(c->memfd, c->buffer, BUFFER_SIZE, STATE_SIZE);
	sample_end(sample, bytes);
}

static const struct figure prepared_figure = {
	.key = "read_prepared",
	.ours = "read() of a session whose window holds the whole state, from the moment that it is all queued",
	.other = "pread() of a memfd of that size",
	.not_for = "the speed of a migration: what the worker did before is not in it; it is the cost of handing bytes over",
	.goal = 0.9,
};

static const struct figure stream_figure = {
	.key = "read_stream",
	.ours = "read() with the default window, from SET_STATE(STOP_COPY) to the end of the stream, with checksums",
	.other = "pread() of a memfd of that size",
	.not_for = "a downtime: a real device makes its state at its own speed; this one has it in memory",
	.goal = 0.5,
	.goal_donated = 0.8,
};

void bench_read_prepared(void)
{
	struct context c;

	context_init(&c, 2 * STATE_SIZE);
	report_donate(&prepared_figure, c.dev, prepared, memfd, &c);
	device_free(c.dev);
}

void bench_read_stream(void)
{
	struct context c;

	context_init(&c, 4 * MIB);
	report_donate(&stream_figure, c.dev, stream, memfd, &c);
	device_free(c.dev);
}
