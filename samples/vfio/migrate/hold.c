// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-hold DEVICE... -- COMMAND [ARG...]: opens devices as a VMM does, runs
 * a command that inherits them, and tells in which state they then are. In
 * the arguments @1 stands for the first device's fd:N, and so on:
 *
 *	vfio-hold UUID1 UUID2 -- vfio-migrate local @1=@2
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migrate.h"

static volatile sig_atomic_t child;

static void forward(int sig)
{
	int err = errno;

	if (child > 0)
		kill(child, sig);
	errno = err;
}

static void give_up(const struct failure *fail)
{
	fprintf(stderr, "vfio-hold: %s: %s: %s\n", fail->device, fail->step,
		fail->reason);
	exit(EXIT_FAILURE);
}

static void hold(struct device *dev, const char *name)
{
	struct failure fail = { 0 };

	dev->name = name;
	if (!name_is_valid(name))
		fail_at(&fail, name, EINVAL, "open", "not a device's name");
	if (fail.set || name_resolve(name, &dev->path, &fail) ||
	    device_open(dev, &fail))
		give_up(&fail);
	fcntl(dev->fd, F_SETFD, 0);
}

/* Replaces every @N in @arg. */
static char *expand(const char *arg, const struct device *devs, int nr)
{
	size_t size = strlen(arg) * 8 + 1, len = 0;
	char *out = xcalloc(size, 1), *end;

	while (*arg) {
		long n = *arg == '@' ? strtol(arg + 1, &end, 10) : 0;

		if (n < 1 || n > nr) {
			out[len++] = *arg++;
			continue;
		}
		len += snprintf(out + len, size - len, "fd:%d", devs[n - 1].fd);
		arg = end;
	}
	return out;
}

static int run_command(char **argv)
{
	int status;

	child = fork();
	if (!child) {
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
		execvp(argv[0], argv);
		fprintf(stderr, "vfio-hold: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_FAILURE;
	}
	child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void tell(struct device *dev)
{
	uint32_t state;
	int ret = device_get_state(dev, &state);

	printf("%s %s\n", dev->name, ret ? strerror(-ret) : state_name(state));
}

int main(int argc, char **argv)
{
	struct device *devs;
	int nr = 0, i, status;

	stdio_secure();
	devs = xcalloc(argc, sizeof(*devs));
	while (nr + 1 < argc && strcmp(argv[nr + 1], "--"))
		nr++;
	if (!nr || nr + 2 >= argc) {
		fprintf(stderr, "usage: vfio-hold DEVICE... -- COMMAND [ARG...]\n");
		return EXIT_BAD_USAGE;
	}
	signal(SIGINT, forward);
	signal(SIGTERM, forward);
	for (i = 0; i < nr; i++)
		hold(&devs[i], argv[i + 1]);
	argv += nr + 2;
	for (i = 0; argv[i]; i++)
		argv[i] = expand(argv[i], devs, nr);
	status = run_command(argv);
	for (i = 0; i < nr; i++) {
		tell(&devs[i]);
		device_close(&devs[i]);
	}
	for (i = 0; argv[i]; i++)
		free(argv[i]);
	open_cleanup();
	free(devs);
	return status;
}
