// SPDX-License-Identifier: GPL-2.0-only
/*
 * A12: LAST_ERROR, all of its fields, for each way in which something can go wrong
 * but for the data, of which stream_sweep_test has all. What counts and what does
 * not, and how long it is remembered.
 */
#include <endian.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <libvfio_migration.h>

#define STATE_SIZE	VFM_SMALL_STATE

FIXTURE(told) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	u64 count;		/* of errors so far */
};

FIXTURE_VARIANT(told) {
	const char *type;
};

FIXTURE_VARIANT_ADD(told, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(told, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(told, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(told, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(told)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", STATE_SIZE);
	vfm_attr_set(self->dev, "drain", 1);
	vfm_attr_set(self->dev, "stop_copy_back", 1);
	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(told)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

/* The error is this one, and the @n-th since it was looked at last. */
static void expect(FIXTURE_DATA(told) *self, u64 n, int err, u32 from, u32 to,
		   u32 state, u64 offset, const char *reason)
{
	u64 count = vfm_last_error(self->dev).count;

	vfm_assert_last_error(self->dev, err, from, to, state, offset, reason);
	VFIO_ASSERT_EQ(count - self->count, n);
	self->count = count;
}

static void expect_set(FIXTURE_DATA(told) *self, int err, u32 from, u32 to,
		       u32 state, const char *reason)
{
	expect(self, 1, err, from, to, state, VFIO_MIGX_NO_OFFSET, reason);
}

static void expect_none(FIXTURE_DATA(told) *self, u32 state)
{
	struct vfio_device_feature_migx_last_error e = vfm_last_error(self->dev);

	VFIO_ASSERT_EQ(e.error, 0);
	VFIO_ASSERT_EQ(e.count, 0);
	VFIO_ASSERT_EQ(e.state, state);
	VFIO_ASSERT_EQ(e.offset, VFIO_MIGX_NO_OFFSET);
	VFIO_ASSERT_EQ(e.reason[0], 0);
	self->count = 0;
}

TEST_F(told, none)
{
	int fd;

	expect_none(self, VFM_RUNNING);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	expect_none(self, VFM_STOP);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	expect_none(self, VFM_STOP_COPY);
	close(fd);
}

/* No way: from where the device is to where it was to go, whatever that is. */
TEST_F(told, refused)
{
	static const u32 bad[] = { VFM_ERROR, 8, 99, 0xffffffff };
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vfm_set_state_err(self->dev, bad[i], EINVAL);
		expect_set(self, EINVAL, VFM_RUNNING, bad[i], VFM_RUNNING,
			   "no way");
	}
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	vfm_set_state_err(self->dev, VFM_PRE_COPY, EINVAL);
	expect_set(self, EINVAL, VFM_STOP_COPY, VFM_PRE_COPY, VFM_STOP_COPY,
		   "no way");
	close(fd);
}

/* The arc that failed, and not the transition that it was of. */
static void arc_fails(FIXTURE_DATA(told) *self, const char *site, u32 target)
{
	const bool broken = !strcmp(site, "arc_broken");
	struct vfm_path path = vfm_find_path(self->dev->flags, VFM_RUNNING,
					     target);
	unsigned int i;

	for (i = 0; i < path.arcs; i++) {
		vfm_fault_arc(self->dev, site, path.state[i],
			      path.state[i + 1], 1, 1, EXDEV);
		vfm_set_state_err(self->dev, target, EXDEV);
		expect_set(self, EXDEV, path.state[i], path.state[i + 1],
			   broken ? VFM_ERROR : VFM_RUNNING, site);
		vfm_fault_clear(self->dev);
		vfm_reset(self->dev);
	}
	VFIO_ASSERT_GT(i, 0);
}

TEST_F(told, arcs)
{
	arc_fails(self, "arc_fail", VFM_STOP_COPY);
	arc_fails(self, "arc_fail", VFM_RESUMING);
	arc_fails(self, "arc_broken", VFM_STOP_COPY);
}

/* The way back fails too: the first is the reason, the state is the truth. */
TEST_F(told, way_back)
{
	const u32 before = vfm_supports(self->dev, VFM_RUNNING_P2P) ?
			   VFM_RUNNING_P2P : VFM_RUNNING;

	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, VFM_STOP_COPY, 1, 1,
		      EXDEV);
	vfm_fault_arc(self->dev, "arc_fail", VFM_STOP, before, 1, 1, EDOM);
	vfm_set_state_err(self->dev, VFM_STOP_COPY, EXDEV);
	expect_set(self, EXDEV, VFM_STOP, VFM_STOP_COPY, VFM_STOP,
		   "to STOP_COPY");
	ASSERT_EQ(1, vfm_fault_fired(self->dev, "arc_fail", VFM_STOP, before));
}

static void start_stalled(FIXTURE_DATA(told) *self, struct vfm_thread *setter,
			  struct vfm_set *set)
{
	*set = (struct vfm_set) { .dev = self->dev, .state = VFM_STOP_COPY };
	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP, VFM_STOP_COPY, 1, 1, 0);
	vfm_thread_start(setter, vfm_thread_set_state, set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_STOP,
				 VFM_STOP_COPY));
}

