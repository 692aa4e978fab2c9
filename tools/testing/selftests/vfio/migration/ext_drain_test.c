// SPDX-License-Identifier: GPL-2.0-only
/*
 * A10: drain. What the device has begun takes p2p_latency_us, without P2P
 * stop_latency_us, on the arc that quiesces it, or before that arc by a drain.
 *
 * Whether an arc waits is told by a reset, which ends one that does.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define LONG_US		400000		/* a wait that is sure to be seen */
#define FOREVER_US	60000000	/* one that only a reset ends in time */

FIXTURE(drain) {
	struct vfm_device *dev;
	const char *latency;	/* attribute of the arc that quiesces */
	u32 quiet;		/* state that it leads to */
	struct rlimit limit;
};

FIXTURE_VARIANT(drain) {
	const char *type;
};

FIXTURE_VARIANT_ADD(drain, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(drain, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(drain, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(drain, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(drain)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->dev, "drain", 1);
	vfm_open(self->dev);
	if (vfm_supports(self->dev, VFM_RUNNING_P2P)) {
		self->latency = "p2p_latency_us";
		self->quiet = VFM_RUNNING_P2P;
	} else {
		self->latency = "stop_latency_us";
		self->quiet = VFM_STOP;
	}
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->limit));
}

FIXTURE_TEARDOWN(drain)
{
	setrlimit(RLIMIT_NOFILE, &self->limit);
	vfm_destroy(self->dev);
}

static void configure(struct vfm_device *dev, const char *name, u64 val)
{
	vfm_close(dev);
	vfm_attr_set(dev, name, val);
	vfm_open(dev);
}

static void wait_drained(int fd)
{
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, vfm_deadline_ms()), POLLIN);
}

static u64 ticks(struct vfm_device *dev)
{
	u64 val;

	vfm_bar_read(dev, MIGSIM_BAR_REGS, MIGSIM_REG_TICKS, &val, sizeof(val));
	return val;
}

TEST_F(drain, not_offered)
{
	struct vfio_device_feature_migx_drain drain = { 0 };
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_DRAIN;

	vfm_ext(self->dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
		index, NULL, 0);
	configure(self->dev, "drain", 0);
	vfm_begin_drain_err(self->dev, ENOTTY);
	vfm_ext_err(self->dev,
		    VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET, index,
		    NULL, 0, ENOTTY);
	vfm_ext_err(self->dev, VFIO_DEVICE_FEATURE_SET, index, &drain,
		    sizeof(drain), ENOTTY);
	vfm_set_state_nofd(self->dev, self->quiet);
}

TEST_F(drain, refusals)
{
	struct vfio_device_feature_migx_drain drain = { 0 };
	const u32 set = VFIO_DEVICE_FEATURE_SET;
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_DRAIN;
	u8 *byte = (u8 *)&drain;
	size_t i;

	vfm_check_refusals(self->dev, set, index, &drain, sizeof(drain));
	for (i = 0; i < sizeof(drain); i++) {
		byte[i] = 1;
		vfm_ext_err(self->dev, set, index, &drain, sizeof(drain),
			    EINVAL);
		byte[i] = 0;
	}
	/* Refused is not called: no opt-in, and no drain is there. */
	vfm_set_state_nofd(self->dev, self->quiet);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);

	vfm_ext_longer(self->dev, set, index, &drain, sizeof(drain));
	ASSERT_LE(0, drain.fd);
	ASSERT_EQ(0, drain.flags);
	ASSERT_EQ(FD_CLOEXEC, fcntl(drain.fd, F_GETFD));
	wait_drained(drain.fd);
	close(drain.fd);
}

TEST_F(drain, states)
{
	u32 state;
	int data_fd, fd;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_supports(self->dev, state))
			continue;
		data_fd = vfm_enter(self->dev, state);
		if (state == VFM_RUNNING || state == VFM_PRE_COPY) {
			fd = vfm_begin_drain(self->dev);
			vfm_assert_state(self->dev, state);
			wait_drained(fd);
			vfm_assert_state(self->dev, state);
			close(fd);
		} else {
			vfm_begin_drain_err(self->dev, EINVAL);
			vfm_assert_state(self->dev, state);
		}
		if (data_fd >= 0)
			close(data_fd);
		vfm_reopen(self->dev);
		vfm_reset(self->dev);
	}
}

static bool arc_waits(struct vfm_device *dev, u32 to)
{
	struct vfm_set set = { .dev = dev, .state = to };
	struct vfm_thread setter;
	bool waits;

	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	waits = vfm_thread_blocked(&setter);
	if (waits)
		vfm_reset(dev);
	VFIO_ASSERT_EQ(vfm_thread_join(&setter), waits ? -ECANCELED : 0);
	return waits;
}

