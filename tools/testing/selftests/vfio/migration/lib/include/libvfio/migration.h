/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Migration extension of libvfio: a device that is opened through whatever this
 * kernel offers (cdev and iommufd, or group and type1), its migration states,
 * its data fds.
 *
 * Calls come in three forms: __vfm_x() returns 0 or -errno, vfm_x() asserts
 * success and gives the result, if it is one that can be given, and vfm_x_err()
 * asserts one errno, which is its last argument.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGRATION_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGRATION_H

#include <poll.h>
#include <sys/types.h>

#include <linux/vfio.h>

#include <libvfio/assert.h>
#include <libvfio/random.h>

#define VFM_NR_STATES	8
#define VFM_NR_BARS	6

#define VFM_ERROR		VFIO_DEVICE_STATE_ERROR
#define VFM_STOP		VFIO_DEVICE_STATE_STOP
#define VFM_RUNNING		VFIO_DEVICE_STATE_RUNNING
#define VFM_STOP_COPY		VFIO_DEVICE_STATE_STOP_COPY
#define VFM_RESUMING		VFIO_DEVICE_STATE_RESUMING
#define VFM_RUNNING_P2P		VFIO_DEVICE_STATE_RUNNING_P2P
#define VFM_PRE_COPY		VFIO_DEVICE_STATE_PRE_COPY
#define VFM_PRE_COPY_P2P	VFIO_DEVICE_STATE_PRE_COPY_P2P

enum vfm_via {
	VFM_VIA_AUTO,		/* the cdev if there is one */
	VFM_VIA_GROUP,
	VFM_VIA_CDEV,
};

struct vfm_device {
	char uuid[37];		/* its name on the bus: an mdev's uuid, or a PCI address */
	enum vfm_via via;
	bool created;		/* by this process, which removes it */
	int fd;			/* the device, -1 while closed */
	int group;		/* group path only, else -1 */
	int container;		/* container or iommufd */
	u32 ioas;		/* iommufd only, 0 until there is DMA */
	u64 flags;		/* VFIO_MIGRATION_*, valid since the first open */
	bool reset_works;	/* VFIO_DEVICE_RESET, if reset_known */
	bool reset_known;
	struct vfio_region_info bar[VFM_NR_BARS];
	struct vfio_region_info config;
	struct vfm_device *next;
};

/* A growing buffer that a stream is read into. */
struct vfm_buf {
	u8 *data;
	size_t len;
	size_t size;
};

const char *vfm_state_name(u32 state);

/* The ways to open a device that this kernel has. */
bool vfm_has_cdev(void);
bool vfm_has_group(void);
bool vfm_is_bdf(const char *name);
void vfm_sysfs_path(struct vfm_device *dev, const char *file, char *path,
		    size_t size);

/* Opening and closing; a device that is open is closed first. */
int __vfm_open(struct vfm_device *dev);
void vfm_open(struct vfm_device *dev);
#define vfm_open_err(_dev, _errno) VFM_FAILS(__vfm_open(_dev), _errno)
void vfm_close(struct vfm_device *dev);
static inline void vfm_reopen(struct vfm_device *dev)
{
	vfm_close(dev);
	vfm_open(dev);
}

/* The feature ioctl; @flags holds the index and GET, SET or PROBE. */
int __vfm_feature(int fd, u32 flags, void *data, size_t len);
int __vfm_feature_argsz(int fd, u32 flags, void *data, size_t len,
			u32 argsz);
#define vfm_feature(_fd, _flags, _data, _len) \
	VFM_SUCCEEDS(__vfm_feature(_fd, _flags, _data, _len))
#define vfm_feature_err(_fd, _flags, _data, _len, _errno) \
	VFM_FAILS(__vfm_feature(_fd, _flags, _data, _len), _errno)
#define vfm_feature_argsz(_fd, _flags, _data, _len, _argsz) \
	VFM_SUCCEEDS(__vfm_feature_argsz(_fd, _flags, _data, _len, _argsz))