TEST_F(told, reset)
{
	struct vfm_thread setter;
	struct vfm_set set;

	start_stalled(self, &setter, &set);
	vfm_reset(self->dev);
	ASSERT_EQ(-ECANCELED, vfm_thread_join(&setter));
	expect_set(self, ECANCELED, VFM_STOP, VFM_STOP_COPY, VFM_RUNNING,
		   "reset");
}

/* Nothing has happened, and so nothing has failed. */
TEST_F(told, signal)
{
	struct vfm_thread setter;
	struct vfm_set set;

	vfm_set_state_nofd(self->dev, VFM_STOP);
	start_stalled(self, &setter, &set);
	vfm_thread_signal(&setter);
	ASSERT_EQ(-EINTR, vfm_thread_join(&setter));
	expect_none(self, VFM_STOP);
}

/* While a transition is under way, the answer is what came of it. */
TEST_F(told, waits)
{
	struct vfm_thread setter, getter;
	struct vfm_set set;

	start_stalled(self, &setter, &set);
	vfm_thread_start(&getter, vfm_thread_get_state, self->dev);
	vfm_assert_blocked(&getter);
	vfm_fault_release(self->dev);
	ASSERT_EQ(0, vfm_thread_join(&setter));
	ASSERT_EQ(VFM_STOP_COPY, vfm_thread_join(&getter));
	expect_none(self, VFM_STOP_COPY);
	close(set.data_fd);
}

/* What the extensions add. */
TEST_F(told, drain)
{
	const u32 quiet = vfm_supports(self->dev, VFM_RUNNING_P2P) ?
			  VFM_RUNNING_P2P : VFM_STOP;
	int fd;

	fd = vfm_begin_drain(self->dev);
	close(fd);
	vfm_set_state_err(self->dev, VFM_STOP, EBUSY);
	expect_set(self, EBUSY, VFM_RUNNING, quiet, VFM_RUNNING, "drain");
}

TEST_F(told, copy_back)
{
	const u32 to = vfm_supports(self->dev, VFM_PRE_COPY_P2P) ?
		       VFM_PRE_COPY_P2P : VFM_PRE_COPY;
	struct vfm_buf got = { 0 };
	int fd;

	if (!vfm_supports(self->dev, VFM_PRE_COPY))
		return;
	vfm_allow_copy_back(self->dev);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &got, NULL);
	vfm_set_state_err(self->dev, VFM_PRE_COPY, ENODATA);
	expect_set(self, ENODATA, VFM_STOP_COPY, to, VFM_STOP_COPY, "read");
	close(fd);
	vfm_buf_free(&got);
}

/* The SET that opens a session for nobody. */
TEST_F(told, no_fd)
{
	struct rlimit limit, tight;
	int lowest, fd, ret;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	lowest = open("/dev/null", O_RDONLY);
	close(lowest);
	tight = limit;
	tight.rlim_cur = lowest;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
	ret = __vfm_set_state(self->dev, VFM_STOP_COPY, &fd);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(-EMFILE, ret);
	expect_set(self, EMFILE, VFM_RUNNING, VFM_STOP_COPY, VFM_RUNNING, "fd");
}

/* A session that fails is one, and the SET that reports it again another. */
TEST_F(told, session)
{
	struct vfm_stream parsed;
	int fd;

	vfm_stream_parse(&parsed, &self->stream);
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	ASSERT_EQ(-EILSEQ, vfm_write(fd, "something else", 14));
	expect(self, 1, EILSEQ, VFM_RESUMING, VFM_RESUMING, VFM_RESUMING, 0,
	       "not a migration stream");
	ASSERT_EQ(-EILSEQ, vfm_write(fd, "something else", 14));
	expect(self, 0, EILSEQ, VFM_RESUMING, VFM_RESUMING, VFM_RESUMING, 0,
	       "not a migration stream");
	vfm_set_state_err(self->dev, VFM_STOP, EILSEQ);
	expect(self, 1, EILSEQ, VFM_RESUMING, VFM_STOP, VFM_ERROR, 0,
	       "not a migration stream");
	close(fd);

	/* What the driver says of a section that it does not like. */
	vfm_reset(self->dev);
	parsed.section[1].header->object = htole64(STATE_SIZE);
	vfm_section_seal(parsed.section[1].header);
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	__vfm_feed(fd, self->stream.data, self->stream.len, NULL, NULL);
	ASSERT_TRUE(vfm_poll(fd, 0, vfm_deadline_ms()) & POLLERR);
	expect(self, 1, EINVAL, VFM_RESUMING, VFM_RESUMING, VFM_RESUMING,
	       parsed.section[1].offset, "section 1");
	vfm_set_state_err(self->dev, VFM_STOP, EINVAL);
	expect(self, 1, EINVAL, VFM_RESUMING, VFM_STOP, VFM_ERROR,
	       parsed.section[1].offset, "section 1");
	close(fd);
	vfm_stream_free(&parsed);
}

