// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: features of VFIO_DEVICE_FEATURE
 *
 * Those that vfio.ko does not know come here through the driver's device_feature:
 * the core's extensions, and what is newer than the kernel. Structures may be longer
 * than here, if what is behind is 0: a client may be newer than the kernel, too.
 */
#include <linux/file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "private.h"

/*
 * No structure will ever be longer than a page.
 * Return: 1 to go on, 0 for a probe, -EINVAL, -E2BIG.
 */
static int vfio_mig_check_feature(u32 flags, size_t argsz, u32 ops,
				  size_t minsz)
{
	int ret = vfio_check_feature(flags, argsz, ops, minsz);

	return ret == 1 && argsz > PAGE_SIZE ? -E2BIG : ret;
}

static void vfio_mig_find_path(struct vfio_mig *mig,
			       struct vfio_device_feature_migx_path *path)
{
	unsigned int flags = vfio_mig_flags(mig);
	u32 state = path->from, next;

	while (path->nr_steps < ARRAY_SIZE(path->steps)) {
		next = vfio_mig_next_arc(flags, state, path->to);
		if (next == VFIO_DEVICE_STATE_ERROR)
			return;
		if (next == state)
			break;
		path->steps[path->nr_steps++] = next;
		path->flags &= ~VFIO_MIGX_PATH_DATA_FD;
		if (vfio_mig_arc_opens(state, next))
			path->flags |= VFIO_MIGX_PATH_DATA_FD;
		if (vfio_mig_arc_ends(state, next))
			path->flags |= VFIO_MIGX_PATH_ENDS;
		state = next;
	}
	path->flags |= VFIO_MIGX_PATH_SUPPORTED;
}

static int vfio_mig_feature_path(struct vfio_mig *mig, u32 flags,
				 void __user *arg, size_t argsz)
{
	struct vfio_device_feature_migx_path path;
	int ret;

	ret = vfio_mig_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET,
				     sizeof(path));
	if (ret != 1)
		return ret;
	ret = copy_struct_from_user(&path, sizeof(path), arg, argsz);
	if (ret)
		return ret;
	if (path.flags || path.nr_steps ||
	    memchr_inv(path.steps, 0, sizeof(path.steps)))
		return -EINVAL;
	vfio_mig_find_path(mig, &path);

	return copy_to_user(arg, &path, sizeof(path)) ? -EFAULT : 0;
}

/*
 * As an fd that user space has: it only gets one, and has only opted in, if all
 * went well.
 */
static int vfio_mig_return_drain(struct vfio_mig *mig, struct file *file,
				 void __user *arg)
{
	struct vfio_device_feature_migx_drain drain = {};

	drain.fd = get_unused_fd_flags(O_CLOEXEC);
	if (drain.fd < 0) {
		fput(file);
		return drain.fd;
	}
	if (copy_to_user(arg, &drain, sizeof(drain))) {
		put_unused_fd(drain.fd);
		fput(file);
		return -EFAULT;
	}
	WRITE_ONCE(mig->drain.opted, true);
	fd_install(drain.fd, file);

	return 0;
}

static int vfio_mig_feature_drain(struct vfio_mig *mig, u32 flags,
				  void __user *arg, size_t argsz)
{
	struct vfio_device_feature_migx_drain drain;
	struct file *file;
	int ret;

	if (!mig->config.drain)
		return -ENOTTY;
	ret = vfio_mig_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_SET,
				     sizeof(drain));
	if (ret != 1)
		return ret;
	ret = copy_struct_from_user(&drain, sizeof(drain), arg, argsz);
	if (ret)
		return ret;
	if (drain.flags || drain.fd)
		return -EINVAL;
	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	file = vfio_mig_drain_start(mig);
	vfio_mig_unlock(mig);

	return IS_ERR(file) ? PTR_ERR(file) :
			      vfio_mig_return_drain(mig, file, arg);
}

