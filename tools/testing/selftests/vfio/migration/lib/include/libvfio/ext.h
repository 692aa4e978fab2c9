/* SPDX-License-Identifier: GPL-2.0-only */
/* The extensions of <linux/vfio_migration.h>, and PRECOPY_INFOv2. */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_EXT_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_EXT_H

#include <linux/vfio_migration.h>

#include <libvfio/migration.h>

/* GET, SET or PROBE of one of them; @data may be NULL if @len is 0. */
int __vfm_ext(struct vfm_device *dev, u32 op, u32 index, void *data,
	      size_t len);
#define vfm_ext(_dev, _op, _index, _data, _len) \
	VFM_SUCCEEDS(__vfm_ext(_dev, _op, _index, _data, _len))
#define vfm_ext_err(_dev, _op, _index, _data, _len, _errno) \
	VFM_FAILS(__vfm_ext(_dev, _op, _index, _data, _len), _errno)

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
#define vfm_ext_longer(_dev, _op, _index, _data, _len) \
	VFM_SUCCEEDS(__vfm_ext_longer(_dev, _op, _index, _data, _len))
#define vfm_ext_longer_err(_dev, _op, _index, _data, _len, _errno) \
	VFM_FAILS(__vfm_ext_longer(_dev, _op, _index, _data, _len), _errno)

int __vfm_query_path(struct vfm_device *dev, u32 from, u32 to,
		     struct vfio_device_feature_migx_path *path);
/* *@fd is -1 on failure. */
int __vfm_begin_drain(struct vfm_device *dev, int *fd);
int __vfm_allow_copy_back(struct vfm_device *dev);
int __vfm_ask_reinit(struct vfm_device *dev);
int __vfm_last_error(struct vfm_device *dev,
		     struct vfio_device_feature_migx_last_error *error);

#define vfm_query_path(_dev, _from, _to) ({				\
	struct vfio_device_feature_migx_path __path;			\
									\
	VFM_SUCCEEDS(__vfm_query_path(_dev, _from, _to, &__path));	\
	__path;								\
})
#define vfm_query_path_err(_dev, _from, _to, _errno) do {		\
	struct vfio_device_feature_migx_path __path;			\
									\
	VFM_FAILS(__vfm_query_path(_dev, _from, _to, &__path), _errno);	\
} while (0)

#define vfm_begin_drain(_dev) ({					\
	int __drain_fd = -1;						\
									\
	VFM_SUCCEEDS(__vfm_begin_drain(_dev, &__drain_fd));		\
	VFIO_ASSERT_GE(__drain_fd, 0);					\
	__drain_fd;							\
})
#define vfm_begin_drain_err(_dev, _errno) do {				\
	int __drain_fd;							\
									\
	VFM_FAILS(__vfm_begin_drain(_dev, &__drain_fd), _errno);	\
} while (0)

#define vfm_allow_copy_back(_dev) \
	VFM_SUCCEEDS(__vfm_allow_copy_back(_dev))
#define vfm_allow_copy_back_err(_dev, _errno) \
	VFM_FAILS(__vfm_allow_copy_back(_dev), _errno)

#define vfm_ask_reinit(_dev) VFM_SUCCEEDS(__vfm_ask_reinit(_dev))
#define vfm_ask_reinit_err(_dev, _errno) \
	VFM_FAILS(__vfm_ask_reinit(_dev), _errno)

struct vfio_device_feature_migx_last_error
vfm_last_error(struct vfm_device *dev);
#define vfm_last_error_err(_dev, _errno) do {				\
	struct vfio_device_feature_migx_last_error __last;		\
									\
	VFM_FAILS(__vfm_last_error(_dev, &__last), _errno);		\
} while (0)

/* Whether it is as wanted; @reason is a part of it, and any will do if NULL. */
void vfm_assert_last_error(struct vfm_device *dev, int error, u32 from, u32 to,
			   u32 state, u64 offset, const char *reason);

#endif
