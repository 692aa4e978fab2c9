// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one io_uring: a read per source and a write per destination are in
 * flight at most, so that the order of the bytes is kept, and a stream has
 * two buffers, so that both are. On a data fd that can poll or has
 * FMODE_NOWAIT io_uring waits without a thread; on one that has neither it
 * takes a thread of its own pool. Both come out here as a completion, so
 * there is no fallback to write, and nothing is ever asked again at once.
 *
 * The end of a worker's job comes in by the same ring, through its eventfd.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "migrate.h"

#define TICK_NS		(20 * NSEC_PER_MSEC)
#define RETRY_NS	NSEC_PER_MSEC
#define QUIESCE_NS	NSEC_PER_SEC

enum op { OP_READ, OP_WRITE, OP_WAKE, OP_CANCEL, OP_NR };

static struct io_uring_sqe *get_sqe(struct engine *e)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&e->ring);

	if (!sqe) {
		io_uring_submit(&e->ring);
		sqe = io_uring_get_sqe(&e->ring);
	}
	if (sqe)
		e->inflight++;
	return sqe;
}

static void set_data(struct io_uring_sqe *sqe, unsigned int pair, enum op op)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)pair * OP_NR + op);
}

static void pump_read(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;
	struct io_uring_sqe *sqe;

	if (s->reading || s->tail - s->head == STREAM_BUFFERS)
		return;
	if (s->mode != STREAM_ITERATE && s->mode != STREAM_DRAIN)
		return;
	sqe = get_sqe(&m->engine);
	if (!sqe)
		return;
	s->reading = true;
	s->read_is_final = s->stopped;
	io_uring_prep_read(sqe, s->from, s->buf[s->tail % STREAM_BUFFERS].mem,
			   m->opt->chunk, -1);
	set_data(sqe, i, OP_READ);
}

static void pump_write(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;
	struct buffer *b = &s->buf[s->head % STREAM_BUFFERS];
	struct io_uring_sqe *sqe;

	if (s->writing || s->head == s->tail)
		return;
	sqe = get_sqe(&m->engine);
	if (!sqe)
		return;
	s->writing = true;
	io_uring_prep_write(sqe, s->to, b->mem + b->off, b->len - b->off, -1);
	set_data(sqe, i, OP_WRITE);
}

static void pump(struct migration *m)
{
	uint64_t now = now_ns();
	unsigned int i;

	for (i = 0; m->pumping && i < m->nr; i++) {
		if (now < m->pairs[i].stream.retry_ns)
			continue;
		pump_read(m, i);
		pump_write(m, i);
	}
}

static void arm_wake(struct migration *m)
{
	struct engine *e = &m->engine;
	struct io_uring_sqe *sqe;

	if (e->wake_armed)
		return;
	sqe = get_sqe(e);
	if (!sqe)
		return;
	e->wake_armed = true;
	io_uring_prep_read(sqe, m->pool.done_fd, &e->wake_count,
			   sizeof(e->wake_count), 0);
	set_data(sqe, 0, OP_WAKE);
}

static bool again(struct stream *s, int res)
{
	if (res == -EAGAIN)
		s->retry_ns = now_ns() + RETRY_NS;
	return res == -EAGAIN || res == -EINTR;
}

static void read_done(struct migration *m, struct pair *p, int res)
{
	struct stream *s = &p->stream;

	s->reading = false;
	if (res > 0) {
		s->buf[s->tail % STREAM_BUFFERS].len = res;
		s->buf[s->tail % STREAM_BUFFERS].off = 0;
		s->tail++;
		stream_got(m, s, res);
	} else if (again(s, res) || !m->pumping) {
		return;
	} else if (!s->read_is_final && (!res || res == -ENOMSG)) {
		stream_paused(m, s);
	} else if (!res) {
		s->mode = STREAM_END;
	} else {
		read_failed(p, -res, &m->fail);
	}
}

static void write_done(struct migration *m, struct pair *p, int res)
{
	struct stream *s = &p->stream;
	struct buffer *b = &s->buf[s->head % STREAM_BUFFERS];

	s->writing = false;
	if (again(s, res) || !m->pumping)
		return;
	if (res <= 0) {
		write_failed(p, res ? -res : EIO, &m->fail);
		return;
	}
	b->off += res;
	if (b->off == b->len)
		s->head++;
}

