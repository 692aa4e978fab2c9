// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: what migsim's DMA engine writes is reported by VFIO_DEVICE_FEATURE_DMA_LOGGING_*,
 * on kernels with IOMMUFD_DRIVER, and nothing is forgotten in between.
 */
#include <linux/pci_regs.h>
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

static int start(struct vfm_device *dev)
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

static int stop(struct vfm_device *dev)
{
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP |
			     VFIO_DEVICE_FEATURE_SET, NULL, 0);
}

static int __report(struct vfm_device *dev, u64 iova, u64 length, u64 page_size,
		    u64 *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova, .length = length, .page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	*bitmap = 0;
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT |
			     VFIO_DEVICE_FEATURE_GET, &report, sizeof(report));
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

FIXTURE_SETUP(log)
{
	u32 probe = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
		    VFIO_DEVICE_FEATURE_DMA_LOGGING_START;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", LENGTH);
	vfm_open(self->dev);
	if (__vfm_feature(self->dev->fd, probe, NULL, 0) == -ENOTTY) {
		vfm_destroy(self->dev);
		SKIP(return, "a kernel without IOMMUFD_DRIVER");
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

/* The rest is there for the next one who asks. */
TEST_F(log, parts)
{
	dma_write(self->dev, 5 * PAGE, 3 * PAGE);
	ASSERT_EQ(1, report(self->dev, IOVA + 6 * PAGE, PAGE, PAGE));
	ASSERT_EQ(PAGES(5, 6) | PAGES(7, 8), report_all(self->dev));
}

TEST_F(log, larger_pages)
{
	dma_write(self->dev, 5 * PAGE, 3 * PAGE);
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

	ASSERT_EQ(-EINVAL, start(self->dev));
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
