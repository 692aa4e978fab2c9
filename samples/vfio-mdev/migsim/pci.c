// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: what user space reads and writes through the device fd
 *
 * Config space of a plain PCI function with two memory BARs, registers, and the
 * device memory. User memory is copied through a bounce buffer, so that no lock
 * is held across it.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pci_ids.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/unaligned.h>

#include "migsim.h"

#define MIGSIM_OFFSET_SHIFT	40
#define MIGSIM_OFFSET_MASK	((1ULL << MIGSIM_OFFSET_SHIFT) - 1)

static u64 migsim_memory_bar_size(const struct migsim_dev *sim)
{
	u64 size = sim->config.state_size;

	return size ? roundup_pow_of_two(size) : 0;
}

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

	return 0;
}

/**
 * migsim_pci_reset - config space as after power on
 * @sim: device
 */
void migsim_pci_reset(struct migsim_dev *sim)
{
	u8 *config = sim->pci_config;

	mutex_lock(&sim->memory_lock);
	memset(config, 0, sizeof(sim->pci_config));
	put_unaligned_le16(MIGSIM_PCI_VENDOR, config + PCI_VENDOR_ID);
	put_unaligned_le16(MIGSIM_PCI_DEVICE, config + PCI_DEVICE_ID);
	put_unaligned_le16(MIGSIM_PCI_VENDOR, config + PCI_SUBSYSTEM_VENDOR_ID);
	put_unaligned_le16(MIGSIM_PCI_DEVICE, config + PCI_SUBSYSTEM_ID);
	put_unaligned_le16(PCI_CLASS_SYSTEM_OTHER, config + PCI_CLASS_DEVICE);
	config[PCI_REVISION_ID] = MIGSIM_VERSION;
	put_unaligned_le32(PCI_BASE_ADDRESS_SPACE_MEMORY,
			   config + PCI_BASE_ADDRESS_0);
	if (migsim_memory_bar_size(sim))
		put_unaligned_le32(PCI_BASE_ADDRESS_MEM_TYPE_64 |
				   PCI_BASE_ADDRESS_MEM_PREFETCH,
				   config + PCI_BASE_ADDRESS_2);
	mutex_unlock(&sim->memory_lock);
}

/* Bits of config space that can be written, by the dword that @pos is in. */
static u32 migsim_config_mask(const struct migsim_dev *sim, unsigned int pos)
{
	u64 size = max_t(u64, migsim_memory_bar_size(sim), 16);

	switch (pos & ~3) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		       PCI_COMMAND_INTX_DISABLE;
	case PCI_BASE_ADDRESS_0:
		return ~(MIGSIM_REGS_SIZE - 1);
	case PCI_BASE_ADDRESS_2:
		return migsim_memory_bar_size(sim) ? (u32)~(size - 1) : 0;
	case PCI_BASE_ADDRESS_3:
		return migsim_memory_bar_size(sim) ? ~(size - 1) >> 32 : 0;
	case PCI_CACHE_LINE_SIZE & ~3:
		return 0xff;
	case PCI_INTERRUPT_LINE & ~3:
		return 0xff;
	default:
		return 0;
	}
}

static void migsim_config_write(struct migsim_dev *sim, unsigned int pos,
				const u8 *from, size_t len)
{
	for (; len; len--, pos++, from++) {
		u8 mask = migsim_config_mask(sim, pos) >> (pos & 3) * 8;
		u8 *to = &sim->pci_config[pos];

		*to = (*to & ~mask) | (*from & mask);
	}
}

static int migsim_config_access(struct migsim_dev *sim, u64 pos, void *buf,
				size_t len, bool write)
{
	lockdep_assert_held(&sim->memory_lock);
	if (write)
		migsim_config_write(sim, pos, buf, len);
	else
		memcpy(buf, sim->pci_config + pos, len);

	return 0;
}

/* Return: the register that holds @pos, as 8 bytes. */
static u64 migsim_reg_read(const struct migsim_dev *sim, u64 pos)
{
	const struct migsim_memory *memory = &sim->memory;
	u64 scratch = (pos - MIGSIM_REG_SCRATCH) / sizeof(u64);

	switch (round_down(pos, sizeof(u64))) {
	case MIGSIM_REG_MAGIC:
		return MIGSIM_MAGIC | (u64)MIGSIM_VERSION << 32;
	case MIGSIM_REG_STATE_SIZE:
		return (u64)memory->nr_pages << PAGE_SHIFT;
	case MIGSIM_REG_SEED:
		return memory->seed;
	case MIGSIM_REG_TICKS:
		return memory->ticks;
	default:
		return scratch < MIGSIM_NR_SCRATCH ? memory->scratch[scratch] : 0;
	}
}

static void migsim_reg_write(struct migsim_dev *sim, u64 pos, const void *from,
			     size_t len)
{
	u64 scratch = (pos - MIGSIM_REG_SCRATCH) / sizeof(u64);

	if (!sim->memory.running)
		return;
	if (scratch < MIGSIM_NR_SCRATCH)
		memcpy((u8 *)&sim->memory.scratch[scratch] +
		       pos % sizeof(u64), from, len);
	else if (pos == MIGSIM_REG_RECONFIG)
		sim->memory.reconfigured = true;
}

static int migsim_regs_access(struct migsim_dev *sim, u64 pos, void *buf,
			      size_t len, bool write)
{
	u64 value;

	lockdep_assert_held(&sim->memory_lock);
	if ((len != 4 && len != 8) || pos % len)
		return -EINVAL;
	if (write) {
		migsim_reg_write(sim, pos, buf, len);
		return 0;
	}
	value = migsim_reg_read(sim, pos);
	memcpy(buf, (u8 *)&value + pos % sizeof(u64), len);

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
