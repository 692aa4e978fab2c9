// SPDX-License-Identifier: GPL-2.0-only
/*
 * B9, "at the earliest point where it is known": a blocking write that brings the
 * end of the stream tells whether the stream was taken. Whatever else ends the wait
 * leaves the bytes accepted.
 */
#include <fcntl.h>

#include <libvfio_migration.h>

FIXTURE(last_write) {
	struct vfm_device *src;
	struct vfm_device *dst;
	struct vfm_buf stream;
	struct vfm_thread writer;
	int pipe[2];
	int fd;
};

static void save(FIXTURE_DATA(last_write) *self)
{
	int fd;

	self->stream.len = 0;
	fd = vfm_enter(self->src, VFM_STOP_COPY);
	vfm_drain(fd, &self->stream, NULL);
	close(fd);
}

FIXTURE_SETUP(last_write)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->pipe[0] = -1;
	self->pipe[1] = -1;
	self->src = vfm_create(MIGSIM_FULL);
	self->dst = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->src, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->dst, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->src, "verify", 1);
	vfm_open(self->src);
	vfm_open(self->dst);
	save(self);
	self->fd = vfm_enter(self->dst, VFM_RESUMING);
}

FIXTURE_TEARDOWN(last_write)
{
	close(self->fd);
	close(self->pipe[0]);
	close(self->pipe[1]);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->src);
	vfm_destroy(self->dst);
}

static void rule(struct vfm_device *dev, const char *rule)
{
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0);
}

/* Not before it was reached, or the next release would be the one that counts. */
static void release(struct vfm_device *dev)
{
	VFM_WAIT(vfm_rule_fired(dev, "load_stall"));
	vfm_fault_release(dev);
}

static ssize_t write_all(FIXTURE_DATA(last_write) *self)
{
	return vfm_write(self->fd, self->stream.data, self->stream.len);
}

TEST_F(last_write, tells)
{
	rule(self->dst, "load_fail REGS 1 1 5");
	ASSERT_EQ(-EIO, write_all(self));
	vfm_set_state_err(self->dst, VFM_STOP, EIO);
}

/* A bit that was wrong before there was a checksum: the hash comes last. */
TEST_F(last_write, wrong_bit)
{
	rule(self->src, "save_flip MEMORY 1 1 0");
	vfm_reset(self->src);
	save(self);
	ASSERT_EQ(-EIO, write_all(self));
	vfm_set_state_err(self->dst, VFM_STOP, EIO);
}

TEST_F(last_write, good)
{
	ASSERT_EQ(self->stream.len, write_all(self));
	vfm_set_state_nofd(self->dst, VFM_STOP);
}

/* One byte at a time, so that it really is the last one. */
TEST_F(last_write, and_no_other)
{
	size_t i;

	rule(self->dst, "load_fail REGS 1 1 5");
	rule(self->dst, "load_stall CONFIG 1 1 0");
	for (i = 0; i < self->stream.len - 1; i++)
		ASSERT_EQ(1, vfm_write(self->fd, self->stream.data + i, 1));
	release(self->dst);
	ASSERT_EQ(-EIO, vfm_write(self->fd, self->stream.data + i, 1));
}

static void fill_pipe(FIXTURE_DATA(last_write) *self)
{
	ssize_t len = self->stream.len;

	VFIO_ASSERT_EQ(pipe(self->pipe), 0);
	VFIO_ASSERT_GE(fcntl(self->pipe[1], F_SETPIPE_SZ, 1 << 20), len);
	VFIO_ASSERT_EQ(write(self->pipe[1], self->stream.data, len), len);
}

static long splice_all(void *arg)
{
	FIXTURE_DATA(last_write) *self = arg;
	ssize_t n = splice(self->pipe[0], NULL, self->fd, NULL, self->stream.len, 0);

	return n < 0 ? -errno : n;
}

TEST_F(last_write, splice_tells)
{
	rule(self->dst, "load_fail REGS 1 1 5");
	fill_pipe(self);
	ASSERT_EQ(-EIO, splice_all(self));
}

/* The pipe is empty then: who were told EINTR would take the bytes for lost. */
TEST_F(last_write, splice_signal)
{
	rule(self->dst, "load_stall REGS 1 1 0");
	fill_pipe(self);
	vfm_thread_start(&self->writer, splice_all, self);
	vfm_assert_blocked(&self->writer);
	vfm_thread_signal(&self->writer);
	ASSERT_EQ(self->stream.len, vfm_thread_join(&self->writer));
	release(self->dst);
	vfm_set_state_nofd(self->dst, VFM_STOP);
}

TEST_F(last_write, not_if_it_may_not_block)
{
	rule(self->dst, "load_stall REGS 1 1 0");
	rule(self->dst, "load_fail REGS 1 1 5");
	ASSERT_EQ(0, fcntl(self->fd, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(self->stream.len, write_all(self));
	release(self->dst);
	vfm_set_state_err(self->dst, VFM_STOP, EIO);
}

/* The writer waits, with all its bytes accepted. */
static void wait_for_verdict(FIXTURE_DATA(last_write) *self, struct vfm_io *io)
{
	rule(self->dst, "load_stall REGS 1 1 0");
	*io = (struct vfm_io) { self->fd, self->stream.data, self->stream.len };
	vfm_thread_start(&self->writer, vfm_thread_write, io);
	vfm_assert_blocked(&self->writer);
}

TEST_F(last_write, signal)
{
	struct vfm_io io;

	wait_for_verdict(self, &io);
	vfm_thread_signal(&self->writer);
	ASSERT_EQ(self->stream.len, vfm_thread_join(&self->writer));
	release(self->dst);
	vfm_set_state_nofd(self->dst, VFM_STOP);
}

TEST_F(last_write, reset)
{
	struct vfm_io io;

	wait_for_verdict(self, &io);
	vfm_reset(self->dst);
	ASSERT_EQ(self->stream.len, vfm_thread_join(&self->writer));
}

TEST_F(last_write, device_closed)
{
	struct vfm_io io;

	wait_for_verdict(self, &io);
	vfm_close(self->dst);
	ASSERT_EQ(self->stream.len, vfm_thread_join(&self->writer));
}

/* SET waits for the same, and both come to know. */
TEST_F(last_write, judged_meanwhile)
{
	struct vfm_set set = { .dev = self->dst, .state = VFM_STOP };
	struct vfm_thread setter;
	struct vfm_io io;

	rule(self->dst, "load_fail REGS 2 1 5");
	wait_for_verdict(self, &io);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	vfm_assert_blocked(&setter);
	release(self->dst);
	ASSERT_EQ(-EIO, vfm_thread_join(&self->writer));
	ASSERT_EQ(-EIO, vfm_thread_join(&setter));
	vfm_assert_state(self->dst, VFM_ERROR);
}

/* A second writer learns the same as the first one, and takes no turn of it. */
TEST_F(last_write, another_writer)
{
	struct vfm_io io;

	wait_for_verdict(self, &io);
	ASSERT_EQ(-E2BIG, vfm_write(self->fd, "x", 1));
	ASSERT_EQ(-E2BIG, vfm_thread_join(&self->writer));
}

TEST_HARNESS_MAIN
