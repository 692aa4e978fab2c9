/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every kind of damage that the format tells apart, with what a receiver says of
 * it: the errno of the table in <linux/vfio_migration.h>, and where in the stream.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_DAMAGE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_DAMAGE_H

#include <libvfio/trial.h>

struct vfm_damage {
	const char *name;
	int err;
	bool device;		/* can only be noticed by a device */
	/* Makes t->bad of t->good and returns what LAST_ERROR's offset has to be. */
	size_t (*make)(struct vfm_trial *t);
	const char *reason;	/* in LAST_ERROR's */
};

extern const struct vfm_damage vfm_damages[];	/* up to one without a name */

#define vfm_for_each_damage(_d) \
	for (_d = vfm_damages; (_d)->name; (_d)++)

#endif
