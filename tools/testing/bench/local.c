// SPDX-License-Identifier: GPL-2.0-only
/*
 * local_move_vs_copy: one device moved to another by vfio-migrate, against a plain
 * copy of a memfd
 *
 * The program itself is run; what counts is the downtime that it reports, which is
 * from stopping the source to the confirmation of the destination, and leaves out
 * its start and the opening of the devices.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include <json-c/json.h>

#include "bench.h"

struct context {
	struct vfm_device *from;
	struct vfm_device *to;
	int memfd[2];
	void *buffer;
	char program[PATH_MAX];
	char report[64];
	bool checked;
};

static void run_program(struct context *c)
{
	char pair[128];
	int status;
	pid_t pid;

	snprintf_assert(pair, sizeof(pair), "%s=%s", c->from->uuid,
			c->to->uuid);
	pid = fork();
	if (!pid) {
		execl(c->program, c->program, "--quiet", "--keep-source",
		      "--json", c->report, "local", pair, NULL);
		_exit(127);
	}
	VFIO_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	VFIO_ASSERT_EQ(status, 0, "%s: status %#x", c->program, status);
}

static uint64_t downtime_ns(struct context *c)
{
	struct json_object *o = json_object_from_file(c->report), *value;
	uint64_t ns;

	VFIO_ASSERT_TRUE(o && json_object_object_get_ex(o, "downtime_ms",
							&value));
	ns = json_object_get_double(value) * 1000000;
	json_object_put(o);
	return ns;
}

static void check(struct context *c)
{
	if (!c->checked)
		VFIO_ASSERT_EQ(vfm_state_hash(c->from), vfm_state_hash(c->to));
	c->checked = true;
}

static void move(void *context, struct sample *sample)
{
	struct context *c = context;

	sample_begin(sample);
	run_program(c);
	sample_end(sample, STATE_SIZE);
	sample->ns = downtime_ns(c);
	check(c);
}

static void copy(void *context, struct sample *sample)
{
	struct context *c = context;
	uint64_t pos;

	sample_begin(sample);
	for (pos = 0; pos < STATE_SIZE; pos += BUFFER_SIZE) {
		VFIO_ASSERT_EQ(pread(c->memfd[0], c->buffer, BUFFER_SIZE, pos),
			       (ssize_t)BUFFER_SIZE);
		VFIO_ASSERT_EQ(pwrite(c->memfd[1], c->buffer, BUFFER_SIZE, pos),
			       (ssize_t)BUFFER_SIZE);
	}
	sample_end(sample, STATE_SIZE);
}

static const struct figure figure = {
	.key = "local_move_vs_copy",
	.ours = "the downtime that vfio-migrate reports for one device without pre-copy, saved and restored through its io_uring",
	.other = "pread() and pwrite() of 1 MiB by turns, from one memfd to another",
	.not_for = "a migration between hosts, which has a network in the middle; the CPU seconds include the program's start, the time does not",
};

void bench_local_move_vs_copy(void)
{
	struct context c = { .checked = false };
	ssize_t n;

	n = readlink("/proc/self/exe", c.program, sizeof(c.program) - 32);
	VFIO_ASSERT_GT(n, 0);
	c.program[n] = 0;
	strcpy(strrchr(c.program, '/') + 1, "vfio-migrate");
	snprintf_assert(c.report, sizeof(c.report), "/tmp/bench-local-%d.json",
			getpid());
	c.buffer = buffer_new(BUFFER_SIZE);
	c.memfd[0] = memfd_new(STATE_SIZE);
	c.memfd[1] = memfd_new(STATE_SIZE);
	c.from = device_new(MIGSIM_BASIC, STATE_SIZE, 4 * MIB);
	c.to = device_new(MIGSIM_BASIC, STATE_SIZE, 4 * MIB);
	device_fill(c.to, STATE_SIZE, 1);
	vfm_close(c.from);
	vfm_close(c.to);
	report_donate(&figure, c.from, move, copy, &c);
	unlink(c.report);
	device_free(c.from);
	device_free(c.to);
}
