// SPDX-License-Identifier: GPL-2.0-only
/*
 * To be preloaded: every reset of a device fails that the program asks for. No rule
 * of migsim does that, as no reset of it can fail.
 */
#include <errno.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/vfio.h>

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == VFIO_DEVICE_RESET) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_ioctl, fd, request, arg);
}
