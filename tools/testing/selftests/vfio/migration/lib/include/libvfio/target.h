/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device that the conformance tests judge: the last argument of the program or
 * VFIO_SELFTESTS_BDF, which is a PCI address, the uuid of an mdev, or a path in
 * /dev/vfio/devices. Without one it is a migsim of each type, made for each test.
 *
 * A fixture has a variant for each set of capabilities and each way to open a
 * device. Those that do not fit are skipped once in each program, by the test
 * "claims", which says why; their other tests are not begun.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TARGET_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TARGET_H

#include <libvfio/migration.h>
#include <libvfio/rule.h>

struct vfm_claims {
	const char *name;
	const char *type;	/* of the migsim that has them */
	u64 flags;
	enum vfm_via via;
};

/* Takes the device off the arguments and adds those that select variants. */
void vfm_target_init(int *argc, char ***argv);
/* Somebody else's device: what we promise beyond the uAPI is not asked of it. */
bool vfm_target_foreign(void);
/* It may be broken, and the machine with it. */
bool vfm_target_destructive(void);

/* Opened and in RUNNING, or NULL and why there is none. */
struct vfm_device *vfm_target_get(const struct vfm_claims *claims, char *why,
				  size_t size);
void vfm_target_put(struct vfm_device *dev);

/* VFIO_DEVICE_RESET works, announced or not. */
bool vfm_can_reset(struct vfm_device *dev);

#define VFM_REQUIRE_RESET(_dev) do {					\
	if (!vfm_can_reset(_dev))					\
		SKIP(return, "the device has no VFIO_DEVICE_RESET");	\
} while (0)

/* Damaged streams, races, removal: what others' devices are only given if asked for. */
#define VFM_REQUIRE_DESTRUCTIVE() do {					\
	if (!vfm_target_destructive())					\
		SKIP(return, "VFIO_SELFTESTS_DESTRUCTIVE is not 1");	\
} while (0)

/* A promise of ours, for tests whose name begins with ours_. */
#define VFM_REQUIRE_OURS(_rule) do {					\
	if (vfm_target_foreign())					\
		SKIP(return, "no promise of the uAPI: " _rule);		\
} while (0)

#define VFM_TARGET_GET(_dev, _claims) do {				\
	char __why[256];						\
									\
	_dev = vfm_target_get(_claims, __why, sizeof(__why));		\
	if (!(_dev))							\
		SKIP(return, "%s", __why);				\
} while (0)

#define _VFM_VARIANT(_fixture, _set, _migsim, _way, _via, _flags)	\
FIXTURE_VARIANT_ADD(_fixture, _set##_##_way) {				\
	.claims = {							\
		.name = #_set "_" #_way,				\
		.type = _migsim,					\
		.flags = VFIO_MIGRATION_STOP_COPY | (_flags),		\
		.via = _via,						\
	},								\
}

#define _VFM_PRECOPY_VARIANTS(_f, _way, _via)				\
_VFM_VARIANT(_f, precopy, MIGSIM_PRECOPY, _way, _via,			\
	     VFIO_MIGRATION_PRE_COPY);					\
_VFM_VARIANT(_f, full, MIGSIM_FULL, _way, _via,				\
	     VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY)

#define _VFM_VARIANTS(_f, _way, _via)					\
_VFM_VARIANT(_f, basic, MIGSIM_BASIC, _way, _via, 0);			\
_VFM_VARIANT(_f, snapshot, MIGSIM_SNAPSHOT, _way, _via,			\
	     VFIO_MIGRATION_P2P);					\
_VFM_PRECOPY_VARIANTS(_f, _way, _via)

/* Behind the FIXTURE, whose data has a member dev. */
#define VFM_TARGET_VARIANTS(_fixture)					\
FIXTURE_VARIANT(_fixture) {						\
	struct vfm_claims claims;					\
};									\
_VFM_VARIANTS(_fixture, group, VFM_VIA_GROUP);				\
_VFM_VARIANTS(_fixture, cdev, VFM_VIA_CDEV)

/* The same for what only devices with PRE_COPY can be asked. */
#define VFM_PRECOPY_VARIANTS(_fixture)					\
FIXTURE_VARIANT(_fixture) {						\
	struct vfm_claims claims;					\
};									\
_VFM_PRECOPY_VARIANTS(_fixture, group, VFM_VIA_GROUP);			\
_VFM_PRECOPY_VARIANTS(_fixture, cdev, VFM_VIA_CDEV)

/* Behind its setup and teardown: what every variant says about itself. */
#define VFM_TARGET_CLAIMS(_fixture)					\
TEST_F(_fixture, claims)						\
{									\
	ASSERT_EQ(variant->claims.flags, self->dev->flags);		\
}

#define VFM_TARGET_MAIN							\
int main(int argc, char *argv[])					\
{									\
	vfm_target_init(&argc, &argv);					\
	return test_harness_run(argc, argv);				\
}

#endif
