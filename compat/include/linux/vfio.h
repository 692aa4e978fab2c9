/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _COMPAT_LINUX_VFIO_H
#define _COMPAT_LINUX_VFIO_H

#include_next <linux/vfio.h>
#include <linux/errno.h>
#include <linux/uaccess.h>

/*
 * vfio_device_ops.get_region_info_caps: since 7.0 VFIO_DEVICE_GET_REGION_INFO does
 * not reach the ioctl op any more. Before, the ioctl op passes what it does not
 * know to vfio_region_info_ioctl().
 */
#ifdef VFIO_COMPAT_HAVE_REGION_INFO_CAPS
#define VFIO_REGION_INFO_OPS(fn)	.get_region_info_caps = (fn)
#else
#define VFIO_REGION_INFO_OPS(fn)	\
	.match = __builtin_choose_expr(0, (fn), NULL)
#endif

/*
 * vfio_device.precopy_info_v2: since 7.1 vfio.ko answers
 * VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2. Before, it reaches the driver.
 */
static inline bool vfio_device_precopy_info_v2(const struct vfio_device *vdev)
{
#ifdef VFIO_COMPAT_HAVE_PRECOPY_INFO_V2
	return vdev->precopy_info_v2;
#else
	return false;
#endif
}

struct vfio_info_cap;

static inline long
vfio_region_info_ioctl(struct vfio_device *vdev, unsigned int cmd,
		       unsigned long arg,
		       int (*fn)(struct vfio_device *vdev,
				 struct vfio_region_info *info,
				 struct vfio_info_cap *caps))
{
	const size_t minsz = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};
	int ret;

	if (cmd != VFIO_DEVICE_GET_REGION_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = fn(vdev, &info, NULL);
	if (ret)
		return ret;

	return copy_to_user((void __user *)arg, &info, minsz) ? -EFAULT : 0;
}

#endif /* _COMPAT_LINUX_VFIO_H */
