/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The software device: making and configuring it, looking at it from outside,
 * and its fault rules. Nothing in here is part of the migration protocol.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGSIM_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGSIM_H

#include <libvfio/migration.h>

#define MIGSIM_FULL		"migsim-full"
#define MIGSIM_SNAPSHOT		"migsim-snapshot"
#define MIGSIM_PRECOPY		"migsim-precopy"
#define MIGSIM_BASIC		"migsim-basic"

#define MIGSIM_BAR_REGS		0
#define MIGSIM_BAR_MEM		2

/* Longer than any test: what is delayed by this only ends by being ended. */
#define MIGSIM_FOREVER_US	1000000000ULL

bool vfm_type_present(const char *type);

/* For FIXTURE_SETUP and tests: without the device there is nothing to test. */
#define VFM_REQUIRE_TYPE(_type) do {					\
	if (!vfm_type_present(_type))					\
		SKIP(return, "no mdev type %s (module migsim)", _type);	\
} while (0)

/* A new device with a uuid of its own, closed. */
int __vfm_create(const char *type, struct vfm_device **dev);
struct vfm_device *vfm_create(const char *type);
int __vfm_remove(struct vfm_device *dev);
/* Closes and removes it, and frees @dev. NULL is fine. */
void vfm_destroy(struct vfm_device *dev);

/* Small and opened: what most tests start from. */
struct vfm_device *vfm_create_small(const char *type);
#define VFM_SMALL_STATE		(4 * 4096)

int __vfm_attr_write(struct vfm_device *dev, const char *name, const char *val);
int __vfm_attr_read(struct vfm_device *dev, const char *name, char *buf,
		    size_t len);
void vfm_attr_set(struct vfm_device *dev, const char *name, u64 val);
u64 vfm_attr_get(struct vfm_device *dev, const char *name);
void vfm_attr_string(struct vfm_device *dev, const char *name, char *buf,
		     size_t len);
/* The hash over everything that migrates; the device must not be running. */
u64 vfm_state_hash(struct vfm_device *dev);

bool vfm_have_faults(struct vfm_device *dev);
int __vfm_fault_write(struct vfm_device *dev, const char *line);
/* @site: arc_fail, arc_broken or arc_stall. */
void vfm_fault_arc(struct vfm_device *dev, const char *site, u32 from,
		   u32 to, unsigned int nth, unsigned int count, int err);
/* How often the first rule fired that begins so. */
unsigned int vfm_rule_fired(struct vfm_device *dev, const char *rule);
unsigned int vfm_fault_fired(struct vfm_device *dev, const char *site,
			     u32 from, u32 to);
void vfm_fault_clear(struct vfm_device *dev);
void vfm_fault_release(struct vfm_device *dev);

#define VFM_REQUIRE_FAULTS(_dev) do {					\
	if (!vfm_have_faults(_dev))					\
		SKIP(return, "no fault rules in debugfs");		\
} while (0)

#endif
