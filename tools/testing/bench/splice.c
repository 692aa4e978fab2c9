// SPDX-License-Identifier: GPL-2.0-only
/*
 * splice_prepared and splice_stream: a data fd into a pipe into /dev/null, against a
 * memfd the same way
 */
#include <fcntl.h>
#include <unistd.h>

#include "bench.h"

struct context {
	struct vfm_device *dev;
	int memfd;
	int pipe[2];
	int null;
	uint64_t length;
};

static void context_init(struct context *c, uint64_t window)
{
	void *buffer = buffer_new(BUFFER_SIZE);

	c->memfd = memfd_new(STATE_SIZE);
	c->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	VFIO_ASSERT_GE(c->null, 0);
	VFIO_ASSERT_EQ(pipe_new(c->pipe), 0);
	c->dev = device_new(MIGSIM_SNAPSHOT, STATE_SIZE, window);
	c->length = save_length(c->dev, buffer);
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
	bytes = splice_all(fd, c->pipe, c->null);
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
	bytes = splice_all(fd, c->pipe, c->null);
	sample_end(sample, bytes);
	end_save(c, fd, bytes);
}

static void memfd(void *context, struct sample *sample)
{
	struct context *c = context;
	uint64_t bytes;

	VFIO_ASSERT_EQ(lseek(c->memfd, 0, SEEK_SET), 0);
	sample_begin(sample);
	bytes = splice_all(c->memfd, c->pipe, c->null);
	sample_end(sample, bytes);
	VFIO_ASSERT_EQ(bytes, STATE_SIZE);
}

static const struct figure prepared_figure = {
	.key = "splice_prepared",
	.ours = "splice() of a session whose window holds the whole state, from the moment that it is all queued, to a pipe and on to /dev/null",
	.other = "splice() of a memfd of that size, the same way",
	.not_for = "any transfer of data: nobody touches a byte, it is the rate at which references to pages go round",
	.goal = 1.0,
};

static const struct figure stream_figure = {
	.key = "splice_stream",
	.ours = "splice() with the default window, from SET_STATE(STOP_COPY) to the end of the stream, with checksums",
	.other = "splice() of a memfd of that size, the same way",
	.not_for = "what zero copy is worth to a sender: the other side has no checksum to compute, so the ratio mostly tells the checksum's cost",
};

static void bench_splice(const struct figure *figure, side_fn side,
			 uint64_t window)
{
	struct context c;

	context_init(&c, window);
	report_donate(figure, c.dev, side, memfd, &c);
	device_free(c.dev);
}

void bench_splice_prepared(void)
{
	bench_splice(&prepared_figure, prepared, 2 * STATE_SIZE);
}

void bench_splice_stream(void)
{
	bench_splice(&stream_figure, stream, 4 * MIB);
}
