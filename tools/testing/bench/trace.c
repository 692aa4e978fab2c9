// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often io_uring handed a request to a thread of its own, from the tracepoint
 *
 * In a trace instance, so that nobody else's tracing is disturbed.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define INSTANCE	"/sys/kernel/tracing/instances/vfio-mig-bench"
#define EVENT		"io_uring_queue_async_work"

static void trace_write(const char *name, const char *text)
{
	char path[256];
	int fd;

	snprintf_assert(path, sizeof(path), INSTANCE "/%s", name);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	VFIO_ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	VFIO_ASSERT_GT(write(fd, text, strlen(text)), 0);
	close(fd);
}

void iowq_begin(void)
{
	VFIO_ASSERT_EQ(mkdir(INSTANCE, 0700), 0, "%s", strerror(errno));
	trace_write("events/io_uring/" EVENT "/enable", "1");
}

unsigned int iowq_end(void)
{
	unsigned int n = 0;
	char line[1024];
	FILE *file;

	trace_write("events/io_uring/" EVENT "/enable", "0");
	file = fopen(INSTANCE "/trace", "re");
	VFIO_ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		n += line[0] != '#' && strstr(line, EVENT);
	fclose(file);
	rmdir(INSTANCE);
	return n;
}
