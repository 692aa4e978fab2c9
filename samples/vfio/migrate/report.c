// SPDX-License-Identifier: GPL-2.0-only
/* What a person and what a machine gets to read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "migrate.h"

static const char * const phase_names[PHASE_NR] = {
	[PHASE_OPEN] = "open",
	[PHASE_SETUP] = "setup",
	[PHASE_PRECOPY] = "precopy",
	[PHASE_P2P] = "p2p",
	[PHASE_STOP] = "stop_copy",
	[PHASE_DRAIN] = "drain",
	[PHASE_CONFIRM] = "confirm",
	[PHASE_FINISH] = "finish",
	[PHASE_RESET] = "reset",
};

const char *phase_name(enum phase phase)
{
	return phase_names[phase];
}

static uint64_t pair_bytes(const struct pair *p)
{
	return p->stream.precopy_bytes + p->stream.stopcopy_bytes;
}

uint64_t total_bytes(const struct migration *m)
{
	uint64_t bytes = 0;
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		bytes += pair_bytes(&m->pairs[i]);
	return bytes;
}

/* Negative when it is not known: the destination was not seen to go on. */
static double downtime_ms(const struct migration *m, uint64_t from, uint64_t to)
{
	return m->committed && from && to > from ? ns_to_ms(to - from) : -1;
}

double pair_downtime_ms(const struct migration *m, const struct pair *p)
{
	return downtime_ms(m, p->down_from_ns, p->down_to_ns);
}

/* From the first device that was stopped to the last that goes on. */
double total_downtime_ms(const struct migration *m)
{
	uint64_t from = UINT64_MAX, to = 0;
	const struct pair *p;

	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		if (pair_downtime_ms(m, p) < 0)
			return -1;
		if (p->down_from_ns < from)
			from = p->down_from_ns;
		if (p->down_to_ns > to)
			to = p->down_to_ns;
	}
	return downtime_ms(m, from, to);
}

/* When it happens: who looks at what hangs, or kills it, has seen it. */
void report_failure(const struct failure *fail)
{
	say("%s: %s: %s", fail->device, fail->step, fail->reason);
}

/* The first failure of the migration, once. */
void report_first_failure(struct migration *m)
{
	if (!m->fail.set || m->fail_told)
		return;
	m->fail_told = true;
	report_failure(&m->fail);
}

/* The last line of a run that failed: who holds the state. */
void report_outcome(const struct migration *m)
{
	say("%s", m->outcome);
}

static void add_str(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, json_object_new_string(v));
}

static void add_int(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)v));
}

/* What is negative is not known. */
static void add_known(struct json_object *o, const char *key, int64_t v)
{
	json_object_object_add(o, key, v < 0 ? NULL : json_object_new_int64(v));
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
	json_object_object_add(o, key, json_object_new_boolean(v));
}

