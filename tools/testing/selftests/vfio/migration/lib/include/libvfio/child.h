/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A call in a process of its own, which can be stopped, traced and frozen: what a
 * thread of the test cannot be without the test.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_CHILD_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_CHILD_H

#include <sys/types.h>

#include <libvfio/assert.h>

struct vfm_child {
	pid_t pid;
	int result;		/* pipe that its result comes by */
};

/* What a process does not notice, and its calls may not either. */
struct vfm_pause {
	const char *name;
	/* NULL if the pause can be had here, else why not. */
	const char *(*missing)(void);
	void (*begin)(struct vfm_child *child);
	void (*end)(struct vfm_child *child);
};

#define VFM_NR_PAUSES	3
/* SIGSTOP and SIGCONT, a debugger, the freezer of cgroups. */
extern const struct vfm_pause vfm_pauses[VFM_NR_PAUSES];

void vfm_child_start(struct vfm_child *child, long (*fn)(void *arg), void *arg);
/* Until it sleeps in a call, and goes on doing so; false if it has ended. */
bool vfm_child_blocked(struct vfm_child *child);
/* What its function returned; a child that does not end is a failure. */
long vfm_child_join(struct vfm_child *child);

#endif
