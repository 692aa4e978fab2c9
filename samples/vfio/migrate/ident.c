// SPDX-License-Identifier: GPL-2.0-only
/* What kind of device it is. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "migrate.h"

uint64_t region_size(const struct device *dev, uint32_t index, uint64_t *offset)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = index,
	};

	if (ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		return 0;
	if (offset)
		*offset = info.offset;
	return info.size;
}

/* Vendor and device as they are in config space, 0 if they cannot be read. */
uint32_t pci_id(const struct device *dev)
{
	uint64_t offset = 0;
	uint32_t id = 0;

	if (region_size(dev, VFIO_PCI_CONFIG_REGION_INDEX, &offset) < 4 ||
	    pread(dev->fd, &id, sizeof(id), offset) != sizeof(id))
		return 0;
	return id;
}

/* The mdev type or vendor:device, "" if neither is known. */
void device_identify(struct device *dev)
{
	uint32_t id;

	if (dev->path.sysfs[0] &&
	    !sysfs_link(dev->path.sysfs, "mdev_type", dev->type,
			sizeof(dev->type)))
		return;
	dev->type[0] = '\0';
	id = dev->info_flags & VFIO_DEVICE_FLAGS_PCI ? pci_id(dev) : 0;
	if (id)
		snprintf(dev->type, sizeof(dev->type), "%04x:%04x", id & 0xffff,
			 id >> 16);
}
