// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: what user space reads and writes through the device fd
 *
 * User memory is copied through a bounce buffer, so that no lock is held across it.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "migsim.h"

static u64 migsim_region_size(const struct migsim_dev *sim, unsigned int region)
{
	switch (region) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return PCI_CFG_SPACE_SIZE;
	case VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_REGS:
		return MIGSIM_REGS_SIZE;
	case VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_MEMORY:
		return migsim_memory_bar_size(sim);
	default:
		return 0;
	}
}

/**
 * migsim_region_info - VFIO_DEVICE_GET_REGION_INFO
 * @vdev: device
 * @info: filled in; argsz was checked
 * @caps: unused
 *
 * Return: 0, or -EINVAL if there is no such region.
 */
int migsim_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
		       struct vfio_info_cap *caps)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	if (info->index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	info->cap_offset = 0;
	info->offset = (u64)info->index << MIGSIM_OFFSET_SHIFT;
	info->size = migsim_region_size(sim, info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ |
				   VFIO_REGION_INFO_FLAG_WRITE : 0;
	if (info->index == VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_MEMORY &&
	    migsim_can_mmap(sim))
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;

	return 0;
}

static int migsim_memory_access(struct migsim_dev *sim, u64 pos, void *buf,
				size_t len, bool write)
{
	return write ? migsim_memory_write(sim, pos, buf, len) :
		       migsim_memory_read(sim, pos, buf, len);
}

static int migsim_access(struct migsim_dev *sim, unsigned int region, u64 pos,
			 void *buf, size_t len, bool write)
{
	bool dirty, reconfigured;
	int ret;

	mutex_lock(&sim->memory_lock);
	if (region == VFIO_PCI_CONFIG_REGION_INDEX)
		ret = migsim_config_access(sim, pos, buf, len, write);
	else if (region == VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_REGS)
		ret = migsim_regs_access(sim, pos, buf, len, write);
	else
		ret = migsim_memory_access(sim, pos, buf, len, write);
	dirty = write && sim->memory.nr_dirty;
	reconfigured = sim->memory.reconfigured;
	sim->memory.reconfigured = false;
	mutex_unlock(&sim->memory_lock);
	if (reconfigured)
		migsim_track_again(sim);
	if (dirty)
		vfio_mig_kick(sim->mig);

	return ret;
}

/* Bytes to handle at once: not across pages, registers one at a time. */
static size_t migsim_step(unsigned int region, u64 pos, size_t count)
{
	if (region != VFIO_PCI_BAR0_REGION_INDEX + MIGSIM_BAR_REGS)
		return min_t(size_t, count, PAGE_SIZE - offset_in_page(pos));
	if (count >= 8 && pos % 8 == 0)
		return 8;

	return min_t(size_t, count, 4);
}

static ssize_t migsim_check_range(struct migsim_dev *sim, loff_t where,
				  size_t *count)
{
	u64 pos = where & MIGSIM_OFFSET_MASK;
	u64 size;

	if (where < 0 || where >> MIGSIM_OFFSET_SHIFT >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	size = migsim_region_size(sim, where >> MIGSIM_OFFSET_SHIFT);
	if (pos >= size)
		return -EINVAL;
	*count = min_t(u64, *count, size - pos);

	return 0;
}

/* One step, through the bounce buffer. */
static int migsim_access_user(struct migsim_dev *sim, loff_t where,
			      char __user *buf, void *bounce, size_t step,
			      bool write)
{
	unsigned int region = where >> MIGSIM_OFFSET_SHIFT;
	int ret;

	if (write && copy_from_user(bounce, buf, step))
		return -EFAULT;
	ret = migsim_access(sim, region, where & MIGSIM_OFFSET_MASK, bounce,
			    step, write);
	if (!ret && !write && copy_to_user(buf, bounce, step))
		return -EFAULT;

	return ret;
}

static ssize_t migsim_rw(struct migsim_dev *sim, char __user *buf,
			 size_t count, loff_t *ppos, bool write)
{
	unsigned int region = *ppos >> MIGSIM_OFFSET_SHIFT;
	size_t done = 0, step;
	void *bounce;
	int ret;

	ret = migsim_check_range(sim, *ppos, &count);
	if (ret)
		return ret;
	bounce = (void *)__get_free_page(GFP_KERNEL);
	if (!bounce)
		return -ENOMEM;
	while (done < count && !(done && signal_pending(current))) {
		step = migsim_step(region, *ppos & MIGSIM_OFFSET_MASK,
				   count - done);
		ret = migsim_access_user(sim, *ppos, buf + done, bounce, step,
					 write);
		if (ret)
			break;
		done += step;
		*ppos += step;
	}
	free_page((unsigned long)bounce);

	return done ?: ret;
}

/**
 * migsim_read - read(2) on the device fd
 * @vdev: device
 * @buf: user memory
 * @count: bytes
 * @ppos: region and offset in it
 *
 * Return: bytes read, or -EINVAL, -ENOMEM, -EFAULT.
 */
ssize_t migsim_read(struct vfio_device *vdev, char __user *buf, size_t count,
		    loff_t *ppos)
{
	return migsim_rw(migsim_from_vdev(vdev), buf, count, ppos, false);
}

/**
 * migsim_write - write(2) on the device fd
 * @vdev: device
 * @buf: user memory
 * @count: bytes
 * @ppos: region and offset in it
 *
 * Return: bytes written, or -EINVAL, -ENOMEM, -EFAULT.
 */
ssize_t migsim_write(struct vfio_device *vdev, const char __user *buf,
		     size_t count, loff_t *ppos)
{
	return migsim_rw(migsim_from_vdev(vdev), (char __user *)buf, count,
			 ppos, true);
}
