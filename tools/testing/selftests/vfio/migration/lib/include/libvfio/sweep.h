/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A call on an open device of which every allocation and every copy from or to user
 * space fails once, as iommufd_fail_nth does it. The call says so, or does without, and
 * leaves no file behind.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SWEEP_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_SWEEP_H

#include <libvfio/stream.h>

struct vfm_sweep {
	struct vfm_device *dev, *other;
	struct vfm_buf good;		/* a stream that @other can load */
	struct vfm_buf got;
	u64 hash;			/* of @dev */
	int fd;				/* of its session, or -1 */
	int event;
	int pipe[2];
	unsigned int points;		/* what failed, so far */
};

/* This process' own memory is locked: its faults are not what is looked for. */
void vfm_sweep_init(struct vfm_sweep *s, const char *type);
/* Counts the points, of which there have to be some; after init or a skipped one. */
void vfm_sweep_exit(struct vfm_sweep *s);

/* What an allocation or a copy that failed makes of a call. */
bool vfm_short_of_memory(int err);

/*
 * Does what @run does until nothing of it is left to fail. @check, which may be NULL,
 * gets what @run returned.
 */
void vfm_sweep(struct vfm_sweep *s, const char *name,
	       void (*prepare)(struct vfm_sweep *s),
	       int (*run)(struct vfm_sweep *s),
	       void (*check)(struct vfm_sweep *s, int ret));

/* Where to begin: without a session, or with a new one of s->dev in s->fd. */
void vfm_sweep_in_running(struct vfm_sweep *s);
void vfm_sweep_in_stop_copy(struct vfm_sweep *s);
void vfm_sweep_in_pre_copy(struct vfm_sweep *s);
void vfm_sweep_in_resuming(struct vfm_sweep *s);
void vfm_sweep_end_session(struct vfm_sweep *s);

void vfm_sweep_empty_pipe(struct vfm_sweep *s);

#endif
