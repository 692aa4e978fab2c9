/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RING_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RING_H

#include <libvfio/migration.h>

/* migsim devices that pass tokens. They are linked in their order from @first on. */
void vfm_ring_link(struct vfm_device **devs, unsigned int nr,
		   unsigned int first);
u64 vfm_ring_sum(struct vfm_device **devs, unsigned int nr, const char *attr);
void vfm_ring_set(struct vfm_device **devs, unsigned int nr, u32 state);

#endif
