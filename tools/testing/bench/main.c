// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line: vfio-mig-bench [-q] [-r ROUNDS] [-o FILE] [SUBJECT...]
 *
 * Fewer rounds than seven are not a measurement, and refused. With -q, it is none: all
 * is small, and done as seldom as one likes, to see that it can be done.
 *
 * A subject that fails does not keep the others from running.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

struct subject {
	const char *name;
	void (*run)(void);
	bool native;		/* needs no device, and is only run if named */
};

static const struct subject subjects[] = {
	{ "read_prepared", bench_read_prepared, false },
	{ "read_stream", bench_read_stream, false },
	{ "splice_prepared", bench_splice_prepared, false },
	{ "splice_stream", bench_splice_stream, false },
	{ "read_vs_mainline", bench_read_vs_mainline, false },
	{ "save_restore_vs_mainline", bench_save_restore_vs_mainline, false },
	{ "local_move_vs_copy", bench_local_move_vs_copy, false },
	{ "uring_256", bench_uring_256, false },
	{ "vs_qemu_mode", bench_vs_qemu_mode, false },
	{ "async_styles", bench_async_styles, false },
	{ "v1_region", bench_v1_region, false },
	{ "setstate_vs_noop", bench_setstate_vs_noop, false },
	{ "checksum", bench_checksum, false },
	{ "checksum_native", bench_checksum_native, true },
	{ "overhead_bytes", bench_overhead_bytes, false },
};

unsigned int rounds = 9;
static bool quick;

/* Of a size that is measured, what to take. */
uint64_t scaled(uint64_t size)
{
	return quick ? size / 16 : size;
}

/* uml or qemu, as the runner of machines says. */
const char *environment(void)
{
	return getenv("VM_KIND") ?: "native";
}

bool in_uml(void)
{
	return !strcmp(environment(), "uml");
}

static int run(const struct subject *subject)
{
	int status = -1;
	pid_t pid;

	fprintf(stderr, "%s ...\n", subject->name);
	pid = fork();
	if (!pid) {
		subject->run();
		exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "%s failed, status %#x\n", subject->name,
			status);
		return 1;
	}
	return 0;
}

static bool wanted(const struct subject *subject, char **names)
{
	if (!*names)
		return !subject->native;
	for (; *names; names++) {
		if (!strcmp(subject->name, *names))
			return true;
	}
	return false;
}

static int usage(void)
{
	size_t i;

	fprintf(stderr, "usage: vfio-mig-bench [-q] [-r ROUNDS] [-o FILE] [SUBJECT...]\n"
		"  -r ROUNDS  %d to %d; with -q, to try it, fewer\n", MIN_ROUNDS,
		MAX_ROUNDS);
	for (i = 0; i < ARRAY_SIZE(subjects); i++)
		fprintf(stderr, "  %s\n", subjects[i].name);
	return 2;
}

int main(int argc, char **argv)
{
	int opt, failed = 0, ran = 0;
	size_t i;

	while ((opt = getopt(argc, argv, "qr:o:")) != -1) {
		if (opt == 'q')
			quick = true;
		else if (opt == 'r')
			rounds = atoi(optarg);
		else if (opt != 'o' || report_open(optarg))
			return usage();
	}
	if (rounds < (quick ? 1 : MIN_ROUNDS) || rounds > MAX_ROUNDS)
		return usage();
	for (i = 0; i < ARRAY_SIZE(subjects); i++) {
		if (!wanted(&subjects[i], argv + optind))
			continue;
		failed |= run(&subjects[i]);
		ran++;
	}
	return ran ? failed : usage();
}
