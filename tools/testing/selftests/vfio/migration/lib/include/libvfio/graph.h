/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state graph, written down a second time from the rules: which arcs exist
 * for a capability set, and what makes a sequence of them a legal path. Paths are
 * found by trying all of them, so nothing is shared with the way the kernel finds
 * its own.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_GRAPH_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_GRAPH_H

#include <libvfio/migration.h>

/* Beside VFIO_MIGRATION_*: VFIO_DEVICE_FEATURE_MIGX_COPY_BACK was asked for. */
#define VFM_COPY_BACK	(1U << 31)

struct vfm_path {
	u32 state[VFM_NR_STATES];	/* from the first to the last */
	unsigned int arcs;		/* 0: there is no path */
};

bool vfm_arc_exists(u64 flags, u32 from, u32 to);
/* The arc returns a data fd. */
bool vfm_arc_opens(u32 from, u32 to);
/* The arc ends the session that belongs to @from. */
bool vfm_arc_ends(u32 from, u32 to);
/* The only shortest legal path between two different states. */
struct vfm_path vfm_find_path(u64 flags, u32 from, u32 to);
/* One of its first @n arcs ends a session that the caller had before. */
bool vfm_path_ends_session(const struct vfm_path *path, unsigned int n);
/* Where the device has to be after arc @n, from 0, has failed (A5). */
u32 vfm_unwind_state(const struct vfm_path *path, unsigned int n);

/* Different arcs that were gone. */
struct vfm_arcs {
	bool taken[VFM_NR_STATES][VFM_NR_STATES];
	unsigned int nr;
};

/* Those of the path to @to, if @dev has that state. Returns where it is then. */
u32 vfm_arcs_go(struct vfm_arcs *arcs, struct vfm_device *dev, u32 from, u32 to);

#define vfm_for_each_arc(_flags, _from, _to)				\
	for (_from = 0; _from < VFM_NR_STATES; _from++)			\
		for (_to = 0; _to < VFM_NR_STATES; _to++)		\
			if (!vfm_arc_exists(_flags, _from, _to)) {	\
			} else

#endif
