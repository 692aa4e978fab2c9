// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way back, as long as not every destination has confirmed: destinations
 * that have been touched are reset and do not run, sources return to the state
 * that they were found in. They leave STOP for RUNNING_P2P together and
 * RUNNING_P2P together, as on any way up.
 *
 * A source's memory is the only copy now. So a transition that fails is tried
 * once more before a reset, which clears it, is what is left.
 */
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

static int back_job(struct job *job)
{
	struct failure reset = { 0 };

	if (!set_twice_job(job))
		return 0;
	if (device_reset(job->dev, &reset))
		job->stuck = true;
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

/* Jobs that failed and what it means, into the one line. */
static unsigned int add_failed(struct migration *m, const char *what,
			       const char *stuck)
{
	unsigned int i, nr = 0;
	char text[256];

	for (i = 0; i < m->nr_jobs; i++) {
		if (!m->jobs[i].fail.set)
			continue;
		snprintf(text, sizeof(text), "%s %s", m->jobs[i].dev->name,
			 m->jobs[i].stuck ? stuck : what);
		add(m->outcome, sizeof(m->outcome), text);
		nr++;
	}
	return nr;
}

static const char *reset_text(const struct migration *m)
{
	if (!m->nr_jobs)
		return "no destination was changed";
	return m->nr_jobs < m->nr ? "the destinations that were changed were reset" :
				    "the destinations were reset";
}

void rollback(struct migration *m)
{
	enum phase phase = m->phase;
	unsigned int lost;

	m->rolling_back = true;
	engine_quiesce(m);
	m->outcome[0] = '\0';
	run_jobs(m, PHASE_RESET, reset_destination, 0);
	if (!add_failed(m, "could not be reset", "could not be stopped"))
		add(m->outcome, sizeof(m->outcome), reset_text(m));
	run_jobs(m, PHASE_RESET, source_to_p2p, 0);
	run_jobs(m, PHASE_RESET, source_back, 0);
	lost = add_failed(m, "could not go back and was reset: its state is lost",
			  "could neither go back nor be reset");
	if (lost < m->nr)
		add(m->outcome, sizeof(m->outcome),
		    lost ? "the other sources run on" : "the sources run on");
	m->phase = phase;
}
