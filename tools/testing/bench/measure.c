// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time, and CPU time
 *
 * Much of what a data fd costs is paid by the kernel's workers, which nothing
 * counts for the caller. Their clocks can be read as those of any process, so the
 * CPU time of a side is that of this process, of its children, and of all workers
 * together. A machine that does something else at the time would be in it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define MAX_PID		65536

enum { PID_UNKNOWN, PID_WORKER, PID_OTHER };

static uint8_t pid_kind[MAX_PID];

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint8_t pid_look(pid_t pid)
{
	char path[64], name[64] = "";
	int fd;

	snprintf_assert(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return PID_UNKNOWN;
	if (read(fd, name, sizeof(name) - 1) < 0)
		name[0] = 0;
	close(fd);
	return strncmp(name, "kworker", 7) ? PID_OTHER : PID_WORKER;
}

static uint64_t worker_ns(pid_t pid)
{
	clockid_t clock;

	if (pid >= MAX_PID)
		return 0;
	if (pid_kind[pid] == PID_UNKNOWN)
		pid_kind[pid] = pid_look(pid);
	if (pid_kind[pid] != PID_WORKER || clock_getcpuclockid(pid, &clock))
		return 0;
	return clock_ns(clock);
}

static uint64_t workers_ns(void)
{
	struct dirent *entry;
	uint64_t ns = 0;
	DIR *dir;

	dir = opendir("/proc");
	VFIO_ASSERT_TRUE(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			ns += worker_ns(atoi(entry->d_name));
	}
	closedir(dir);
	return ns;
}

static uint64_t timeval_ns(struct timeval tv)
{
	return tv.tv_sec * 1000000000ull + tv.tv_usec * 1000ull;
}

struct cpu cpu_now(void)
{
	struct rusage children;

	VFIO_ASSERT_EQ(getrusage(RUSAGE_CHILDREN, &children), 0);
	return (struct cpu) {
		.own = clock_ns(CLOCK_PROCESS_CPUTIME_ID) +
		       timeval_ns(children.ru_utime) +
		       timeval_ns(children.ru_stime),
		.workers = workers_ns(),
	};
}

void sample_begin(struct sample *sample)
{
	memset(sample, 0, sizeof(*sample));
	sample->cpu = cpu_now();
	sample->begin = now_ns();
}

/* The end of what is timed, if there is still something to do before the end. */
void sample_stop(struct sample *sample)
{
	sample->end = now_ns();
}

void sample_end(struct sample *sample, uint64_t amount)
{
	struct cpu cpu;

	if (!sample->end)
		sample_stop(sample);
	cpu = cpu_now();
	sample->ns = sample->end - sample->begin;
	sample->cpu.own = cpu.own - sample->cpu.own;
	sample->cpu.workers = cpu.workers > sample->cpu.workers ?
			      cpu.workers - sample->cpu.workers : 0;
	sample->amount = amount;
}

/* Context switches of this process's threads. */
uint64_t switches_now(void)
{
	struct rusage usage;

	VFIO_ASSERT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_nvcsw + usage.ru_nivcsw;
}

/* Of everything, the kernel's workers among it. */
uint64_t machine_switches_now(void)
{
	FILE *file = fopen("/proc/stat", "re");
	unsigned long long n = 0;
	char line[4096];

	VFIO_ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "ctxt %llu", &n) == 1)
			break;
	}
	fclose(file);
	return n;
}

static double sample_value(const struct sample *sample, enum unit unit)
{
	switch (unit) {
	case UNIT_GBPS:
		return (double)sample->amount / sample->ns;
	case UNIT_US:
		return (double)sample->ns / sample->amount / 1000;
	default:
		return sample->amount;
	}
}

void sample_add(struct series *series, enum unit unit, unsigned int round,
		const struct sample *sample)
{
	series->value[round] = sample_value(sample, unit);
	series->amount += sample->amount;
	series->cpu.own += sample->cpu.own;
	series->cpu.workers += sample->cpu.workers;
}

static void measure_side(struct series *series, enum unit unit,
			 unsigned int round, side_fn side, void *context)
{
	struct sample sample = { 0 };

	side(context, &sample);
	VFIO_ASSERT_NE(sample.amount, 0);
	sample_add(series, unit, round, &sample);
}

/* By turns, after one round that is not counted. */
void measure(struct outcome *outcome, enum unit unit, side_fn ours,
	     side_fn other, void *context)
{
	struct sample unused = { 0 };
	unsigned int i;

	memset(outcome, 0, sizeof(*outcome));
	outcome->unit = unit;
	outcome->rounds = rounds;
	ours(context, &unused);
	other(context, &unused);
	for (i = 0; i < rounds; i++) {
		measure_side(&outcome->ours, unit, i, ours, context);
		measure_side(&outcome->other, unit, i, other, context);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(const double *values, unsigned int nr)
{
	double sorted[MAX_ROUNDS];

	memcpy(sorted, values, nr * sizeof(*values));
	qsort(sorted, nr, sizeof(*sorted), compare);
	return nr % 2 ? sorted[nr / 2] :
			(sorted[nr / 2 - 1] + sorted[nr / 2]) / 2;
}
