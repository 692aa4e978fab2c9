// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data fd as a file: what it can and what it refuses (B1), odd requests and bad
 * buffers in both directions (B2, B3), RWF_NOWAIT and poll where attributes hide
 * them (B4, C2).
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <libvfio_migration.h>

FIXTURE(datafd) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

FIXTURE_VARIANT(datafd) {
	const char *type;
};

FIXTURE_VARIANT_ADD(datafd, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(datafd, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(datafd, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(datafd, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(datafd)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
}

FIXTURE_TEARDOWN(datafd)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dev);
}

static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
}

TEST_F(datafd, fd_properties)
{
	static const u32 states[] = {
		VFM_STOP_COPY, VFM_PRE_COPY, VFM_PRE_COPY_P2P, VFM_RESUMING,
	};
	char c = 0;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		const bool saves = states[i] != VFM_RESUMING;

		if (!vfm_supports(self->dev, states[i]))
			continue;
		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, states[i]);
		ASSERT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		ASSERT_EQ(saves ? O_RDONLY : O_WRONLY,
			  fcntl(fd, F_GETFL) & O_ACCMODE);
		ASSERT_FALSE(fcntl(fd, F_GETFL) & O_NONBLOCK);

		ASSERT_EQ(-EBADF, saves ? vfm_write(fd, &c, 1) :
					  vfm_read(fd, &c, 1));
		ASSERT_EQ(-1, pread(fd, &c, 1, 0));
		ASSERT_EQ(ESPIPE, errno);
		ASSERT_EQ(-1, pwrite(fd, &c, 1, 0));
		ASSERT_EQ(ESPIPE, errno);
		ASSERT_EQ(-1, lseek(fd, 0, SEEK_CUR));
		ASSERT_EQ(ESPIPE, errno);
		ASSERT_EQ(-1, lseek(fd, 0, SEEK_END));
		ASSERT_EQ(ESPIPE, errno);

		ASSERT_EQ(-1, ioctl(fd, _IO('x', 99), &c));
		ASSERT_EQ(ENOTTY, errno);
		ASSERT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE,
					   fd, 0));
		close(fd);
	}
}

/* Nothing was asked for: nothing is done and nothing is wrong. */
TEST_F(datafd, zero_length)
{
	int fd = vfm_enter(self->dev, VFM_STOP_COPY);

	ASSERT_EQ(0, vfm_read(fd, self->page, 0));
	vfm_drain(fd, &self->got, NULL);
	ASSERT_LT(VFM_SMALL_STATE, self->got.len);
	close(fd);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(0, vfm_write(fd, self->page, 0));
	vfm_feed(fd, self->got.data, self->got.len, NULL);
	ASSERT_EQ(0, vfm_write(fd, self->page, 0));
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
}

/* A bad buffer costs nothing: the bytes are still there. */
TEST_F(datafd, efault)
{
	int fd = vfm_enter(self->dev, VFM_STOP_COPY);
	struct iovec iov[2];
	char *hole;

	ASSERT_TRUE(vfm_poll(fd, POLLIN, vfm_deadline_ms()) & POLLIN);
	ASSERT_EQ(-EFAULT, vfm_read(fd, NULL, 4096));
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));

	/* Short where the buffer ends: what was copied counts, no more. */
	hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, hole);
	ASSERT_EQ(0, mprotect(hole + 4096, 4096, PROT_NONE));
	ASSERT_EQ(16, vfm_read(fd, hole + 4096 - 16, 4096));
	iov[0] = (struct iovec) { self->page, 32 };
	iov[1] = (struct iovec) { NULL, 100 };
	ASSERT_EQ(32, readv(fd, iov, 2));
	vfm_buf_append(&self->got, hole + 4096 - 16, 16);
	vfm_buf_append(&self->got, self->page, 32);
	vfm_drain(fd, &self->got, NULL);
	close(fd);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(-EFAULT, vfm_write(fd, NULL, 4096));
	memcpy(hole + 4096 - 40, self->got.data, 40);
	ASSERT_EQ(40, vfm_write(fd, hole + 4096 - 40, 4096));
	vfm_feed(fd, self->got.data + 40, self->got.len - 40, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	munmap(hole, 8192);
}

/* Attributes hide what a client may find missing elsewhere. */
TEST_F(datafd, without_nowait)
{
	int fd;

	configure(self->dev, "nowait", 0);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EOPNOTSUPP, vfm_read_nowait(fd, self->page, 1));
	vfm_drain(fd, &self->got, NULL);
	close(fd);
	vfm_reset(self->dev);
	vfm_restore(self->dev, &self->got, NULL);
}

TEST_F(datafd, without_poll)
{
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "poll", 0);
	vfm_attr_set(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	/* A file without poll is always ready, which here is a lie. */
	ASSERT_EQ(POLLIN | POLLOUT, vfm_poll(fd, POLLIN | POLLOUT, 0));
	ASSERT_EQ(-EAGAIN, vfm_read_nowait(fd, self->page, 1));
	close(fd);
}

/* Reading and writing through vectors is reading and writing. */
TEST_F(datafd, vectors)
{
	char *half = malloc(1 << 20);
	struct iovec iov[3] = {
		{ self->page, 1 }, { self->page + 1, 0 }, { half, 1 << 20 },
	};
	size_t pos = 0;
	ssize_t n;
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	while ((n = readv(fd, iov, 3)) > 0) {
		vfm_buf_append(&self->got, self->page, 1);
		vfm_buf_append(&self->got, half, n - 1);
	}
	ASSERT_EQ(0, n);
	close(fd);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	while (pos < self->got.len) {
		const size_t rest = self->got.len - pos;

		iov[0] = (struct iovec) { self->got.data + pos, 1 };
		iov[2] = (struct iovec) { self->got.data + pos + 1, rest - 1 };
		n = writev(fd, iov, 3);
		ASSERT_LT(0, n);
		pos += n;
	}
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	free(half);
}

TEST_HARNESS_MAIN
