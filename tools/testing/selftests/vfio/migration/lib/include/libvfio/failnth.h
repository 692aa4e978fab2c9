/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations and copies from and to user space that fail on demand, on kernels with
 * CONFIG_FAULT_INJECTION: those of this thread, one after the other, or those that the
 * functions of a module make wherever they run.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_FAILNTH_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_FAILNTH_H

#include <libvfio/types.h>

/* False if this kernel cannot. */
bool vfm_failnth_init(void);

/* The @nth from now on, by this thread, fails. */
void vfm_failnth_arm(unsigned int nth);
/* Whether it was come to; none fails any more. */
bool vfm_failnth_disarm(void);

/* Nothing fails in @function of the kernel itself, nor in what it calls. */
void vfm_failnth_spare(const char *function);

/*
 * The page allocation that comes after @skip others, of those with a function of
 * @module on the stack, fails, in whatever thread.
 */
void vfm_failpage_arm(const char *module, unsigned int skip);
bool vfm_failpage_disarm(void);

/*
 * The same for objects of the slab allocator. Those are counted by their size: the one
 * that comes after others of together less than @skip bytes. *@left, which may be NULL,
 * is how far into that one @skip is: it is another one than before if that got less.
 */
void vfm_failslab_arm(const char *module, unsigned int skip);
bool vfm_failslab_disarm(unsigned int *left);

#define VFM_REQUIRE_FAILNTH() do {					\
	if (!vfm_failnth_init())					\
		SKIP(return, "no fault injection in this kernel");	\
} while (0)

#endif
