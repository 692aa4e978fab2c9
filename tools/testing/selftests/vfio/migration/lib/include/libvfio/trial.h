/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A good stream, what a test makes of it, and the device that is to refuse that.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TRIAL_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TRIAL_H

#include <libvfio/random.h>
#include <libvfio/stream.h>

struct vfm_trial {
	struct vfm_device *dev;		/* the destination, in RUNNING */
	struct vfm_buf good;
	struct vfm_buf bad;		/* the test's, presented to @dev */
	struct vfm_stream parsed;	/* of @good */
	struct vfm_rng rng;
	u64 fresh;			/* hash of @dev after a reset */
	unsigned int refused;		/* streams, so far */
};

/* Opened, with the smallest window. */
struct vfm_device *vfm_trial_device(const char *type, u64 size);
void vfm_trial_init(struct vfm_trial *t, const char *type, u64 size);
void vfm_trial_exit(struct vfm_trial *t);

/*
 * The device refuses t->bad with @err, in a write or in the SET that leaves
 * RESUMING, and nothing of it is left after a reset. @what and @where, which
 * describe the change, are for the log.
 */
void vfm_trial_refused(struct vfm_trial *t, int err, const char *what,
		       size_t where);

/* The second half of it, for a test that looks closer: counts, and leaves STOP. */
void vfm_trial_clean(struct vfm_trial *t);

/* t->bad is t->good cut off before byte @len. */
void vfm_trial_cut(struct vfm_trial *t, size_t len);
/* t->bad gets section @i of t->good at its end. */
void vfm_trial_append(struct vfm_trial *t, size_t i);
/* t->bad is t->good with section @i left out, sent twice, or behind the next. */
void vfm_trial_drop(struct vfm_trial *t, size_t i);
void vfm_trial_repeat(struct vfm_trial *t, size_t i);
void vfm_trial_swap(struct vfm_trial *t, size_t i);

/* t->bad is t->good, to forge one of its headers. */
struct vfio_mig_stream_header *vfm_trial_header(struct vfm_trial *t);
struct vfio_mig_section_header *vfm_trial_section(struct vfm_trial *t, size_t i);

#endif
