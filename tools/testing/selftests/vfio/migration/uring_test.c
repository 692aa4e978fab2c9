// SPDX-License-Identifier: GPL-2.0-only
/*
 * B4: one io_uring thread serves many sessions without an io-wq worker. Work that
 * io_uring hands to a worker is counted by its tracepoint, not guessed from time
 * or threads. B2, B3: read, readv, read_fixed, poll, write, writev and splice through
 * io_uring, of which the last always takes a worker.
 */
#include <fcntl.h>
#include <liburing.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <libvfio_migration.h>

#define TRACEFS		"/sys/kernel/tracing"
#define EVENT		"io_uring_queue_async_work"
#define MAX_SESSIONS	64
#define CHUNK		65536

enum op { OP_READ, OP_READV, OP_READ_FIXED, OP_POLL_READ, OP_WRITE, OP_WRITEV };

struct slot {
	struct vfm_device *dev;
	int fd;
	enum op op;
	bool polling;		/* OP_POLL_READ: the poll is out, not the read */
	unsigned int index;
	struct iovec iov;
	struct iovec out[2];	/* OP_WRITEV: all that is left, in two pieces */
	struct vfm_buf got;
	const struct vfm_buf *stream;
	size_t pos;
};

FIXTURE(uring) {
	struct io_uring ring;
	struct slot slot[MAX_SESSIONS];
	unsigned int nr;
	char *buffers;
	char instance[128];
};

FIXTURE_SETUP(uring)
{
	int ret;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	ret = io_uring_queue_init(2 * MAX_SESSIONS, &self->ring, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return, "no io_uring: %s", strerror(-ret));
	ASSERT_EQ(0, ret);
	self->buffers = mmap(NULL, MAX_SESSIONS * CHUNK,
			     PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->buffers);
}

static void trace_stop(FIXTURE_DATA(uring) *self);

FIXTURE_TEARDOWN(uring)
{
	unsigned int i;

	trace_stop(self);
	io_uring_queue_exit(&self->ring);
	for (i = 0; i < self->nr; i++) {
		if (self->slot[i].fd >= 0)
			close(self->slot[i].fd);
		vfm_buf_free(&self->slot[i].got);
		vfm_destroy(self->slot[i].dev);
	}
}

