// SPDX-License-Identifier: GPL-2.0-only
/*
 * To be preloaded: every other ioctl that asks a VFIO device or its data fd for
 * something ends with EINTR, having done nothing, as when a process is stopped and
 * continued on a kernel that does not restart the call.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>

int ioctl(int fd, unsigned long request, ...)
{
	static _Atomic unsigned int calls;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if ((request == VFIO_DEVICE_FEATURE || request == VFIO_DEVICE_RESET ||
	     request == VFIO_MIG_GET_PRECOPY_INFO) && !(calls++ & 1)) {
		errno = EINTR;
		return -1;
	}
	return syscall(SYS_ioctl, fd, request, arg);
}
