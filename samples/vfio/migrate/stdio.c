// SPDX-License-Identifier: GPL-2.0-only
/*
 * The standard streams. A number that is closed at the start would be given to
 * the next thing that is opened, and if that is a device, every message is
 * written into its registers. And what could not be written must not be lost
 * without a word and a status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "migrate.h"

/* --help is more than the C library buffers, whose error would be forgotten. */
static char stdout_buffer[1 << 16];
static bool missing[3];		/* it was not there when we were started */
static bool told;		/* that stdout cannot be written */
static int status_if_lost = EXIT_FAILURE;

/* The fd of a stream must not be used for what it is not meant for. */
static int open_null(int fd)
{
	return open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

static void give_up(void)
{
	say("/dev/null: %s", strerror(errno));
	_exit(EXIT_NOT_MOVED);
}

static bool is_device(int fd)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	return !ioctl(fd, VFIO_DEVICE_GET_INFO, &info);
}

/* A device that was handed over as stdout or stderr would be written to. */
static void part_with_device(int fd)
{
	int null = open_null(fd);

	if (null < 0 || dup2(null, fd) < 0)
		give_up();
	close(null);
	missing[fd] = true;
}

static void at_exit(int status, void *unused)
{
	bool lost = stdio_flush();

	(void)unused;
	/* some file systems tell only here */
	if (close(dup(STDOUT_FILENO)) && !lost) {
		say("standard output: %s", strerror(errno));
		lost = true;
	}
	if (ferror(stderr) || close(dup(STDERR_FILENO)))
		lost = true;
	if (lost && !status)
		_exit(status_if_lost);
}

/* Before anything else is opened, by whatever library. */
void stdio_secure(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		missing[fd] = true;
		if (open_null(fd) != fd)
			give_up();
	}
	for (fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
		if (is_device(fd))
			part_with_device(fd);
	}
	if (!isatty(STDOUT_FILENO))
		setvbuf(stdout, stdout_buffer, _IOFBF, sizeof(stdout_buffer));
	on_exit(at_exit, NULL);
}

/* Was this fd closed, or taken away, at the start? */
bool stdio_missing(int fd)
{
	return fd >= 0 && fd <= STDERR_FILENO && missing[fd];
}

/* The exit status if all went well but for the output. */
void stdio_status(int status)
{
	status_if_lost = status;
}

/* Returns -errno, having told so once, if output was lost. */
int stdio_flush(void)
{
	static int err;

	errno = 0;
	if (!err && (fflush(stdout) || ferror(stdout)))
		err = errno ? errno : EIO;
	if (err && !told)
		say("standard output: %s", strerror(err));
	told = err;
	return -err;
}
