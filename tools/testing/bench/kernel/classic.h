/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * classic: a device that migrates as mainline's drivers make theirs migrate
 *
 * It is what the migration core is compared with, so it is written as well as that
 * style allows: its own walk over the states, a data fd with plain .read and .write
 * under one mutex that copies a page at a time, an image of the whole state that is
 * allocated in bulk and filled in SET_STATE(STOP_COPY), as the firmware of real
 * devices is asked to do there, and given to the device in RESUMING -> STOP. The
 * stream is the bare state: no framing, no checksum, no check of anything but its
 * length.
 *
 * Beside that, it has the migration region that VFIO had before (region.c).
 *
 * Locks, outermost first: state_mutex, classic_file.lock, memory_lock.
 */
#ifndef _CLASSIC_H
#define _CLASSIC_H

#include <linux/mutex.h>
#include <linux/pci_regs.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

struct file;

#define CLASSIC_BAR_MEMORY	2

/* The old migration region follows those of PCI. */
#define CLASSIC_REGION_V1	VFIO_PCI_NUM_REGIONS
#define CLASSIC_NR_REGIONS	(CLASSIC_REGION_V1 + 1)

#define CLASSIC_OFFSET_SHIFT	40
#define CLASSIC_OFFSET_MASK	((1ULL << CLASSIC_OFFSET_SHIFT) - 1)

/**
 * struct classic_image - a copy of the device's state
 * @pages: room for all of it
 * @nr: of @pages that are allocated
 * @length: bytes that are there
 */
struct classic_image {
	struct page **pages;
	unsigned long nr;
	u64 length;
};

/**
 * struct classic_file - what is behind a data fd
 * @filp: the driver has a reference to it
 * @lock: protects the members below and @filp's position
 * @image: of the state
 * @limit: bytes that @image may have
 * @disabled: the session is over
 */
struct classic_file {
	struct file *filp;
	/* the image, and the position in it */
	struct mutex lock;
	struct classic_image image;
	u64 limit;
	bool disabled;
};

/**
 * struct classic_v1 - the old migration region
 * @saving: the state was put into @image
 * @image: of the state
 * @position: bytes that were read, up to the present chunk
 * @chunk: bytes that the region's window shows
 */
struct classic_v1 {
	bool saving;
	struct classic_image image;
	u64 position;
	u64 chunk;
};

/**
 * struct classic_dev - one device
 * @vdev: what VFIO knows
 * @state_size: bytes of memory; fixed while open
 * @open: the device is open
 * @state_mutex: protects @state, @saving, @resuming, @v1, @open and @state_size
 * @state: of the migration
 * @saving: session, or NULL
 * @resuming: session, or NULL
 * @v1: the old region
 * @memory_lock: protects @memory and what is in it
 * @memory: all pages, allocated at the first open
 */
struct classic_dev {
	struct vfio_device vdev;
	u64 state_size;
	bool open;

	/* the state machine, as in every driver */
	struct mutex state_mutex;
	enum vfio_device_mig_state state;
	struct classic_file *saving;
	struct classic_file *resuming;
	struct classic_v1 v1;

	/* the device's memory */
	struct mutex memory_lock;
	struct classic_image memory;
};

/* main.c */
extern const struct attribute_group *classic_attr_groups[];

/* device.c */
extern const struct vfio_device_ops classic_device_ops;
u64 classic_memory_bar_size(const struct classic_dev *classic);
ssize_t classic_user(const struct classic_image *image, u64 pos,
		     char __user *buf, size_t count, bool write);

/* migration.c */
extern const struct vfio_migration_ops classic_mig_ops;
int classic_image_alloc(struct classic_image *image, u64 limit);
int classic_image_grow(struct classic_image *image, u64 length);
void classic_image_free(struct classic_image *image);
int classic_snapshot(struct classic_dev *classic, struct classic_image *image);
void classic_disable(struct classic_dev *classic);

/* region.c */
ssize_t classic_v1_rw(struct classic_dev *classic, char __user *buf,
		      size_t count, u64 pos, bool write);
void classic_v1_end(struct classic_dev *classic);
u64 classic_v1_size(void);

static inline struct classic_dev *classic_from_vdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct classic_dev, vdev);
}

#endif /* _CLASSIC_H */
