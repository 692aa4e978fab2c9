// SPDX-License-Identifier: GPL-2.0-only
/*
 * overhead_bytes: kernel memory that a session takes beside its window, at states of
 * 64 MiB, 1 GiB and 4 GiB
 *
 * Sessions are opened by a child in a memory cgroup of its own, which pays for them.
 * The cgroup's memory.current before and after, without what the sessions themselves
 * say they hold (vfio-mig-held), is the rest: session, file, ring, headers. Charges
 * are kept in stocks for each CPU, which a write to memory.high returns. Device
 * memory was never written, so it takes none.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "bench.h"

#define NR	64
#define WINDOW	(4 * MIB)
#define CGROUP	"/sys/fs/cgroup/vfio-mig-bench"

static const uint64_t sizes[] = { 64 * MIB, GIB, 4 * GIB };

struct context {
	struct vfm_device *dev[NR];
	uint64_t held;
};

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	VFIO_ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	VFIO_ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text),
		       "%s: %s", path, strerror(errno));
	close(fd);
}

static uint64_t current_charge(void)
{
	char text[32] = "";
	int fd;

	write_file(CGROUP "/memory.high", "0");
	write_file(CGROUP "/memory.high", "max");
	fd = open(CGROUP "/memory.current", O_RDONLY | O_CLOEXEC);
	VFIO_ASSERT_GE(fd, 0);
	VFIO_ASSERT_GT(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strtoull(text, NULL, 10);
}

static void join(const char *cgroup)
{
	char path[PATH_MAX], pid[32];

	snprintf_assert(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf_assert(pid, sizeof(pid), "%d", getpid());
	write_file(path, pid);
}

/* The worker has filled the window and rests. */
static uint64_t wait_full(int fd)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t held = 0, last;

	do {
		last = held;
		nanosleep(&pause, NULL);
		held = vfm_session_holds(fd);
	} while (held < WINDOW / 2 || held != last);
	return held;
}

static void open_sessions(struct context *c, int *fds)
{
	unsigned int i;

	join(CGROUP);
	for (i = 0; i < NR; i++)
		fds[i] = vfm_set_state(c->dev[i], VFM_STOP_COPY);
	c->held = 0;
	for (i = 0; i < NR; i++)
		c->held += wait_full(fds[i]);
	join("/sys/fs/cgroup");
}

/* Return: bytes for each session. */
static uint64_t overhead(struct context *c)
{
	uint64_t before, after;
	unsigned int i;
	int fds[NR];

	before = current_charge();
	open_sessions(c, fds);
	after = current_charge();
	for (i = 0; i < NR; i++) {
		close(fds[i]);
		vfm_set_state_nofd(c->dev[i], VFM_RUNNING);
	}
	VFIO_ASSERT_GT(after, before + c->held);
	return (after - before - c->held) / NR;
}

static void devices_of(struct context *c, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		vfm_close(c->dev[i]);
		vfm_attr_set(c->dev[i], "state_size", size);
		vfm_attr_set(c->dev[i], "window", WINDOW);
		vfm_open(c->dev[i]);
	}
}

static void measure_sizes(struct context *c, struct series *series)
{
	unsigned int i, j;

	for (i = 0; i < rounds; i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			devices_of(c, sizes[j]);
			series[j].value[i] = overhead(c);
		}
	}
}

/* Against the smallest state, round by round. */
static struct outcome outcome_of(const struct series *series, unsigned int j)
{
	return (struct outcome) {
		.ours = series[j],
		.other = series[0],
		.rounds = rounds,
		.unit = UNIT_BYTES,
	};
}

static struct json_object *rows_of(const struct series *series,
				   const struct context *c)
{
	struct json_object *rows = json_object_new_array(), *row;
	struct outcome outcome;
	unsigned int j;

	for (j = 0; j < ARRAY_SIZE(sizes); j++) {
		outcome = outcome_of(series, j);
		row = outcome_json(&outcome);
		add_spread(row, &outcome);
		add_count(row, "state_bytes", sizes[j]);
		add_count(row, "held_bytes", c->held / NR);
		add_count(row, "window_bytes", WINDOW);
		json_object_array_add(rows, row);
	}
	return rows;
}

static const struct figure figure = {
	.key = "overhead_bytes",
	.ours = "bytes of kernel memory that a session takes beside its window of 4 MiB, with 4 GiB of state",
	.other = "the same with 64 MiB of state; 1 GiB is in rows",
	.not_for = "a device's memory: what a driver keeps for its state is its own and not counted",
};

void bench_overhead_bytes(void)
{
	struct json_object *more = json_object_new_object();
	struct context *c = vfm_zalloc(sizeof(*c));
	struct series series[ARRAY_SIZE(sizes)] = { 0 };
	struct outcome outcome;
	unsigned int i;

	VFIO_ASSERT_EQ(mkdir(CGROUP, 0755), 0, "%s", strerror(errno));
	for (i = 0; i < NR; i++)
		c->dev[i] = vfm_create(MIGSIM_SNAPSHOT);
	/* What is allocated once is not a session's. */
	devices_of(c, sizes[0]);
	overhead(c);
	measure_sizes(c, series);
	outcome = outcome_of(series, ARRAY_SIZE(sizes) - 1);
	json_object_object_add(more, "rows", rows_of(series, c));
	report(&figure, &outcome, more);
	for (i = 0; i < NR; i++)
		device_free(c->dev[i]);
	rmdir(CGROUP);
	free(c);
}
