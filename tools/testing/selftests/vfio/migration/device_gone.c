// SPDX-License-Identifier: GPL-2.0-only
/*
 * To be preloaded: a device that is asked for STOP_COPY is gone, as if it had been
 * pulled out. It answers nothing that is asked by its fd from then on.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>

#define SET_STATE	(VFIO_DEVICE_FEATURE_SET | \
			 VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)

static int gone = -1;

static int is_stop_copy(void *arg)
{
	struct vfio_device_feature *feature = arg;
	struct vfio_device_feature_mig_state *mig = (void *)feature->data;

	return feature->flags == SET_STATE &&
	       mig->device_state == VFIO_DEVICE_STATE_STOP_COPY;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == VFIO_DEVICE_FEATURE && is_stop_copy(arg))
		gone = fd;
	if (gone < 0 || fd != gone)
		return syscall(SYS_ioctl, fd, request, arg);
	errno = EIO;
	return -1;
}
