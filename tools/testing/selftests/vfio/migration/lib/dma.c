// SPDX-License-Identifier: GPL-2.0-only
#include <sys/ioctl.h>

#include <linux/iommufd.h>
#include <linux/pci_regs.h>

#include <libvfio/dma.h>
#include <libvfio/thread.h>

#include "migsim_regs.h"

static void vfm_dma_map_type1(struct vfm_device *dev, u64 iova, void *memory,
			      size_t len)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = iova,
		.size = len,
	};

	VFIO_ASSERT_EQ(ioctl(dev->container, VFIO_IOMMU_MAP_DMA, &map), 0,
		       "mapping: %s", strerror(errno));
}

/* One address space for each call would not do: the first one stays attached. */
static u32 vfm_ioas(struct vfm_device *dev)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
	};

	if (dev->ioas)
		return dev->ioas;
	VFIO_ASSERT_EQ(ioctl(dev->container, IOMMU_IOAS_ALLOC, &alloc), 0);
	attach.pt_id = alloc.out_ioas_id;
	VFIO_ASSERT_EQ(ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0,
		       "attaching: %s", strerror(errno));
	dev->ioas = alloc.out_ioas_id;
	return dev->ioas;
}

static void vfm_dma_map_iommufd(struct vfm_device *dev, u64 iova, void *memory,
				size_t len)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = vfm_ioas(dev),
		.user_va = (uintptr_t)memory,
		.iova = iova,
		.length = len,
	};

	VFIO_ASSERT_EQ(ioctl(dev->container, IOMMU_IOAS_MAP, &map), 0,
		       "mapping: %s", strerror(errno));
}

void vfm_dma_map(struct vfm_device *dev, u64 iova, void *memory, size_t len)
{
	if (dev->group >= 0)
		vfm_dma_map_type1(dev, iova, memory, len);
	else
		vfm_dma_map_iommufd(dev, iova, memory, len);
}

static void vfm_dma_unmap_type1(struct vfm_device *dev, u64 iova, size_t len)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = iova,
		.size = len,
	};

	VFIO_ASSERT_EQ(ioctl(dev->container, VFIO_IOMMU_UNMAP_DMA, &unmap), 0,
		       "unmapping: %s", strerror(errno));
}

static void vfm_dma_unmap_iommufd(struct vfm_device *dev, u64 iova, size_t len)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = dev->ioas,
		.iova = iova,
		.length = len,
	};

	VFIO_ASSERT_EQ(ioctl(dev->container, IOMMU_IOAS_UNMAP, &unmap), 0,
		       "unmapping: %s", strerror(errno));
}

void vfm_dma_unmap(struct vfm_device *dev, u64 iova, size_t len)
{
	if (dev->group >= 0)
		vfm_dma_unmap_type1(dev, iova, len);
	else
		vfm_dma_unmap_iommufd(dev, iova, len);
}

u64 vfm_reg_read(struct vfm_device *dev, u64 reg)
{
	u64 value;

	vfm_bar_read(dev, MIGSIM_BAR_REGS, reg, &value, sizeof(value));
	return value;
}

void vfm_reg_write(struct vfm_device *dev, u64 reg, u64 value)
{
	vfm_bar_write(dev, MIGSIM_BAR_REGS, reg, &value, sizeof(value));
}

void vfm_command_write(struct vfm_device *dev, u16 command)
{
	vfm_config_write(dev, PCI_COMMAND, &command, sizeof(command));
}

void vfm_dma_queue(struct vfm_device *dev, u64 command, u64 iova, u64 offset,
		   u64 length)
{
	vfm_reg_write(dev, MIGSIM_REG_DMA_IOVA, iova);
	vfm_reg_write(dev, MIGSIM_REG_DMA_OFFSET, offset);
	vfm_reg_write(dev, MIGSIM_REG_DMA_LENGTH, length);
	vfm_reg_write(dev, MIGSIM_REG_DMA_COMMAND, command);
}

void vfm_dma_wait(struct vfm_device *dev)
{
	VFM_WAIT(!vfm_reg_read(dev, MIGSIM_REG_DMA_QUEUED));
}