/* Before it is done, the arc is refused and changes nothing; then it is there. */
static void check_arc(struct vfm_device *dev, u32 from, u32 to)
{
	int data_fd = vfm_enter(dev, from), fd = vfm_begin_drain(dev);

	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, 0), 0);
	vfm_set_state_err(dev, to, EBUSY);
	vfm_assert_state(dev, from);
	if (data_fd >= 0)
		VFIO_ASSERT_FALSE(vfm_poll(data_fd, 0, 0) & POLLHUP);
	wait_drained(fd);
	VFIO_ASSERT_FALSE(arc_waits(dev, to));
	vfm_assert_state(dev, to);
	/* It stays done, until it is closed. */
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, 0), POLLIN);
	close(fd);
	if (data_fd >= 0)
		close(data_fd);
	vfm_reset(dev);
}

TEST_F(drain, arc)
{
	/* What it is for: without, the arc waits. */
	configure(self->dev, self->latency, FOREVER_US);
	ASSERT_TRUE(arc_waits(self->dev, self->quiet));
	configure(self->dev, self->latency, LONG_US);
	check_arc(self->dev, VFM_RUNNING, self->quiet);
	if (vfm_supports(self->dev, VFM_PRE_COPY_P2P))
		check_arc(self->dev, VFM_PRE_COPY, VFM_PRE_COPY_P2P);
	else if (vfm_supports(self->dev, VFM_PRE_COPY))
		check_arc(self->dev, VFM_PRE_COPY, VFM_STOP_COPY);
}

/* It is the arc that is refused, wherever the way leads that it is on. */
TEST_F(drain, on_the_way)
{
	int fd;

	configure(self->dev, self->latency, MIGSIM_FOREVER_US);
	fd = vfm_begin_drain(self->dev);
	vfm_set_state_err(self->dev, VFM_STOP, EBUSY);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EBUSY);
	vfm_set_state_err(self->dev, VFM_RESUMING, EBUSY);
	vfm_assert_state(self->dev, VFM_RUNNING);
	/* What does not quiesce the device needs no drain. */
	if (vfm_supports(self->dev, VFM_PRE_COPY)) {
		close(vfm_set_state(self->dev, VFM_PRE_COPY));
		vfm_set_state_err(self->dev, VFM_STOP_COPY, EBUSY);
		vfm_set_state_nofd(self->dev, VFM_RUNNING);
	}
	close(fd);

	configure(self->dev, self->latency, 1000);
	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	close(vfm_set_state(self->dev, VFM_STOP_COPY));
	vfm_assert_state(self->dev, VFM_STOP_COPY);
	close(fd);
}

/* Who never called it has the standard protocol: the arc waits and succeeds. */
TEST_F(drain, plain_client)
{
	struct vfm_set set = { .dev = self->dev, .state = self->quiet };
	struct vfm_thread setter;

	configure(self->dev, self->latency, 20000);
	vfm_set_state_nofd(self->dev, self->quiet);

	configure(self->dev, self->latency, MIGSIM_FOREVER_US);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	vfm_assert_blocked(&setter);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
}

/* Having called it is the opt-in: over closing and reset, to the last close. */
TEST_F(drain, opt_in)
{
	int fd = vfm_begin_drain(self->dev);

	wait_drained(fd);
	close(fd);
	vfm_set_state_err(self->dev, self->quiet, EBUSY);
	vfm_reset(self->dev);
	vfm_set_state_err(self->dev, self->quiet, EBUSY);
	vfm_assert_state(self->dev, VFM_RUNNING);
	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	vfm_set_state_nofd(self->dev, self->quiet);
	close(fd);

	vfm_reopen(self->dev);
	vfm_set_state_nofd(self->dev, self->quiet);
}

/* Another device, whose workload tells that one of this would have worked. */
static struct vfm_device *make_clock(const char *type)
{
	struct vfm_device *clock = vfm_create(type);

	vfm_attr_set(clock, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(clock, "dirty_rate", 1 << 20);
	vfm_open(clock);
	return clock;
}

static void wait_ticks(struct vfm_device *clock)
{
	const u64 from = ticks(clock);

	VFM_WAIT(ticks(clock) > from + 20);
}

/* The workload stands still in a drain, and goes on when the fd is closed. */
TEST_F(drain, workload)
{
	struct vfm_device *clock = make_clock(variant->type);
	u64 before;
	int fd;

	configure(self->dev, "dirty_rate", 1 << 20);
	VFM_WAIT(ticks(self->dev) > 5);

	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	before = ticks(self->dev);
	wait_ticks(clock);
	ASSERT_EQ(before, ticks(self->dev));

	close(fd);
	VFM_WAIT(ticks(self->dev) > before);
	vfm_destroy(clock);
}

/*
 * Out of the quiet state with the drain still open, the device works no more than
 * before; and closing the fd in the quiet state begins no work there.
 */
TEST_F(drain, closed_later)
{
	struct vfm_device *clock = make_clock(variant->type);
	u64 before;
	int fd;

	configure(self->dev, "dirty_rate", 1 << 20);

	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	before = ticks(self->dev);
	wait_ticks(clock);
	ASSERT_EQ(before, ticks(self->dev));
	/* And can be quiesced again, since it has nothing to do. */
	vfm_set_state_nofd(self->dev, VFM_STOP);

	close(fd);
	wait_ticks(clock);
	ASSERT_EQ(before, ticks(self->dev));
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	VFM_WAIT(ticks(self->dev) > before);
	vfm_destroy(clock);
}

TEST_F(drain, second)
{
	int fd = vfm_begin_drain(self->dev), again;

	vfm_begin_drain_err(self->dev, EBUSY);
	wait_drained(fd);
	vfm_begin_drain_err(self->dev, EBUSY);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, 0));
	close(fd);
	again = vfm_begin_drain(self->dev);
	wait_drained(again);
	close(again);
}

