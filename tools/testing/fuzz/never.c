// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the parser's files name and nothing that writes a stream calls: the saving
 * half. Whatever their arguments are, they do not return.
 */
#include <shim/base.h>

#define NEVER(name)							\
void name(void);							\
void name(void)								\
{									\
	shim_die("%s() was called", __func__);				\
}

NEVER(vfio_mig_withdraw)
NEVER(vfio_mig_framing)
NEVER(vfio_mig_precopy)
NEVER(vfio_mig_save_init)
NEVER(vfio_mig_save_purge)
NEVER(vfio_mig_save_free)
NEVER(vfio_mig_save_work)
NEVER(vfio_mig_save_reinit)
NEVER(vfio_mig_save_counts_initial)
NEVER(vfio_mig_save_unstall)
NEVER(vfio_mig_save_ready)
NEVER(vfio_mig_save_read)
NEVER(vfio_mig_save_held)
NEVER(vfio_mig_splice_read)
NEVER(vfio_mig_splice_write)