static int trace_write(FIXTURE_DATA(uring) *self, const char *name,
		       const char *text)
{
	char path[256];
	int fd, ret;

	snprintf_assert(path, sizeof(path), "%s/%s", self->instance, name);
	fd = open(path, O_WRONLY | O_TRUNC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * A buffer of our own. Not with set_event_pid: that patches the scheduler's code,
 * under the feet of the other CPU, which emulators do not always get right.
 */
static bool trace_start(FIXTURE_DATA(uring) *self)
{
	if (access(TRACEFS "/instances", F_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	if (access(TRACEFS "/events/io_uring/" EVENT "/enable", W_OK))
		return false;
	snprintf_assert(self->instance, sizeof(self->instance),
			TRACEFS "/instances/vfm-%d", getpid());
	VFIO_ASSERT_EQ(mkdir(self->instance, 0700), 0, "%s", strerror(errno));
	VFIO_ASSERT_EQ(trace_write(self, "events/io_uring/" EVENT "/enable",
				   "1"), 0);
	return true;
}

static void trace_stop(FIXTURE_DATA(uring) *self)
{
	if (!self->instance[0])
		return;
	trace_write(self, "events/io_uring/" EVENT "/enable", "0");
	rmdir(self->instance);
	self->instance[0] = 0;
}

/* Lines begin with the name of the program and its pid. */
static unsigned int trace_count(FIXTURE_DATA(uring) *self)
{
	char path[256], line[1024], pid[32];
	unsigned int n = 0;
	FILE *file;

	snprintf_assert(pid, sizeof(pid), "-%d ", getpid());
	snprintf_assert(path, sizeof(path), "%s/trace", self->instance);
	file = fopen(path, "r");
	VFIO_ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, pid) && strstr(line, EVENT);
	fclose(file);
	return n;
}

#define REQUIRE_TRACE() do {						\
	if (!trace_start(self))						\
		SKIP(return, "no tracepoint io_uring:" EVENT);		\
} while (0)

struct setup {
	unsigned int nr;
	u64 size;
	bool nowait;
	bool poll;
};

static void make_devices(FIXTURE_DATA(uring) *self, struct setup setup)
{
	unsigned int i;

	for (i = 0; i < setup.nr; i++) {
		struct slot *slot = &self->slot[i];

		slot->fd = -1;
		slot->index = i;
		slot->iov = (struct iovec) { self->buffers + i * CHUNK, CHUNK };
		slot->dev = vfm_create(MIGSIM_FULL);
		self->nr = i + 1;
		vfm_attr_set(slot->dev, "state_size", setup.size);
		vfm_attr_set(slot->dev, "window", 65536);
		vfm_attr_set(slot->dev, "seed", i);
		vfm_attr_set(slot->dev, "nowait", setup.nowait);
		vfm_attr_set(slot->dev, "poll", setup.poll);
		/* So that the first read of each finds nothing and must wait. */
		vfm_attr_set(slot->dev, "save_latency_us", 50000);
		vfm_open(slot->dev);
	}
}

static void queue(FIXTURE_DATA(uring) *self, struct slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);
	const size_t left = slot->stream ? slot->stream->len - slot->pos : 0;

	VFIO_ASSERT_TRUE(sqe);
	switch (slot->op) {
	case OP_POLL_READ:
		slot->polling = !slot->polling;
		if (slot->polling) {
			io_uring_prep_poll_add(sqe, slot->fd, POLLIN);
			break;
		}
		/* fallthrough */
	case OP_READ:
		io_uring_prep_read(sqe, slot->fd, slot->iov.iov_base, CHUNK, -1);
		break;
	case OP_READV:
		io_uring_prep_readv(sqe, slot->fd, &slot->iov, 1, -1);
		break;
	case OP_READ_FIXED:
		io_uring_prep_read_fixed(sqe, slot->fd, slot->iov.iov_base,
					 CHUNK, -1, slot->index);
		break;
	case OP_WRITE:
		io_uring_prep_write(sqe, slot->fd, slot->stream->data +
				    slot->pos, left < CHUNK ? left : CHUNK, -1);
		break;
	case OP_WRITEV:
		slot->out[0] = (struct iovec) { slot->stream->data + slot->pos,
						left / 2 };
		slot->out[1] = (struct iovec) { slot->stream->data + slot->pos +
						left / 2, left - left / 2 };
		io_uring_prep_writev(sqe, slot->fd, slot->out, 2, -1);
		break;
	}
	io_uring_sqe_set_data(sqe, slot);
}

/* Returns whether the slot has more to do. */
static bool complete(struct slot *slot, int res)
{
	if (slot->polling) {
		VFIO_ASSERT_TRUE(res & POLLIN, "poll gave %#x", res);
		return true;
	}
	VFIO_ASSERT_GE(res, 0, "session %u: %s", slot->index, strerror(-res));
	if (slot->op == OP_WRITE || slot->op == OP_WRITEV) {
		slot->pos += res;
		return slot->pos < slot->stream->len;
	}
	vfm_buf_append(&slot->got, slot->iov.iov_base, res);
	return res;
}

static struct io_uring_cqe *wait_cqe(struct io_uring *ring)
{
	struct __kernel_timespec ts = { .tv_sec = vfm_deadline_ms() / 1000 };
	struct io_uring_cqe *cqe;
	int ret;

	ret = io_uring_wait_cqe_timeout(ring, &cqe, &ts);
	VFIO_ASSERT_EQ(ret, 0, "no completion: %s", strerror(-ret));
	return cqe;
}

/* All sessions to their ends, from this one thread. */
static void run(FIXTURE_DATA(uring) *self, enum op op)
{
	unsigned int i, busy = self->nr;

	for (i = 0; i < self->nr; i++) {
		self->slot[i].op = op;
		queue(self, &self->slot[i]);
	}
	while (busy) {
		struct io_uring_cqe *cqe;
		struct slot *slot;
		int ret, res;

		ret = io_uring_submit(&self->ring);
		VFIO_ASSERT_GE(ret, 0, "submit: %s", strerror(-ret));
		cqe = wait_cqe(&self->ring);
		slot = io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&self->ring, cqe);
		if (complete(slot, res))
			queue(self, slot);
		else
			busy--;
	}
}

static void save_all(FIXTURE_DATA(uring) *self, enum op op)
{
	struct vfm_stream stream;
	unsigned int i;

	for (i = 0; i < self->nr; i++)
		self->slot[i].fd = vfm_set_state(self->slot[i].dev,
						 VFM_STOP_COPY);
	run(self, op);
	for (i = 0; i < self->nr; i++) {
		struct slot *slot = &self->slot[i];

		vfm_stream_parse(&stream, &slot->got);
		vfm_stream_free(&stream);
		vfm_set_state_nofd(slot->dev, VFM_STOP);
		close(slot->fd);
		slot->fd = -1;
	}
}

