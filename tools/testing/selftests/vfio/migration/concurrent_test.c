// SPDX-License-Identifier: GPL-2.0-only
/*
 * Several readers or writers on one data fd, one of them asleep in its own user
 * memory: the others get on or can give up, poll does not promise what it can not
 * keep, and reset, transitions and close never wait for it. A6, B2, B3, B4.
 */
#include <libvfio_migration.h>

FIXTURE(concurrent) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	struct vfm_uffd uffd;
	struct vfm_thread stalled;
	char page[4096];
	char other[4096];
};

FIXTURE_VARIANT(concurrent) {
	const char *type;
};

FIXTURE_VARIANT_ADD(concurrent, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(concurrent, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(concurrent)
{
	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_UFFD(&self->uffd);
	self->dev = vfm_create_small(variant->type);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(concurrent)
{
	vfm_uffd_exit(&self->uffd);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

/* A saving session with bytes queued and a reader asleep in its page. */
static int stall_reader(FIXTURE_DATA(concurrent) *self, struct vfm_io *io)
{
	int fd = vfm_enter(self->dev, VFM_STOP_COPY);

	/* All of the small state: nothing wakes for any other reason later. */
	VFM_WAIT(vfm_fionread(fd) == self->stream.len);
	*io = (struct vfm_io) { fd, self->uffd.page, 128 };
	vfm_thread_start(&self->stalled, vfm_thread_read, io);
	vfm_uffd_wait(&self->uffd);
	return fd;
}

/* A resuming session whose first bytes come from memory that is missing. */
static int stall_writer(FIXTURE_DATA(concurrent) *self, struct vfm_io *io)
{
	int fd = vfm_enter(self->dev, VFM_RESUMING);

	*io = (struct vfm_io) { fd, self->uffd.page, 128 };
	vfm_thread_start(&self->stalled, vfm_thread_write, io);
	vfm_uffd_wait(&self->uffd);
	return fd;
}

TEST_F(concurrent, second_reader)
{
	struct vfm_thread second, poller;
	struct vfm_buf got = { 0 };
	struct vfm_stream stream;
	struct vfm_io io, io2, iop;
	int fd;

	fd = stall_reader(self, &io);
	ASSERT_EQ(-EAGAIN, vfm_read_nowait(fd, self->page, 1));
	vfm_nonblock(fd, true);
	ASSERT_EQ(-EAGAIN, vfm_read(fd, self->page, 1));
	vfm_nonblock(fd, false);
	ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));

	/* One that waits can be called off, and poll waits with it. */
	io2 = (struct vfm_io) { fd, self->page, 100 };
	vfm_thread_start(&second, vfm_thread_read, &io2);
	vfm_assert_blocked(&second);
	vfm_thread_signal(&second);
	ASSERT_EQ(-EINTR, vfm_thread_join(&second));
	iop = (struct vfm_io) { fd, NULL, POLLIN };
	vfm_thread_start(&poller, vfm_thread_poll, &iop);
	vfm_assert_blocked(&poller);

	/* Then one comes after the other, and no byte twice or never. */
	vfm_thread_start(&second, vfm_thread_read, &io2);
	vfm_assert_blocked(&second);
	vfm_uffd_release(&self->uffd, self->other);
	ASSERT_EQ(128, vfm_thread_join(&self->stalled));
	ASSERT_EQ(100, vfm_thread_join(&second));
	ASSERT_EQ(POLLIN, vfm_thread_join(&poller));
	vfm_buf_append(&got, self->uffd.page, 128);
	vfm_buf_append(&got, self->page, 100);
	vfm_drain(fd, &got, NULL);
	vfm_stream_parse(&stream, &got);
	vfm_stream_free(&stream);
	close(fd);
	vfm_buf_free(&got);
}

TEST_F(concurrent, second_writer)
{
	struct vfm_thread second, poller;
	struct vfm_io io, io2, iop;
	int fd;

	fd = stall_writer(self, &io);
	vfm_nonblock(fd, true);
	ASSERT_EQ(-EAGAIN, vfm_write(fd, self->page, 1));
	vfm_nonblock(fd, false);
	ASSERT_EQ(0, vfm_poll(fd, POLLOUT, 0));

	io2 = (struct vfm_io) { fd, self->stream.data + 128, 100 };
	vfm_thread_start(&second, vfm_thread_write, &io2);
	vfm_assert_blocked(&second);
	vfm_thread_signal(&second);
	ASSERT_EQ(-EINTR, vfm_thread_join(&second));
	iop = (struct vfm_io) { fd, NULL, POLLOUT };
	vfm_thread_start(&poller, vfm_thread_poll, &iop);
	vfm_assert_blocked(&poller);

	vfm_thread_start(&second, vfm_thread_write, &io2);
	vfm_assert_blocked(&second);
	memcpy(self->other, self->stream.data, 128);
	vfm_uffd_release(&self->uffd, self->other);
	ASSERT_EQ(128, vfm_thread_join(&self->stalled));
	ASSERT_EQ(100, vfm_thread_join(&second));
	ASSERT_EQ(POLLOUT, vfm_thread_join(&poller));
	vfm_feed(fd, self->stream.data + 228, self->stream.len - 228, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
}

/*
 * None of these may wait for the sleeper. What a reader gets is its bytes or the
 * news that the session is over; a writer's bytes came too late.
 */
static void check_stalled_ends(FIXTURE_DATA(concurrent) *self, int fd,
			       bool writer)
{
	long ret;

	vfm_uffd_release(&self->uffd, self->other);
	ret = vfm_thread_join(&self->stalled);
	VFIO_ASSERT_TRUE((ret == 128 && !writer) || ret == -ENODEV,
			 "got %ld", ret);
	VFIO_ASSERT_TRUE(vfm_poll(fd, POLLIN | POLLOUT, 0) & POLLHUP);
	close(fd);
}

TEST_F(concurrent, reset_with_reader_stalled)
{
	struct vfm_thread other;
	struct vfm_io io;
	int fd;

	fd = stall_reader(self, &io);
	vfm_thread_start(&other, vfm_thread_reset, self->dev);
	ASSERT_EQ(0, vfm_thread_join(&other));
	vfm_assert_state(self->dev, VFM_RUNNING);
	ASSERT_EQ(-ENODEV, vfm_read(fd, self->page, 1));
	check_stalled_ends(self, fd, false);
}

TEST_F(concurrent, reset_with_writer_stalled)
{
	struct vfm_thread other;
	struct vfm_io io;
	int fd;

	fd = stall_writer(self, &io);
	vfm_thread_start(&other, vfm_thread_reset, self->dev);
	ASSERT_EQ(0, vfm_thread_join(&other));
	vfm_assert_state(self->dev, VFM_RUNNING);
	ASSERT_EQ(-ENODEV, vfm_write(fd, self->page, 1));
	check_stalled_ends(self, fd, true);
}

TEST_F(concurrent, leave_with_reader_stalled)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_buf got = { 0 };
	struct vfm_thread other;
	struct vfm_io io;
	int fd, next;

	fd = stall_reader(self, &io);
	vfm_thread_start(&other, vfm_thread_set_state, &set);
	ASSERT_EQ(0, vfm_thread_join(&other));
	/* A new session is not disturbed by the old one's reader either. */
	next = vfm_set_state(self->dev, VFM_STOP_COPY);
	vfm_drain(next, &got, NULL);
	ASSERT_EQ(self->stream.len, got.len);
	check_stalled_ends(self, fd, false);
	close(next);
	vfm_buf_free(&got);
}

TEST_F(concurrent, leave_with_writer_stalled)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_thread other;
	struct vfm_io io;
	int fd;

	fd = stall_writer(self, &io);
	vfm_thread_start(&other, vfm_thread_set_state, &set);
	ASSERT_EQ(-ENODATA, vfm_thread_join(&other));
	vfm_assert_state(self->dev, VFM_ERROR);
	check_stalled_ends(self, fd, true);
}

static long close_device(void *dev)
{
	vfm_close(dev);
	return 0;
}

TEST_F(concurrent, close_with_reader_stalled)
{
	struct vfm_thread other;
	struct vfm_io io;
	int fd;

	fd = stall_reader(self, &io);
	vfm_thread_start(&other, close_device, self->dev);
	ASSERT_EQ(0, vfm_thread_join(&other));
	ASSERT_EQ(0, __vfm_remove(self->dev));
	check_stalled_ends(self, fd, false);
}

TEST_F(concurrent, close_with_writer_stalled)
{
	struct vfm_thread other;
	struct vfm_io io;
	int fd;

	fd = stall_writer(self, &io);
	vfm_thread_start(&other, close_device, self->dev);
	ASSERT_EQ(0, vfm_thread_join(&other));
	ASSERT_EQ(0, __vfm_remove(self->dev));
	check_stalled_ends(self, fd, true);
}

/*
 * A writer asleep, with the bounds of the buffer checked or not: whatever the
 * second one writes meanwhile must not overflow anything, and the stream that
 * results is the bytes in some order, or refused.
 */
TEST_F(concurrent, writers_race_past_end)
{
	struct vfm_thread second;
	struct vfm_io io, io2;
	long ret;
	int fd;

	fd = vfm_enter(self->dev, VFM_RESUMING);
	/* The last section is short of its last 60 bytes, and both have them. */
	vfm_feed(fd, self->stream.data, self->stream.len - 60, NULL);
	memcpy(self->other, self->stream.data + self->stream.len - 60, 60);
	io = (struct vfm_io) { fd, self->uffd.page, 60 };
	vfm_thread_start(&self->stalled, vfm_thread_write, &io);
	vfm_uffd_wait(&self->uffd);
	io2 = (struct vfm_io) { fd, self->stream.data + self->stream.len - 60,
				60 };
	vfm_thread_start(&second, vfm_thread_write, &io2);
	vfm_assert_blocked(&second);
	vfm_uffd_release(&self->uffd, self->other);
	/* It waits for the verdict, in which the second one may have its part. */
	ret = vfm_thread_join(&self->stalled);
	ASSERT_TRUE(ret == -E2BIG || ret == 60) TH_LOG("%ld", ret);
	ret = vfm_thread_join(&second);
	ASSERT_TRUE(ret == -E2BIG || ret == 60) TH_LOG("%ld", ret);
	vfm_set_state_err(self->dev, VFM_STOP, E2BIG);
	close(fd);
}

struct share {
	int fd;
	u64 salt;
	atomic_size_t *total;
};

static long read_share(void *arg)
{
	struct share *share = arg;
	struct vfm_rng rng = { .state = share->salt };
	char *buf = malloc(1 << 16);
	ssize_t n;

	while ((n = vfm_read(share->fd, buf,
			     vfm_random_segment(&rng, 1 << 16))) > 0)
		atomic_fetch_add(share->total, n);
	free(buf);
	return n;
}

/* Many readers at once share the stream: every byte goes to exactly one. */
TEST_F(concurrent, readers_share)
{
	struct vfm_thread thread[4];
	struct share share[4];
	atomic_size_t total = 0;
	struct vfm_buf got = { 0 };
	int fd, i;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 4 << 20);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_open(self->dev);
	vfm_save(self->dev, &got, NULL);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	for (i = 0; i < 4; i++) {
		share[i] = (struct share) { fd, vfm_rng(i).state, &total };
		vfm_thread_start(&thread[i], read_share, &share[i]);
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, vfm_thread_join(&thread[i]));
	ASSERT_EQ(got.len, atomic_load(&total));
	close(fd);
	vfm_buf_free(&got);
}

struct flood {
	int fd;
	const struct vfm_buf *stream;
	u64 salt;
};

static long write_flood(void *arg)
{
	struct flood *flood = arg;
	struct vfm_rng rng = { .state = flood->salt };
	ssize_t n;

	do {
		size_t at = vfm_random_below(&rng, flood->stream->len);
		size_t len = vfm_random_segment(&rng, flood->stream->len - at);

		n = vfm_write(flood->fd, flood->stream->data + at, len);
	} while (n >= 0);
	return n;
}

/* Bytes of a good stream in any order: refused, and all writers hear why. */
TEST_F(concurrent, writers_flood)
{
	struct vfm_thread thread[4];
	struct flood flood[4];
	int fd, i;

	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, 200, NULL);
	for (i = 0; i < 4; i++) {
		flood[i] = (struct flood) { fd, &self->stream,
					    vfm_rng(i).state };
		vfm_thread_start(&thread[i], write_flood, &flood[i]);
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(-EBADMSG, vfm_thread_join(&thread[i]));
	vfm_set_state_err(self->dev, VFM_STOP, EBADMSG);
	close(fd);
}

TEST_HARNESS_MAIN
