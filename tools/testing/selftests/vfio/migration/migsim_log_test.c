// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: what migsim's DMA engine writes is reported, no more and no less, and nothing is
 * forgotten in between: by VFIO_DEVICE_FEATURE_DMA_LOGGING_* on kernels with
 * IOMMUFD_DRIVER, and by VFIO_IOMMU_DIRTY_PAGES where there is a type1 container.
 */
#include <linux/pci_regs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define IOVA		0x100000
#define PAGE		4096ULL
#define NR_PAGES	64
#define LENGTH		(NR_PAGES * PAGE)

#define PAGES(_from, _to)	(((1ULL << ((_to) - (_from))) - 1) << (_from))

FIXTURE(log) {
	struct vfm_device *dev;
	u8 *memory;
	u8 *copy;
};

FIXTURE_VARIANT(log) {
	bool type1;
};

FIXTURE_VARIANT_ADD(log, device) { .type1 = false };
FIXTURE_VARIANT_ADD(log, type1) { .type1 = true };

static int type1_control(struct vfm_device *dev, u32 flags)
{
	struct vfio_iommu_type1_dirty_bitmap control = {
		.argsz = sizeof(control), .flags = flags,
	};

	return ioctl(dev->container, VFIO_IOMMU_DIRTY_PAGES, &control) ? -errno : 0;
}

static int type1_report(struct vfm_device *dev, u64 iova, u64 length,
			u64 page_size, u64 *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap head;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} report = {
		.head.argsz = sizeof(report),
		.head.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		.get.iova = iova,
		.get.size = length,
		.get.bitmap.pgsize = page_size,
		.get.bitmap.size = sizeof(*bitmap),
		.get.bitmap.data = (void *)bitmap,
	};

	return ioctl(dev->container, VFIO_IOMMU_DIRTY_PAGES, &report) ? -errno : 0;
}

static int device_start(struct vfm_device *dev)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = IOVA, .length = LENGTH,
	};
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = PAGE, .num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START |
			     VFIO_DEVICE_FEATURE_SET, &control, sizeof(control));
}

static int device_stop(struct vfm_device *dev)
{
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP |
			     VFIO_DEVICE_FEATURE_SET, NULL, 0);
}

static int device_report(struct vfm_device *dev, u64 iova, u64 length,
			 u64 page_size, u64 *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova, .length = length, .page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT |
			     VFIO_DEVICE_FEATURE_GET, &report, sizeof(report));
}

/* The variant's way: only that of type1 is opened by its group. */
static bool by_type1(struct vfm_device *dev)
{
	return dev->via == VFM_VIA_GROUP;
}

static int start(struct vfm_device *dev)
{
	return by_type1(dev) ?
	       type1_control(dev, VFIO_IOMMU_DIRTY_PAGES_FLAG_START) :
	       device_start(dev);
}

static int stop(struct vfm_device *dev)
{
	return by_type1(dev) ?
	       type1_control(dev, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP) :
	       device_stop(dev);
}

static int __report(struct vfm_device *dev, u64 iova, u64 length, u64 page_size,
		    u64 *bitmap)
{
	*bitmap = 0;
	return by_type1(dev) ?
	       type1_report(dev, iova, length, page_size, bitmap) :
	       device_report(dev, iova, length, page_size, bitmap);
}

/* Bits of pages written since the last time, and forgotten now. */
static u64 report(struct vfm_device *dev, u64 iova, u64 length, u64 page_size)
{
	u64 bitmap;

	VFIO_ASSERT_EQ(__report(dev, iova, length, page_size, &bitmap), 0);
	return bitmap;
}

static u64 report_all(struct vfm_device *dev)
{
	return report(dev, IOVA, LENGTH, PAGE);
}

/* Or why not. */
static const char *can_log(struct vfm_device *dev)
{
	u32 probe = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
		    VFIO_DEVICE_FEATURE_DMA_LOGGING_START;

	if (!by_type1(dev))
		return __vfm_feature(dev->fd, probe, NULL, 0) == -ENOTTY ?
		       "a kernel without IOMMUFD_DRIVER" : NULL;
	return ioctl(dev->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0 ||
	       start(dev) == -ENOTTY ?
	       "a kernel without type1 containers" : NULL;
}

FIXTURE_SETUP(log)
{
	const char *why;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", LENGTH);
	if (variant->type1)
		self->dev->via = VFM_VIA_GROUP;
	why = __vfm_open(self->dev) ? "a kernel without groups" :
				      can_log(self->dev);
	if (why) {
		vfm_destroy(self->dev);
		SKIP(return, "%s", why);
	}
	self->memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->memory);
	self->copy = vfm_zalloc(LENGTH);
	vfm_dma_map(self->dev, IOVA, self->memory, LENGTH);
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ASSERT_EQ(0, start(self->dev));
}

