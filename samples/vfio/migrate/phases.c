// SPDX-License-Identifier: GPL-2.0-only
/*
 * A phase is a set of jobs, at most one per device. Its end is the barrier:
 * run_jobs() comes back when every job has ended. Meanwhile data flow.
 */
#include <errno.h>
#include <string.h>

#include "migrate.h"

int set_state_job(struct job *job)
{
	return device_set_state(job->dev, job->target, &job->fail);
}

/* What is abandoned is not waited for. */
static bool jobs_done(struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_jobs; i++) {
		const struct job *job = &m->jobs[i];

		if (job->posted && !job->reaped && !job->abandoned)
			return false;
	}
	return true;
}

/* NULL: it has not failed, or is not known to have. */
const struct failure *job_failure(const struct job *job)
{
	if (job->abandoned)
		return &job->late;
	return job->reaped && job->fail.set ? &job->fail : NULL;
}

/*
 * Where the downtime of a pair begins and ends: its destination runs, or has
 * the state if it is not to be run.
 */
static void note_downtime(struct migration *m, struct job *job)
{
	enum phase end = m->opt->run ? PHASE_FINISH : PHASE_CONFIRM;
	struct pair *p = job->pair;

	if (job->dev == &p->src && !p->down_from_ns &&
	    (m->phase == PHASE_P2P || m->phase == PHASE_STOP))
		p->down_from_ns = job->start_ns;
	if (job->dev == &p->dst && m->phase == end && !job->fail.set)
		p->down_to_ns = job->end_ns;
}

static void job_ended(struct migration *m, struct job *job)
{
	struct pair *p = job->pair;
	uint64_t ns = job->end_ns - job->start_ns;
	struct device *dev = job->dev;

	/* a serial job is of all devices */
	if (!dev->fail.set && job->fail.set &&
	    !strcmp(job->fail.device, dev->name))
		dev->fail = job->fail;

	if (ns > p->phase_ns[m->phase])
		p->phase_ns[m->phase] = ns;
	note_downtime(m, job);
	if (job->fail.set || job->step)
		return;
	if ((int64_t)ns > job->dev->arc_ns)
		job->dev->arc_ns = ns;
	if (job->fn != set_state_job)
		return;
	if (job->dev == &p->src && job->target == VFIO_DEVICE_STATE_STOP_COPY) {
		p->stream.from = job->dev->data_fd;
		stream_stop_copy(&p->stream);
	}
}

/* It was told to end, by a signal or by a reset, and has. */
static bool our_doing(const struct job *job)
{
	return job->given_up &&
	       (job->fail.err == EINTR || job->fail.err == ECANCELED);
}

/*
 * A job has failed. What is our own doing, since another device failed, becomes
 * the failure only if nothing else did.
 */
static void job_failed(struct migration *m, struct job *job)
{
	if (m->committed || m->rolling_back) {
		report_failure(&job->fail);
	} else if (our_doing(job)) {
		return;
	} else if (m->fail.set) {
		report_failure(&job->fail);
	} else {
		m->fail = job->fail;
		report_first_failure(m);
	}
}

static void take_interrupted(struct migration *m)
{
	unsigned int i;

	if (m->committed || m->rolling_back || pool_busy(&m->pool))
		return;
	for (i = 0; i < m->nr_jobs && !m->fail.set; i++) {
		if (m->jobs[i].reaped && m->jobs[i].fail.set)
			m->fail = m->jobs[i].fail;
	}
}

/* Looks at the jobs that have ended since. */
void reap_jobs(struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_jobs; i++) {
		struct job *job = &m->jobs[i];

		if (!job->posted || job->reaped || job->abandoned ||
		    !pool_done(&m->pool, job))
			continue;
		job->reaped = true;
		job->dev->busy = false;
		job_ended(m, job);
		if (job->fail.set)
			job_failed(m, job);
	}
	take_interrupted(m);
}

static unsigned int fill_jobs(struct migration *m, fill_fn fill)
{
	struct job *job = m->jobs;
	unsigned int i;
	int side;

	for (i = 0; i < m->nr; i++) {
		for (side = 0; side < 2; side++) {
			struct pair *p = &m->pairs[i];

			job->m = m;
			job->pair = p;
			job->dev = side ? &p->dst : &p->src;
			job->worker = 2 * i + side;
			job->fn = set_state_job;
			if (fill(m, p, !side, job))
				job++;
		}
	}
	return job - m->jobs;
}

static void post(struct migration *m, struct job *job)
{
	job->posted = true;
	job->posted_ns = now_ns();
	job->from = job->dev->state;
	job->dev->busy = true;
	job->dev->give_up = false;
	pool_post(&m->pool, job->worker, job);
}

/* All jobs at once, or with RUN_SERIAL one after another. */
static int run_all(struct migration *m, unsigned int flags)
{
	bool interruptible = flags & RUN_INTERRUPTIBLE;
	unsigned int i;
	int ret = 0;

	for (i = 0; i < m->nr_jobs && !ret; i++) {
		post(m, &m->jobs[i]);
		if (flags & RUN_SERIAL)
			ret = engine_run(m, jobs_done, interruptible);
	}
	if (!(flags & RUN_SERIAL))
		ret = engine_run(m, jobs_done, interruptible);
	return ret;
}

/*
 * Runs @phase on all devices that @fill wants it for. The first failure goes
 * to m->fail if RUN_INTERRUPTIBLE; otherwise the caller looks at the jobs,
 * which stay until the next phase.
 */
int run_jobs(struct migration *m, enum phase phase, fill_fn fill,
	     unsigned int flags)
{
	uint64_t start = now_ns();
	int ret;

	if (m->aborted)
		return -EINTR;
	m->phase = phase;
	memset(m->jobs, 0, 2 * m->nr * sizeof(*m->jobs));
	m->nr_jobs = fill_jobs(m, fill);
	ret = run_all(m, flags);
	m->phase_ns[phase] += now_ns() - start;
	if (!m->aborted)
		m->give_up_ns = 0;
	return ret;
}
