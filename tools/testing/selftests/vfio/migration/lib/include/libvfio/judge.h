/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What any device can be asked to do, with no errno taken for granted that the uAPI
 * does not name. The device is in RUNNING and can be reset, unless said otherwise.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_JUDGE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_JUDGE_H

#include <unistd.h>

#include <libvfio/migration.h>
#include <libvfio/random.h>

/* The states with a session, of which the device may not have all. */
extern const u32 vfm_session_states[4];

#define vfm_for_each_session_state(_dev, _i)				\
	for (_i = 0; _i < 4; _i++)					\
		if (!vfm_supports(_dev, vfm_session_states[_i])) {	\
		} else

/* Reset, and then in @state; *@fd is its data fd or -1. False: it never gets there. */
bool vfm_judge_enter(struct vfm_device *dev, u32 state, int *fd);

/* A whole save that leaves the device in STOP, with nothing said about its length. */
void vfm_judge_save(struct vfm_device *dev, struct vfm_buf *buf,
		    struct vfm_rng *rng);
/*
 * A reset, then a restore of whatever it is: the first error of a write in
 * *@written, the result of SET STOP returned. The device is left as it is.
 */
int vfm_judge_restore(struct vfm_device *dev, const void *data, size_t len,
		      struct vfm_rng *rng, int *written);
/* As above, and both of them have to succeed. */
void vfm_judge_accepts(struct vfm_device *dev, const struct vfm_buf *buf,
		       struct vfm_rng *rng);
/* Less than @n of what moves a whole @stream, if that is long. */
unsigned int vfm_judge_rounds(const struct vfm_buf *stream, unsigned int n);
/* Whatever happened before: it resets, saves, restores and runs. */
void vfm_judge_works(struct vfm_device *dev);

/* The session of @fd is over: no data, no room, no hang. */
void vfm_judge_over(int fd, bool saves);
/* As read(2), but a read that does not return by the deadline is a failure. */
ssize_t vfm_judge_read(int fd, void *buf, size_t len);
ssize_t vfm_judge_write(int fd, const void *buf, size_t len);

static inline void vfm_close_data(int fd)
{
	if (fd >= 0)
		close(fd);
}

#endif
