// SPDX-License-Identifier: GPL-2.0-only
/* Any device with PRE_COPY: what VFIO_MIG_GET_PRECOPY_INFO says, and when. */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#define RULE_VALID \
	"uapi vfio_precopy_info: valid only in PRE_COPY states, EINVAL elsewhere"
#define RULE_MANDATORY \
	"uapi vfio_precopy_info: mandatory for a device with PRE_COPY"
#define RULE_INITIAL \
	"uapi vfio_precopy_info: initial_bytes starts above 0 and decreases to 0"
#define RULE_DIRTY \
	"uapi vfio_precopy_info: dirty_bytes starts at 0"
#define RULE_BOTH \
	"uapi vfio_precopy_info: the temporary end is where both counts are 0"
#define RULE_ARGSZ \
	"uapi vfio_precopy_info: argsz covers dirty_bytes, else EINVAL"
#define RULE_FAULT \
	"kernel: an argument that is not memory is EFAULT"
#define RULE_ENOTTY \
	"kernel: an ioctl that the data fd does not know is ENOTTY"
#define RULE_FLAGS \
	"uapi MIG_PRECOPY_INFOv2: flags is an output, REINIT its only bit"

FIXTURE(precopy) {
	struct vfm_device *dev;
	struct vfm_buf got;
	int fd;
};

VFM_PRECOPY_VARIANTS(precopy);

FIXTURE_SETUP(precopy)
{
	self->fd = -1;
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
	vfm_judge_enter(self->dev, VFM_PRE_COPY, &self->fd);
}

FIXTURE_TEARDOWN(precopy)
{
	vfm_close_data(self->fd);
	vfm_buf_free(&self->got);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(precopy)

static int ask(int fd)
{
	struct vfio_precopy_info info = { 0 };

	return __vfm_precopy_info(fd, &info);
}

TEST_F(precopy, only_in_precopy)
{
	ASSERT_EQ(0, ask(self->fd)) RULE(RULE_MANDATORY);
	if (vfm_supports(self->dev, VFM_PRE_COPY_P2P)) {
		vfm_set_state_nofd(self->dev, VFM_PRE_COPY_P2P);
		ASSERT_EQ(0, ask(self->fd)) RULE(RULE_MANDATORY);
	}
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	ASSERT_EQ(-EINVAL, ask(self->fd)) RULE(RULE_VALID);
}

TEST_F(precopy, arguments)
{
	struct vfio_precopy_info info;
	u32 size;

	for (size = 1; size < sizeof(info); size++) {
		info = (struct vfio_precopy_info) { .argsz = size };
		ASSERT_EQ(-EINVAL, __vfm_precopy_info(self->fd, &info))
			RULE(RULE_ARGSZ);
	}
	info = (struct vfio_precopy_info) { .argsz = 4096 };
	ASSERT_EQ(0, __vfm_precopy_info(self->fd, &info)) RULE(RULE_ARGSZ);
	ASSERT_EQ(-1, ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, NULL))
		RULE(RULE_FAULT);
	ASSERT_EQ(EFAULT, errno) RULE(RULE_FAULT);
	ASSERT_EQ(-1, ioctl(self->fd, _IO(VFIO_TYPE, 0xff), &info))
		RULE(RULE_ENOTTY);
	ASSERT_EQ(ENOTTY, errno) RULE(RULE_ENOTTY);
	ASSERT_EQ(-1, ioctl(self->fd, VFIO_DEVICE_RESET)) RULE(RULE_ENOTTY);
	ASSERT_EQ(ENOTTY, errno) RULE(RULE_ENOTTY);
	ASSERT_EQ(VFM_PRE_COPY, vfm_get_state(self->dev)) RULE(RULE_ENOTTY);
}

TEST_F(precopy, counts)
{
	struct vfio_precopy_info info = { 0 };
	size_t some;
	void *room;
	bool ended;
	ssize_t n;

	ASSERT_EQ(0, __vfm_precopy_info(self->fd, &info)) RULE(RULE_MANDATORY);
	ASSERT_LT(0, info.initial_bytes) RULE(RULE_INITIAL);
	ASSERT_EQ(0, info.dirty_bytes) RULE(RULE_DIRTY);
	/* In a hundred steps, or a few more. */
	some = info.initial_bytes / 100 + 1;
	room = vfm_buf_room(&self->got, some);
	do {
		ended = !info.initial_bytes;
		n = vfm_judge_read(self->fd, room, some);
		ASSERT_EQ(0, __vfm_precopy_info(self->fd, &info))
			RULE(RULE_MANDATORY);
		/* It is an estimate, but no longer one when it is 0. */
		ASSERT_TRUE(!ended || !info.initial_bytes) RULE(RULE_INITIAL);
	} while (n > 0);
	ASSERT_EQ(0, info.initial_bytes) RULE(RULE_BOTH);
	ASSERT_EQ(0, info.dirty_bytes) RULE(RULE_BOTH);
}

static int opt_in(struct vfm_device *dev)
{
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_SET |
			     VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0);
}

TEST_F(precopy, flags_are_output)
{
	struct vfio_precopy_info info = { .flags = ~0U };
	int ret = opt_in(self->dev);

	if (ret == -ENOTTY)
		SKIP(return, "the kernel has no MIG_PRECOPY_INFOv2");
	ASSERT_EQ(0, ret) RULE(RULE_FLAGS);
	ASSERT_EQ(0, __vfm_precopy_info(self->fd, &info)) RULE(RULE_MANDATORY);
	ASSERT_EQ(0, info.flags & ~VFIO_PRECOPY_INFO_REINIT) RULE(RULE_FLAGS);
}

VFM_TARGET_MAIN
