// SPDX-License-Identifier: GPL-2.0-only
#include <libvfio/migsim.h>
#include <libvfio/ring.h>

void vfm_ring_link(struct vfm_device **devs, unsigned int nr,
		   unsigned int first)
{
	unsigned int i;

	for (i = 1; i < nr; i++)
		VFIO_ASSERT_EQ(__vfm_attr_write(devs[(first + i) % nr], "peer",
						devs[first]->uuid), 0);
}

u64 vfm_ring_sum(struct vfm_device **devs, unsigned int nr, const char *attr)
{
	unsigned int i;
	u64 total = 0;

	for (i = 0; i < nr; i++)
		total += vfm_attr_get(devs[i], attr);
	return total;
}

void vfm_ring_set(struct vfm_device **devs, unsigned int nr, u32 state)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		vfm_set_state_nofd(devs[i], state);
}
