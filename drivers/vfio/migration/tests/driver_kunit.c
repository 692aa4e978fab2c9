// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: what is refused of a driver
 *
 * Operations that do not fit the flags, and a description of the device that makes no
 * sense: nothing is left of either, and the next attempt is a good one.
 */
#include "fake.h"

/**
 * struct migt_misfit - one thing that is wrong with a driver
 * @name: of the test
 * @flags: VFIO_MIGRATION_*
 * @missing: offset of the operation that is NULL, or -1
 */
struct migt_misfit {
	const char *name;
	unsigned int flags;
	int missing;
};

static const struct migt_misfit migt_misfits[] = {
	{ "no_arc", MIGT_ALL, offsetof(struct vfio_mig_ops, arc) },
	{ "no_save", MIGT_ALL, offsetof(struct vfio_mig_ops, save) },
	{ "no_load", MIGT_ALL, offsetof(struct vfio_mig_ops, load) },
	{ "no_reset", MIGT_ALL, offsetof(struct vfio_mig_ops, reset) },
	{ "no_data_size", MIGT_ALL, offsetof(struct vfio_mig_ops, data_size) },
	{ "no_precopy_info", MIGT_ALL, offsetof(struct vfio_mig_ops, precopy_info) },
	{ "precopy_info", VFIO_MIGRATION_STOP_COPY, -1 },
	{ "no_stop_copy", VFIO_MIGRATION_P2P, -1 },
	{ "unknown_flag", MIGT_ALL | 1 << 3, -1 },
};

KUNIT_ARRAY_PARAM_DESC(migt_misfit, migt_misfits, name);

static void migt_driver_misfit(struct kunit *test)
{
	const struct migt_misfit *misfit = test->param_value;
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct vfio_mig_ops ops = *fake->mig->ops;
	struct vfio_device *vdev;

	vdev = kunit_kzalloc(test, sizeof(*vdev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vdev);
	vdev->dev = fake->vdev.dev;
	if (misfit->missing >= 0)
		memset((char *)&ops + misfit->missing, 0, sizeof(void *));
	KUNIT_EXPECT_PTR_EQ(test, vfio_mig_alloc(vdev, &ops, misfit->flags, NULL),
			    ERR_PTR(-EINVAL));
	KUNIT_EXPECT_NULL(test, vdev->mig_ops);
	KUNIT_EXPECT_EQ(test, vdev->migration_flags, 0);
}

static void migt_expect_refused(struct migt_fake *fake,
				const struct vfio_mig_config *config,
				const char *what)
{
	KUNIT_EXPECT_EQ_MSG(fake->test, vfio_mig_open(fake->mig, config), -EINVAL,
			    "%s", what);
	KUNIT_EXPECT_EQ(fake->test, vfio_mig_state(fake->mig),
			VFIO_DEVICE_STATE_STOP);
}

#define migt_refused(_fake, _field, _value) do {			\
	struct vfio_mig_config _config = migt_config;			\
									\
	_config._field = _value;					\
	migt_expect_refused(_fake, &_config, #_field " " #_value);	\
} while (0)

static void migt_driver_config(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, VFIO_MIGRATION_STOP_COPY, NULL);

	vfio_mig_close(fake->mig);
	migt_refused(fake, window, VFIO_MIG_WINDOW_MIN - 1);
	migt_refused(fake, window, VFIO_MIG_WINDOW_MAX + 1);
	migt_refused(fake, min_version, migt_config.version + 1);
	migt_refused(fake, nr_types, 0);
	migt_refused(fake, nr_types, VFIO_MIG_SECTION_CORE + 1);
	/* The device has neither. */
	migt_refused(fake, drain, true);
	migt_refused(fake, copy_back, true);
	KUNIT_EXPECT_EQ(test, 0, vfio_mig_open(fake->mig, &migt_config));
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

static struct kunit_case migt_driver_cases[] = {
	KUNIT_CASE_PARAM(migt_driver_misfit, migt_misfit_gen_params),
	KUNIT_CASE(migt_driver_config),
	{}
};

static struct kunit_suite migt_driver_suite = {
	.name = "vfio_migration_driver",
	.test_cases = migt_driver_cases,
};

kunit_test_suite(migt_driver_suite);
