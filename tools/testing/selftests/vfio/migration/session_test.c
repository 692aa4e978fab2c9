// SPDX-License-Identifier: GPL-2.0-only
/*
 * What read and poll say in every situation (B2), the same for write (B3), and how
 * sessions follow each other (B1). How the fd itself behaves is in datafd_test,
 * what ends it from outside in lifetime_test.
 */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

FIXTURE(session) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

FIXTURE_VARIANT(session) {
	const char *type;
};

FIXTURE_VARIANT_ADD(session, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(session, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(session, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(session, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(session)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
}

FIXTURE_TEARDOWN(session)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dev);
}

#define REQUIRE_STATE(_state) do {					\
	if (!vfm_supports(self->dev, _state))				\
		return;							\
} while (0)

static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
}

TEST_F(session, stop_copy_end)
{
	int fd = vfm_enter(self->dev, VFM_STOP_COPY), i;

	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	vfm_drain(fd, &self->got, NULL);

	/* For ever, however it is asked. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, vfm_read(fd, self->page, sizeof(self->page)));
		ASSERT_EQ(0, vfm_read_nowait(fd, self->page,
					     sizeof(self->page)));
		ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));
		vfm_nonblock(fd, true);
		ASSERT_EQ(0, vfm_read(fd, self->page, sizeof(self->page)));
		ASSERT_EQ(0, vfm_fionread(fd));
		vfm_nonblock(fd, false);
	}
	/* A SET to the same state is no new stream. */
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(0, vfm_read(fd, self->page, sizeof(self->page)));
	close(fd);
}

/* Reads until nothing more is there at the moment, without waiting. */
static int drain_nowait(int fd, struct vfm_buf *got)
{
	ssize_t n;

	while ((n = vfm_read_nowait(fd, vfm_buf_room(got, 4096), 4096)) > 0)
		got->len += n;
	return n;
}

/* The device prepares its state and has nothing to give yet. */
TEST_F(session, producer_runs)
{
	struct vfm_thread reader, poller;
	struct vfm_io io;
	int fd;

	configure(self->dev, "save_latency_us", MIGSIM_FOREVER_US);
	/* The ioctl itself does not sleep for it: this returns. */
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EAGAIN, drain_nowait(fd, &self->got));
	ASSERT_EQ(0, self->got.len);
	ASSERT_EQ(0, vfm_poll(fd, POLLIN | POLLOUT, 0));
	ASSERT_EQ(0, vfm_fionread(fd));
	vfm_nonblock(fd, true);
	ASSERT_EQ(-EAGAIN, vfm_read(fd, self->page, 1));
	vfm_nonblock(fd, false);

	io = (struct vfm_io) { fd, self->page, POLLIN };
	vfm_thread_start(&poller, vfm_thread_poll, &io);
	vfm_thread_start(&reader, vfm_thread_read, &(struct vfm_io) {
		fd, self->page, sizeof(self->page) });
	vfm_assert_blocked(&reader);
	vfm_assert_blocked(&poller);

	/* A signal ends the wait and changes nothing. */
	vfm_thread_signal(&reader);
	ASSERT_EQ(-EINTR, vfm_thread_join(&reader));
	ASSERT_EQ(-EAGAIN, vfm_read_nowait(fd, self->page, 1));

	vfm_thread_start(&reader, vfm_thread_read, &(struct vfm_io) {
		fd, self->page, sizeof(self->page) });
	vfm_assert_blocked(&reader);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(-ENODEV, vfm_thread_join(&reader));
	ASSERT_EQ(POLLERR | POLLHUP, vfm_thread_join(&poller) &
		  (POLLERR | POLLHUP));
	close(fd);
}

