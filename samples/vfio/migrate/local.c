// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-migrate local: from devices to devices of the same machine.
 *
 * Up to the moment when every destination has confirmed, the sources can go
 * back to running, and do so on any failure or signal. From then on they
 * never run again, and signals have to wait.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate.h"

#define FDS_PER_DEVICE	4
#define FDS_SPARE	32

/* fill functions: which devices a phase is for, and where they go */

static bool fill_setup(struct migration *m, struct pair *p, bool source,
		       struct job *job)
{
	(void)m;
	job->target = source ? VFIO_DEVICE_STATE_PRE_COPY :
			       VFIO_DEVICE_STATE_RESUMING;
	return !source || (has_precopy(&p->src) &&
			   p->src.found == VFIO_DEVICE_STATE_RUNNING);
}

static bool fill_p2p(struct migration *m, struct pair *p, bool source,
		     struct job *job)
{
	job->target = has_precopy(&p->src) ? VFIO_DEVICE_STATE_PRE_COPY_P2P :
					     VFIO_DEVICE_STATE_RUNNING_P2P;
	return source && has_p2p(&p->src) && !m->opt->skip_p2p_down &&
	       p->src.found == VFIO_DEVICE_STATE_RUNNING;
}

static bool fill_stop(struct migration *m, struct pair *p, bool source,
		      struct job *job)
{
	(void)p;
	job->target = VFIO_DEVICE_STATE_STOP_COPY;
	if (m->opt->serial) {
		job->fn = serial_drain_job;
		job->step = "STOP_COPY and reading to the end";
	}
	return source;
}

/*
 * Asked first, since one that somebody reset meanwhile would go there as well, with
 * nothing of the state.
 */
static int confirm_job(struct job *job)
{
	struct device *dev = job->dev;
	uint32_t state;

	if (!device_get_state(dev, &state) && state != VFIO_DEVICE_STATE_RESUMING)
		return fail_at(&job->fail, dev->name, ECANCELED, "confirm",
			       "it is in %s and not in RESUMING: it was reset, or its state changed, by someone else",
			       state_name(state));
	return set_state_job(job);
}

static bool fill_confirm(struct migration *m, struct pair *p, bool source,
			 struct job *job)
{
	job->target = has_p2p(&p->dst) && !m->opt->skip_p2p_up ?
		      VFIO_DEVICE_STATE_RUNNING_P2P : VFIO_DEVICE_STATE_STOP;
	job->fn = confirm_job;
	return !source;
}

static bool fill_finish(struct migration *m, struct pair *p, bool source,
			struct job *job)
{
	job->target = m->opt->run ? VFIO_DEVICE_STATE_RUNNING :
				    VFIO_DEVICE_STATE_STOP;
	return !source && p->dst.state != job->target;
}

/*
 * Resets a source and closes it, so that nothing of it can run on. One that
 * something else holds open too is stopped, for it would stay running.
 */
static int retire_job(struct job *job)
{
	struct device *dev = job->dev;

	if (device_reset(dev, &job->fail))
		return -job->fail.err;
	if (dev->path.fd >= 0)
		device_set_state(dev, VFIO_DEVICE_STATE_STOP, &job->fail);
	device_freeze(dev);
	return 0;
}

static bool fill_retire(struct migration *m, struct pair *p, bool source,
			struct job *job)
{
	(void)p;
	job->target = VFIO_DEVICE_STATE_STOP;
	if (!m->opt->keep_source) {
		job->fn = retire_job;
		job->step = "RESET";
	}
	return source;
}

static bool precopy_done(struct migration *m)
{
	return streams_converged(m);
}

static bool all_drained(struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		if (!stream_drained(&m->pairs[i].stream))
			return false;
	}
	return true;
}

static void begin_streams(struct migration *m)
{
	struct pair *p;

	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		p->stream.from = p->src.data_fd;
		p->stream.to = p->dst.data_fd;
		if (p->src.data_fd >= 0)
			stream_begin(&p->stream);
	}
	m->precopy_ns = now_ns();
}

static bool fill_serial_precopy(struct migration *m, struct pair *p,
				bool source, struct job *job)
{
	job->fn = serial_precopy_job;
	job->step = "pre-copy";
	return p == m->pairs && source;
}

static void note_precopy(struct migration *m)
{
	struct pair *p;

	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		if (p->stream.iterates)
			p->phase_ns[PHASE_PRECOPY] = now_ns() - m->precopy_ns;
	}
}