TEST_F(drain, reset)
{
	int fd, again;

	configure(self->dev, self->latency, MIGSIM_FOREVER_US);
	fd = vfm_begin_drain(self->dev);
	ASSERT_EQ(0, vfm_poll(fd, POLLIN, 0));
	vfm_reset(self->dev);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(fd, POLLIN, 0));
	again = vfm_begin_drain(self->dev);
	ASSERT_EQ(0, vfm_poll(again, POLLIN, 0));
	/* The old one is nothing to the new one. */
	close(fd);
	vfm_begin_drain_err(self->dev, EBUSY);
	ASSERT_EQ(0, vfm_poll(again, POLLIN, 0));
	close(again);
}

/* The fd may be closed after the device, or never while that exists. */
TEST_F(drain, device_closed)
{
	int fd, again;

	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	vfm_close(self->dev);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(fd, POLLIN, 0));
	vfm_open(self->dev);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(fd, POLLIN, 0));
	again = vfm_begin_drain(self->dev);
	wait_drained(again);
	close(fd);
	ASSERT_EQ(POLLIN, vfm_poll(again, POLLIN, 0));
	vfm_destroy(self->dev);
	self->dev = NULL;
	ASSERT_EQ(POLLERR | POLLHUP, vfm_poll(again, POLLIN, 0));
	close(again);
}

/* Whoever waits is told, whatever it is that happens. */
TEST_F(drain, wakes)
{
	struct vfm_thread poller;
	struct vfm_io io = { .len = POLLIN };

	configure(self->dev, self->latency, MIGSIM_FOREVER_US);
	io.fd = vfm_begin_drain(self->dev);
	vfm_thread_start(&poller, vfm_thread_poll, &io);
	vfm_assert_blocked(&poller);
	vfm_reset(self->dev);
	ASSERT_EQ(POLLERR | POLLHUP, vfm_thread_join(&poller));
	close(io.fd);

	configure(self->dev, self->latency, LONG_US);
	io.fd = vfm_begin_drain(self->dev);
	vfm_thread_start(&poller, vfm_thread_poll, &io);
	ASSERT_EQ(POLLIN, vfm_thread_join(&poller));
	close(io.fd);
}

/* With no number free for the fd, or no place for the answer, nothing was called. */
static void check_nothing(struct vfm_device *dev, u32 quiet)
{
	int fd;

	vfm_set_state_nofd(dev, quiet);
	vfm_set_state_nofd(dev, VFM_RUNNING);
	fd = vfm_begin_drain(dev);
	wait_drained(fd);
	close(fd);
}

TEST_F(drain, emfile)
{
	struct rlimit tight = self->limit;
	int lowest = open("/dev/null", O_RDONLY), fd, ret;

	close(lowest);
	tight.rlim_cur = lowest;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
	ret = __vfm_begin_drain(self->dev, &fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &self->limit));
	ASSERT_EQ(-EMFILE, ret);
	check_nothing(self->dev, self->quiet);
}

TEST_F(drain, efault)
{
	struct vfio_device_feature_migx_drain drain = { 0 };

	vfm_check_refusals(self->dev, VFIO_DEVICE_FEATURE_SET,
			   VFIO_DEVICE_FEATURE_MIGX_DRAIN, &drain,
			   sizeof(drain));
	check_nothing(self->dev, self->quiet);
}

/* The drain is over when the last of them is closed, in whatever process. */
TEST_F(drain, dup_and_fork)
{
	int fd = vfm_begin_drain(self->dev), twin = dup(fd), status, go[2];
	pid_t child;

	wait_drained(fd);
	close(fd);
	ASSERT_EQ(POLLIN, vfm_poll(twin, POLLIN, 0));
	vfm_begin_drain_err(self->dev, EBUSY);

	ASSERT_EQ(0, pipe(go));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char c;

		close(go[1]);
		_exit(read(go[0], &c, 1) != 0 ||
		      vfm_poll(twin, POLLIN, 0) != POLLIN);
	}
	close(go[0]);
	close(twin);
	vfm_begin_drain_err(self->dev, EBUSY);
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	/* The child's files are closed by now. */
	fd = vfm_begin_drain(self->dev);
	wait_drained(fd);
	close(fd);
}

/* It is no data fd: nothing is read, written or asked for. */
TEST_F(drain, fd_is_for_poll)
{
	int fd = vfm_begin_drain(self->dev);
	char c;

	ASSERT_EQ(-EINVAL, vfm_read(fd, &c, 1));
	ASSERT_EQ(-EBADF, vfm_write(fd, &c, 1));
	ASSERT_EQ(-1, lseek(fd, 1, SEEK_SET));
	ASSERT_EQ(-1, ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &c));
	ASSERT_EQ(ENOTTY, errno);
	close(fd);
}

TEST_HARNESS_MAIN
