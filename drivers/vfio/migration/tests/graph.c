// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the state machine, the naive way
 *
 * The core has a table. Here is what the table has to follow from: the arcs, each
 * with the capabilities that bring it and that replace it (A3, A11), and a search that
 * tries all ways of one step, then all of two steps, and so on, and leaves out
 * those that the rules forbid (A2, A4). It shares nothing with the core but the
 * numbers of the states.
 */
#include <linux/kernel.h>
#include <linux/vfio.h>

#include "../private.h"
#include "graph.h"

#define P2P	VFIO_MIGRATION_P2P
#define PREC	VFIO_MIGRATION_PRE_COPY
#define BACK	VFIO_MIG_COPY_BACK

/* All arcs of all devices: what they need, and what does away with them. */
static const struct {
	u8 from;
	u8 to;
	unsigned int needs;
	unsigned int unless;
} migt_arcs[] = {
	{ VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP, 0, P2P },
	{ VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RUNNING, 0, P2P },
	{ VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING_P2P, P2P },
	{ VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_RUNNING, P2P },
	{ VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP, P2P },
	{ VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RUNNING_P2P, P2P },
	{ VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY },
	{ VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP },
	{ VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_RESUMING },
	{ VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_STOP },
	{ VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_PRE_COPY, PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_RUNNING, PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_STOP_COPY, PREC, P2P },
	{ VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P,
	  P2P | PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_RUNNING_P2P,
	  P2P | PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P,
	  P2P | PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_PRE_COPY,
	  P2P | PREC },
	{ VFIO_DEVICE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_STOP_COPY,
	  P2P | PREC },
	{ VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_PRE_COPY_P2P,
	  P2P | PREC | BACK },
	{ VFIO_DEVICE_STATE_STOP_COPY, VFIO_DEVICE_STATE_PRE_COPY,
	  PREC | BACK, P2P },
};

static const struct {
	const char *name;
	unsigned int needs;
} migt_states[] = {
	[VFIO_DEVICE_STATE_ERROR]	= { "ERROR" },
	[VFIO_DEVICE_STATE_STOP]	= { "STOP" },
	[VFIO_DEVICE_STATE_RUNNING]	= { "RUNNING" },
	[VFIO_DEVICE_STATE_STOP_COPY]	= { "STOP_COPY" },
	[VFIO_DEVICE_STATE_RESUMING]	= { "RESUMING" },
	[VFIO_DEVICE_STATE_RUNNING_P2P]	= { "RUNNING_P2P", P2P },
	[VFIO_DEVICE_STATE_PRE_COPY]	= { "PRE_COPY", PREC },
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = { "PRE_COPY_P2P", P2P | PREC },
};

/**
 * migt_name - a state's name
 * @state: any number
 *
 * Return: a constant string.
 */
const char *migt_name(u32 state)
{
	return state < ARRAY_SIZE(migt_states) ? migt_states[state].name : "?";
}

/**
 * migt_has_state - can a device be in a state (A3)
 * @flags: VFIO_MIGRATION_* that it offers, and VFIO_MIG_COPY_BACK
 * @state: any number
 *
 * Return: true if so, also for ERROR.
 */
bool migt_has_state(unsigned int flags, u32 state)
{
	return state < ARRAY_SIZE(migt_states) &&
	       !(migt_states[state].needs & ~flags);
}

static bool migt_offers(unsigned int flags, unsigned int i)
{
	return !(migt_arcs[i].needs & ~flags) && !(migt_arcs[i].unless & flags);
}

/**
 * migt_has_arc - is a step one that the driver makes (A3)
 * @flags: VFIO_MIGRATION_* that it offers, and VFIO_MIG_COPY_BACK
 * @from: where the step starts
 * @to: where it leads
 *
 * Return: true if so.
 */
bool migt_has_arc(unsigned int flags, u32 from, u32 to)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(migt_arcs); i++)
		if (migt_arcs[i].from == from && migt_arcs[i].to == to)
			return migt_offers(flags, i);

	return false;
}

/**
 * migt_is_saving - does a state belong to the saving group
 * @state: any number
 *
 * Return: true if so.
 */
