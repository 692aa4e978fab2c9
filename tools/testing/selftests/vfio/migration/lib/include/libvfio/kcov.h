/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which code of the kernel a thread has run, where the kernel was built to tell
 * (CONFIG_KCOV) and the modules, too (KCOV_INSTRUMENT := y in their Makefiles).
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KCOV_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_KCOV_H

#include <libvfio/types.h>

#define VFM_KCOV_SEEN	(1U << 16)

struct vfm_kcov {
	int fd;			/* -1 if the kernel has no kcov */
	unsigned long *cover;	/* how many, then these */
	u64 seen[VFM_KCOV_SEEN];	/* a hash table; 0 is free */
	unsigned int nr_seen;
};

/* False, with errno set, if there is none. */
bool vfm_kcov_init(struct vfm_kcov *kcov);
void vfm_kcov_start(struct vfm_kcov *kcov);
/* How many places were reached since the start that never were before. */
unsigned int vfm_kcov_stop(struct vfm_kcov *kcov);
void vfm_kcov_exit(struct vfm_kcov *kcov);

/* What the last does with what the kernel has written. */
unsigned int vfm_kcov_merge(struct vfm_kcov *kcov, const unsigned long *pcs,
			    size_t nr);

#endif
