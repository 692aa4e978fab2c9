// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the devices will stand still, said before they do. Of each pair:
 *
 *  - what is to be read when the source has stopped: MIG_DATA_SIZE or what is
 *    left of the pre-copy, whichever is more, at the rate at which this pair
 *    went in its rounds of pre-copy;
 *  - the SET_STATEs of the switch, each taken to last as long as the longest
 *    that this device has had so far.
 *
 * A device that had no pre-copy tells neither, so it is not known, and then
 * that of all devices is not known either. Unknown is -1 in here.
 */
#include "migrate.h"

static int64_t longer(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void expect_nothing(struct pair *p)
{
	p->src.arc_ns = -1;
	p->dst.arc_ns = -1;
	p->data_size = -1;
	p->expected = (struct expected) {
		.bytes = -1,
		.rate = -1,
		.data_ms = -1,
		.alone_ms = -1,
	};
}

/* A device that has no such feature is no failure. */
static int data_size_job(struct job *job)
{
	uint64_t size;

	job->pair->data_size = -1;
	if (!device_data_size(job->dev, &size) && size <= INT64_MAX)
		job->pair->data_size = size;
	return 0;
}

static bool fill_data_size(struct migration *m, struct pair *p, bool source,
			   struct job *job)
{
	(void)m;
	(void)p;
	job->fn = data_size_job;
	job->step = "GET MIG_DATA_SIZE";
	return source;
}

static void expect_data(struct pair *p)
{
	const struct stream *s = &p->stream;
	struct expected *e = &p->expected;

	e->bytes = p->data_size;
	if (s->rest_known)
		e->bytes = longer(e->bytes, s->rest);
	if (s->precopy_bytes && s->busy_ns)
		e->rate = (double)s->precopy_bytes * NSEC_PER_SEC / s->busy_ns;
	if (!e->bytes)
		e->data_ms = 0;
	else if (e->bytes > 0 && e->rate > 0)
		e->data_ms = e->bytes * 1000.0 / e->rate;
}

/* Of one SET_STATE of the switch, if @wanted at all */
static double arc_ms(const struct device *dev, bool wanted)
{
	if (!wanted)
		return 0;
	return dev->arc_ns < 0 ? -1 : ns_to_ms(dev->arc_ns);
}

/* The switch, step by step. */
enum { STEP_P2P, STEP_STOP, STEP_DATA, STEP_CONFIRM, STEP_RUN, STEP_NR };

static void steps_of(const struct migration *m, const struct pair *p,
		     double ms[static STEP_NR])
{
	ms[STEP_P2P] = arc_ms(&p->src, has_p2p(&p->src) &&
			      !m->opt->skip_p2p_down);
	ms[STEP_STOP] = arc_ms(&p->src, true);
	ms[STEP_DATA] = p->expected.data_ms;
	ms[STEP_CONFIRM] = arc_ms(&p->dst, true);
	ms[STEP_RUN] = arc_ms(&p->dst, m->opt->run);
}

static double sum(const double ms[static STEP_NR])
{
	double all = 0;
	int i;

	for (i = 0; i < STEP_NR; i++) {
		if (ms[i] < 0)
			return -1;
		all += ms[i];
	}
	return all;
}

/*
 * All devices take a step together, so it lasts as long as the slowest takes;
 * with --serial they take it one after another.
 */
static double expect_all(struct migration *m)
{
	double all[STEP_NR] = { 0 }, ms[STEP_NR];
	struct pair *p;
	int i;

	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		expect_data(p);
		steps_of(m, p, ms);
		p->expected.alone_ms = sum(ms);
		for (i = 0; i < STEP_NR; i++) {
			if (ms[i] < 0 || all[i] < 0)
				all[i] = -1;
			else if (m->opt->serial)
				all[i] += ms[i];
			else if (ms[i] > all[i])
				all[i] = ms[i];
		}
	}
	return sum(all);
}

/* What the sources have, in the state they are in. No job may be running. */
int ask_sizes(struct migration *m, enum phase phase)
{
	return run_jobs(m, phase, fill_data_size, RUN_INTERRUPTIBLE);
}

/* At the end of the pre-copy. */
int predict(struct migration *m)
{
	int ret = ask_sizes(m, PHASE_PRECOPY);

	m->expected_ms = expect_all(m);
	return ret;
}
