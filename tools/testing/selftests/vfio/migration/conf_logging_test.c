// SPDX-License-Identifier: GPL-2.0-only
/* Any device that logs its DMA: when the log is on, and what a report does. */
#include <libvfio_migration.h>

#define IOVA		0x100000
#define LENGTH		(64 * 4096)

#define RULE_STOP \
	"uapi DMA_LOGGING_STOP: stops what DMA_LOGGING_START has started"
#define RULE_ONCE \
	"uapi DMA_LOGGING_START: another start is not allowed in the meantime"
#define RULE_OFF \
	"uapi DMA_LOGGING_REPORT: an error if DMA logging is not enabled"
#define RULE_WORKS \
	"uapi DMA_LOGGING_START: PROBE succeeds if DMA can be logged, and then it is"
#define RULE_SETS \
	"uapi DMA_LOGGING_REPORT: only sets bits in the bitmap, never clears any"

FIXTURE(conf) {
	struct vfm_device *dev;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	const u32 probe = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			  VFIO_DEVICE_FEATURE_DMA_LOGGING_START;

	VFM_TARGET_GET(self->dev, &variant->claims);
	if (__vfm_feature(self->dev->fd, probe, NULL, 0)) {
		vfm_target_put(self->dev);
		SKIP(return, "the device does not claim DMA logging");
	}
}

FIXTURE_TEARDOWN(conf)
{
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

static int start(struct vfm_device *dev)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = IOVA,
		.length = LENGTH,
	};
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = 4096,
		.num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START |
			     VFIO_DEVICE_FEATURE_SET, &control, sizeof(control));
}

static int stop(struct vfm_device *dev)
{
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP |
			     VFIO_DEVICE_FEATURE_SET, NULL, 0);
}

static int report(struct vfm_device *dev, u64 *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = IOVA,
		.length = LENGTH,
		.page_size = 4096,
		.bitmap = (uintptr_t)bitmap,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT |
			     VFIO_DEVICE_FEATURE_GET, &report, sizeof(report));
}

TEST_F(conf, starts_once)
{
	ASSERT_EQ(0, start(self->dev)) RULE(RULE_WORKS);
	ASSERT_GT(0, start(self->dev)) RULE(RULE_ONCE);
	ASSERT_EQ(0, stop(self->dev)) RULE(RULE_STOP);
	ASSERT_EQ(0, start(self->dev)) RULE(RULE_STOP);
	ASSERT_EQ(0, stop(self->dev)) RULE(RULE_STOP);
}

TEST_F(conf, off_is_an_error)
{
	u64 bitmap = 0;

	ASSERT_GT(0, report(self->dev, &bitmap)) RULE(RULE_OFF);
	ASSERT_EQ(0, start(self->dev)) RULE(RULE_WORKS);
	ASSERT_EQ(0, stop(self->dev)) RULE(RULE_STOP);
	ASSERT_GT(0, report(self->dev, &bitmap)) RULE(RULE_OFF);
	/* Neither is the log of who had the device open before. */
	ASSERT_EQ(0, start(self->dev)) RULE(RULE_WORKS);
	vfm_reopen(self->dev);
	ASSERT_GT(0, report(self->dev, &bitmap)) RULE(RULE_OFF);
}

TEST_F(conf, reports)
{
	u64 bitmap = 0x8000000000000001;

	ASSERT_EQ(0, start(self->dev)) RULE(RULE_WORKS);
	ASSERT_EQ(0, report(self->dev, &bitmap)) RULE(RULE_WORKS);
	ASSERT_EQ(0x8000000000000001, bitmap & 0x8000000000000001) RULE(RULE_SETS);
	ASSERT_EQ(0, stop(self->dev)) RULE(RULE_STOP);
}

VFM_TARGET_MAIN
