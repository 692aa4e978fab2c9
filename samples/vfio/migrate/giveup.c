// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ending what is under way. Before the commit SET_STATEs are ended by a signal,
 * which the kernel heeds until a device has changed. After that it goes on to
 * the end. A destination is going to be reset anyway, so it is, from another
 * thread, which ends its SET_STATE. A source is not: a reset would cost its
 * state. It is waited for, until a second signal says not to.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migrate.h"

#define RESET_AFTER_NS	(NSEC_PER_SEC / 2)
#define ASK_NS		NSEC_PER_SEC

static int reset_raw_job(struct job *job)
{
	return device_reset_raw(job->dev);
}

static int start_resets(struct migration *m)
{
	struct failure fail = { 0 };

	if (m->resets.workers)
		return m->resets.nr == m->nr ? 0 : -EAGAIN;
	if (!pool_start(&m->resets, m->nr, &fail))
		return 0;
	report_failure(&fail);
	return -fail.err;
}

/* Each destination that is still in SET_STATE, once. */
static void reset_destinations(struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr_jobs; i++) {
		struct job *job = &m->jobs[i], *reset;
		unsigned int nr = job->pair - m->pairs;

		if (!job->posted || job->reaped || job->dev != &job->pair->dst)
			continue;
		reset = &m->reset_jobs[nr];
		if (reset->posted || start_resets(m))
			continue;
		*reset = (struct job) {
			.dev = job->dev, .fn = reset_raw_job, .posted = true,
		};
		job->dev->reset_to_end = true;
		pool_post(&m->resets, nr, reset);
	}
}

static bool resets_busy(struct migration *m)
{
	return m->resets.workers && pool_busy(&m->resets);
}

/* Called again and again; true when everything has come to an end. */
bool end_jobs(struct migration *m)
{
	unsigned int i;

	if (!pool_busy(&m->pool))
		return !resets_busy(m);
	if (!m->give_up_ns)
		m->give_up_ns = now_ns();
	for (i = 0; i < m->nr_jobs; i++)
		m->jobs[i].given_up = true;
	pool_interrupt(&m->pool);
	if (now_ns() - m->give_up_ns >= RESET_AFTER_NS)
		reset_destinations(m);
	return false;
}

/* --- after a second signal --------------------------------------------------- */

/* GET waits for an arc to end, so it is asked in a thread that may be left. */
struct question {
	const struct device *dev;
	uint32_t state;
	_Atomic bool answered;
};

static void *ask(void *arg)
{
	struct question *q = arg;
	struct device dev = { .fd = q->dev->fd };

	if (!device_get_state(&dev, &q->state))
		q->answered = true;
	return NULL;
}

static bool all_answered(const struct question *q, unsigned int nr)
{
	while (nr--) {
		if (!q[nr].answered)
			return false;
	}
	return true;
}

static void ask_all(struct migration *m, struct question *q)
{
	struct timespec pause = { .tv_nsec = 10 * NSEC_PER_MSEC };
	uint64_t until = now_ns() + ASK_NS;
	unsigned int i;
	pthread_t t;

	for (i = 0; i < 2 * m->nr; i++) {
		q[i].dev = i & 1 ? &m->pairs[i / 2].dst : &m->pairs[i / 2].src;
		if (q[i].dev->fd >= 0 && !pthread_create(&t, NULL, ask, &q[i]))
			pthread_detach(t);
	}
	while (!all_answered(q, 2 * m->nr) && now_ns() < until)
		nanosleep(&pause, NULL);
}

static const struct job *job_of(const struct migration *m,
				const struct device *dev)
{
	unsigned int i;

	for (i = 0; i < m->nr_jobs; i++) {
		const struct job *job = &m->jobs[i];

		if (job->dev == dev && job->posted && !job->reaped)
			return job;
	}
	return NULL;
}

/* Fields of a device that has a job are its worker's: the job tells. */
static void tell_device(const struct migration *m, const struct question *q)
{
	const struct job *job = job_of(m, q->dev);
	char where[64], what[96], under_way[160] = "";

	if (q->answered)
		snprintf(where, sizeof(where), "in %s", state_name(q->state));
	else if (q->dev->fd < 0 && !job)
		snprintf(where, sizeof(where), "closed");
	else
		snprintf(where, sizeof(where), "does not answer, last known in %s",
			 state_name(job ? job->from : q->dev->state));
	if (job) {
		job_describe(job, what, sizeof(what));
		snprintf(under_way, sizeof(under_way),
			 ", %s under way for %.1f s", what,
			 (double)(now_ns() - job->posted_ns) / NSEC_PER_SEC);
	}
	say("%s: %s%s", q->dev->name, where, under_way);
}

/* Where the state is has to be known of the side that holds it. */
static bool is_lost(const struct migration *m, const struct question *q,
		    bool source)
{
	if (source == m->committed || q->dev->fd < 0)
		return false;
	if (!q->answered || job_of(m, q->dev))
		return true;
	return source ? q->state != q->dev->found :
			q->state == VFIO_DEVICE_STATE_ERROR;
}

/* What is known when waiting has been ended, and who holds the state. */
void tell_last_known(struct migration *m)
{
	struct question *q = xcalloc(2 * m->nr, sizeof(*q));
	unsigned int i, lost = 0;

	ask_all(m, q);
	for (i = 0; i < 2 * m->nr; i++) {
		struct device *dev = i & 1 ? &m->pairs[i / 2].dst :
					     &m->pairs[i / 2].src;

		tell_device(m, &q[i]);
		dev->lost = is_lost(m, &q[i], !(i & 1));
		lost += dev->lost;
	}
	snprintf(m->outcome, sizeof(m->outcome),
		 "waiting was ended by a second signal; %s%s",
		 m->committed ? "the destinations had confirmed" :
				"the destinations had not all confirmed",
		 lost ? ", and where the state is, is not known of all devices: see above" :
		 m->committed ? ", they hold the state" : ", the sources run on");
}
