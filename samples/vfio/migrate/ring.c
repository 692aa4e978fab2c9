// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine on one io_uring. On a data fd that can poll or has FMODE_NOWAIT
 * io_uring waits without a thread; on one that has neither it takes a thread
 * of its own pool. Both come out here as a completion, so there is no fallback
 * to write, and nothing is ever asked again at once. The end of a worker's job
 * comes in by the same ring, through its eventfd.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <liburing.h>

#include "migrate.h"

enum op { OP_READ, OP_WRITE, OP_WAKE, OP_CANCEL, OP_NR };

struct ring {
	struct io_uring ring;
	bool wake_armed;
	uint64_t wake_count;
};

static struct ring *ring_of(struct migration *m)
{
	return m->engine.priv;
}

static struct io_uring_sqe *get_sqe(struct migration *m)
{
	struct io_uring *ring = &ring_of(m)->ring;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	if (sqe)
		return sqe;
	io_uring_submit(ring);
	return io_uring_get_sqe(ring);
}

static void set_data(struct io_uring_sqe *sqe, unsigned int pair, enum op op)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)pair * OP_NR + op);
}

static bool ring_read(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;
	struct io_uring_sqe *sqe = get_sqe(m);

	if (!sqe)
		return false;
	io_uring_prep_read(sqe, s->from, stream_tail(s)->mem, m->opt->chunk,
			   -1);
	set_data(sqe, i, OP_READ);
	return true;
}

static bool ring_write(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;
	struct buffer *b = stream_head(s);
	struct io_uring_sqe *sqe = get_sqe(m);

	if (!sqe)
		return false;
	io_uring_prep_write(sqe, s->to, b->mem + b->off, b->len - b->off, -1);
	set_data(sqe, i, OP_WRITE);
	return true;
}

static void arm_wake(struct migration *m)
{
	struct ring *r = ring_of(m);
	struct io_uring_sqe *sqe;

	if (r->wake_armed)
		return;
	sqe = get_sqe(m);
	if (!sqe)
		return;
	r->wake_armed = true;
	io_uring_prep_read(sqe, m->pool.done_fd, &r->wake_count,
			   sizeof(r->wake_count), 0);
	set_data(sqe, 0, OP_WAKE);
}

static void complete(struct migration *m, uint64_t data, int res)
{
	switch (data % OP_NR) {
	case OP_READ:
		engine_read_done(m, data / OP_NR, res);
		break;
	case OP_WRITE:
		engine_write_done(m, data / OP_NR, res);
		break;
	case OP_WAKE:
		ring_of(m)->wake_armed = false;
		break;
	default:
		break;
	}
}

/* If the ring itself fails there is nothing to wake us but the clock. */
static void ring_failed(struct migration *m, int err)
{
	fail_at(&m->fail, "all devices", err, "io_uring", "%s", strerror(err));
	clock_nanosleep(CLOCK_MONOTONIC, 0,
			&(struct timespec){ .tv_nsec = ENGINE_TICK_NS }, NULL);
}

static void ring_wait(struct migration *m, const sigset_t *mask)
{
	struct __kernel_timespec ts = { .tv_nsec = ENGINE_TICK_NS };
	struct io_uring *ring = &ring_of(m)->ring;
	struct io_uring_cqe *cqe;
	unsigned int head, nr = 0;
	int ret;

	arm_wake(m);
	ret = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts,
					       (sigset_t *)mask);
	io_uring_for_each_cqe(ring, head, cqe) {
		complete(m, cqe->user_data, cqe->res);
		nr++;
	}
	io_uring_cq_advance(ring, nr);
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EBUSY)
		ring_failed(m, -ret);
}

static void ring_cancel(struct migration *m)
{
	struct io_uring_sqe *sqe = get_sqe(m);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	set_data(sqe, 0, OP_CANCEL);
}

/* A filter may let a ring be made and not be used. */
static int try_nop(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_prep_nop(io_uring_get_sqe(ring));
	ret = io_uring_submit_and_wait(ring, 1);
	if (ret < 0)
		return ret;
	ret = io_uring_peek_cqe(ring, &cqe);
	if (!ret)
		io_uring_cqe_seen(ring, cqe);
	return ret;
}

static void ring_close(struct migration *m)
{
	io_uring_queue_exit(&ring_of(m)->ring);
	free(m->engine.priv);
	m->engine.priv = NULL;
}

static int ring_unavailable(struct migration *m, int err)
{
	const char *why = "";

	if (err == EPERM)
		why = " (sysctl kernel.io_uring_disabled, or a seccomp filter)";
	else if (err == ENOSYS)
		why = " (an old kernel, or a seccomp filter)";
	return fail_at(&m->fail, "all devices", err, "start",
		       "io_uring cannot be had: %s%s", strerror(err), why);
}

static int ring_open(struct migration *m)
{
	struct ring *r = xcalloc(1, sizeof(*r));
	int ret;

	m->engine.priv = r;
	ret = io_uring_queue_init(4 * m->nr + 8, &r->ring, IORING_SETUP_CLAMP);
	if (ret) {
		free(r);
		return ring_unavailable(m, -ret);
	}
	ret = try_nop(&r->ring);
	if (!ret)
		return 0;
	ring_close(m);
	return ring_unavailable(m, -ret);
}

const struct engine_ops engine_ring = {
	.open = ring_open,
	.close = ring_close,
	.read = ring_read,
	.write = ring_write,
	.wait = ring_wait,
	.cancel = ring_cancel,
};
