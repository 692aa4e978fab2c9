// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1 to B11 when memory is short and user memory is bad: transfers and transitions, of
 * which every allocation and every copy fails once, as in sweep_failnth_test. Nothing
 * of the state is lost.
 */
#include <fcntl.h>
#include <liburing.h>
#include <sys/uio.h>

#include <libvfio_migration.h>

#define CHUNK		10000

FIXTURE(failnth) {
	struct vfm_sweep sweep;
	struct io_uring ring;
	struct vfm_path path;		/* what a transition is to take, */
	int opened;			/* and the fd that it gave */
};

FIXTURE_VARIANT(failnth) {
	const char *type;
};

FIXTURE_VARIANT_ADD(failnth, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(failnth, basic) { .type = MIGSIM_BASIC };

static FIXTURE_DATA(failnth) *failnth(struct vfm_sweep *s)
{
	return container_of(s, FIXTURE_DATA(failnth), sweep);
}

FIXTURE_SETUP(failnth)
{
	VFM_REQUIRE_TYPE(variant->type);
	VFM_REQUIRE_FAILNTH();
	vfm_sweep_init(&self->sweep, variant->type);
}

FIXTURE_TEARDOWN(failnth)
{
	vfm_sweep_exit(&self->sweep);
}

/*
 * Data: what failed is done once more, and what arrives has to be all of it; unless it
 * was the session that failed, which it then says for ever.
 */
static bool again(struct vfm_sweep *s, int err)
{
	return vfm_short_of_memory(err) && !vfm_session_error(s->fd);
}

typedef ssize_t take_t(struct vfm_sweep *s, void *buf, size_t len);
typedef ssize_t give_t(struct vfm_sweep *s, const void *buf, size_t len);

static int take_all(struct vfm_sweep *s, take_t *take)
{
	u8 chunk[CHUNK];
	ssize_t n;

	do {
		n = take(s, chunk, sizeof(chunk));
		if (n > 0)
			vfm_buf_append(&s->got, chunk, n);
	} while (n > 0 || again(s, n));
	return n;
}

static ssize_t take_by_read(struct vfm_sweep *s, void *buf, size_t len)
{
	return vfm_read(s->fd, buf, len);
}

static int read_all(struct vfm_sweep *s)
{
	return take_all(s, take_by_read);
}

/* More than there is room for without an allocation. */
#define NR_PARTS	20

static void divide(struct iovec *iov, void *buf, size_t len)
{
	unsigned int i;

	for (i = 0; i < NR_PARTS; i++)
		iov[i] = (struct iovec) { buf + len * i / NR_PARTS,
			len * (i + 1) / NR_PARTS - len * i / NR_PARTS };
}

static ssize_t take_by_readv(struct vfm_sweep *s, void *buf, size_t len)
{
	struct iovec iov[NR_PARTS];
	ssize_t n;

	divide(iov, buf, len);
	n = readv(s->fd, iov, NR_PARTS);
	return n < 0 ? -errno : n;
}

static int readv_all(struct vfm_sweep *s)
{
	return take_all(s, take_by_readv);
}

/*
 * A request that there is no memory for is not even taken, one that may not wait for
 * want of it is called off.
 */
static ssize_t run_ring(struct vfm_sweep *s)
{
	struct io_uring *ring = &failnth(s)->ring;
	struct io_uring_cqe *cqe;
	ssize_t ret;

	do {
		ret = io_uring_submit_and_wait(ring, 1);
	} while (io_uring_sq_ready(ring) && (ret == -EAGAIN || ret == -ENOMEM));
	while (io_uring_wait_cqe(ring, &cqe))
		;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret == -ECANCELED || ret == -EAGAIN ? -ENOMEM : ret;
}

static ssize_t take_by_ring(struct vfm_sweep *s, void *buf, size_t len)
{
	io_uring_prep_read(io_uring_get_sqe(&failnth(s)->ring), s->fd, buf, len, -1);
	return run_ring(s);
}

static int ring_read_all(struct vfm_sweep *s)
{
	return take_all(s, take_by_ring);
}

static int splice_all(struct vfm_sweep *s)
{
	u8 chunk[CHUNK];
	ssize_t n, got;

	for (;;) {
		n = splice(s->fd, NULL, s->pipe[1], NULL, CHUNK, 0);
		if (n < 0)
			n = -errno;
		if (!n || (n < 0 && !again(s, n)))
			return n;
		while (n > 0) {
			got = vfm_read(s->pipe[0], chunk, n);
			if (got > 0)
				vfm_buf_append(&s->got, chunk, got);
			n -= got > 0 ? got : 0;
		}
	}
}

static void check_saved(struct vfm_sweep *s, int ret)
{
	if (ret)
		return;
	vfm_reset(s->other);
	vfm_restore(s->other, &s->got, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(s->other), s->hash);
}

static int give_all(struct vfm_sweep *s, give_t *give)
{
	size_t pos = 0;
	ssize_t n;

	while (pos < s->good.len) {
		n = give(s, s->good.data + pos, pos + CHUNK < s->good.len ?
			 CHUNK : s->good.len - pos);
		if (n < 0 && !again(s, n))
			return n;
		pos += n < 0 ? 0 : n;
	}
	return 0;
}

static ssize_t give_by_write(struct vfm_sweep *s, const void *buf, size_t len)
{
	return vfm_write(s->fd, buf, len);
}

static int write_all(struct vfm_sweep *s)
{
	return give_all(s, give_by_write);
}

static ssize_t give_by_writev(struct vfm_sweep *s, const void *buf, size_t len)
{
	struct iovec iov[NR_PARTS];
	ssize_t n;

	divide(iov, (void *)buf, len);
	n = writev(s->fd, iov, NR_PARTS);
	return n < 0 ? -errno : n;
}

static int writev_all(struct vfm_sweep *s)
{
	return give_all(s, give_by_writev);
}

static ssize_t give_by_ring(struct vfm_sweep *s, const void *buf, size_t len)
{
	io_uring_prep_write(io_uring_get_sqe(&failnth(s)->ring), s->fd, buf, len, -1);
	return run_ring(s);
}

static int ring_write_all(struct vfm_sweep *s)
{
	return give_all(s, give_by_ring);
}

static int splice_in_all(struct vfm_sweep *s)
{
	size_t pos = 0, queued = 0, left;
	ssize_t n;

	while (pos < s->good.len || queued) {
		left = s->good.len - pos;
		if (left && !queued) {
			n = vfm_write(s->pipe[1], s->good.data + pos,
				      left < CHUNK ? left : CHUNK);
			pos += n > 0 ? n : 0;
			queued += n > 0 ? n : 0;
		}
		n = splice(s->pipe[0], NULL, s->fd, NULL, queued, 0);
		if (n < 0)
			n = -errno;
		if (n < 0 && !again(s, n))
			return n;
		queued -= n < 0 ? 0 : n;
	}
	return 0;
}

static void check_loaded(struct vfm_sweep *s, int ret)
{
	/* What a failed session did not take. */
	vfm_sweep_empty_pipe(s);
	if (ret) {
		vfm_set_state_err(s->dev, VFM_STOP, -ret);
		vfm_assert_state(s->dev, VFM_ERROR);
		return;
	}
	vfm_set_state_nofd(s->dev, VFM_STOP);
	VFIO_ASSERT_EQ(vfm_state_hash(s->dev), s->hash);
}

TEST_F_TIMEOUT(failnth, transfers, 600)
{
	struct vfm_sweep *s = &self->sweep;

	vfm_sweep(s, "read", vfm_sweep_in_stop_copy, read_all, check_saved);
	vfm_sweep(s, "splice_read", vfm_sweep_in_stop_copy, splice_all, check_saved);
	vfm_sweep(s, "readv", vfm_sweep_in_stop_copy, readv_all, check_saved);
	vfm_sweep(s, "write", vfm_sweep_in_resuming, write_all, check_loaded);
	vfm_sweep(s, "writev", vfm_sweep_in_resuming, writev_all, check_loaded);
	vfm_sweep(s, "splice_write", vfm_sweep_in_resuming, splice_in_all, check_loaded);
	vfm_sweep_end_session(s);
}

TEST_F_TIMEOUT(failnth, ring, 600)
{
	struct vfm_sweep *s = &self->sweep;

	ASSERT_EQ(0, io_uring_queue_init(4, &self->ring, 0));
	vfm_sweep(s, "IORING_OP_READ", vfm_sweep_in_stop_copy, ring_read_all, check_saved);
	vfm_sweep(s, "IORING_OP_WRITE", vfm_sweep_in_resuming, ring_write_all, check_loaded);
	vfm_sweep_end_session(s);
	io_uring_queue_exit(&self->ring);
}

/*
 * A transition ends where it began or, with a session gone, in one of its steps. Or at
 * its end, if it is vfio.ko that fails, to say so: it undoes nothing but a session.
 */
static bool ends_well(const struct vfm_path *path, unsigned int i, int ret)
{
	return !i || vfm_path_ends_session(path, i) ||
	       (ret == -EFAULT && i == path->arcs &&
		!vfm_arc_opens(path->state[i - 1], path->state[i]));
}

/* From where the path begins, which is what a stream in RESUMING is fed for. */
static void in_first_state(struct vfm_sweep *s)
{
	const u32 from = failnth(s)->path.state[0];

	vfm_sweep_in_running(s);
	s->fd = vfm_enter(s->dev, from);
	if (from == VFM_RESUMING)
		vfm_feed(s->fd, s->good.data, s->good.len, NULL);
}

static int take_path(struct vfm_sweep *s)
{
	const struct vfm_path *path = &failnth(s)->path;

	return __vfm_set_state(s->dev, path->state[path->arcs], &failnth(s)->opened);
}

static void check_state(struct vfm_sweep *s, int ret)
{
	const struct vfm_path *path = &failnth(s)->path;
	u32 state = vfm_get_state(s->dev);
	unsigned int i;

	if (!ret) {
		VFIO_ASSERT_EQ(state, path->state[path->arcs]);
		if (failnth(s)->opened >= 0)
			close(failnth(s)->opened);
		return;
	}
	for (i = 0; i <= path->arcs; i++)
		if (path->state[i] == state && ends_well(path, i, ret))
			return;
	VFIO_FAIL("from %s to %s, and it is in %s", vfm_state_name(path->state[0]),
		  vfm_state_name(path->state[path->arcs]), vfm_state_name(state));
}

static void sweep_transition(struct vfm_sweep *s)
{
	const struct vfm_path *path = &failnth(s)->path;
	char name[64];

	snprintf_assert(name, sizeof(name), "%s to %s", vfm_state_name(path->state[0]),
			vfm_state_name(path->state[path->arcs]));
	vfm_sweep(s, name, in_first_state, take_path, check_state);
}

TEST_F_TIMEOUT(failnth, transitions, 600)
{
	struct vfm_sweep *s = &self->sweep;
	u32 from, to;

	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			self->path = vfm_find_path(s->dev->flags, from, to);
			if (from != to && self->path.arcs)
				sweep_transition(s);
		}
	}
	vfm_sweep_in_running(s);
	vfm_reset(s->other);
	vfm_move_all(s->dev, s->other);
}

TEST_HARNESS_MAIN
