// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is waited for, and for how long. After two seconds a line names it, and
 * again when twice the time has passed, at most each minute. After --timeout
 * it is given up: before the commit that is a failure like any other, so all
 * goes back; after it the job is left to itself and the others go on. The way
 * back has no limit: what it waits for is the only copy of a device's state.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migrate.h"

#define TELL_NS		(2 * NSEC_PER_SEC)
#define TELL_MAX_NS	(60 * NSEC_PER_SEC)
#define TELL_NAMES	3

struct wanted {
	const struct device *dev;
	struct job *job;	/* NULL: a stream of the engine */
	bool data;		/* a read or a write, of whatever */
	uint64_t since_ns;
	char what[96];
};

void job_describe(const struct job *job, char *buf, size_t size)
{
	if (job->step)
		snprintf(buf, size, "%s", job->step);
	else
		snprintf(buf, size, "SET_STATE %s -> %s", state_name(job->from),
			 state_name(job->target));
}

/* A copying job of the serial client may wait for any device's data. */
static void wanted_serial(struct migration *m, struct wanted *w)
{
	int at = m->serial_at;

	if (at < 0 || !(w->job->fn == serial_precopy_job ||
			w->job->fn == serial_drain_job))
		return;
	w->data = true;
	w->dev = at & 1 ? &m->pairs[at / 2].dst : &m->pairs[at / 2].src;
	snprintf(w->what, sizeof(w->what), at & 1 ? "write" : "read");
	if (m->serial_ns > w->since_ns)
		w->since_ns = m->serial_ns;
}

static bool job_wanted(struct migration *m, struct job *job, struct wanted *w)
{
	if (!job->posted || job->reaped || job->abandoned)
		return false;
	w->dev = job->dev;
	w->job = job;
	w->data = false;
	w->since_ns = job->posted_ns;
	job_describe(job, w->what, sizeof(w->what));
	wanted_serial(m, w);
	return true;
}

static bool stream_wanted(struct migration *m, struct pair *p,
			  struct wanted *w)
{
	const struct stream *s = &p->stream;
	bool write = s->head != s->tail;

	if (m->phase != PHASE_PRECOPY && m->phase != PHASE_DRAIN)
		return false;
	if (!m->pumping || (!write && s->mode != STREAM_ITERATE &&
			    s->mode != STREAM_DRAIN))
		return false;
	w->dev = write ? &p->dst : &p->src;
	w->job = NULL;
	w->data = true;
	w->since_ns = s->moved_ns > m->step_ns ? s->moved_ns : m->step_ns;
	snprintf(w->what, sizeof(w->what), write ? "write" : "read");
	return true;
}

/* The jobs, then the streams: is this one waited for? */
static bool nth_wanted(struct migration *m, unsigned int i, struct wanted *w)
{
	if (i < m->nr_jobs)
		return job_wanted(m, &m->jobs[i], w);
	return stream_wanted(m, &m->pairs[i - m->nr_jobs], w);
}

static void add_name(char *text, size_t size, const struct wanted *w,
		     uint64_t now)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s%s: %s (%.0f s)", len ? ", " : "",
		 w->dev->name, w->what,
		 (double)(now - w->since_ns) / NSEC_PER_SEC);
}

static void tell(struct migration *m, uint64_t now)
{
	unsigned int i, nr = 0;
	char text[512] = "", more[32] = "";
	struct wanted w;

	for (i = 0; i < m->nr_jobs + m->nr; i++) {
		if (!nth_wanted(m, i, &w) || now < w.since_ns + TELL_NS)
			continue;
		if (nr++ < TELL_NAMES)
			add_name(text, sizeof(text), &w, now);
	}
	if (nr > TELL_NAMES)
		snprintf(more, sizeof(more), " and %u more", nr - TELL_NAMES);
	say("waiting for %s%s", text, more);
}

static uint64_t longest(struct migration *m, uint64_t now)
{
	uint64_t ns = 0;
	struct wanted w;
	unsigned int i;

	for (i = 0; i < m->nr_jobs + m->nr; i++) {
		if (nth_wanted(m, i, &w) && now > w.since_ns + ns)
			ns = now - w.since_ns;
	}
	return ns;
}

static int timed_out(const struct options *opt, const struct wanted *w,
		     struct failure *fail)
{
	return fail_at(fail, w->dev->name, ETIMEDOUT, w->what, "%s within %g s (--timeout)",
		       w->data ? "not a byte" : "no end",
		       (double)opt->timeout_ns / NSEC_PER_SEC);
}

static void abandon_job(struct migration *m, const struct wanted *w)
{
	struct job *job = w->job;

	job->abandoned = true;
	m->abandoned = true;
	timed_out(m->opt, w, &job->late);
	report_failure(&job->late);
}

static void check_timeout(struct migration *m, uint64_t now)
{
	struct wanted w;
	unsigned int i;

	for (i = 0; i < m->nr_jobs + m->nr; i++) {
		if (!nth_wanted(m, i, &w) ||
		    now < w.since_ns + m->opt->timeout_ns)
			continue;
		if (!m->committed)
			timed_out(m->opt, &w, &m->fail);
		else if (w.job)
			abandon_job(m, &w);
	}
}

/* A step begins. */
void watch_begin(struct migration *m)
{
	m->step_ns = now_ns();
	m->tell_ns = 0;
}

/* Called often. */
void watch(struct migration *m)
{
	uint64_t now = now_ns(), ns = longest(m, now);

	if (ns >= TELL_NS && now >= m->tell_ns) {
		tell(m, now);
		m->tell_ns = now + (ns < TELL_MAX_NS ? ns : TELL_MAX_NS);
	}
	if (m->opt->timeout_ns && !m->rolling_back && !m->give_up_ns &&
	    ns >= m->opt->timeout_ns)
		check_timeout(m, now);
}