static int precopy(struct migration *m)
{
	int ret;

	begin_streams(m);
	if (m->opt->serial) {
		ret = run_jobs(m, PHASE_PRECOPY, fill_serial_precopy,
			       RUN_INTERRUPTIBLE);
	} else {
		m->pumping = true;
		m->phase = PHASE_PRECOPY;
		ret = engine_run(m, precopy_done, true);
		m->phase_ns[PHASE_PRECOPY] = now_ns() - m->precopy_ns;
	}
	note_precopy(m);
	m->switching = true;
	if (!ret)
		ret = predict(m);
	if (!ret)
		report_switch(m);
	return ret;
}

static int drain(struct migration *m)
{
	uint64_t start = now_ns();
	struct pair *p;
	int ret;

	if (m->opt->serial)
		return 0;
	m->phase = PHASE_DRAIN;
	ret = engine_run(m, all_drained, true);
	m->pumping = false;
	m->phase_ns[PHASE_DRAIN] = now_ns() - start;
	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		if (p->stream.drained_ns > start)
			p->phase_ns[PHASE_DRAIN] = p->stream.drained_ns - start;
	}
	return ret;
}

/* Everything that can still be undone. */
static int migrate(struct migration *m)
{
	unsigned int flags = RUN_INTERRUPTIBLE;

	if (m->opt->serial)
		flags |= RUN_SERIAL;
	if (ask_sizes(m, PHASE_SETUP) ||
	    run_jobs(m, PHASE_SETUP, fill_setup, flags) || precopy(m) ||
	    run_jobs(m, PHASE_P2P, fill_p2p, flags) ||
	    run_jobs(m, PHASE_STOP, fill_stop, flags) || drain(m) ||
	    run_jobs(m, PHASE_CONFIRM, fill_confirm, flags))
		return -m->fail.err;
	return 0;
}

/* A failure after the confirmation. Each has been told. */
static void note_failed(struct migration *m, const char *outcome)
{
	const struct failure *fail;
	unsigned int i;

	for (i = 0; i < m->nr_jobs; i++) {
		fail = job_failure(&m->jobs[i]);
		if (!fail || m->fail.set)
			continue;
		m->fail = *fail;
		m->fail_told = true;
		snprintf(m->outcome, sizeof(m->outcome), "%s", outcome);
	}
}

/* A destination that is in ERROR, or was reset, has nothing any more. */
static void note_lost(struct migration *m)
{
	size_t len;
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		struct device *dst = &m->pairs[i].dst;

		if (dst->busy)
			continue;
		if (dst->state != VFIO_DEVICE_STATE_ERROR &&
		    dst->state != STATE_UNKNOWN && !dst->was_reset)
			continue;
		dst->lost = true;
		len = strlen(m->outcome);
		snprintf(m->outcome + len, sizeof(m->outcome) - len,
			 "; but %s %s %s, its source may have the only copy of its state",
			 dst->name, dst->was_reset ? "was reset and is in" : "is in",
			 state_name(dst->state));
	}
}

/*
 * If a destination does not come up, its source may be the last good copy:
 * it is left stopped instead of being reset.
 */
static void commit(struct migration *m)
{
	unsigned int flags = m->opt->serial ? RUN_SERIAL : 0;

	m->committed = true;
	snprintf(m->outcome, sizeof(m->outcome),
		 "the destinations hold the state");
	run_jobs(m, PHASE_FINISH, fill_finish, flags);
	note_failed(m, "the destinations hold the state, the sources stay stopped and were not reset");
	note_lost(m);
	if (m->fail.set)
		return;
	run_jobs(m, PHASE_RESET, fill_retire, 0);
	if (!m->opt->keep_source)
		note_failed(m, "the destinations hold the state, but this source could run again: reset it");
}

static void no_device(struct device *dev, const char *name)
{
	dev->name = name;
	dev->fd = -1;
	dev->data_fd = -1;
	dev->found = STATE_UNKNOWN;
	dev->state = STATE_UNKNOWN;
}

static void parse_pair(struct pair *p, char *spec)
{
	char *eq = strchr(spec, '=');

	*eq = '\0';
	no_device(&p->src, spec);
	no_device(&p->dst, eq + 1);
	expect_nothing(p);
}

static struct device *nth(struct migration *m, unsigned int i)
{
	return i & 1 ? &m->pairs[i / 2].dst : &m->pairs[i / 2].src;
}

static int resolve_all(struct migration *m)
{
	unsigned int i, j;

	for (i = 0; i < 2 * m->nr; i++) {
		struct device *dev = nth(m, i);

		if (name_resolve(dev->name, &dev->path, &m->fail))
			return -m->fail.err;
		for (j = 0; j < i; j++) {
			if (!path_same(&dev->path, &nth(m, j)->path))
				continue;
			return fail_at(&m->fail, dev->name, EINVAL, "check",
				       "named twice on the command line (also as %s)",
				       nth(m, j)->name);
		}
	}
	return 0;
}

