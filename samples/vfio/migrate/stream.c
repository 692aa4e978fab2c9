// SPDX-License-Identifier: GPL-2.0-only
/*
 * One pair's bytes: how far a pre-copy has come, and what a failed read or
 * write means. Who does the reading and writing is ring.c or serial.c.
 *
 * A round ends when the source has nothing more for now, or when as many
 * bytes have been read as it had announced when the round began: a source
 * that changes faster than it is read would never come to the first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "migrate.h"

/*
 * The pages are there at once: if memory is short, or an OOM kill comes, then
 * before any device has been touched.
 */
int stream_init(struct stream *s, size_t chunk)
{
	unsigned int i;

	s->from = -1;
	s->to = -1;
	for (i = 0; i < STREAM_BUFFERS; i++) {
		void *mem = mmap(NULL, chunk, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
				 -1, 0);

		if (mem == MAP_FAILED)
			return -errno;
		s->buf[i].mem = mem;
	}
	return 0;
}

void stream_free(struct stream *s, size_t chunk)
{
	unsigned int i;

	for (i = 0; i < STREAM_BUFFERS; i++) {
		if (s->buf[i].mem)
			munmap(s->buf[i].mem, chunk);
	}
}

static uint64_t ask_rest(struct stream *s)
{
	uint64_t rest = 0;

	s->rest_known = !precopy_rest(s->from, &rest);
	s->rest = rest;
	return rest;
}

static void begin_round(struct stream *s, uint64_t want)
{
	s->round_want = want;
	s->round_got = 0;
	s->round_ns = now_ns();
	s->moved_ns = s->round_ns;
}

/* The first round is never skipped: it carries what is worth sending early. */
void stream_begin(struct stream *s)
{
	uint64_t rest = ask_rest(s);

	s->iterates = true;
	s->mode = STREAM_ITERATE;
	begin_round(s, rest ? rest : 1);
}

/* The source has entered STOP_COPY. */
void stream_stop_copy(struct stream *s)
{
	s->stopped = true;
	s->iterates = false;
	s->mode = STREAM_DRAIN;
	s->moved_ns = now_ns();
}

/* Has it made all rounds but the last, or no need of them? */
static bool awaits_last(const struct stream *s, const struct options *opt)
{
	return !s->iterates || s->below || s->rounds + 1 >= opt->max_rounds;
}

/*
 * No device makes more rounds than --max-rounds, however long others take. So
 * that one that was quick has not grown old when all are stopped, the last of
 * several is made when no other device has more than its own last to make.
 */
static bool may_begin(const struct migration *m, const struct stream *s)
{
	unsigned int i;

	if (s->rounds >= m->opt->max_rounds)
		return false;
	if (!s->rounds || s->rounds + 1 < m->opt->max_rounds)
		return true;
	for (i = 0; i < m->nr; i++) {
		if (!awaits_last(&m->pairs[i].stream, m->opt))
			return false;
	}
	return true;
}

/*
 * Asks the source for its rest and begins a round if that is worth one. A
 * source that cannot tell is taken to have none: STOP_COPY gets it anyway.
 */
void stream_check(struct migration *m, struct stream *s)
{
	uint64_t rest = ask_rest(s);

	s->below = rest <= m->opt->threshold;
	s->mode = s->below || !may_begin(m, s) ? STREAM_IDLE : STREAM_ITERATE;
	begin_round(s, rest);
}

void stream_got(struct migration *m, struct stream *s, size_t bytes)
{
	/* A read that began before may end with what STOP_COPY has. */
	if (s->read_is_final || m->switching) {
		s->stopcopy_bytes += bytes;
		return;
	}
	s->precopy_bytes += bytes;
	s->round_got += bytes;
	if (s->mode == STREAM_ITERATE) {
		s->busy_ns += now_ns() - s->round_ns;
		s->round_ns = now_ns();
	}
	/* A read may have been under way when its round ended. */
	if (s->mode != STREAM_ITERATE || s->round_got < s->round_want)
		return;
	s->rounds++;
	stream_check(m, s);
}

/*
 * The source had nothing. If it had nothing in the whole round, whatever it
 * announces, it is left alone until the next tick.
 */
void stream_paused(struct migration *m, struct stream *s)
{
	bool empty = !s->round_got;

	if (s->mode != STREAM_ITERATE)
		return;
	s->mode = STREAM_IDLE;
	if (m->switching)
		return;
	s->rounds++;
	stream_check(m, s);
	if (empty)
		s->mode = STREAM_IDLE;
}

/*
 * A read is under way, and may be for ever: where io_uring has to poll, nothing tells
 * the temporary end, and what the source had announced is only an estimate. The read
 * stays, for what comes next. The first round ends with nothing left, no sooner.
 */
void stream_waits(struct migration *m, struct stream *s)
{
	uint64_t rest = UINT64_MAX;

	precopy_rest(s->from, &rest);
	if (rest > (s->rounds ? m->opt->threshold : 0))
		return;
	s->rounds++;
	stream_check(m, s);
}

bool stream_converged(const struct stream *s, const struct options *opt)
{
	return !s->iterates || s->below || s->rounds >= opt->max_rounds;
}

/* All at the same time; those that were under the threshold may have grown. */
bool streams_converged(struct migration *m)
{
	unsigned int i, pass;
	struct stream *s;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < m->nr; i++) {
			s = &m->pairs[i].stream;
			if (pass && s->iterates && s->mode == STREAM_IDLE)
				stream_check(m, s);
			if (!stream_converged(s, m->opt))
				return false;
		}
	}
	return true;
}

bool stream_drained(const struct stream *s)
{
	return s->mode == STREAM_END && s->head == s->tail && !s->writing;
}

static const char *data_hint(int err)
{
	switch (err) {
	case ENODEV:
		return " (the session has ended: was the device reset or its state changed by someone else?)";
	case ENOMSG:
		return " (a driver must not report a temporary end in STOP_COPY)";
	case EILSEQ:
		return " (not the data of a migration)";
	case EBADMSG:
		return " (the data are damaged)";
	case EPROTONOSUPPORT:
		return " (the source's data are of a newer kind: update the destination's driver)";
	case EMEDIUMTYPE:
		return " (the destination is of another type or size than the source)";
	case ESTALE:
		return " (the destination's device version does not take the source's)";
	case ENOMEM:
		return " (raise the memory limit)";
	default:
		return "";
	}
}

static int data_failed(struct device *dev, int err, const char *step,
		       bool ask, struct failure *fail)
{
	char reason[256];

	if (!ask || !device_reason(dev, err, reason, sizeof(reason)))
		return fail_at(fail, dev->name, err, step, "%s%s",
			       strerror(err), data_hint(err));
	return fail_at(fail, dev->name, err, step, "%s%s (%s)", strerror(err),
		       data_hint(err), reason);
}

/* Without @ask the source may be in a transition, which a question would wait for. */
int read_failed(struct pair *p, int err, bool ask, struct failure *fail)
{
	return data_failed(&p->src, err, "read", ask, fail);
}

/* The destination is in no transition while it is written to. */
int write_failed(struct pair *p, int err, struct failure *fail)
{
	return data_failed(&p->dst, err, "write", true, fail);
}
