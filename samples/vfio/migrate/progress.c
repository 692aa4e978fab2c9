// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a person sees while and after devices are moved. On a terminal one line
 * is written again and again; elsewhere a line a second, if asked for. None
 * is longer than the terminal is wide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "migrate.h"

#define DEFAULT_WIDTH	80
#define MAX_WIDTH	200
#define REDRAW_NS	(NSEC_PER_SEC / 5)

/* "12.3 ms" or "unknown", always under 24 characters */
static const char *ms_str(double ms, char buf[static 24])
{
	if (ms < 0)
		snprintf(buf, 24, "unknown");
	else
		snprintf(buf, 24, "%.1f ms", ms);
	return buf;
}

/* As for other programs, COLUMNS goes before what the terminal says. */
static unsigned int width(void)
{
	const char *columns = getenv("COLUMNS");
	unsigned int v = columns ? strtoul(columns, NULL, 10) : 0;
	struct winsize ws;

	if (!v && !ioctl(STDERR_FILENO, TIOCGWINSZ, &ws))
		v = ws.ws_col;
	if (!v)
		v = DEFAULT_WIDTH;
	return v < MAX_WIDTH ? v : MAX_WIDTH;
}

/* What is left of a pair, as far as it has told; -1: unknown. */
static int64_t pair_rest(const struct migration *m, const struct pair *p)
{
	const struct stream *s = &p->stream;
	int64_t rest, got;

	if (m->switching || m->committed) {
		rest = p->expected.bytes;
		got = s->stopcopy_bytes;
	} else {
		rest = s->rest_known ? (int64_t)s->rest : p->data_size;
		got = s->round_got;
	}
	if (rest < 0)
		return -1;
	return rest > got ? rest - got : 0;
}

static int64_t total_rest(const struct migration *m)
{
	const struct pair *p;
	int64_t rest = 0, one;

	for (p = m->pairs; p < m->pairs + m->nr; p++) {
		if (m->phase > PHASE_DRAIN)
			continue;
		one = pair_rest(m, p);
		if (one < 0)
			return -1;
		rest += one;
	}
	return rest;
}

/* Bytes a second, of the last second or so. */
static double recent_rate(struct migration *m, uint64_t now, uint64_t bytes)
{
	struct progress *pr = &m->progress;

	if (!pr->since_ns) {
		pr->since_ns = m->start_ns;
		pr->rate = -1;
	}
	if (now - pr->since_ns >= NSEC_PER_SEC) {
		pr->rate = (double)(bytes - pr->bytes) * NSEC_PER_SEC /
			   (now - pr->since_ns);
		pr->since_ns = now;
		pr->bytes = bytes;
	}
	return pr->rate;
}

static void append(char *line, size_t size, const char *what, const char *value)
{
	size_t len = strlen(line);

	snprintf(line + len, size - len, "%s%s", what, value);
}

static void append_rest(char *line, size_t size, int64_t rest, double rate)
{
	char text[32], b[16];

	if (rest < 0)
		return;
	append(line, size, ", left ", size_str(rest, b));
	if (rate <= 0)
		return;
	snprintf(text, sizeof(text), " ~%.0fs", rest / rate);
	append(line, size, text, "");
}

static void describe(struct migration *m, uint64_t now, char *line, size_t size)
{
	uint64_t bytes = total_bytes(m);
	int64_t rest = total_rest(m);
	double rate = recent_rate(m, now, bytes);
	char b[16], percent[16] = "";

	if (rest >= 0 && bytes + rest)
		snprintf(percent, sizeof(percent), " %3.0f%%",
			 bytes * 100.0 / (bytes + rest));
	snprintf(line, size, "%.0fs %s%s", (double)(now - m->start_ns) /
		 NSEC_PER_SEC, phase_name(m->phase), percent);
	append(line, size, ", moved ", size_str(bytes, b));
	if (rate >= 0) {
		append(line, size, ", ", size_str(rate, b));
		append(line, size, "/s", "");
	}
	append_rest(line, size, rest, rate);
}

/* Called often; it knows itself how often that is worth a line. */
void report_progress(struct migration *m)
{
	bool redraw = m->opt->progress && isatty(STDERR_FILENO);
	char line[MAX_WIDTH + 1];
	uint64_t now = now_ns();

	if (!m->opt->progress ||
	    now - m->progress.shown_ns < (redraw ? REDRAW_NS : NSEC_PER_SEC))
		return;
	if (!m->progress.shown_ns && !redraw) {
		m->progress.shown_ns = m->start_ns;
		return;
	}
	m->progress.shown_ns = now;
	describe(m, now, line, sizeof(line));
	if (redraw)
		say_over(line, width() - 1);
	else
		say("%.*s", (int)(width() - strlen(SAY_PREFIX)), line);
}

/* Of the line on a terminal nothing remains. */
void report_progress_end(struct migration *m)
{
	if (m->opt->progress && isatty(STDERR_FILENO))
		say_over("", 0);
}

/* The last word before the devices stop. */
void report_switch(const struct migration *m)
{
	char a[24];

	if (m->opt->progress)
		say("%.1f s, switching: expected downtime %s",
		    (double)(now_ns() - m->start_ns) / NSEC_PER_SEC,
		    ms_str(m->expected_ms, a));
}

static void table_pair(const struct migration *m, const struct pair *p)
{
	char a[16], b[16], rate[24] = "unknown", d[24], e[24];

	printf("%s -> %s\n", p->src.name, p->dst.name);
	if (p->expected.rate >= 0)
		snprintf(rate, sizeof(rate), "%s/s",
			 size_str(p->expected.rate, a));
	printf("%12s %6u %12s %14s %14s %14s\n",
	       size_str(p->stream.precopy_bytes, a), p->stream.rounds, rate,
	       size_str(p->stream.stopcopy_bytes, b),
	       ms_str(pair_downtime_ms(m, p), d),
	       ms_str(p->expected.alone_ms, e));
}

void report_table(struct migration *m)
{
	const uint64_t *ns = m->phase_ns;
	char a[24], b[24], c[16];
	const struct pair *p;

	if (m->opt->json && !strcmp(m->opt->json, "-"))
		return;
	printf("source -> destination\n%12s %6s %12s %14s %14s %14s\n", "pre-copy",
	       "rounds", "rate", "stop-copy", "downtime", "alone");
	for (p = m->pairs; p < m->pairs + m->nr; p++)
		table_pair(m, p);
	printf("%u %s, %s in %.1f s, downtime %s (expected %s)\n", m->nr,
	       m->opt->serial ? "one after another" : "in parallel",
	       size_str(total_bytes(m), c),
	       (double)(m->end_ns - m->start_ns) / NSEC_PER_SEC,
	       ms_str(total_downtime_ms(m), a), ms_str(m->expected_ms, b));
	printf("p2p %.1f, stop_copy %.1f, drain %.1f, confirm %.1f, finish %.1f ms\n",
	       ns_to_ms(ns[PHASE_P2P]), ns_to_ms(ns[PHASE_STOP]),
	       ns_to_ms(ns[PHASE_DRAIN]), ns_to_ms(ns[PHASE_CONFIRM]),
	       ns_to_ms(ns[PHASE_FINISH]));
}
