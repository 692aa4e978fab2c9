// SPDX-License-Identifier: GPL-2.0-only
/* Any device: the data fd as a file, and what read and poll say at the two ends. */
#include <fcntl.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#define RULE_CLOEXEC \
	"kernel: a fd that a process did not name is closed by exec"
#define RULE_STREAMS \
	"uapi MIG_DEVICE_STATE: a stream, with one order of its bytes"
#define RULE_TEMPORARY \
	"uapi vfio_precopy_info: read() at the temporary end of stream is ENOMSG"
#define RULE_WAITS \
	"uapi vfio_precopy_info: poll() waits for more data, so it is not ready now"
#define RULE_EOS_POLL \
	"uapi vfio_precopy_info: in STOP_COPY poll() is readable for ever at the end"
#define RULE_VALID \
	"uapi vfio_precopy_info: valid only in PRE_COPY states, EINVAL elsewhere"
#define RULE_NONBLOCK \
	"kernel: O_NONBLOCK never sleeps, and a poll() that says so is kept"
#define RULE_FAULT \
	"kernel: a bad buffer is EFAULT and takes nothing from the stream"

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->got);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

FIXTURE(precopy) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

VFM_PRECOPY_VARIANTS(precopy);

FIXTURE_SETUP(precopy)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
}

FIXTURE_TEARDOWN(precopy)
{
	vfm_buf_free(&self->got);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(precopy)

TEST_F(conf, is_a_stream)
{
	char c = 0;
	int fd, i;

	vfm_for_each_session_state(self->dev, i) {
		const bool saves = vfm_session_states[i] != VFM_RESUMING;

		vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
		ASSERT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC) RULE(RULE_CLOEXEC);
		ASSERT_EQ(saves ? O_RDONLY : O_WRONLY,
			  fcntl(fd, F_GETFL) & O_ACCMODE)
			RULE(RULE_DIRECTION);
		ASSERT_GT(0, saves ? vfm_write(fd, &c, 1) : vfm_read(fd, &c, 1))
			RULE(RULE_DIRECTION);
		ASSERT_EQ(-1, lseek(fd, 0, SEEK_CUR)) RULE(RULE_STREAMS);
		ASSERT_EQ(-1, lseek(fd, 0, SEEK_END)) RULE(RULE_STREAMS);
		ASSERT_EQ(-1, saves ? pread(fd, &c, 1, 0) : pwrite(fd, &c, 1, 0))
			RULE(RULE_STREAMS);
		close(fd);
	}
}

/* A device that has no PRE_COPY need not know of it at all. */
TEST_F(conf, no_precopy_info)
{
	static const u32 states[] = { VFM_STOP_COPY, VFM_RESUMING };
	struct vfio_precopy_info info = { 0 };
	bool known;
	int fd, ret;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		known = states[i] == VFM_STOP_COPY &&
			vfm_supports(self->dev, VFM_PRE_COPY);
		vfm_judge_enter(self->dev, states[i], &fd);
		ret = __vfm_precopy_info(fd, &info);
		ASSERT_TRUE(ret == -EINVAL || (ret == -ENOTTY && !known))
			RULE(RULE_VALID);
		close(fd);
	}
}

TEST_F(conf, permanent_end)
{
	int fd, i;

	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	ASSERT_EQ(0, __vfm_drain(fd, &self->got, NULL)) RULE(RULE_EOS);
	ASSERT_LT(0, self->got.len) RULE(RULE_STREAM);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vfm_judge_read(fd, self->page, 4096)) RULE(RULE_EOS);
		ASSERT_TRUE(vfm_poll(fd, POLLIN, 0) & POLLIN) RULE(RULE_EOS_POLL);
		vfm_nonblock(fd, true);
		ASSERT_EQ(0, vfm_read(fd, self->page, 4096)) RULE(RULE_EOS);
		vfm_nonblock(fd, false);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(0, vfm_read(fd, self->page, 4096)) RULE(RULE_SAME);
	close(fd);
}

static const u32 precopy_states[] = { VFM_PRE_COPY, VFM_PRE_COPY_P2P };

TEST_F(precopy, temporary_end)
{
	size_t i;
	int fd, n;

	for (i = 0; i < ARRAY_SIZE(precopy_states); i++) {
		if (!vfm_supports(self->dev, precopy_states[i]))
			continue;
		vfm_judge_enter(self->dev, precopy_states[i], &fd);
		self->got.len = 0;
		ASSERT_EQ(-ENOMSG, __vfm_drain(fd, &self->got, NULL))
			RULE(RULE_TEMPORARY);
		/* Again, unless the device has more by now, and without a wait. */
		for (n = 0; n < 3; n++) {
			ssize_t ret = vfm_judge_read(fd, self->page, 4096);

			ASSERT_TRUE(ret == -ENOMSG || ret > 0)
				RULE(RULE_TEMPORARY);
		}
		/* The same fd goes on to the permanent end. */
		vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
		ASSERT_EQ(0, __vfm_drain(fd, &self->got, NULL)) RULE(RULE_EOS);
		close(fd);
	}
}

