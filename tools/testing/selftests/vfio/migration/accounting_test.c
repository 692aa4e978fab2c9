// SPDX-License-Identifier: GPL-2.0-only
/*
 * B8: GET_PRECOPY_INFO, MIG_DATA_SIZE and FIONREAD, each against the bytes that
 * then really come.
 */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

FIXTURE(accounting) {
	struct vfm_device *dev;
	struct vfm_buf got;
	char page[4096];
};

FIXTURE_VARIANT(accounting) {
	const char *type;
};

FIXTURE_VARIANT_ADD(accounting, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(accounting, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(accounting, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(accounting, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(accounting)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
}

FIXTURE_TEARDOWN(accounting)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dev);
}

/* An answer that nobody can be given: no memory, and the kernel's own. */
static void check_efault(int fd, unsigned long cmd)
{
	void *bad[] = { NULL, (void *)-4096L };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		VFIO_ASSERT_EQ(ioctl(fd, cmd, bad[i]), -1);
		VFIO_ASSERT_EQ(errno, EFAULT);
	}
}

TEST_F(accounting, precopy_info)
{
	struct vfio_precopy_info info = { .flags = ~0U };
	u64 last;
	int fd;

	if (!vfm_supports(self->dev, VFM_PRE_COPY))
		return;
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_precopy_info(fd, &info);
	/* What was in there is never handed back. */
	ASSERT_EQ(0, info.flags);
	ASSERT_LE(VFM_SMALL_STATE, info.initial_bytes);
	ASSERT_GT(VFM_SMALL_STATE * 2, info.initial_bytes);
	ASSERT_EQ(0, info.dirty_bytes);

	/* argsz may be larger, not smaller; nothing beyond is touched. */
	info = (struct vfio_precopy_info) { .argsz = sizeof(info) - 1 };
	vfm_precopy_info_err(fd, &info, EINVAL);
	info = (struct vfio_precopy_info) { .argsz = 8 };
	vfm_precopy_info_err(fd, &info, EINVAL);
	info = (struct vfio_precopy_info) { .argsz = sizeof(info) + 100 };
	vfm_precopy_info(fd, &info);
	check_efault(fd, VFIO_MIG_GET_PRECOPY_INFO);
	check_efault(fd, FIONREAD);

	/* What is made into sections counts with their headers, and did before. */
	last = info.initial_bytes;
	VFM_WAIT(vfm_fionread(fd) > VFM_SMALL_STATE);
	vfm_precopy_info(fd, &info);
	ASSERT_GE(last, info.initial_bytes);

	/* It falls with what is read, and both are 0 at ENOMSG, only then. */
	last = info.initial_bytes + info.dirty_bytes;
	while (vfm_read(fd, self->page, sizeof(self->page)) > 0) {
		info = (struct vfio_precopy_info) { .flags = 0 };
		vfm_precopy_info(fd, &info);
		ASSERT_GT(last, info.initial_bytes + info.dirty_bytes);
		last = info.initial_bytes + info.dirty_bytes;
	}
	ASSERT_EQ(0, last);

	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 0, "x", 1);
	vfm_precopy_info(fd, &info);
	ASSERT_EQ(0, info.initial_bytes);
	ASSERT_LE(4096, info.dirty_bytes);

	/* In any other state, also when the session is over. */
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_precopy_info_err(fd, &info, EINVAL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	vfm_precopy_info_err(fd, &info, EINVAL);
	vfm_reset(self->dev);
	vfm_precopy_info_err(fd, &info, EINVAL);
	vfm_close(self->dev);
	vfm_precopy_info_err(fd, &info, EINVAL);
	close(fd);
	vfm_open(self->dev);
}

/* Whatever the first sections turn out to be, nothing is added to the first pass. */
TEST_F(accounting, initial_only_falls)
{
	static const char * const rules[] = {
		"save_stall CONFIG 1 1 0", "save_stall MEMORY 1 1 0",
	};
	struct vfio_precopy_info info;
	u64 last = UINT64_MAX;
	size_t i;
	int fd;

	if (!vfm_supports(self->dev, VFM_PRE_COPY))
		return;
	VFM_REQUIRE_FAULTS(self->dev);
	for (i = 0; i < ARRAY_SIZE(rules); i++)
		ASSERT_EQ(0, __vfm_fault_write(self->dev, rules[i]));
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	for (i = 0; i < ARRAY_SIZE(rules); i++) {
		VFM_WAIT(vfm_rule_fired(self->dev, rules[i]));
		VFM_WAIT(!i || vfm_fionread(fd));
		info = (struct vfio_precopy_info) { .flags = 0 };
		ASSERT_EQ(0, __vfm_precopy_info(fd, &info));
		ASSERT_LT(VFM_SMALL_STATE, info.initial_bytes);
		ASSERT_GE(last, info.initial_bytes);
		last = info.initial_bytes;
		vfm_fault_release(self->dev);
	}
	close(fd);
}