/*
 * The SET finds the fault while the worker is still about it: what came first is
 * told first, and what is left is the SET.
 */
TEST_F(told, at_once)
{
	struct vfm_stream parsed;
	int fd, n;

	vfm_stream_parse(&parsed, &self->stream);
	parsed.section[1].payload[0] ^= 1;
	for (n = 0; n < 200; n++) {
		fd = vfm_set_state(self->dev, VFM_RESUMING);
		__vfm_feed(fd, self->stream.data, self->stream.len, NULL, NULL);
		vfm_set_state_err(self->dev, VFM_STOP, EBADMSG);
		expect(self, 2, EBADMSG, VFM_RESUMING, VFM_STOP, VFM_ERROR,
		       parsed.section[1].offset, "checksum of section 1");
		close(fd);
		vfm_reset(self->dev);
	}
	vfm_stream_free(&parsed);
}

/* As soon as anybody can know that there is an error, it is there to be read. */
TEST_F(told, told_in_time)
{
	struct vfm_stream parsed;
	int fd, n;

	vfm_stream_parse(&parsed, &self->stream);
	parsed.section[1].payload[0] ^= 1;
	for (n = 0; n < 200; n++) {
		fd = vfm_set_state(self->dev, VFM_RESUMING);
		vfm_feed(fd, self->stream.data, parsed.section[2].offset, NULL);
		while (!(vfm_poll(fd, 0, 0) & POLLERR))
			;
		expect(self, 1, EBADMSG, VFM_RESUMING, VFM_RESUMING,
		       VFM_RESUMING, parsed.section[1].offset,
		       "checksum of section 1");
		vfm_reset(self->dev);
		close(fd);
	}
	vfm_stream_free(&parsed);
}

/* Calls that are no SET of a state to the core, or change nothing for good. */
TEST_F(told, not_counted)
{
	struct vfio_device_feature_mig_state mig = { .device_state = VFM_STOP };
	const u32 set = VFIO_DEVICE_FEATURE_SET |
			VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
	char byte;
	int fd;

	vfm_feature_err(self->dev->fd, set, &mig, 4, EINVAL);
	fd = vfm_set_state(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EFAULT, vfm_read(fd, NULL, 1));
	ASSERT_EQ(-EBADF, vfm_write(fd, &byte, 1));
	vfm_ext_err(self->dev, VFIO_DEVICE_FEATURE_GET, 0xf0ff, &byte, 1,
		    ENOTTY);
	vfm_reset(self->dev);
	ASSERT_EQ(-ENODEV, vfm_read(fd, &byte, 1));
	close(fd);
	expect_none(self, VFM_RUNNING);
}

/* Success is no news; a reset neither. The last close is the end of it. */
TEST_F(told, remembered)
{
	vfm_set_state_err(self->dev, 99, EINVAL);
	expect_set(self, EINVAL, VFM_RUNNING, 99, VFM_RUNNING, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	expect(self, 0, EINVAL, VFM_RUNNING, 99, VFM_STOP, VFIO_MIGX_NO_OFFSET,
	       NULL);
	vfm_reset(self->dev);
	expect(self, 0, EINVAL, VFM_RUNNING, 99, VFM_RUNNING,
	       VFIO_MIGX_NO_OFFSET, NULL);
	vfm_set_state_err(self->dev, 98, EINVAL);
	vfm_set_state_err(self->dev, 97, EINVAL);
	expect(self, 2, EINVAL, VFM_RUNNING, 97, VFM_RUNNING,
	       VFIO_MIGX_NO_OFFSET, NULL);
	vfm_reopen(self->dev);
	expect_none(self, VFM_RUNNING);
}

TEST_F(told, refusals)
{
	const u32 get = VFIO_DEVICE_FEATURE_GET;
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR;
	struct vfio_device_feature_migx_last_error zero = { 0 }, longer = zero;
	struct vfio_device_feature_migx_last_error exact;

	vfm_check_refusals(self->dev, get, index, &zero, sizeof(zero));
	expect_none(self, VFM_RUNNING);
	vfm_set_state_err(self->dev, 99, EINVAL);
	exact = vfm_last_error(self->dev);
	vfm_ext_longer(self->dev, get, index, &longer, sizeof(longer));
	ASSERT_EQ(0, memcmp(&exact, &longer, sizeof(exact)));
}

TEST_HARNESS_MAIN
