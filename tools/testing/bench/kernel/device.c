// SPDX-License-Identifier: GPL-2.0-only
/*
 * classic: what VFIO calls
 *
 * A plain PCI function without config space, whose BAR2 is its memory, and the old
 * migration region.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "classic.h"

/**
 * classic_memory_bar_size - size of the BAR that the memory is in
 * @classic: device
 *
 * Return: a power of two.
 */
u64 classic_memory_bar_size(const struct classic_dev *classic)
{
	return roundup_pow_of_two(classic->state_size);
}

static int classic_init_dev(struct vfio_device *vdev)
{
	struct classic_dev *classic = classic_from_vdev(vdev);

	mutex_init(&classic->state_mutex);
	mutex_init(&classic->memory_lock);
	classic->state_size = SZ_64M;
	classic->state = VFIO_DEVICE_STATE_RUNNING;
	vdev->migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P;
	vdev->mig_ops = &classic_mig_ops;

	return 0;
}

static void classic_release_dev(struct vfio_device *vdev)
{
	struct classic_dev *classic = classic_from_vdev(vdev);

	classic_image_free(&classic->memory);
	mutex_destroy(&classic->memory_lock);
	mutex_destroy(&classic->state_mutex);
}

static int classic_memory_make(struct classic_dev *classic)
{
	struct classic_image *memory = &classic->memory;
	unsigned long i;
	int ret;

	if (memory->pages)
		return 0;
	ret = classic_image_alloc(memory, classic->state_size);
	if (!ret)
		ret = classic_image_grow(memory, classic->state_size);
	if (ret) {
		classic_image_free(memory);
		return ret;
	}
	memory->length = classic->state_size;
	for (i = 0; i < memory->nr; i++)
		clear_page(page_address(memory->pages[i]));

	return 0;
}

static int classic_open(struct vfio_device *vdev)
{
	struct classic_dev *classic = classic_from_vdev(vdev);
	int ret;

	mutex_lock(&classic->state_mutex);
	ret = classic_memory_make(classic);
	if (!ret) {
		classic->open = true;
		classic->state = VFIO_DEVICE_STATE_RUNNING;
	}
	mutex_unlock(&classic->state_mutex);

	return ret;
}

static void classic_close(struct vfio_device *vdev)
{
	struct classic_dev *classic = classic_from_vdev(vdev);

	mutex_lock(&classic->state_mutex);
	classic_disable(classic);
	classic_v1_end(classic);
	classic->open = false;
	mutex_unlock(&classic->state_mutex);
}

static u64 classic_region_size(const struct classic_dev *classic,
			       unsigned int region)
{
	if (region == VFIO_PCI_BAR0_REGION_INDEX + CLASSIC_BAR_MEMORY)
		return classic_memory_bar_size(classic);

	return region == CLASSIC_REGION_V1 ? classic_v1_size() : 0;
}

static int classic_region_info(struct vfio_device *vdev,
			       struct vfio_region_info *info,
			       struct vfio_info_cap *caps)
{
	struct classic_dev *classic = classic_from_vdev(vdev);

	if (info->index >= CLASSIC_NR_REGIONS)
		return -EINVAL;
	info->cap_offset = 0;
	info->offset = (u64)info->index << CLASSIC_OFFSET_SHIFT;
	info->size = classic_region_size(classic, info->index);
	info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ |
				   VFIO_REGION_INFO_FLAG_WRITE : 0;

	return 0;
}

static int classic_get_info(struct vfio_device_info __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = CLASSIC_NR_REGIONS;

	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long classic_reset(struct classic_dev *classic)
{
	mutex_lock(&classic->state_mutex);
	classic_disable(classic);
	classic_v1_end(classic);
	classic->state = VFIO_DEVICE_STATE_RUNNING;
	mutex_unlock(&classic->state_mutex);

	return 0;
}

static long classic_ioctl(struct vfio_device *vdev, unsigned int cmd,
			  unsigned long arg)
{
	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return classic_get_info((void __user *)arg);
	case VFIO_DEVICE_RESET:
		return classic_reset(classic_from_vdev(vdev));
	default:
		return vfio_region_info_ioctl(vdev, cmd, arg,
					      classic_region_info);
	}
}

/**
 * classic_user - copy between an image and user memory
 * @image: pages, which stay
 * @pos: where in it
 * @buf: user memory
 * @count: bytes, which are all in @image
 * @write: from user memory
 *
 * A page at a time.
 * Return: bytes, or -EFAULT.
 */
ssize_t classic_user(const struct classic_image *image, u64 pos,
		     char __user *buf, size_t count, bool write)
{
	size_t done = 0, n;
	void *page;

	while (done < count) {
		page = page_address(image->pages[pos >> PAGE_SHIFT]);
		page += offset_in_page(pos);
		n = min_t(size_t, count - done, PAGE_SIZE - offset_in_page(pos));
		if (write ? copy_from_user(page, buf + done, n) :
			    copy_to_user(buf + done, page, n))
			return -EFAULT;
		done += n;
		pos += n;
	}

	return done;
}

static ssize_t classic_memory_rw(struct classic_dev *classic, char __user *buf,
				 size_t count, u64 pos, bool write)
{
	ssize_t ret;

	mutex_lock(&classic->memory_lock);
	if (pos >= classic->memory.length)
		ret = -EINVAL;
	else
		ret = classic_user(&classic->memory, pos, buf,
				   min_t(u64, count, classic->memory.length - pos),
				   write);
	mutex_unlock(&classic->memory_lock);

	return ret;
}

static ssize_t classic_rw(struct classic_dev *classic, char __user *buf,
			  size_t count, loff_t where, bool write)
{
	u64 pos = where & CLASSIC_OFFSET_MASK;

	switch (where >> CLASSIC_OFFSET_SHIFT) {
	case VFIO_PCI_BAR0_REGION_INDEX + CLASSIC_BAR_MEMORY:
		return classic_memory_rw(classic, buf, count, pos, write);
	case CLASSIC_REGION_V1:
		return classic_v1_rw(classic, buf, count, pos, write);
	default:
		return -EINVAL;
	}
}

static ssize_t classic_read(struct vfio_device *vdev, char __user *buf,
			    size_t count, loff_t *ppos)
{
	ssize_t ret = classic_rw(classic_from_vdev(vdev), buf, count, *ppos,
				 false);

	if (ret > 0)
		*ppos += ret;

	return ret;
}

static ssize_t classic_write(struct vfio_device *vdev, const char __user *buf,
			     size_t count, loff_t *ppos)
{
	ssize_t ret = classic_rw(classic_from_vdev(vdev), (char __user *)buf,
				 count, *ppos, true);

	if (ret > 0)
		*ppos += ret;

	return ret;
}

const struct vfio_device_ops classic_device_ops = {
	.name = "vfio-mig-classic",
	.init = classic_init_dev,
	.release = classic_release_dev,
	.open_device = classic_open,
	.close_device = classic_close,
	.read = classic_read,
	.write = classic_write,
	.ioctl = classic_ioctl,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	VFIO_REGION_INFO_OPS(classic_region_info),
};
