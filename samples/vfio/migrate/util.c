// SPDX-License-Identifier: GPL-2.0-only
/* Time, sizes, messages. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "migrate.h"

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

double ns_to_ms(uint64_t ns)
{
	return (double)ns / NSEC_PER_MSEC;
}

void *xcalloc(size_t nr, size_t size)
{
	void *p = calloc(nr ? nr : 1, size);

	if (!p) {
		say("out of memory");
		exit(EXIT_NOT_MOVED);
	}
	return p;
}

/* "17.3 MiB", always under 16 characters */
const char *size_str(uint64_t bytes, char buf[static 16])
{
	static const char * const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double v = (double)bytes;
	unsigned int i = 0;

	while (v >= 1024 && i < ARRAY_SIZE(unit) - 1) {
		v /= 1024;
		i++;
	}
	snprintf(buf, 16, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
	return buf;
}

/* A number with an optional K, M or G behind it. */
int parse_size(const char *text, uint64_t *out)
{
	static const char suffix[] = "KMG";
	unsigned long long v;
	unsigned int shift = 0;
	const char *s;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		s = strchr(suffix, *end & ~0x20);
		if (!s || !*s || end[1])
			return -EINVAL;
		shift = 10 * (s - suffix + 1);
	}
	if (shift && v >> (64 - shift))
		return -ERANGE;
	*out = v << shift;
	return 0;
}

static size_t line_len;		/* of what say_over() has on the screen */

/* With stderr locked: a message or the next line begins where that did. */
static void wipe_line(void)
{
	if (line_len)
		fprintf(stderr, "\r%*s\r", (int)line_len, "");
	line_len = 0;
}

/* A line that stays. */
void say(const char *fmt, ...)
{
	va_list ap;

	flockfile(stderr);
	wipe_line();
	fputs(SAY_PREFIX, stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/* For a terminal: @line up to @width, in place of the one before. "" wipes it. */
void say_over(const char *line, size_t width)
{
	flockfile(stderr);
	wipe_line();
	fprintf(stderr, "%.*s", (int)width, line);
	line_len = strnlen(line, width);
	funlockfile(stderr);
}

/* Keeps the first failure only; @err is positive. Returns -@err. */
int fail_at(struct failure *fail, const char *device, int err,
	    const char *step, const char *fmt, ...)
{
	va_list ap;

	if (fail->set)
		return -err;
	fail->set = true;
	fail->err = err;
	snprintf(fail->device, sizeof(fail->device), "%s", device);
	snprintf(fail->step, sizeof(fail->step), "%s", step);
	va_start(ap, fmt);
	vsnprintf(fail->reason, sizeof(fail->reason), fmt, ap);
	va_end(ap);
	return -err;
}

/* Every device costs up to four fds; the usual soft limit is 1024. */
int raise_nofile(struct failure *fail, unsigned long want)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) || lim.rlim_cur >= want)
		return 0;
	if (lim.rlim_max < want)
		return fail_at(fail, "-", EMFILE, "open",
			       "%lu file descriptors needed, the limit is %lu: raise it (ulimit -Hn) or move fewer devices at a time",
			       want, (unsigned long)lim.rlim_max);
	lim.rlim_cur = want;
	if (setrlimit(RLIMIT_NOFILE, &lim))
		return fail_at(fail, "-", errno, "open",
			       "cannot raise the limit of file descriptors to %lu: %s",
			       want, strerror(errno));
	return 0;
}