/* Each session gets the stream of the one before it. */
static void restore_all(FIXTURE_DATA(uring) *self, enum op op)
{
	u64 hash[MAX_SESSIONS];
	unsigned int i;

	for (i = 0; i < self->nr; i++)
		hash[i] = vfm_state_hash(self->slot[i].dev);
	for (i = 0; i < self->nr; i++) {
		struct slot *slot = &self->slot[i];

		vfm_reset(slot->dev);
		slot->stream = &self->slot[(i + 1) % self->nr].got;
		slot->pos = 0;
		slot->fd = vfm_set_state(slot->dev, VFM_RESUMING);
	}
	run(self, op);
	for (i = 0; i < self->nr; i++) {
		vfm_set_state_nofd(self->slot[i].dev, VFM_STOP);
		VFIO_ASSERT_EQ(vfm_state_hash(self->slot[i].dev),
			       hash[(i + 1) % self->nr]);
	}
}

TEST_F(uring, many_sessions)
{
	make_devices(self, (struct setup) { MAX_SESSIONS, 1 << 20, true, true });
	REQUIRE_TRACE();
	save_all(self, OP_READ);
	ASSERT_EQ(0, trace_count(self));
	restore_all(self, OP_WRITE);
	ASSERT_EQ(0, trace_count(self));
}

/* The same without the count, where there is nothing to count with. */
TEST_F(uring, round_trip)
{
	make_devices(self, (struct setup) { 8, 1 << 20, true, true });
	save_all(self, OP_READ);
	restore_all(self, OP_WRITE);
}

TEST_F(uring, readv)
{
	make_devices(self, (struct setup) { 8, 1 << 20, true, true });
	REQUIRE_TRACE();
	save_all(self, OP_READV);
	ASSERT_EQ(0, trace_count(self));
}

TEST_F(uring, writev)
{
	make_devices(self, (struct setup) { 8, 1 << 20, true, true });
	REQUIRE_TRACE();
	save_all(self, OP_READ);
	restore_all(self, OP_WRITEV);
	ASSERT_EQ(0, trace_count(self));
}

TEST_F(uring, read_fixed)
{
	struct iovec iov[8];
	int i;

	make_devices(self, (struct setup) { 8, 1 << 20, true, true });
	REQUIRE_TRACE();
	for (i = 0; i < 8; i++)
		iov[i] = self->slot[i].iov;
	ASSERT_EQ(0, io_uring_register_buffers(&self->ring, iov, 8));
	save_all(self, OP_READ_FIXED);
	ASSERT_EQ(0, trace_count(self));
}

TEST_F(uring, poll)
{
	make_devices(self, (struct setup) { 8, 1 << 20, true, true });
	REQUIRE_TRACE();
	save_all(self, OP_POLL_READ);
	ASSERT_EQ(0, trace_count(self));
}

/* The counter counts: without NOWAIT, the same work goes to workers. */
TEST_F(uring, without_nowait)
{
	make_devices(self, (struct setup) { 8, 1 << 20, false, true });
	REQUIRE_TRACE();
	save_all(self, OP_READ);
	ASSERT_LT(0, trace_count(self));
}

TEST_F(uring, without_nowait_and_poll)
{
	make_devices(self, (struct setup) { 8, 1 << 20, false, false });
	REQUIRE_TRACE();
	save_all(self, OP_READ);
	ASSERT_LT(0, trace_count(self));
}

/*
 * A device that waits is called each time that something happens to it, and has
 * nothing to give: nobody is told that there is something to be read.
 */
TEST_F(uring, woken_for_nothing)
{
	struct setup setup = { .nr = 1, .size = 4096 * 64, .nowait = true, .poll = true };
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct vfm_device *dev;
	u64 i;
	int fd;

	make_devices(self, setup);
	dev = self->slot[0].dev;
	vfm_close(dev);
	vfm_attr_set(dev, "bandwidth", 1);
	vfm_open(dev);
	fd = vfm_set_state(dev, VFM_PRE_COPY);
	self->slot[0].fd = fd;
	/* What was made before the device had to wait. */
	ASSERT_LT(0, vfm_read(fd, self->buffers, CHUNK));
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_poll_add(sqe, fd, POLLIN);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	for (i = 0; i < 1000; i++)
		vfm_bar_write(dev, MIGSIM_BAR_MEM, 0, &i, sizeof(i));
	ASSERT_EQ(-EAGAIN, io_uring_peek_cqe(&self->ring, &cqe));
	ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));
	vfm_reset(dev);
	cqe = wait_cqe(&self->ring);
	ASSERT_TRUE(cqe->res & POLLERR);
	io_uring_cqe_seen(&self->ring, cqe);
}

/* One request, and what it then says. */
static int do_one(FIXTURE_DATA(uring) *self)
{
	struct io_uring_cqe *cqe;
	int res;

	VFIO_ASSERT_EQ(io_uring_submit(&self->ring), 1);
	cqe = wait_cqe(&self->ring);
	res = cqe->res;
	io_uring_cqe_seen(&self->ring, cqe);
	return res;
}