FIXTURE_TEARDOWN(log)
{
	vfm_destroy(self->dev);
	munmap(self->memory, LENGTH);
	free(self->copy);
}

static void dma_write(struct vfm_device *dev, u64 at, u64 length)
{
	vfm_dma_queue(dev, MIGSIM_DMA_WRITE, IOVA + at, 0, length);
	vfm_dma_wait(dev);
}

TEST_F(log, reports_once)
{
	ASSERT_EQ(0, report_all(self->dev));
	dma_write(self->dev, 5 * PAGE + 100, 2 * PAGE);
	dma_write(self->dev, 63 * PAGE, 1);
	ASSERT_EQ(PAGES(5, 8) | PAGES(63, 64), report_all(self->dev));
	ASSERT_EQ(0, report_all(self->dev));
	dma_write(self->dev, 6 * PAGE, 1);
	ASSERT_EQ(PAGES(6, 7), report_all(self->dev));
}

/* The rest is there for the next one who asks. Type1 gives a mapping as a whole. */
TEST_F(log, parts)
{
	u64 bitmap;

	dma_write(self->dev, 5 * PAGE, 3 * PAGE);
	if (variant->type1) {
		ASSERT_EQ(-EINVAL, __report(self->dev, IOVA + 6 * PAGE, PAGE, PAGE,
					    &bitmap));
		ASSERT_EQ(PAGES(5, 8), report_all(self->dev));
		return;
	}
	ASSERT_EQ(1, report(self->dev, IOVA + 6 * PAGE, PAGE, PAGE));
	ASSERT_EQ(PAGES(5, 6) | PAGES(7, 8), report_all(self->dev));
}

TEST_F(log, larger_pages)
{
	u64 bitmap;

	dma_write(self->dev, 5 * PAGE, 3 * PAGE);
	if (variant->type1) {
		ASSERT_EQ(-EINVAL, __report(self->dev, IOVA, LENGTH, 2 * PAGE,
					    &bitmap));
		ASSERT_EQ(PAGES(5, 8), report_all(self->dev));
		return;
	}
	ASSERT_EQ(PAGES(2, 4), report(self->dev, IOVA, LENGTH, 2 * PAGE));
	ASSERT_EQ(0, report_all(self->dev));
}

TEST_F(log, only_what_was_written)
{
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 3 * PAGE);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(0, report_all(self->dev));
	/* The first page is there, and the second one is not. */
	dma_write(self->dev, LENGTH - PAGE, 2 * PAGE);
	ASSERT_EQ(EFAULT, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
	ASSERT_EQ(0, report(self->dev, IOVA + LENGTH, LENGTH, PAGE));
	ASSERT_EQ(PAGES(63, 64), report_all(self->dev));
}

TEST_F(log, on_and_off)
{
	u64 bitmap;

	/* To start twice is an error of the device's log only. */
	ASSERT_EQ(variant->type1 ? 0 : -EINVAL, start(self->dev));
	dma_write(self->dev, 0, PAGE);
	ASSERT_EQ(0, stop(self->dev));
	ASSERT_EQ(-EINVAL, __report(self->dev, IOVA, LENGTH, PAGE, &bitmap));
	dma_write(self->dev, PAGE, PAGE);
	ASSERT_EQ(0, start(self->dev));
	ASSERT_EQ(0, report_all(self->dev));
	/* The next owner begins anew. */
	dma_write(self->dev, 0, PAGE);
	vfm_reopen(self->dev);
	ASSERT_EQ(-EINVAL, __report(self->dev, IOVA, LENGTH, PAGE, &bitmap));
	ASSERT_EQ(0, start(self->dev));
	ASSERT_EQ(0, report_all(self->dev));
}

/* As a VMM moves memory: what is reported is copied while more is written. */
static void copy_reported(FIXTURE_DATA(log) *self)
{
	u64 dirty = report_all(self->dev);
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++)
		if (dirty & PAGES(i, i + 1))
			memcpy(self->copy + i * PAGE, self->memory + i * PAGE,
			       PAGE);
}

TEST_F(log, nothing_is_forgotten)
{
	unsigned int round, i;

	for (round = 0; round < 100; round++) {
		for (i = 0; i < LENGTH; i += PAGE)
			vfm_bar_write(self->dev, MIGSIM_BAR_MEM, i, &round,
				      sizeof(round));
		vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA, 0, LENGTH);
		while (vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED))
			copy_reported(self);
		copy_reported(self);
		ASSERT_EQ(0, memcmp(self->copy, self->memory, LENGTH));
	}
	ASSERT_EQ(100, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

TEST_HARNESS_MAIN
