// SPDX-License-Identifier: GPL-2.0-only
#include <sys/ioctl.h>
#include <unistd.h>

#include <libvfio/irq.h>

int __vfm_set_irqs(struct vfm_device *dev, u32 index, u32 flags, u32 start,
		   u32 count, s32 data)
{
	struct {
		struct vfio_irq_set set;
		s32 data;
	} request = {
		.set = {
			.argsz = sizeof(request),
			.flags = flags,
			.index = index,
			.start = start,
			.count = count,
		},
		.data = data,
	};

	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &request) ? -errno : 0;
}

u64 vfm_signalled(int eventfd)
{
	u64 count = 0;

	return read(eventfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}
