// SPDX-License-Identifier: GPL-2.0-only
/* sparse has to object: a little endian value is taken for a native one. */
#include <linux/module.h>

static u32 meta_sparse(__le32 value)
{
	return value;
}

static int __init meta_init(void)
{
	return meta_sparse(cpu_to_le32(1)) == 2;
}
module_init(meta_init);

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
