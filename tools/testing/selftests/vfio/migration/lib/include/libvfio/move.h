/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A migration from one device to another as a row of steps, each a single call: for
 * tests that stop, reset, kill or disturb it after any of them.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MOVE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MOVE_H

#include <libvfio/migration.h>

struct vfm_move {
	struct vfm_device *from, *to;
	size_t chunk;			/* bytes of one read or write */
	int save_fd, load_fd;		/* -1 while there is none */
	struct vfm_buf stream;		/* what was read, */
	size_t fed;			/* and what of it was written */
	unsigned int stage;		/* where it is, see move.c */
	unsigned int steps;		/* done so far */
};

/* Both are open and in RUNNING. */
void vfm_move_begin(struct vfm_move *move, struct vfm_device *from,
		    struct vfm_device *to, size_t chunk);
/*
 * The next step. 1 if there are more, 0 after the last, -errno for one that failed and
 * changed nothing of @move, so that the next call does it once more.
 */
int vfm_move_step(struct vfm_move *move);
/* What that will be. */
enum vfm_call { VFM_CALL_SET, VFM_CALL_READ, VFM_CALL_WRITE, VFM_CALL_ASK };
enum vfm_call vfm_move_call(const struct vfm_move *move);
/* How many different arcs it takes @dev through, as the one or as the other. */
unsigned int vfm_move_arcs(struct vfm_device *dev, bool source);
/* Closes the fds and forgets the stream; fine at any point, and twice. */
void vfm_move_end(struct vfm_move *move);

/* All of it, asserting that both have the same state afterwards. */
void vfm_move_all(struct vfm_device *from, struct vfm_device *to);

#endif
