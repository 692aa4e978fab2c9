/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What an older <linux/vfio.h> lacks. Every entry names the release that
 * brought it and is tested by a macro that came in the same commit, never by
 * a version: distributions backport. The PRE_COPY states are enum members in
 * newer headers, so VFIO_MIGRATION_PRE_COPY stands for them.
 *
 * Programs reach this file as <linux/vfio.h>, kernel code as
 * <uapi/linux/vfio.h>; the file behind it has the matching name.
 */
#ifndef _COMPAT_UAPI_LINUX_VFIO_H
#define _COMPAT_UAPI_LINUX_VFIO_H

#ifdef __KERNEL__
#include_next <uapi/linux/vfio.h>
#else
#include_next <linux/vfio.h>
#endif

/* v6.2: pre-copy states, flag and ioctl of the migration protocol */
#ifndef VFIO_MIGRATION_PRE_COPY
#define VFIO_MIGRATION_PRE_COPY		(1 << 2)

#define VFIO_DEVICE_STATE_PRE_COPY	6
#define VFIO_DEVICE_STATE_PRE_COPY_P2P	7
#define VFIO_DEVICE_STATE_NR		8
#endif

/* v6.2: same series as the above */
#ifndef VFIO_MIG_GET_PRECOPY_INFO
struct vfio_precopy_info {
	__u32 argsz;
	__u32 flags;
	__aligned_u64 initial_bytes;
	__aligned_u64 dirty_bytes;
};

#define VFIO_MIG_GET_PRECOPY_INFO	_IO(VFIO_TYPE, VFIO_BASE + 21)
#endif

/* v6.2: estimate of the data still to come in STOP_COPY */
#ifndef VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
struct vfio_device_feature_mig_data_size {
	__aligned_u64 stop_copy_length;
};

#define VFIO_DEVICE_FEATURE_MIG_DATA_SIZE	9
#endif

/* v7.1: new initial data may appear during pre-copy, and the opt-in to it */
#ifndef VFIO_PRECOPY_INFO_REINIT
#define VFIO_PRECOPY_INFO_REINIT	(1 << 0)
#endif
#ifndef VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
#define VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2	12
#endif

/* v6.6: opening a device as a character device of its own */
#ifndef VFIO_DEVICE_BIND_IOMMUFD
struct vfio_device_bind_iommufd {
	__u32 argsz;
	__u32 flags;
	__s32 iommufd;
	__u32 out_devid;
};

#define VFIO_DEVICE_BIND_IOMMUFD	_IO(VFIO_TYPE, VFIO_BASE + 18)
#endif

/* v6.6: same series as VFIO_DEVICE_BIND_IOMMUFD */
#ifndef VFIO_DEVICE_ATTACH_IOMMUFD_PT
struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
};

#define VFIO_DEVICE_ATTACH_IOMMUFD_PT	_IO(VFIO_TYPE, VFIO_BASE + 19)
#endif

/* v6.6: same series as VFIO_DEVICE_BIND_IOMMUFD */
#ifndef VFIO_DEVICE_DETACH_IOMMUFD_PT
struct vfio_device_detach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
};

#define VFIO_DEVICE_DETACH_IOMMUFD_PT	_IO(VFIO_TYPE, VFIO_BASE + 20)
#endif

#endif /* _COMPAT_UAPI_LINUX_VFIO_H */
