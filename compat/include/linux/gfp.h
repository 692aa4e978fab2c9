/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _COMPAT_LINUX_GFP_H
#define _COMPAT_LINUX_GFP_H

#include_next <linux/gfp.h>

/* Since 6.14 alloc_pages_bulk() is what was alloc_pages_bulk_array() before. */
#ifndef alloc_pages_bulk
#define alloc_pages_bulk	alloc_pages_bulk_array
#endif

#endif /* _COMPAT_LINUX_GFP_H */