/* Whatever poll says at the temporary end, a read has to agree with it. */
TEST_F(precopy, temporary_end_poll)
{
	short events;
	ssize_t n = 0;
	int fd, i;

	vfm_judge_enter(self->dev, VFM_PRE_COPY, &fd);
	__vfm_drain(fd, &self->got, NULL);
	/* A device that works may have had something to say just now. */
	for (i = 0; i < 8; i++) {
		events = vfm_poll(fd, POLLIN, 0);
		if (!events)
			break;
		n = vfm_judge_read(fd, self->page, 4096);
		ASSERT_LT(0, n) RULE(RULE_WAITS);
	}
	close(fd);
}

static void read_all_nonblock(int fd, struct vfm_buf *got, int end)
{
	ssize_t n;

	vfm_nonblock(fd, true);
	for (;;) {
		n = vfm_read(fd, vfm_buf_room(got, 1 << 20), 1 << 20);
		if (n > 0) {
			got->len += n;
		} else if (n == -EAGAIN) {
			VFIO_ASSERT_NE(vfm_poll(fd, POLLIN, vfm_deadline_ms()), 0,
				       VFM_RULE(RULE_NONBLOCK));
		} else {
			VFIO_ASSERT_EQ(n, end, VFM_RULE(RULE_NONBLOCK));
			break;
		}
	}
	vfm_nonblock(fd, false);
}

static void write_all_nonblock(int fd, const struct vfm_buf *buf)
{
	size_t pos = 0;
	ssize_t n;

	vfm_nonblock(fd, true);
	while (pos < buf->len) {
		n = vfm_write(fd, buf->data + pos, buf->len - pos);
		if (n == -EAGAIN) {
			VFIO_ASSERT_NE(vfm_poll(fd, POLLOUT, vfm_deadline_ms()), 0,
				       VFM_RULE(RULE_NONBLOCK));
			continue;
		}
		VFIO_ASSERT_LT(0, n, VFM_RULE(RULE_STREAM));
		pos += n;
	}
	vfm_nonblock(fd, false);
}

/* One that sleeps is found by the harness, after its limit. */
TEST_F(conf, nonblock)
{
	int fd;

	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	read_all_nonblock(fd, &self->got, 0);
	close(fd);
	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	write_all_nonblock(fd, &self->got);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP)) RULE(RULE_STREAM);
	close(fd);
}

/* A reader or writer that got EFAULT tries again, and has lost nothing. */
TEST_F(conf, bad_buffer)
{
	char *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;
	int fd;

	ASSERT_NE(MAP_FAILED, hole);
	ASSERT_EQ(0, mprotect(hole + 4096, 4096, PROT_NONE));
	vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd);
	ASSERT_EQ(-EFAULT, vfm_judge_read(fd, hole + 4096, 4096)) RULE(RULE_FAULT);
	/* Half of it is there: a short read or none, but nothing in between. */
	n = vfm_judge_read(fd, hole + 4096 - 8, 4096);
	ASSERT_TRUE(n == 8 || n == -EFAULT) RULE(RULE_FAULT);
	if (n > 0)
		vfm_buf_append(&self->got, hole + 4096 - 8, n);
	vfm_drain(fd, &self->got, NULL);
	close(fd);
	vfm_judge_accepts(self->dev, &self->got, NULL);

	if (self->got.len < 16)
		SKIP(return, "its stream is too short to be cut by a bad buffer");
	vfm_judge_enter(self->dev, VFM_RESUMING, &fd);
	memcpy(hole + 4096 - 8, self->got.data, 8);
	ASSERT_EQ(-EFAULT, vfm_judge_write(fd, hole + 4096, 16)) RULE(RULE_FAULT);
	n = vfm_judge_write(fd, hole + 4096 - 8, 16);
	ASSERT_TRUE(n == 8 || n == -EFAULT) RULE(RULE_FAULT);
	n = n < 0 ? 0 : n;
	ASSERT_EQ(0, __vfm_feed(fd, self->got.data + n, self->got.len - n, NULL,
				NULL))
		RULE(RULE_FAULT);
	ASSERT_EQ(-1, vfm_set_state(self->dev, VFM_STOP)) RULE(RULE_FAULT);
	close(fd);
	munmap(hole, 8192);
}

/* Ours: nothing but POLLERR and POLLHUP, and ENODEV, once a session is over. */
TEST_F(conf, ours_hangs_up)
{
	int fd, i;

	VFM_REQUIRE_OURS("B1, B2: how a session says that it is over");
	vfm_for_each_session_state(self->dev, i) {
		const bool saves = vfm_session_states[i] != VFM_RESUMING;

		vfm_judge_enter(self->dev, vfm_session_states[i], &fd);
		vfm_reset(self->dev);
		ASSERT_EQ(-ENODEV, saves ? vfm_read(fd, self->page, 1) :
					   vfm_write(fd, self->page, 1))
			RULE("spec B1: I/O on the fd of a session that is over");
		ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(fd, 0, 0))
			RULE("spec B2: poll on the fd of a session that is over");
		close(fd);
	}
}

VFM_TARGET_MAIN