/* What is negative is not known. */
static void add_ms(struct json_object *o, const char *key, double ms)
{
	char text[32];

	if (ms < 0) {
		json_object_object_add(o, key, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%.3f", ms);
	json_object_object_add(o, key, json_object_new_double_s(ms, text));
}

static struct json_object *phases_json(const uint64_t *ns)
{
	struct json_object *o = json_object_new_object();
	int i;

	for (i = 0; i < PHASE_NR; i++)
		add_ms(o, phase_names[i], ns_to_ms(ns[i]));
	return o;
}

/* What went wrong with it first, also if that was in a job of another device. */
static const struct failure *device_failure(const struct migration *m,
					    const struct device *dev)
{
	if (!dev->fail.set && m->fail.set && !strcmp(m->fail.device, dev->name))
		return &m->fail;
	return &dev->fail;
}

static struct json_object *device_json(const struct migration *m,
				       const struct device *dev)
{
	bool closed = dev->fd < 0 && dev->path.fd < 0;
	bool known = dev->found != STATE_UNKNOWN;
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "type", json_text(dev->type));
	json_object_object_add(o, "capabilities",
			       known ? json_caps(dev->caps) : NULL);
	json_object_object_add(o, "found", json_state(dev->found));
	/* one that was closed is in none */
	json_object_object_add(o, "state",
			       closed ? NULL : json_state(dev->state));
	add_bool(o, "state_lost", dev->lost);
	json_object_object_add(o, "error", json_failure(device_failure(m, dev)));
	return o;
}

static struct json_object *pair_json(const struct migration *m,
				     const struct pair *p)
{
	struct json_object *o = json_object_new_object();

	add_str(o, "source", p->src.name);
	add_str(o, "destination", p->dst.name);
	json_object_object_add(o, "source_device", device_json(m, &p->src));
	json_object_object_add(o, "destination_device", device_json(m, &p->dst));
	add_int(o, "precopy_bytes", p->stream.precopy_bytes);
	add_int(o, "stopcopy_bytes", p->stream.stopcopy_bytes);
	add_int(o, "rounds", p->stream.rounds);
	add_ms(o, "downtime_ms", pair_downtime_ms(m, p));
	add_ms(o, "predicted_alone_ms", p->expected.alone_ms);
	add_known(o, "predicted_stopcopy_bytes", p->expected.bytes);
	add_known(o, "precopy_bytes_per_second", p->expected.rate);
	json_object_object_add(o, "phases_ms", phases_json(p->phase_ns));
	return o;
}

static const char *skipped_p2p(const struct options *opt)
{
	if (opt->skip_p2p_down && opt->skip_p2p_up)
		return "both";
	return opt->skip_p2p_down ? "down" : opt->skip_p2p_up ? "up" : "";
}

static struct json_object *options_json(const struct options *opt)
{
	static const char * const engines[] = {
		[ENGINE_ANY] = "",
		[ENGINE_RING] = "io_uring",
		[ENGINE_POLL] = "poll",
	};
	struct json_object *o = json_object_new_object();

	add_bool(o, "run", opt->run);
	add_bool(o, "serial", opt->serial);
	add_bool(o, "keep_source", opt->keep_source);
	json_object_object_add(o, "skip_p2p", json_text(skipped_p2p(opt)));
	add_int(o, "threshold", opt->threshold);
	add_int(o, "max_rounds", opt->max_rounds);
	add_int(o, "chunk", opt->chunk);
	json_object_object_add(o, "engine", json_text(engines[opt->engine]));
	json_object_object_add(o, "timeout_s", !opt->timeout_ns ? NULL :
		json_object_new_double((double)opt->timeout_ns / NSEC_PER_SEC));
	add_bool(o, "quiet", opt->quiet);
	add_bool(o, "progress", opt->progress);
	add_str(o, "json", opt->json);
	return o;
}

static const char *engine_used(const struct migration *m)
{
	return m->engine.ops == &engine_ring ? "io_uring" :
	       m->engine.ops == &engine_poll ? "poll" : "";
}

static struct json_object *report_object(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	struct json_object *devices = json_object_new_array();
	unsigned int i;

	for (i = 0; i < m->nr; i++)
		json_object_array_add(devices, pair_json(m, &m->pairs[i]));
	json_about(o);
	json_object_object_add(o, "options", options_json(m->opt));
	add_bool(o, "ok", !m->fail.set);
	add_str(o, "mode", m->opt->serial ? "serial" : "parallel");
	add_bool(o, "confirmed", m->committed);
	add_str(o, "outcome", m->outcome);
	add_ms(o, "downtime_ms", total_downtime_ms(m));
	add_ms(o, "predicted_downtime_ms", m->expected_ms);
	add_ms(o, "total_ms", ns_to_ms(m->end_ns - m->start_ns));
	add_int(o, "bytes", total_bytes(m));
	json_object_object_add(o, "engine", json_text(engine_used(m)));
	json_object_object_add(o, "devices", devices);
	json_object_object_add(o, "phases_ms", phases_json(m->phase_ns));
	json_object_object_add(o, "error", json_failure(&m->fail));
	return o;
}

/* Tried first, so that a bad name fails before anything else. */
int report_open(struct migration *m)
{
	int ret = m->opt->json ? outfile_try(m->opt->json) : 0;

	m->report = m->opt->json && !ret;
	if (!ret)
		return 0;
	return fail_at(&m->fail, m->opt->json, -ret, "open report", "%s",
		       strerror(-ret));
}

int report_json(struct migration *m)
{
	struct outfile out;
	int ret;

	if (!m->report)
		return 0;
	ret = outfile_open(&out, m->opt->json);
	if (!ret)
		return json_write(&out, report_object(m));
	say("%s: write report: %s", m->opt->json, strerror(-ret));
	return ret;
}