static int vfio_mig_feature_copy_back(struct vfio_mig *mig, u32 flags,
				      void __user *arg, size_t argsz)
{
	int ret;

	if (!mig->config.copy_back)
		return -ENOTTY;
	ret = vfio_mig_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_SET, 0);
	if (ret != 1)
		return ret;
	ret = check_zeroed_user(arg, argsz);
	if (ret <= 0)
		return ret ?: -E2BIG;
	WRITE_ONCE(mig->copy_back, true);

	return 0;
}

/* As vfio.ko does where it knows the feature, down to the errno. */
static int vfio_mig_feature_info_v2(struct vfio_mig *mig, u32 flags,
				    size_t argsz)
{
	int ret;

	if (!(mig->flags & VFIO_MIGRATION_PRE_COPY))
		return -EINVAL;
	ret = vfio_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_SET, 0);
	if (ret == 1)
		WRITE_ONCE(mig->precopy_info_v2, true);

	return min(ret, 0);
}

static int vfio_mig_feature_last_error(struct vfio_mig *mig, u32 flags,
				       void __user *arg, size_t argsz)
{
	struct vfio_device_feature_migx_last_error last = {};
	struct vfio_mig_error error;
	int ret;

	ret = vfio_mig_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET,
				     sizeof(last));
	if (ret != 1)
		return ret;
	ret = check_zeroed_user(arg + sizeof(last), argsz - sizeof(last));
	if (ret <= 0)
		return ret ?: -E2BIG;
	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	last.state = mig->state;
	vfio_mig_last_error(mig, &error);
	vfio_mig_unlock(mig);
	last.error = -error.err;
	last.from = error.from;
	last.to = error.to;
	last.offset = error.reason.offset;
	last.count = error.count;
	strscpy(last.reason, error.reason.text, sizeof(last.reason));

	return copy_to_user(arg, &last, sizeof(last)) ? -EFAULT : 0;
}

static int vfio_mig_feature_data_size(struct vfio_mig *mig, u32 flags,
				      void __user *arg, size_t argsz)
{
	struct vfio_device_feature_mig_data_size size = {};
	unsigned long length;
	int ret;

	ret = vfio_mig_check_feature(flags, argsz, VFIO_DEVICE_FEATURE_GET,
				     sizeof(size));
	if (ret != 1)
		return ret;
	ret = vfio_mig_data_size(mig, &length);
	if (ret)
		return ret;
	size.stop_copy_length = length;

	return copy_to_user(arg, &size, sizeof(size)) ? -EFAULT : 0;
}

/**
 * vfio_mig_device_feature - answer for the driver
 * @mig: open device
 * @flags: as &vfio_device_ops.device_feature has them
 * @arg: likewise
 * @argsz: likewise
 *
 * Rule: A9 to A12, B8.
 * Context: &vfio_device_ops.device_feature, no lock of the core held.
 * Return: 0, -ENOTTY if it is not the core's, or another negative errno: see
 * include/uapi/linux/vfio_migration.h.
 */
int vfio_mig_device_feature(struct vfio_mig *mig, u32 flags, void __user *arg,
			    size_t argsz)
{
	switch (flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIGX_PATH:
		return vfio_mig_feature_path(mig, flags, arg, argsz);
	case VFIO_DEVICE_FEATURE_MIGX_DRAIN:
		return vfio_mig_feature_drain(mig, flags, arg, argsz);
	case VFIO_DEVICE_FEATURE_MIGX_COPY_BACK:
		return vfio_mig_feature_copy_back(mig, flags, arg, argsz);
	case VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR:
		return vfio_mig_feature_last_error(mig, flags, arg, argsz);
	case VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
		return vfio_mig_feature_info_v2(mig, flags, argsz);
	case VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
		return vfio_mig_feature_data_size(mig, flags, arg, argsz);
	default:
		return -ENOTTY;
	}
}
EXPORT_SYMBOL_GPL(vfio_mig_device_feature);
