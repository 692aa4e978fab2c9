// SPDX-License-Identifier: GPL-2.0-only
/* A module without a suite: nothing has failed, but "make kunit" has to. */
#include <linux/module.h>

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
