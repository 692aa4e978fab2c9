// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves the streams' bytes and waits for jobs, on the main thread. A read per
 * source and a write per destination are under way at most, so that the order
 * of the bytes is kept, and a stream has two buffers, so that both are. How
 * they are made is the engine's affair: ring.c or, where that cannot be had,
 * poll.c. Either tells their ends by engine_read_done() and
 * engine_write_done(), and wakes for the end of a worker's job as well.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "migrate.h"

#define RETRY_NS	NSEC_PER_MSEC
#define QUIESCE_NS	NSEC_PER_SEC

static void pump_read(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;

	if (s->reading || s->tail - s->head == STREAM_BUFFERS)
		return;
	if (s->mode != STREAM_ITERATE && s->mode != STREAM_DRAIN)
		return;
	s->read_is_final = s->stopped;
	s->reading = m->engine.ops->read(m, i);
}

static void pump_write(struct migration *m, unsigned int i)
{
	struct stream *s = &m->pairs[i].stream;

	if (!s->writing && s->head != s->tail)
		s->writing = m->engine.ops->write(m, i);
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

static bool again(struct stream *s, int res)
{
	if (res == -EAGAIN)
		s->retry_ns = now_ns() + RETRY_NS;
	return res == -EAGAIN || res == -EINTR;
}

static void note_drained(struct stream *s)
{
	if (!s->drained_ns && stream_drained(s))
		s->drained_ns = now_ns();
}

static void read_done(struct migration *m, struct pair *p, int res)
{
	struct stream *s = &p->stream;

	s->reading = false;
	if (res > 0) {
		stream_tail(s)->len = res;
		stream_tail(s)->off = 0;
		s->tail++;
		s->moved_ns = now_ns();
		stream_got(m, s, res);
	} else if (again(s, res) || !m->pumping) {
		return;
	} else if (!s->read_is_final && (!res || res == -ENOMSG)) {
		stream_paused(m, s);
	} else if (!res) {
		s->mode = STREAM_END;
	} else {
		read_failed(p, -res, !p->src.busy, &m->fail);
	}
}

static void write_done(struct migration *m, struct pair *p, int res)
{
	struct stream *s = &p->stream;
	struct buffer *b = stream_head(s);

	s->writing = false;
	if (again(s, res) || !m->pumping)
		return;
	if (res <= 0) {
		write_failed(p, res ? -res : EIO, &m->fail);
		return;
	}
	s->moved_ns = now_ns();
	b->off += res;
	if (b->off == b->len)
		s->head++;
}

void engine_read_done(struct migration *m, unsigned int i, int res)
{
	read_done(m, &m->pairs[i], res);
	note_drained(&m->pairs[i].stream);
}

void engine_write_done(struct migration *m, unsigned int i, int res)
{
	write_done(m, &m->pairs[i], res);
	note_drained(&m->pairs[i].stream);
}

static void tick(struct migration *m)
{
	static uint64_t last;
	uint64_t now = now_ns();
	unsigned int i;

	if (now - last < ENGINE_TICK_NS)
		return;
	last = now;
	for (i = 0; !m->switching && m->pumping && i < m->nr; i++) {
		struct stream *s = &m->pairs[i].stream;

		if (s->iterates && s->mode == STREAM_IDLE && !s->reading)
			stream_check(m, s);
		else if (s->mode == STREAM_ITERATE && s->reading)
			stream_waits(m, s);
	}
	watch(m);
	report_progress(m);
}

/* A signal that cannot turn anything back is answered, if it is the first. */
static void tell_signal(struct migration *m)
{
	if (m->signal_told || !signals_caught())
		return;
	m->signal_told = true;
	say("SIG%s: %s; a second one ends the waiting",
	    sigabbrev_np(signals_caught()),
	    m->committed ? "too late, the destinations have confirmed" :
			   "already going back");
}

static void fail_by_signal(struct migration *m)
{
	m->signal_told = true;
	fail_at(&m->fail, "all devices", EINTR, phase_name(m->phase),
		"stopped by SIG%s", sigabbrev_np(signals_caught()));
}

/*
 * Moves data until @done. If @interruptible, a failure or a signal ends it
 * too, but not before every job has ended. A second signal ends everything.
 */
int engine_run(struct migration *m, bool (*done)(struct migration *m),
	       bool interruptible)
{
	watch_begin(m);
	while (!done(m) && !m->aborted) {
		if (!interruptible)
			tell_signal(m);
		if (!interruptible || (!m->fail.set && !signals_caught()))
			pump(m);
		else if (end_jobs(m))
			break;
		m->engine.ops->wait(m, signals_open());
		reap_jobs(m);
		report_first_failure(m);
		tick(m);
		m->aborted = signals_insist();
	}
	reap_jobs(m);
	if (m->aborted) {
		fail_by_signal(m);
		return -EINTR;
	}
	if (m->phase == PHASE_CONFIRM && done(m) && !m->fail.set)
		return 0;
	if (interruptible && signals_caught())
		fail_by_signal(m);
	report_first_failure(m);
	return interruptible && m->fail.set ? -m->fail.err : 0;
}

static bool under_way(const struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		if (m->pairs[i].stream.reading || m->pairs[i].stream.writing)
			return true;
	}
	return false;
}

/*
 * Takes back every request before the devices' sessions end. What does not
 * come back within a second ends with its session.
 */
void engine_quiesce(struct migration *m)
{
	uint64_t until = now_ns() + QUIESCE_NS;

	m->pumping = false;
	while (m->engine.ops && under_way(m) && now_ns() < until) {
		m->engine.ops->cancel(m);
		m->engine.ops->wait(m, NULL);
	}
}

static bool try_engine(struct migration *m, const struct engine_ops *ops)
{
	m->engine.ops = ops;
	if (!ops->open(m))
		return true;
	m->engine.ops = NULL;
	return false;
}

/* The serial client's data do not come this way: it only waits for jobs. */
int engine_open(struct migration *m)
{
	struct failure none = { 0 };

	if (m->opt->engine == ENGINE_POLL || m->opt->serial)
		return try_engine(m, &engine_poll) ? 0 : -m->fail.err;
	if (try_engine(m, &engine_ring))
		return 0;
	if (m->opt->engine == ENGINE_RING)
		return -m->fail.err;
	if (!m->opt->quiet)
		say("%s: using poll instead", m->fail.reason);
	m->fail = none;
	return try_engine(m, &engine_poll) ? 0 : -m->fail.err;
}

void engine_close(struct migration *m)
{
	engine_quiesce(m);
	if (m->engine.ops)
		m->engine.ops->close(m);
	m->engine.ops = NULL;
}
