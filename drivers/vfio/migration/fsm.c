// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: the state machine as a table
 *
 * The table holds, for the device that has every optional state, the first arc
 * of the path from each state to each other one. Two rules give the paths (A2):
 * the shortest wins, and no saving state is an interior step unless the whole
 * path stays among the saving states. All fifteen arcs are the entries whose
 * value is their own target.
 *
 * For the other three capability sets no table of their own is needed: an optional
 * state is never where a path branches, so a step into a state that the device
 * lacks is replaced by the step that follows it. The arcs that only the reduced
 * graphs have (RUNNING <-> STOP, PRE_COPY -> STOP_COPY) arise this way.
 *
 * ERROR stands for "no way".
 */
#include <kunit/visibility.h>

#include "private.h"

#define NR_STATES	VFIO_MIG_NR_STATES

#define E		VFIO_DEVICE_STATE_ERROR
#define STOP		VFIO_DEVICE_STATE_STOP
#define RUN		VFIO_DEVICE_STATE_RUNNING
#define SCOPY		VFIO_DEVICE_STATE_STOP_COPY
#define RESUM		VFIO_DEVICE_STATE_RESUMING
#define RUNP		VFIO_DEVICE_STATE_RUNNING_P2P
#define PRE		VFIO_DEVICE_STATE_PRE_COPY
#define PREP		VFIO_DEVICE_STATE_PRE_COPY_P2P

static const u8 vfio_mig_first_arc[NR_STATES][NR_STATES] = {
	/* to:     ERROR STOP  RUN   SCOPY  RESUM  RUNP  PRE   PREP */
	[E]     = { E,   E,    E,    E,     E,     E,    E,    E    },
	[STOP]  = { E,   STOP, RUNP, SCOPY, RESUM, RUNP, RUNP, RUNP },
	[RUN]   = { E,   RUNP, RUN,  RUNP,  RUNP,  RUNP, PRE,  RUNP },
	[SCOPY] = { E,   STOP, STOP, SCOPY, STOP,  STOP, E,    E    },
	[RESUM] = { E,   STOP, STOP, STOP,  RESUM, STOP, STOP, STOP },
	[RUNP]  = { E,   STOP, RUN,  STOP,  STOP,  RUNP, RUN,  PREP },
	[PRE]   = { E,   RUN,  RUN,  PREP,  RUN,   RUN,  PRE,  PREP },
	[PREP]  = { E,   RUNP, RUNP, SCOPY, RUNP,  RUNP, PRE,  PREP },
};

static const char * const vfio_mig_names[NR_STATES] = {
	[E] = "ERROR", [STOP] = "STOP", [RUN] = "RUNNING",
	[SCOPY] = "STOP_COPY", [RESUM] = "RESUMING", [RUNP] = "RUNNING_P2P",
	[PRE] = "PRE_COPY", [PREP] = "PRE_COPY_P2P",
};

/* What a device must offer to have the state. */
static unsigned int vfio_mig_needs(unsigned int state)
{
	switch (state) {
	case RUNP:
		return VFIO_MIGRATION_P2P;
	case PRE:
		return VFIO_MIGRATION_PRE_COPY;
	case PREP:
		return VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
	default:
		return 0;
	}
}

static bool vfio_mig_has_state(unsigned int flags, unsigned int state)
{
	return state < NR_STATES &&
	       (flags & vfio_mig_needs(state)) == vfio_mig_needs(state);
}

/* The way back from STOP_COPY is an extension, and not in the table (A11). */
static unsigned int vfio_mig_step(unsigned int flags, unsigned int from,
				  unsigned int to)
{
	if ((flags & VFIO_MIG_COPY_BACK) && from == SCOPY &&
	    vfio_mig_precopy(to))
		return PREP;

	return vfio_mig_first_arc[from][to];
}

/**
 * vfio_mig_next_arc - the first arc of the path between two states
 * @flags: VFIO_MIGRATION_* that the device offers, and VFIO_MIG_COPY_BACK
 * @from: state that the device is in
 * @to: any number, as user space gave it
 *
 * Rule: A2, A3, A4, A11.
 * Return: the state to go to next, @to itself if @from equals it,
 * VFIO_DEVICE_STATE_ERROR if there is no way or no such state.
 */
enum vfio_device_mig_state vfio_mig_next_arc(unsigned int flags,
					     enum vfio_device_mig_state from,
					     unsigned int to)
{
	unsigned int next = from;

	if (!vfio_mig_has_state(flags, from) || !vfio_mig_has_state(flags, to))
		return E;
	do {
		next = vfio_mig_step(flags, next, to);
	} while (!vfio_mig_has_state(flags, next));

	return next;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_next_arc);

/**
 * vfio_mig_is_arc - may the driver be asked for an arc
 * @mig: device
 * @from: any number
 * @to: any number
 *
 * Also if it takes a client that opts in to it (A11).
 *
 * Context: any.
 * Return: true if &vfio_mig_ops.arc may be called with these states.
 */
bool vfio_mig_is_arc(struct vfio_mig *mig, unsigned int from, unsigned int to)
{
	unsigned int flags = mig->flags;

	if (flags & VFIO_MIGRATION_PRE_COPY)
		flags |= VFIO_MIG_COPY_BACK;

	return from != to && to != E && vfio_mig_next_arc(flags, from, to) == to;
}
EXPORT_SYMBOL_GPL(vfio_mig_is_arc);

/**
 * vfio_mig_saving - is it a saving state, in which a session can be read
 * @state: any state
 *
 * Return: true if so.
 */
bool vfio_mig_saving(enum vfio_device_mig_state state)
{
	return state == SCOPY || state == PRE || state == PREP;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_saving);

/**
 * vfio_mig_precopy - is it a saving state in which the device runs
 * @state: any state
 *
 * Return: true if so.
 */
bool vfio_mig_precopy(enum vfio_device_mig_state state)
{
	return state == PRE || state == PREP;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_precopy);

/**
 * vfio_mig_working - is it a state in which the device starts work of any kind
 * @state: any state
 *
 * Return: true if so.
 */
bool vfio_mig_working(enum vfio_device_mig_state state)
{
	return state == RUN || state == PRE;
}

/**
 * vfio_mig_arc_opens - does an arc open a data session (B1)
 * @from: where the arc starts
 * @to: where it leads
 *
 * Return: true if so.
 */
bool vfio_mig_arc_opens(enum vfio_device_mig_state from,
			enum vfio_device_mig_state to)
{
	return to == RESUM || (vfio_mig_saving(to) && !vfio_mig_saving(from));
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_arc_opens);

/**
 * vfio_mig_arc_ends - does an arc end the data session of its start (B1)
 * @from: where the arc starts
 * @to: where it leads
 *
 * Return: true if so.
 */
bool vfio_mig_arc_ends(enum vfio_device_mig_state from,
		       enum vfio_device_mig_state to)
{
	return from == RESUM || (vfio_mig_saving(from) && !vfio_mig_saving(to));
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_arc_ends);

/**
 * vfio_mig_state_name - a state's name, as in the uAPI without its prefix
 * @state: any value
 *
 * Return: a constant string.
 */
const char *vfio_mig_state_name(enum vfio_device_mig_state state)
{
	return state < NR_STATES ? vfio_mig_names[state] : "?";
}
EXPORT_SYMBOL_GPL(vfio_mig_state_name);
