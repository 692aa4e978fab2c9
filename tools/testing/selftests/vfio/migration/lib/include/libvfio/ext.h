/* SPDX-License-Identifier: GPL-2.0-only */
/* The extensions of <linux/vfio_migration.h>, and PRECOPY_INFOv2. */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_EXT_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_EXT_H

#include <linux/vfio_migration.h>

#include <libvfio/migration.h>

/* GET, SET or PROBE of one of them; @data may be NULL if @len is 0. */
int __vfm_ext(struct vfm_device *dev, u32 op, u32 index, void *data,
	      size_t len);

/*
 * What all of them refuse, in a state in which it would succeed with the @len bytes
 * at @data: another operation, a length that is too short, bytes beyond @len that are
 * not 0, memory that is not the caller's or cannot be written. None of it may have
 * an effect, which is for the caller to check.
 */
void vfm_check_refusals(struct vfm_device *dev, u32 op, u32 index,
			const void *data, size_t len);
/* Longer than @len, with zeros: what a newer client says. */
int __vfm_ext_longer(struct vfm_device *dev, u32 op, u32 index, void *data,
		     size_t len);

int __vfm_query_path(struct vfm_device *dev, u32 from, u32 to,
		     struct vfio_device_feature_migx_path *path);
/* *@fd is -1 on failure. */
int __vfm_begin_drain(struct vfm_device *dev, int *fd);
int __vfm_allow_copy_back(struct vfm_device *dev);
int __vfm_ask_reinit(struct vfm_device *dev);
int __vfm_last_error(struct vfm_device *dev,
		     struct vfio_device_feature_migx_last_error *error);

struct vfio_device_feature_migx_last_error
vfm_last_error(struct vfm_device *dev);

/* Whether it is as wanted; @reason is a part of it, and any will do if NULL. */
void vfm_assert_last_error(struct vfm_device *dev, int error, u32 from, u32 to,
			   u32 state, u64 offset, const char *reason);

#endif
