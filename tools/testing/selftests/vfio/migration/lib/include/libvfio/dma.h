/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_DMA_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_DMA_H

#include <libvfio/migration.h>

/* Memory of this process that a device has for its DMA, by either kind of open. */
void vfm_dma_map(struct vfm_device *dev, u64 iova, void *memory, size_t len);
void vfm_dma_unmap(struct vfm_device *dev, u64 iova, size_t len);

/* migsim's registers, and its DMA engine. */
u64 vfm_reg_read(struct vfm_device *dev, u64 reg);
void vfm_reg_write(struct vfm_device *dev, u64 reg, u64 value);
void vfm_command_write(struct vfm_device *dev, u16 command);
void vfm_dma_queue(struct vfm_device *dev, u64 command, u64 iova, u64 offset,
		   u64 length);
void vfm_dma_wait(struct vfm_device *dev);

#endif
