// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way back, as long as not every destination has confirmed: destinations
 * that have been touched are reset and do not run, sources return to the state
 * that they were found in. They leave STOP for RUNNING_P2P together and
 * RUNNING_P2P together, as on any way up.
 *
 * A source's memory is the only copy now. So a transition that fails is tried
 * once more, and only a source in ERROR, whose state is lost already, is reset.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "migrate.h"

/*
 * Only one side may run, whatever comes of the reset: one that something else holds
 * open too is stopped, any other one is closed, for it would run as well.
 */
static int reset_job(struct job *job)
{
	struct device *dev = job->dev;

	device_reset(dev, &job->fail);
	if (dev->path.fd < 0)
		device_freeze(dev);
	else if (device_set_state(dev, VFIO_DEVICE_STATE_STOP, &job->fail))
		job->stuck = true;
	return -job->fail.err;
}

static bool reset_destination(struct migration *m, struct pair *p, bool source,
			      struct job *job)
{
	(void)m;
	job->fn = reset_job;
	job->step = "RESET";
	return !source && p->dst.touched;
}

static int set_twice_job(struct job *job)
{
	struct failure first = { 0 };

	if (!device_set_state(job->dev, job->target, &first) ||
	    !device_set_state(job->dev, job->target, &job->fail))
		return 0;
	return -job->fail.err;
}

static bool source_to_p2p(struct migration *m, struct pair *p, bool source,
			  struct job *job)
{
	uint32_t state = p->src.state;

	(void)m;
	job->fn = set_twice_job;
	job->target = VFIO_DEVICE_STATE_RUNNING_P2P;
	return source && has_p2p(&p->src) &&
	       p->src.found == VFIO_DEVICE_STATE_RUNNING &&
	       (state == VFIO_DEVICE_STATE_PRE_COPY_P2P ||
		state == VFIO_DEVICE_STATE_STOP_COPY ||
		state == VFIO_DEVICE_STATE_STOP);
}

/*
 * Nothing has been done to a source on the way back yet. If it is not where it was
 * left, something else has put it there, perhaps by a reset.
 */
static int look_job(struct job *job)
{
	struct device *dev = job->dev;
	uint32_t left = dev->state;

	device_ask_state(dev);
	if (dev->state == left || dev->state == STATE_UNKNOWN ||
	    dev->state == VFIO_DEVICE_STATE_ERROR || left == STATE_UNKNOWN)
		return 0;
	dev->was_reset = true;
	return fail_at(&job->fail, dev->name, ECANCELED, "roll back",
		       "it is in %s and not in %s: it was reset, or its state changed, by something else",
		       state_name(dev->state), state_name(left));
}

static bool look_at_source(struct migration *m, struct pair *p, bool source,
			   struct job *job)
{
	(void)m;
	job->fn = look_job;
	return source && p->src.touched;
}

static int back_job(struct job *job)
{
	struct device *dev = job->dev;
	struct failure reset = { 0 };

	if (!set_twice_job(job))
		return 0;
	dev->lost = true;
	job->stuck = dev->state != VFIO_DEVICE_STATE_ERROR ||
		     device_reset(dev, &reset);
	return -job->fail.err;
}

static bool source_back(struct migration *m, struct pair *p, bool source,
			struct job *job)
{
	(void)m;
	job->fn = back_job;
	job->target = p->src.found;
	return source && p->src.state != p->src.found;
}

static void add(char *out, size_t size, const char *text)
{
	size_t len = strlen(out);

	snprintf(out + len, size - len, "%s%s", len ? ", " : "", text);
}

/* Destinations that still have something, into the last line. */
static void add_destinations(struct migration *m)
{
	const char *all = "the destinations were reset";
	unsigned int i;
	char text[256];

	if (!m->nr_jobs)
		all = "no destination was changed";
	else if (m->nr_jobs < m->nr)
		all = "the destinations that were changed were reset";
	for (i = 0; i < m->nr_jobs; i++) {
		if (!m->jobs[i].fail.set)
			continue;
		snprintf(text, sizeof(text), "%s could not be %s",
			 m->jobs[i].dev->name,
			 m->jobs[i].stuck ? "stopped" : "reset");
		add(m->outcome, sizeof(m->outcome), text);
		all = NULL;
	}
	if (all)
		add(m->outcome, sizeof(m->outcome), all);
}

static void stuck_text(const struct job *job, char *text, size_t size)
{
	const struct device *dev = job->dev;

	if (!job->stuck)
		snprintf(text, size, "%s could not go back and was reset: its state is lost",
			 dev->name);
	else if (dev->state == VFIO_DEVICE_STATE_ERROR)
		snprintf(text, size, "%s could neither go back nor be reset: its state is lost",
			 dev->name);
	else
		snprintf(text, size, "%s could not go back and is in %s: it may have the only copy of its state",
			 dev->name, state_name(dev->state));
}

/* Where the sources are that could not go back. */
static void add_stuck(struct migration *m)
{
	unsigned int i;
	char text[256];

	for (i = 0; i < m->nr_jobs; i++) {
		if (!m->jobs[i].fail.set)
			continue;
		stuck_text(&m->jobs[i], text, sizeof(text));
		add(m->outcome, sizeof(m->outcome), text);
	}
}

/* That may have been at any time, so it is looked for last. */
static void add_was_reset(struct migration *m)
{
	unsigned int i;
	char text[256];

	for (i = 0; i < m->nr; i++) {
		struct device *src = &m->pairs[i].src;

		if (!src->was_reset || src->lost)
			continue;
		src->lost = true;
		snprintf(text, sizeof(text),
			 "%s was reset by something else: its state is lost",
			 src->name);
		add(m->outcome, sizeof(m->outcome), text);
	}
}

static void add_others(struct migration *m)
{
	unsigned int lost = 0, stopped = 0, i;

	for (i = 0; i < m->nr; i++) {
		lost += m->pairs[i].src.lost;
		stopped += m->pairs[i].src.found == VFIO_DEVICE_STATE_STOP;
	}
	if (lost == m->nr)
		return;
	add(m->outcome, sizeof(m->outcome),
	    lost ? "the other sources run on" : "the sources run on");
	if (stopped)
		add(m->outcome, sizeof(m->outcome),
		    "those that were stopped stay so");
}

void rollback(struct migration *m)
{
	enum phase phase = m->phase;

	m->rolling_back = true;
	engine_quiesce(m);
	m->outcome[0] = '\0';
	/* it fails only if a second signal ended the waiting */
	if (run_jobs(m, PHASE_RESET, reset_destination, 0))
		return;
	add_destinations(m);
	if (run_jobs(m, PHASE_RESET, look_at_source, 0) ||
	    run_jobs(m, PHASE_RESET, source_to_p2p, 0) ||
	    run_jobs(m, PHASE_RESET, source_back, 0))
		return;
	add_stuck(m);
	add_was_reset(m);
	add_others(m);
	m->phase = phase;
}