bool migt_is_saving(u32 state)
{
	return state == VFIO_DEVICE_STATE_STOP_COPY ||
	       state == VFIO_DEVICE_STATE_PRE_COPY ||
	       state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

/**
 * migt_opens - does an arc return a data fd (B1)
 * @from: where it starts
 * @to: where it leads
 *
 * Return: true if so.
 */
bool migt_opens(u32 from, u32 to)
{
	return (from == VFIO_DEVICE_STATE_RUNNING &&
		to == VFIO_DEVICE_STATE_PRE_COPY) ||
	       (from == VFIO_DEVICE_STATE_RUNNING_P2P &&
		to == VFIO_DEVICE_STATE_PRE_COPY_P2P) ||
	       (from == VFIO_DEVICE_STATE_STOP &&
		to == VFIO_DEVICE_STATE_STOP_COPY) ||
	       (from == VFIO_DEVICE_STATE_STOP &&
		to == VFIO_DEVICE_STATE_RESUMING);
}

/**
 * migt_ends - does an arc end the session of the state that it leaves (B1)
 * @from: where it starts
 * @to: where it leads
 *
 * Return: true if so.
 */
bool migt_ends(u32 from, u32 to)
{
	return (from == VFIO_DEVICE_STATE_PRE_COPY &&
		to == VFIO_DEVICE_STATE_RUNNING) ||
	       (from == VFIO_DEVICE_STATE_PRE_COPY_P2P &&
		to == VFIO_DEVICE_STATE_RUNNING_P2P) ||
	       (from == VFIO_DEVICE_STATE_STOP_COPY &&
		to == VFIO_DEVICE_STATE_STOP) ||
	       (from == VFIO_DEVICE_STATE_RESUMING &&
		to == VFIO_DEVICE_STATE_STOP);
}

/*
 * A2: no saving state is an interior step, unless all of the path are saving
 * states. A4: there is no other way from one of them to another.
 */
static bool migt_allowed(const struct migt_path *path)
{
	bool inside = migt_is_saving(path->state[0]) &&
		      migt_is_saving(path->state[path->nr]);
	unsigned int i;

	for (i = 1; i < path->nr; i++)
		if (migt_is_saving(path->state[i]) != inside)
			return false;

	return true;
}

static bool migt_visited(const struct migt_path *path, u32 state)
{
	unsigned int i;

	for (i = 0; i <= path->nr; i++)
		if (path->state[i] == state)
			return true;

	return false;
}

/* Try all that goes on from @path. Return: how many ways of @steps there are. */
static unsigned int migt_search(unsigned int flags, struct migt_path *path,
				unsigned int steps, u32 to,
				struct migt_path *found)
{
	u32 at = path->state[path->nr];
	unsigned int i, ways = 0;

	if (path->nr == steps) {
		if (at != to || !migt_allowed(path))
			return 0;
		*found = *path;
		return 1;
	}
	for (i = 0; i < ARRAY_SIZE(migt_arcs); i++) {
		if (migt_arcs[i].from != at || !migt_offers(flags, i) ||
		    migt_visited(path, migt_arcs[i].to))
			continue;
		path->state[++path->nr] = migt_arcs[i].to;
		ways += migt_search(flags, path, steps, to, found);
		path->nr--;
	}

	return ways;
}

/**
 * migt_find_path - the shortest way between two states
 * @flags: VFIO_MIGRATION_* that the device offers, and VFIO_MIG_COPY_BACK
 * @from: any number
 * @to: any number
 * @path: set to the way, if there is one
 *
 * Return: how many ways of that length there are, 0 if there is none.
 */
unsigned int migt_find_path(unsigned int flags, u32 from, u32 to,
			    struct migt_path *path)
{
	struct migt_path start = { .state = { from } };
	unsigned int steps, ways = 0;

	if (from == VFIO_DEVICE_STATE_ERROR || to == VFIO_DEVICE_STATE_ERROR ||
	    !migt_has_state(flags, from) || !migt_has_state(flags, to))
		return 0;
	for (steps = 0; !ways && steps < ARRAY_SIZE(migt_states) - 1; steps++)
		ways = migt_search(flags, &start, steps, to, path);

	return ways;
}
