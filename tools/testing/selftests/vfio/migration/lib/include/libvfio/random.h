/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reproducible randomness. Every generator starts from the seed that is printed
 * when it is first asked for; VFM_SEED overrides it.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RANDOM_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RANDOM_H

#include <libvfio/types.h>

struct vfm_rng {
	u64 state;
};

/* The seed of this run, for what is said about a failure. */
u64 vfm_seed(void);
/* Starts from it; @salt keeps the users of one process apart. */
struct vfm_rng vfm_rng(u64 salt);
u64 vfm_random(struct vfm_rng *rng);

/* Uniform in [0, n). */
static inline u64 vfm_random_below(struct vfm_rng *rng, u64 n)
{
	return n ? vfm_random(rng) % n : 0;
}

/* A segment length in [1, max]: as often tiny as page sized as large. */
size_t vfm_random_segment(struct vfm_rng *rng, size_t max);

#endif
