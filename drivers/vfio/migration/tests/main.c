// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the module
 *
 * The suites are in the files *_kunit.c, one for each part of the core. They run
 * when the module is loaded; the results are in /sys/kernel/debug/kunit/.
 */
#include <linux/module.h>

MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of the VFIO migration core");
MODULE_AUTHOR("The VFIO migration core developers");