#define vfm_feature_argsz_err(_fd, _flags, _data, _len, _argsz, _errno) \
	VFM_FAILS(__vfm_feature_argsz(_fd, _flags, _data, _len, _argsz), _errno)

int __vfm_get_state(struct vfm_device *dev, u32 *state);
int __vfm_set_state(struct vfm_device *dev, u32 state, int *data_fd);
int __vfm_migration_flags(struct vfm_device *dev, u64 *flags);
int __vfm_data_size(struct vfm_device *dev, u64 *size);
int __vfm_precopy_info(int data_fd, struct vfio_precopy_info *info);
int __vfm_reset(struct vfm_device *dev);

#define vfm_get_state(_dev) ({						\
	u32 __state = ~0U;						\
									\
	VFM_SUCCEEDS(__vfm_get_state(_dev, &__state));			\
	__state;							\
})
#define vfm_get_state_err(_dev, _errno) do {				\
	u32 __state;							\
									\
	VFM_FAILS(__vfm_get_state(_dev, &__state), _errno);		\
} while (0)

#define vfm_assert_state(_dev, _state) do {				\
	u32 __want = (_state), __have = vfm_get_state(_dev);	\
									\
	VFIO_ASSERT_EQ(__have, __want, "in %s, not in %s",		\
		       vfm_state_name(__have), vfm_state_name(__want));	\
} while (0)

/* Gives the data fd, or -1 if the transition has none. */
#define vfm_set_state(_dev, _state) ({					\
	u32 __to = (_state);					\
	int __data_fd = -2;						\
	int __set_ret = __vfm_set_state(_dev, __to, &__data_fd);	\
									\
	VFIO_ASSERT_EQ(__set_ret, 0, "SET %s: %s", vfm_state_name(__to), \
		       strerror(-__set_ret));				\
	__data_fd;							\
})

/* For transitions that must come without one. */
#define vfm_set_state_nofd(_dev, _state) do {				\
	int __nofd = vfm_set_state(_dev, _state);			\
									\
	VFIO_ASSERT_EQ(__nofd, -1);					\
} while (0)

#define vfm_set_state_err(_dev, _state, _errno) do {			\
	u32 __to = (_state);					\
	int __data_fd = -2;						\
	int __set_ret = __vfm_set_state(_dev, __to, &__data_fd);	\
									\
	VFIO_ASSERT_EQ(__set_ret, -(_errno), "SET %s: wanted %s, got %s", \
		       vfm_state_name(__to), strerror(_errno),		\
		       strerror(-__set_ret));				\
} while (0)

#define vfm_migration_flags(_dev) ({					\
	u64 __flags = 0;						\
									\
	VFM_SUCCEEDS(__vfm_migration_flags(_dev, &__flags));		\
	__flags;							\
})
#define vfm_migration_flags_err(_dev, _errno) do {			\
	u64 __flags;							\
									\
	VFM_FAILS(__vfm_migration_flags(_dev, &__flags), _errno);	\
} while (0)

#define vfm_data_size(_dev) ({						\
	u64 __size = 0;							\
									\
	VFM_SUCCEEDS(__vfm_data_size(_dev, &__size));			\
	__size;								\
})
#define vfm_data_size_err(_dev, _errno) do {				\
	u64 __size;							\
									\
	VFM_FAILS(__vfm_data_size(_dev, &__size), _errno);		\
} while (0)

#define vfm_precopy_info(_fd, _info) \
	VFM_SUCCEEDS(__vfm_precopy_info(_fd, _info))
#define vfm_precopy_info_err(_fd, _info, _errno) \
	VFM_FAILS(__vfm_precopy_info(_fd, _info), _errno)

#define vfm_reset(_dev) VFM_SUCCEEDS(__vfm_reset(_dev))
#define vfm_reset_err(_dev, _errno) VFM_FAILS(__vfm_reset(_dev), _errno)

/*
 * Takes a device in RUNNING to @state and gives the data fd that belongs to the
 * state, or -1. ERROR is reached the way that any device must offer: leaving
 * RESUMING without a stream.
 */
int vfm_enter(struct vfm_device *dev, u32 state);

