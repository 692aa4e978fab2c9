// SPDX-License-Identifier: GPL-2.0-only
/* A kernel warning: loading this has to fail the run of a machine. */
#include <linux/module.h>

static int __init meta_init(void)
{
	WARN(1, "known to be bad\n");
	return 0;
}
module_init(meta_init);

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
