// SPDX-License-Identifier: GPL-2.0-only
/* The compiler has to object with W=1, and only then. */
#include <linux/module.h>

static int __init meta_init(void)
{
	int meta_unused;

	meta_unused = 1;
	return 0;
}
module_init(meta_init);

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
