/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_IRQ_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_IRQ_H

#include <libvfio/migration.h>

/* VFIO_DEVICE_SET_IRQS with room for one interrupt's @data, a fd or a bool. */
int __vfm_set_irqs(struct vfm_device *dev, u32 index, u32 flags, u32 start,
		   u32 count, s32 data);
/* How often an eventfd that does not block was signalled since. */
u64 vfm_signalled(int eventfd);

#endif