TEST_F(accounting, precopy_info_elsewhere)
{
	struct vfio_precopy_info info = { 0 };
	int fd, n;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_precopy_info_err(fd, &info, EINVAL);
	close(fd);
	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, VFM_RESUMING);
	/* A fd that is written to has neither. */
	vfm_precopy_info_err(fd, &info, ENOTTY);
	ASSERT_EQ(-1, ioctl(fd, FIONREAD, &n));
	ASSERT_EQ(ENOTTY, errno);
	close(fd);
}

TEST_F(accounting, data_size)
{
	static const u32 states[] = {
		VFM_RUNNING, VFM_STOP, VFM_STOP_COPY, VFM_PRE_COPY,
		VFM_RUNNING_P2P, VFM_PRE_COPY_P2P, VFM_RESUMING, VFM_ERROR,
	};
	const u32 index = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
	u64 size;
	size_t i;
	int fd;

	vfm_feature(self->dev->fd,
		    VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET | index,
		    &size, 8);
	for (i = 0; i < ARRAY_SIZE(states); i++) {
		if (!vfm_supports(self->dev, states[i]))
			continue;
		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, states[i]);
		size = vfm_data_size(self->dev);
		ASSERT_LT(0, size);
		ASSERT_GT(VFM_SMALL_STATE * 4, size);
		if (states[i] == VFM_RUNNING || states[i] == VFM_STOP_COPY)
			ASSERT_LE(VFM_SMALL_STATE, size);
		if (fd >= 0)
			close(fd);
	}

	/* Enough for what then comes: a VMM sizes its buffers by it. */
	vfm_reset(self->dev);
	size = vfm_data_size(self->dev);
	vfm_save(self->dev, &self->got, NULL);
	ASSERT_LE(self->got.len, size);

	/* What was saved has to be sent again the next time. */
	ASSERT_LE(size, vfm_data_size(self->dev));
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	ASSERT_LE(size, vfm_data_size(self->dev));
}

/* Pairs of questions to a device that dirties its memory as fast as it can. */
#define PAIRS		100000
#define PAIRS_READ	64	/* one read for so many */

/* In this order the whole may only have grown in between. */
TEST_F_TIMEOUT(accounting, data_size_covers_precopy_info, 600)
{
	struct vfio_precopy_info info;
	u64 dirty = 0, told;
	unsigned int i;
	int fd;

	/* One with PRE_COPY is enough, as it takes a while. */
	if (strcmp(variant->type, MIGSIM_FULL))
		return;
	vfm_close(self->dev);
	vfm_attr_set(self->dev, "dirty_rate", 1ULL << 32);
	vfm_open(self->dev);
	fd = vfm_enter(self->dev, VFM_PRE_COPY);
	vfm_nonblock(fd, true);
	for (i = 0; i < vfm_rounds(PAIRS); i++) {
		info = (struct vfio_precopy_info) { .flags = 0 };
		vfm_precopy_info(fd, &info);
		told = info.initial_bytes + info.dirty_bytes;
		ASSERT_GE(vfm_data_size(self->dev), told);
		dirty += !!info.dirty_bytes;
		if (i % PAIRS_READ == 0)
			vfm_read(fd, self->page, sizeof(self->page));
	}
	/* It was about something. */
	ASSERT_NE(0, dirty);
	close(fd);
}

TEST_F(accounting, fionread)
{
	size_t n, got;
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	while (vfm_poll(fd, POLLIN, vfm_deadline_ms()) & POLLIN) {
		n = vfm_fionread(fd);
		got = vfm_read_nowait(fd, vfm_buf_room(&self->got, 1 << 20),
				      1 << 20);
		ASSERT_LE(n, got);
		if (!got)
			break;
		self->got.len += got;
	}
	ASSERT_LT(VFM_SMALL_STATE, self->got.len);
	close(fd);
}

TEST_HARNESS_MAIN
