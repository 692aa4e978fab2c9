// SPDX-License-Identifier: GPL-2.0-only
/* The ways of one data fd's bytes, and of a memfd's. */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* To the end of the stream. */
uint64_t read_all(int fd, void *buffer, size_t chunk)
{
	uint64_t bytes = 0;
	ssize_t n;

	while ((n = read(fd, buffer, chunk)) > 0)
		bytes += n;
	VFIO_ASSERT_EQ(n, 0, "read: %s", strerror(errno));
	return bytes;
}

uint64_t pread_all(int fd, void *buffer, size_t chunk, uint64_t size)
{
	uint64_t bytes = 0;
	ssize_t n;

	while ((n = pread(fd, buffer, chunk, bytes)) > 0)
		bytes += n;
	VFIO_ASSERT_EQ(bytes, size);
	return bytes;
}

/* With room for a whole buffer, in pages of 4 KiB. */
int pipe_new(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	return fcntl(fds[1], F_SETPIPE_SZ, (int)BUFFER_SIZE) < 0 ? -errno : 0;
}

static void splice_out(const int pipe[2], int null, size_t len)
{
	ssize_t n;

	for (; len; len -= n) {
		n = splice(pipe[0], NULL, null, NULL, len, SPLICE_F_MOVE);
		VFIO_ASSERT_GT(n, 0, "splice out: %s", strerror(errno));
	}
}

uint64_t splice_all(int fd, const int pipe[2], int null)
{
	uint64_t bytes = 0;
	ssize_t n;

	while ((n = splice(fd, NULL, pipe[1], NULL, BUFFER_SIZE,
			   SPLICE_F_MOVE)) > 0) {
		splice_out(pipe, null, n);
		bytes += n;
	}
	VFIO_ASSERT_EQ(n, 0, "splice in: %s", strerror(errno));
	return bytes;
}

/* Bytes of the stream that @dev, in RUNNING, makes. */
uint64_t save_length(struct vfm_device *dev, void *buffer)
{
	int fd = vfm_set_state(dev, VFM_STOP_COPY);
	uint64_t length = read_all(fd, buffer, BUFFER_SIZE);

	close(fd);
	vfm_set_state_nofd(dev, VFM_RUNNING);
	return length;
}

/* Until all of the stream can be read at once. */
void wait_queued(int fd, uint64_t length)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	while (vfm_fionread(fd) < length)
		nanosleep(&pause, NULL);
}
