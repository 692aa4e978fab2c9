// SPDX-License-Identifier: GPL-2.0-only
#include <libvfio/graph.h>

/* When an arc exists: all of @with claimed, none of @without. */
struct vfm_arc {
	u8 from, to;
	u32 with, without;
	bool opens;
};

#define P2P	VFIO_MIGRATION_P2P
#define PRE	VFIO_MIGRATION_PRE_COPY
#define BACK	VFM_COPY_BACK

static const struct vfm_arc arcs[] = {
	{ VFM_STOP,		VFM_STOP_COPY,		0,	  0,   true },
	{ VFM_STOP_COPY,	VFM_STOP,		0,	  0,   false },
	{ VFM_STOP,		VFM_RESUMING,		0,	  0,   true },
	{ VFM_RESUMING,		VFM_STOP,		0,	  0,   false },
	{ VFM_RUNNING,		VFM_STOP,		0,	  P2P, false },
	{ VFM_STOP,		VFM_RUNNING,		0,	  P2P, false },
	{ VFM_RUNNING,		VFM_RUNNING_P2P,	P2P,	  0,   false },
	{ VFM_RUNNING_P2P,	VFM_RUNNING,		P2P,	  0,   false },
	{ VFM_RUNNING_P2P,	VFM_STOP,		P2P,	  0,   false },
	{ VFM_STOP,		VFM_RUNNING_P2P,	P2P,	  0,   false },
	{ VFM_RUNNING,		VFM_PRE_COPY,		PRE,	  0,   true },
	{ VFM_PRE_COPY,		VFM_RUNNING,		PRE,	  0,   false },
	{ VFM_PRE_COPY,		VFM_STOP_COPY,		PRE,	  P2P, false },
	{ VFM_RUNNING_P2P,	VFM_PRE_COPY_P2P,	P2P | PRE, 0,  true },
	{ VFM_PRE_COPY_P2P,	VFM_RUNNING_P2P,	P2P | PRE, 0,  false },
	{ VFM_PRE_COPY,		VFM_PRE_COPY_P2P,	P2P | PRE, 0,  false },
	{ VFM_PRE_COPY_P2P,	VFM_PRE_COPY,		P2P | PRE, 0,  false },
	{ VFM_PRE_COPY_P2P,	VFM_STOP_COPY,		P2P | PRE, 0,  false },
	{ VFM_STOP_COPY,	VFM_PRE_COPY,		PRE | BACK, P2P, false },
	{ VFM_STOP_COPY,	VFM_PRE_COPY_P2P,	P2P | PRE | BACK, 0, false },
};

static const struct vfm_arc *vfm_arc(u64 flags, u32 from, u32 to)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(arcs); i++)
		if (arcs[i].from == from && arcs[i].to == to &&
		    (flags & arcs[i].with) == arcs[i].with &&
		    !(flags & arcs[i].without))
			return &arcs[i];
	return NULL;
}

bool vfm_arc_exists(u64 flags, u32 from, u32 to)
{
	return vfm_arc(flags, from, to);
}

bool vfm_arc_opens(u32 from, u32 to)
{
	const struct vfm_arc *arc = vfm_arc(P2P | PRE, from, to);

	return arc && arc->opens;
}

bool vfm_arc_ends(u32 from, u32 to)
{
	return from == VFM_RESUMING ||
	       (vfm_in_saving_group(from) && !vfm_in_saving_group(to));
}

static bool vfm_path_is_legal(const struct vfm_path *path)
{
	bool inside = true, interior = false;
	unsigned int i;

	for (i = 0; i <= path->arcs; i++) {
		bool saving = vfm_in_saving_group(path->state[i]);

		inside &= saving;
		if (i && i < path->arcs)
			interior |= saving;
		if (i && i < path->arcs &&
		    vfm_arc_opens(path->state[i - 1], path->state[i]))
			return false;
	}
	return inside || !interior;
}

/* The two ways that the protocol blocks although arcs would lead there. */
static bool vfm_pair_is_blocked(u64 flags, u32 from, u32 to)
{
	return from == VFM_ERROR || to == VFM_ERROR ||
	       (from == VFM_STOP_COPY && !(flags & BACK) &&
		(to == VFM_PRE_COPY || to == VFM_PRE_COPY_P2P));
}

struct vfm_search {
	u64 flags;
	u32 to;
	struct vfm_path best;
	unsigned int nr_best;
};

static void vfm_search(struct vfm_search *s, const struct vfm_path *path)
{
	u32 next, at = path->state[path->arcs];
	struct vfm_path longer = *path;
	unsigned int i;

	if (at == s->to) {
		if (!vfm_path_is_legal(path) ||
		    (s->best.arcs && path->arcs > s->best.arcs))
			return;
		s->nr_best = path->arcs == s->best.arcs ? s->nr_best + 1 : 1;
		s->best = *path;
		return;
	}

	longer.arcs++;
	for (next = 0; next < VFM_NR_STATES; next++) {
		for (i = 0; i <= path->arcs; i++)
			if (path->state[i] == next)
				break;
		if (i <= path->arcs || !vfm_arc(s->flags, at, next))
			continue;
		longer.state[longer.arcs] = next;
		vfm_search(s, &longer);
	}
}

struct vfm_path vfm_find_path(u64 flags, u32 from, u32 to)
{
	struct vfm_search s = { .flags = flags, .to = to };
	struct vfm_path start = { .state = { from } };

	if (vfm_pair_is_blocked(flags, from, to))
		return s.best;
	vfm_search(&s, &start);
	VFIO_ASSERT_LE(s.nr_best, 1, "two shortest paths from %s to %s",
		       vfm_state_name(from), vfm_state_name(to));
	return s.best;
}

bool vfm_path_ends_session(const struct vfm_path *path, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (vfm_arc_ends(path->state[i], path->state[i + 1]))
			return true;
	return false;
}

u32 vfm_unwind_state(const struct vfm_path *path, unsigned int n)
{
	return path->state[vfm_path_ends_session(path, n) ? n : 0];
}

u32 vfm_arcs_go(struct vfm_arcs *arcs, struct vfm_device *dev, u32 from, u32 to)
{
	struct vfm_path path;
	unsigned int i;

	if (!vfm_supports(dev, to))
		return from;
	path = vfm_find_path(dev->flags, from, to);
	for (i = 0; i < path.arcs; i++) {
		arcs->nr += !arcs->taken[path.state[i]][path.state[i + 1]];
		arcs->taken[path.state[i]][path.state[i + 1]] = true;
	}
	return to;
}