/* A poller that waits for the temporary end alone. */
TEST_F(session, precopy_end_wakes)
{
	struct vfm_thread poller;
	struct vfm_io io;
	int fd;

	REQUIRE_STATE(VFM_PRE_COPY);
	VFM_REQUIRE_FAULTS(self->dev);
	ASSERT_EQ(0, __vfm_fault_write(self->dev, "save_stall CONFIG 1 1 0"));
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	io = (struct vfm_io) { .fd = fd, .len = POLLPRI };
	vfm_thread_start(&poller, vfm_thread_poll, &io);
	vfm_assert_blocked(&poller);
	vfm_fault_release(self->dev);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	ASSERT_EQ(POLLPRI, vfm_thread_join(&poller));
	close(fd);
}

TEST_F(session, precopy_outcomes)
{
	struct vfm_thread poller;
	u64 val = 0x1122334455667788;
	struct vfm_io io;
	int fd, i;

	REQUIRE_STATE(VFM_PRE_COPY);
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	ASSERT_LE(VFM_SMALL_STATE, self->got.len);

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(-ENOMSG, vfm_read(fd, self->page, 1));
		ASSERT_EQ(-ENOMSG, vfm_read_nowait(fd, self->page, 1));
		ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));
		ASSERT_EQ(POLLPRI, vfm_poll(fd, POLLIN | POLLPRI, 0));
		ASSERT_EQ(0, vfm_fionread(fd));
	}

	/* What changes is new data, and wakes who waits for it. */
	io = (struct vfm_io) { fd, NULL, POLLIN };
	for (i = 0; i < 3; i++) {
		size_t before = self->got.len;

		vfm_thread_start(&poller, vfm_thread_poll, &io);
		vfm_assert_blocked(&poller);
		val++;
		vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i * 4096, &val,
			      sizeof(val));
		ASSERT_EQ(POLLIN, vfm_thread_join(&poller));
		vfm_drain_err(fd, &self->got, NULL, ENOMSG);
		/* A page, not the whole memory again. */
		ASSERT_LT(before, self->got.len);
		ASSERT_GT(before + 2 * 4096, self->got.len);
	}

	/* In STOP_COPY the same fd goes on to a permanent end. */
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, NULL);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));
	close(fd);
}

/* Limited bandwidth: there is more to come, so this is no end of any kind. */
TEST_F(session, precopy_producer_runs)
{
	int fd;

	REQUIRE_STATE(VFM_PRE_COPY);
	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 1 << 20);
	/* Minutes for a section of pages, once the first is out. */
	vfm_attr_set(self->dev, "bandwidth", 64);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	do {
		ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
		ASSERT_EQ(-EAGAIN, drain_nowait(fd, &self->got));
	} while (self->got.len < 4096);
	ASSERT_EQ(-EAGAIN, vfm_read_nowait(fd, self->page, 1));
	ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));
	ASSERT_GT(1 << 20, self->got.len);
	close(fd);
}

/* The saving group shares a session; outside of it, the old fd is dead. */
TEST_F(session, group_shares_fd)
{
	int fd, next;

	REQUIRE_STATE(VFM_PRE_COPY_P2P);
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_set_state_nofd(self->dev, VFM_PRE_COPY_P2P);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	vfm_set_state_nofd(self->dev, VFM_PRE_COPY);
	ASSERT_EQ(-ENOMSG, vfm_read(fd, self->page, 1));
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, NULL);

	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	next = vfm_set_state(self->dev, VFM_PRE_COPY);
	ASSERT_LE(0, next);
	ASSERT_EQ(-ENODEV, vfm_read(fd, self->page, 1));
	close(next);
	close(fd);
}

static void check_dead(int fd, bool saves)
{
	struct vfio_precopy_info info = { 0 };
	char c = 0;
	int n;

	VFIO_ASSERT_EQ(saves ? vfm_read(fd, &c, 1) : vfm_write(fd, &c, 1),
		       -ENODEV);
	if (saves)
		VFIO_ASSERT_EQ(vfm_read_nowait(fd, &c, 1), -ENODEV);
	vfm_nonblock(fd, true);
	VFIO_ASSERT_EQ(saves ? vfm_read(fd, &c, 1) : vfm_write(fd, &c, 1),
		       -ENODEV);
	vfm_nonblock(fd, false);
	VFIO_ASSERT_EQ(vfm_poll(fd, saves ? POLLIN : POLLOUT, 0) &
		       (POLLERR | POLLHUP), POLLERR | POLLHUP);
	VFIO_ASSERT_LT(__vfm_precopy_info(fd, &info), 0);
	/* Whatever this says, it must not touch the device. */
	ioctl(fd, FIONREAD, &n);
}

