// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: what DMA has written, for VFIO_DEVICE_FEATURE_DMA_LOGGING_*
 *
 * A set of pages of the guest's memory, that grows with what is really written: by
 * IOVA, in pages of the CPU. Everything is logged while logging is on; which ranges
 * user space is interested in only limits what it asks for.
 *
 * Kernels without IOMMUFD_DRIVER pretend to have the bitmap but refuse every report: there
 * the device offers no log, and the container's own dirty tracking does the job, as
 * vfio_dma_rw() tells it what was written.
 */
#include <linux/iova_bitmap.h>
#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/xarray.h>

#include "migsim.h"

/* As MODULE_IMPORT_NS(), whose argument became a string in 6.13. */
MODULE_INFO(import_ns, "IOMMUFD");

/**
 * migsim_dma_log - DMA may have written to a page
 * @sim: device
 * @iova: address in the page
 *
 * After the write: a report in between would take the page for clean. What was
 * written must not be forgotten, so that the entry is made whatever it takes.
 */
void migsim_dma_log(struct migsim_dev *sim, u64 iova)
{
	if (READ_ONCE(sim->dma_logging))
		xa_store(&sim->dma_written, iova >> PAGE_SHIFT, xa_mk_value(1),
			 GFP_KERNEL_ACCOUNT | __GFP_NOFAIL);
}

static int migsim_log_start(struct vfio_device *vdev,
			    struct rb_root_cached *ranges, u32 nnodes,
			    u64 *page_size)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	mutex_lock(&sim->config_lock);
	if (sim->dma_logging) {
		mutex_unlock(&sim->config_lock);
		return -EINVAL;
	}
	xa_destroy(&sim->dma_written);
	WRITE_ONCE(sim->dma_logging, true);
	mutex_unlock(&sim->config_lock);
	*page_size = PAGE_SIZE;

	return 0;
}

static int migsim_log_stop(struct vfio_device *vdev)
{
	migsim_dma_log_end(migsim_from_vdev(vdev));

	return 0;
}

/* User memory is touched with no lock held: each page is taken out before. */
static int migsim_log_read_and_clear(struct vfio_device *vdev,
				     unsigned long iova, unsigned long length,
				     struct iova_bitmap *dirty)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);
	unsigned long last = iova + length - 1, from, to, page;
	void *entry;

	if (!READ_ONCE(sim->dma_logging))
		return -EINVAL;
	xa_for_each_range(&sim->dma_written, page, entry, iova >> PAGE_SHIFT,
			  last >> PAGE_SHIFT) {
		xa_erase(&sim->dma_written, page);
		/* Of a page at either end, a part may be asked for. */
		from = max(page << PAGE_SHIFT, iova);
		to = min((page << PAGE_SHIFT) + PAGE_SIZE - 1, last);
		iova_bitmap_set(dirty, from, to - from + 1);
		cond_resched();
	}

	return 0;
}

static const struct vfio_log_ops migsim_log_ops = {
	.log_start = migsim_log_start,
	.log_stop = migsim_log_stop,
	.log_read_and_clear = migsim_log_read_and_clear,
};

/**
 * migsim_dma_log_init - offer a log where the kernel can report it
 * @sim: new device
 */
void migsim_dma_log_init(struct migsim_dev *sim)
{
	xa_init_flags(&sim->dma_written, XA_FLAGS_ACCOUNT);
	if (IS_ENABLED(CONFIG_IOMMUFD_DRIVER))
		sim->vdev.log_ops = &migsim_log_ops;
}

/**
 * migsim_dma_log_end - what was written is of no interest any more
 * @sim: device
 */
void migsim_dma_log_end(struct migsim_dev *sim)
{
	mutex_lock(&sim->config_lock);
	WRITE_ONCE(sim->dma_logging, false);
	xa_destroy(&sim->dma_written);
	mutex_unlock(&sim->config_lock);
}
