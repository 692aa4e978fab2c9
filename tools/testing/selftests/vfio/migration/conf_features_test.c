// SPDX-License-Identifier: GPL-2.0-only
/* Any device: the feature ioctl, as far as migration has features. */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET
#define PROBE	VFIO_DEVICE_FEATURE_PROBE

#define RULE_FLAGS \
	"uapi FEATURE_MIGRATION: flags have STOP_COPY and do not change"
#define RULE_METHOD \
	"uapi VFIO_DEVICE_FEATURE: what a feature has no method for is EINVAL"
#define RULE_PROBE \
	"uapi VFIO_DEVICE_FEATURE: PROBE succeeds for what is supported"
#define RULE_EXCLUSIVE \
	"uapi VFIO_DEVICE_FEATURE: GET and SET are mutually exclusive"
#define RULE_ARGSZ \
	"uapi VFIO_DEVICE_FEATURE: argsz covers the data, else EINVAL"
#define RULE_UNKNOWN \
	"uapi VFIO_DEVICE_FEATURE: an unknown feature is ENOTTY, a flag EINVAL"
#define RULE_SIZE \
	"uapi MIG_DATA_SIZE: an estimate of what STOP_COPY needs, in each state"
#define RULE_INFO \
	"uapi VFIO_DEVICE_GET_INFO: every device answers it"
#define RULE_ANNOUNCED \
	"uapi VFIO_DEVICE_FLAGS_RESET: set by a device that supports reset"

FIXTURE(conf) {
	struct vfm_device *dev;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

/* The result for @index with @len bytes of zeros. */
static int ask(struct vfm_device *dev, u32 method, u32 index, size_t len)
{
	u8 data[64] = { 0 };

	return __vfm_feature(dev->fd, method | index, data, len);
}

TEST_F(conf, flags)
{
	const u64 flags = self->dev->flags;
	u64 again = 0;

	ASSERT_TRUE(flags & VFIO_MIGRATION_STOP_COPY) RULE(RULE_FLAGS);
	vfm_reopen(self->dev);
	ASSERT_EQ(flags, self->dev->flags) RULE(RULE_FLAGS);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(0, __vfm_migration_flags(self->dev, &again)) RULE(RULE_FLAGS);
	ASSERT_EQ(flags, again) RULE(RULE_FLAGS);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
}

static const struct {
	u32 index, has, len;
} features[] = {
	{ VFIO_DEVICE_FEATURE_MIGRATION, GET, 8 },
	{ VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, GET | SET, 8 },
	{ VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, GET, 8 },
};

TEST_F(conf, methods)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		const u32 index = features[i].index, has = features[i].has;
		const u32 len = features[i].len;

		ASSERT_EQ(0, ask(self->dev, PROBE, index, 0)) RULE(RULE_PROBE);
		ASSERT_EQ(0, ask(self->dev, PROBE | has, index, len))
			RULE(RULE_PROBE);
		ASSERT_EQ(-EINVAL, ask(self->dev, GET | SET, index, len))
			RULE(RULE_EXCLUSIVE);
		ASSERT_EQ(-EINVAL, ask(self->dev, 0, index, len))
			RULE(RULE_METHOD);
		if (has & SET)
			continue;
		ASSERT_EQ(-EINVAL, ask(self->dev, SET, index, len))
			RULE(RULE_METHOD);
		ASSERT_EQ(-EINVAL, ask(self->dev, PROBE | SET, index, len))
			RULE(RULE_METHOD);
	}
}

TEST_F(conf, argsz)
{
	const size_t header = sizeof(struct vfio_device_feature);
	u8 data[64] = { 0 };
	size_t i;
	u32 size;

	for (i = 0; i < ARRAY_SIZE(features); i++) {
		const u32 index = features[i].index;

		for (size = 0; size < header + features[i].len; size++)
			ASSERT_EQ(-EINVAL, __vfm_feature_argsz(self->dev->fd,
							       GET | index, data,
							       64, size))
				RULE(RULE_ARGSZ);
		/* A newer client may know of more fields. */
		ASSERT_EQ(0, __vfm_feature(self->dev->fd, GET | index, data, 64))
			RULE(RULE_ARGSZ);
	}
	data[0] = VFM_STOP;
	ASSERT_EQ(-EINVAL, __vfm_feature_argsz(self->dev->fd, SET |
					       VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
					       data, 64, header + 7))
		RULE(RULE_ARGSZ);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_ARGSZ);
}

/* A probe tells, and does nothing. */
TEST_F(conf, probe_has_no_effect)
{
	struct vfio_device_feature_mig_state mig = { .device_state = VFM_STOP };

	ASSERT_EQ(0, __vfm_feature(self->dev->fd, PROBE | SET |
				   VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
				   sizeof(mig)))
		RULE(RULE_PROBE);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_PROBE);
}

TEST_F(conf, unknown)
{
	const u32 none = VFIO_DEVICE_FEATURE_MASK;
	u32 bit;

	ASSERT_EQ(-ENOTTY, ask(self->dev, PROBE, none, 0)) RULE(RULE_UNKNOWN);
	ASSERT_EQ(-ENOTTY, ask(self->dev, GET, none, 8)) RULE(RULE_UNKNOWN);
	ASSERT_EQ(-ENOTTY, ask(self->dev, SET, none, 8)) RULE(RULE_UNKNOWN);
	for (bit = 19; bit < 32; bit++)
		ASSERT_EQ(-EINVAL, ask(self->dev, GET | 1U << bit,
				       VFIO_DEVICE_FEATURE_MIGRATION, 8))
			RULE(RULE_UNKNOWN);
}

/* 0 would be a promise that there is nothing to move. */
TEST_F(conf, data_size)
{
	u64 size;
	u32 state;
	int fd;

	VFM_REQUIRE_RESET(self->dev);
	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_supports(self->dev, state) ||
		    !vfm_judge_enter(self->dev, state, &fd))
			continue;
		size = 0;
		ASSERT_EQ(0, __vfm_data_size(self->dev, &size)) {
			TH_LOG("in %s", vfm_state_name(state));
			RULE(RULE_SIZE);
		}
		/* In the last two nothing of this device is left to be saved. */
		if (state != VFM_RESUMING && state != VFM_ERROR)
			ASSERT_LT(0, size) {
				TH_LOG("in %s", vfm_state_name(state));
				RULE(RULE_SIZE);
			}
		vfm_close_data(fd);
	}
}

/* The only way out of ERROR: whoever migrates has to know that it is there. */
TEST_F(conf, reset_announced)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	VFM_REQUIRE_RESET(self->dev);
	ASSERT_EQ(0, ioctl(self->dev->fd, VFIO_DEVICE_GET_INFO, &info))
		RULE(RULE_INFO);
	ASSERT_TRUE(info.flags & VFIO_DEVICE_FLAGS_RESET) RULE(RULE_ANNOUNCED);
}

VFM_TARGET_MAIN