/* Whether the device has @state at all, from its capability flags. */
bool vfm_supports(struct vfm_device *dev, u32 state);
static inline bool vfm_in_saving_group(u32 state)
{
	return state == VFM_STOP_COPY || state == VFM_PRE_COPY ||
	       state == VFM_PRE_COPY_P2P;
}

static inline bool vfm_has_session(u32 state)
{
	return vfm_in_saving_group(state) || state == VFM_RESUMING;
}

/* Of the first 256, those that this process has open. */
unsigned int vfm_nr_fds(void);

/* I/O on a data fd, with -errno instead of errno. */
ssize_t vfm_read(int fd, void *buf, size_t len);
ssize_t vfm_read_nowait(int fd, void *buf, size_t len);
ssize_t vfm_write(int fd, const void *buf, size_t len);
short vfm_poll(int fd, short events, int timeout_ms);
void vfm_nonblock(int fd, bool on);
size_t vfm_fionread(int fd);
/* Bytes of kernel memory that the session says it holds. */
u64 vfm_session_holds(int fd);
/* Bytes of the stream that it has made or taken, by its own account. */
u64 vfm_session_bytes(int fd);
/* Errno that waits behind what is queued, 0 if none. */
int vfm_session_error(int fd);

void vfm_buf_free(struct vfm_buf *buf);
void *vfm_buf_room(struct vfm_buf *buf, size_t len);

/*
 * Reads to the end of the stream or the first error, appending to @buf, and
 * returns 0 or -errno. Segments are of random length if @rng is given, of 64 KiB
 * otherwise.
 */
int __vfm_drain(int fd, struct vfm_buf *buf, struct vfm_rng *rng);
#define vfm_drain(_fd, _buf, _rng) \
	VFM_SUCCEEDS(__vfm_drain(_fd, _buf, _rng))
#define vfm_drain_err(_fd, _buf, _rng, _errno) \
	VFM_FAILS(__vfm_drain(_fd, _buf, _rng), _errno)

/* Writes all of it, in segments as above; *@done is what was taken. */
int __vfm_feed(int fd, const void *data, size_t len, struct vfm_rng *rng,
	       size_t *done);
#define vfm_feed(_fd, _data, _len, _rng) \
	VFM_SUCCEEDS(__vfm_feed(_fd, _data, _len, _rng, NULL))
/* Gives what was taken before. */
#define vfm_feed_err(_fd, _data, _len, _rng, _errno) ({			\
	size_t __taken = 0;						\
									\
	VFM_FAILS(__vfm_feed(_fd, _data, _len, _rng, &__taken), _errno); \
	__taken;							\
})

/* A whole save from the current state; leaves the device in STOP. */
void vfm_save(struct vfm_device *dev, struct vfm_buf *buf, struct vfm_rng *rng);
/*
 * A whole restore from the current state into STOP. Returns the first error of
 * a write or of leaving RESUMING, wherever the stream is refused.
 */
int __vfm_restore(struct vfm_device *dev, const void *data, size_t len,
		  struct vfm_rng *rng);
#define vfm_restore(_dev, _buf, _rng) \
	VFM_SUCCEEDS(__vfm_restore(_dev, (_buf)->data, (_buf)->len, _rng))
#define vfm_restore_err(_dev, _buf, _rng, _errno) \
	VFM_FAILS(__vfm_restore(_dev, (_buf)->data, (_buf)->len, _rng), _errno)

/* BAR access through the device fd; the length accessed or -errno. */
ssize_t __vfm_bar_read(struct vfm_device *dev, int bar, u64 off, void *buf,
		       size_t len);
ssize_t __vfm_bar_write(struct vfm_device *dev, int bar, u64 off,
			const void *buf, size_t len);
void vfm_bar_read(struct vfm_device *dev, int bar, u64 off, void *buf,
		  size_t len);
void vfm_bar_write(struct vfm_device *dev, int bar, u64 off,
		   const void *buf, size_t len);
void vfm_config_read(struct vfm_device *dev, u64 off, void *buf, size_t len);
void vfm_config_write(struct vfm_device *dev, u64 off, const void *buf, size_t len);

#endif