static void complete(struct migration *m, uint64_t data, int res)
{
	struct pair *p = &m->pairs[data / OP_NR];

	m->engine.inflight--;
	switch (data % OP_NR) {
	case OP_READ:
		read_done(m, p, res);
		break;
	case OP_WRITE:
		write_done(m, p, res);
		break;
	case OP_WAKE:
		m->engine.wake_armed = false;
		return;
	default:
		return;
	}
	if (!p->stream.drained_ns && stream_drained(&p->stream))
		p->stream.drained_ns = now_ns();
}

/*
 * Submits what was prepared, waits for a completion, a tick or a signal. If
 * the ring itself fails there is nothing to wake us but the clock.
 */
static void engine_wait(struct migration *m, bool interruptible)
{
	struct __kernel_timespec ts = { .tv_nsec = TICK_NS };
	sigset_t *mask = interruptible ? (sigset_t *)signals_open() : NULL;
	struct io_uring *ring = &m->engine.ring;
	struct io_uring_cqe *cqe;
	unsigned int head, nr = 0;
	int ret;

	ret = io_uring_submit_and_wait_timeout(ring, &cqe, 1, &ts, mask);
	io_uring_for_each_cqe(ring, head, cqe) {
		complete(m, cqe->user_data, cqe->res);
		nr++;
	}
	io_uring_cq_advance(ring, nr);
	if (ret >= 0 || ret == -ETIME || ret == -EINTR || ret == -EBUSY)
		return;
	fail_at(&m->fail, "all devices", -ret, "io_uring", "%s",
		strerror(-ret));
	clock_nanosleep(CLOCK_MONOTONIC, 0,
			&(struct timespec){ .tv_nsec = TICK_NS }, NULL);
}

static void tick(struct migration *m)
{
	static uint64_t last;
	uint64_t now = now_ns();
	unsigned int i;

	if (now - last < TICK_NS)
		return;
	last = now;
	for (i = 0; !m->switching && m->pumping && i < m->nr; i++) {
		struct stream *s = &m->pairs[i].stream;

		if (s->iterates && s->mode == STREAM_IDLE && !s->reading)
			stream_check(m, s);
		else if (s->mode == STREAM_ITERATE && s->reading)
			stream_waits(m, s);
	}
	report_progress(m);
}

/*
 * Moves data until @done. If @interruptible, a failure or a signal ends it
 * too, but not before every job has ended: those that block are interrupted.
 */
int engine_run(struct migration *m, bool (*done)(struct migration *m),
	       bool interruptible)
{
	while (!done(m)) {
		if (interruptible && (m->fail.set || signals_caught())) {
			if (!pool_busy(&m->pool))
				break;
			pool_interrupt(&m->pool);
		} else {
			pump(m);
		}
		arm_wake(m);
		engine_wait(m, interruptible);
		reap_jobs(m);
		tick(m);
	}
	reap_jobs(m);
	if (m->phase == PHASE_CONFIRM && done(m) && !m->fail.set)
		return 0;
	if (interruptible && signals_caught() && !m->fail.set)
		fail_at(&m->fail, "all devices", EINTR, phase_name(m->phase),
			"stopped by SIG%s", sigabbrev_np(signals_caught()));
	return interruptible && m->fail.set ? -m->fail.err : 0;
}

/*
 * Takes back every request before the devices' sessions end. What does not
 * come back within a second ends with its session.
 */
void engine_quiesce(struct migration *m)
{
	uint64_t until = now_ns() + QUIESCE_NS;
	struct io_uring_sqe *sqe;

	m->pumping = false;
	if (!m->engine.open || !m->engine.inflight)
		return;
	sqe = get_sqe(&m->engine);
	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
	set_data(sqe, 0, OP_CANCEL);
	while (m->engine.inflight && now_ns() < until)
		engine_wait(m, false);
}

int engine_open(struct migration *m)
{
	int ret;

	ret = io_uring_queue_init(4 * m->nr + 8, &m->engine.ring,
				  IORING_SETUP_CLAMP);
	if (ret)
		return fail_at(&m->fail, "all devices", -ret, "io_uring",
			       "%s%s", strerror(-ret),
			       ret == -EPERM ? " (sysctl kernel.io_uring_disabled?)" : "");
	m->engine.open = true;
	return 0;
}

void engine_close(struct migration *m)
{
	engine_quiesce(m);
	if (m->engine.open)
		io_uring_queue_exit(&m->engine.ring);
	m->engine.open = false;
}