static int read_one(FIXTURE_DATA(uring) *self, int fd, int rwf, size_t len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	io_uring_prep_read(sqe, fd, self->buffers, len, -1);
	sqe->rw_flags = rwf;
	return do_one(self);
}

static int splice_one(FIXTURE_DATA(uring) *self, int in, int out, size_t len)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&self->ring);

	io_uring_prep_splice(sqe, in, -1, out, -1, len, 0);
	return do_one(self);
}

/* Out of the session by splices, to the end. */
static void save_by_splice(FIXTURE_DATA(uring) *self, struct slot *slot,
			   const int pipe[2])
{
	int n;

	slot->fd = vfm_set_state(slot->dev, VFM_STOP_COPY);
	while ((n = splice_one(self, slot->fd, pipe[1], CHUNK)) > 0) {
		VFIO_ASSERT_EQ(read(pipe[0], slot->iov.iov_base, CHUNK), n);
		vfm_buf_append(&slot->got, slot->iov.iov_base, n);
	}
	VFIO_ASSERT_EQ(n, 0, "%s", strerror(-n));
	vfm_set_state_nofd(slot->dev, VFM_STOP);
	close(slot->fd);
	slot->fd = -1;
}

static void restore_by_splice(FIXTURE_DATA(uring) *self, struct slot *slot,
			      const int pipe[2])
{
	size_t pos, left;
	int n, done;

	slot->fd = vfm_set_state(slot->dev, VFM_RESUMING);
	for (pos = 0; pos < slot->got.len; pos += n) {
		left = slot->got.len - pos;
		n = write(pipe[1], slot->got.data + pos, left < CHUNK ? left : CHUNK);
		VFIO_ASSERT_LT(0, n);
		for (left = n; left; left -= done) {
			done = splice_one(self, pipe[0], slot->fd, left);
			VFIO_ASSERT_LT(0, done, "%s", strerror(-done));
		}
	}
	vfm_set_state_nofd(slot->dev, VFM_STOP);
}

/* Both ways, each of which is counted, as io_uring never splices by itself. */
TEST_F(uring, splice)
{
	struct slot *slot = &self->slot[0];
	unsigned int out;
	int pipe[2];
	u64 want;

	make_devices(self, (struct setup) { 1, 1 << 20, true, true });
	REQUIRE_TRACE();
	ASSERT_EQ(0, pipe2(pipe, 0));
	vfm_bar_write(slot->dev, MIGSIM_BAR_MEM, 5000, "written", 7);
	save_by_splice(self, slot, pipe);
	want = vfm_state_hash(slot->dev);
	out = trace_count(self);
	ASSERT_LT(0, out);
	vfm_reset(slot->dev);
	restore_by_splice(self, slot, pipe);
	ASSERT_LT(out, trace_count(self));
	ASSERT_EQ(want, vfm_state_hash(slot->dev));
	close(pipe[0]);
	close(pipe[1]);
}

TEST_F(uring, outcomes)
{
	struct vfm_device *dev;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct vfm_buf got = { 0 };
	int fd;

	make_devices(self, (struct setup) { 1, VFM_SMALL_STATE, true, true });
	dev = self->slot[0].dev;

	fd = vfm_set_state(dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &got, NULL, ENOMSG);
	vfm_buf_free(&got);
	ASSERT_EQ(-ENOMSG, read_one(self, fd, 0, CHUNK));
	vfm_set_state_nofd(dev, VFM_STOP_COPY);
	while (read_one(self, fd, 0, CHUNK) > 0)
		;
	ASSERT_EQ(0, read_one(self, fd, 0, CHUNK));
	ASSERT_EQ(0, read_one(self, fd, RWF_NOWAIT, CHUNK));
	vfm_set_state_nofd(dev, VFM_STOP);
	ASSERT_EQ(-ENODEV, read_one(self, fd, 0, CHUNK));
	close(fd);

	vfm_close(dev);
	vfm_attr_set(dev, "save_latency_us", MIGSIM_FOREVER_US);
	vfm_open(dev);
	fd = vfm_set_state(dev, VFM_STOP_COPY);
	ASSERT_EQ(-EAGAIN, read_one(self, fd, RWF_NOWAIT, CHUNK));

	/* A request that waits is ended by the end of the session. */
	sqe = io_uring_get_sqe(&self->ring);
	io_uring_prep_read(sqe, fd, self->buffers, CHUNK, -1);
	ASSERT_EQ(1, io_uring_submit(&self->ring));
	ASSERT_EQ(-EAGAIN, io_uring_peek_cqe(&self->ring, &cqe));
	vfm_reset(dev);
	cqe = wait_cqe(&self->ring);
	ASSERT_EQ(-ENODEV, cqe->res);
	io_uring_cqe_seen(&self->ring, cqe);

	/* The ring outlives the fd, as ever. */
	close(fd);
}

TEST_HARNESS_MAIN