TEST_F(session, dead_after_leaving)
{
	int fd, next;

	/* Data is left unread, and a new session has data of its own. */
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_TRUE(vfm_poll(fd, POLLIN, vfm_deadline_ms()) & POLLIN);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	check_dead(fd, true);
	next = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_TRUE(vfm_poll(next, POLLIN, vfm_deadline_ms()) & POLLIN);
	check_dead(fd, true);
	vfm_drain(next, &self->got, NULL);
	close(fd);
	close(next);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->got.data, self->got.len, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	check_dead(fd, false);
	next = vfm_set_state(self->dev, VFM_RESUMING);
	check_dead(fd, false);
	/* What went to the old one has not reached the new one. */
	vfm_feed(next, self->got.data, self->got.len, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	close(next);
}

TEST_F(session, writer_outcomes)
{
	struct vfm_thread poller;
	size_t pos = 0;
	ssize_t n;
	int fd;

	vfm_close(self->dev);
	vfm_attr_set(self->dev, "state_size", 1 << 20);
	vfm_attr_set(self->dev, "window", 65536);
	vfm_open(self->dev);
	vfm_save(self->dev, &self->got, NULL);
	ASSERT_LT(1 << 20, self->got.len);

	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLIN | POLLOUT, 0));
	/* Never more than there is room for, and room comes back. */
	vfm_nonblock(fd, true);
	while (pos < self->got.len) {
		n = vfm_write(fd, self->got.data + pos, self->got.len - pos);
		if (n == -EAGAIN) {
			ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLOUT,
						    vfm_deadline_ms()));
			continue;
		}
		ASSERT_LT(0, n);
		pos += n;
	}
	/* The end section was taken; more is refused, at once and for ever. */
	vfm_nonblock(fd, false);
	n = vfm_write(fd, self->page, 1);
	if (n == 1)
		VFM_WAIT(vfm_poll(fd, POLLOUT, 0) & POLLERR);
	else
		ASSERT_EQ(-E2BIG, n);
	ASSERT_EQ(-E2BIG, vfm_write(fd, self->page, 1));
	ASSERT_TRUE(vfm_poll(fd, POLLOUT, 0) & POLLERR);
	vfm_thread_start(&poller, vfm_thread_poll,
			 &(struct vfm_io) { fd, NULL, POLLOUT });
	ASSERT_TRUE(vfm_thread_join(&poller) & POLLERR);
	vfm_set_state_err(self->dev, VFM_STOP, E2BIG);
	close(fd);
}

/* The first error is what every later call says, and the final check. */
TEST_F(session, error_sticks)
{
	int fd, i;

	vfm_save(self->dev, &self->got, NULL);
	vfm_reset(self->dev);
	self->got.data[0] ^= 1;

	fd = vfm_enter(self->dev, VFM_RESUMING);
	__vfm_feed(fd, self->got.data, self->got.len, NULL, NULL);
	VFM_WAIT(vfm_poll(fd, POLLOUT, 0) & POLLERR);
	self->got.data[0] ^= 1;
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(-EILSEQ, vfm_write(fd, self->got.data,
					     self->got.len));
		ASSERT_EQ(POLLERR, vfm_poll(fd, POLLIN, 0) &
			  (POLLERR | POLLHUP));
	}
	vfm_set_state_err(self->dev, VFM_STOP, EILSEQ);
	vfm_assert_state(self->dev, VFM_ERROR);
	close(fd);
}

TEST_HARNESS_MAIN