static int open_all(struct migration *m)
{
	uint64_t start = now_ns();
	unsigned int i;

	for (i = 0; i < 2 * m->nr; i++) {
		if (device_open(nth(m, i), &m->fail) ||
		    device_query(nth(m, i), &m->fail))
			return -m->fail.err;
	}
	m->phase_ns[PHASE_OPEN] = now_ns() - start;
	return 0;
}

static int init_streams(struct migration *m)
{
	unsigned int i;
	int ret;

	for (i = 0; i < m->nr; i++) {
		ret = stream_init(&m->pairs[i].stream, m->opt->chunk);
		if (ret)
			return fail_at(&m->fail, "all devices", -ret, "start",
				       "no memory for the buffers of %u pairs: %s (use a smaller --chunk than %llu, or move fewer at a time)",
				       m->nr, strerror(-ret),
				       (unsigned long long)m->opt->chunk);
	}
	return 0;
}

/* All that can be short is had before a device is opened, which may start it. */
static int prepare(struct migration *m)
{
	if (raise_nofile(&m->fail, 2ul * m->nr * FDS_PER_DEVICE + FDS_SPARE) ||
	    init_streams(m) || pool_start(&m->pool, 2 * m->nr, &m->fail) ||
	    engine_open(m) || open_all(m) || check_pairs(m))
		return -m->fail.err;
	return 0;
}

static void release(struct migration *m)
{
	unsigned int i;

	engine_close(m);
	pool_stop(&m->pool);
	pool_stop(&m->resets);
	for (i = 0; i < m->nr; i++) {
		device_close(&m->pairs[i].src);
		device_close(&m->pairs[i].dst);
		stream_free(&m->pairs[i].stream, m->opt->chunk);
	}
	open_cleanup();
	free(m->jobs);
	free(m->reset_jobs);
	free(m->pairs);
}

static void run(struct migration *m)
{
	if (prepare(m)) {
		report_first_failure(m);
		return;
	}
	if (!migrate(m))
		commit(m);
	else if (!m->aborted)
		rollback(m);
	if (m->aborted)
		tell_last_known(m);
}

static int exit_status(const struct migration *m)
{
	unsigned int i;

	for (i = 0; i < m->nr; i++) {
		if (m->pairs[i].src.lost || m->pairs[i].dst.lost)
			return EXIT_LOST;
	}
	if (!m->fail.set)
		return EXIT_MOVED;
	return m->committed ? EXIT_MOVED_BUT : EXIT_NOT_MOVED;
}

/* What cannot be written has been told, but is no success. */
static void report(struct migration *m)
{
	int ret;

	if (m->committed) {
		stdio_status(EXIT_MOVED_BUT);
		if (!m->opt->quiet)
			report_table(m);
	}
	ret = stdio_flush();
	if (ret)
		fail_at(&m->fail, "-", -ret, "write table", "%s", strerror(-ret));
	ret = report_json(m);
	if (ret)
		fail_at(&m->fail, m->opt->json, -ret, "write report", "%s",
			strerror(-ret));
	if (m->fail.set)
		report_outcome(m);
}

int local_run(const struct options *opt, char **specs, unsigned int nr)
{
	struct migration m = { .opt = opt, .nr = nr, .expected_ms = -1,
			       .serial_at = -1 };
	unsigned int i;
	int status;

	m.pairs = xcalloc(nr, sizeof(*m.pairs));
	/* all memory that it takes, before any device is touched */
	m.jobs = xcalloc(2 * nr, sizeof(*m.jobs));
	m.reset_jobs = xcalloc(nr, sizeof(*m.reset_jobs));
	for (i = 0; i < nr; i++)
		parse_pair(&m.pairs[i], specs[i]);
	signals_setup();
	m.start_ns = now_ns();
	snprintf(m.outcome, sizeof(m.outcome), "no device was changed");
	/* names first: a report's own fd must not be taken for some fd:N */
	resolve_all(&m);
	report_open(&m);
	report_first_failure(&m);
	if (!m.fail.set)
		run(&m);
	m.end_ns = now_ns();
	report_progress_end(&m);
	report(&m);
	status = exit_status(&m);
	/* A thread that hangs in the kernel can neither be joined nor closed. */
	if (m.abandoned || m.aborted)
		exit(status);
	release(&m);
	return status;
}
