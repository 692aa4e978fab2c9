/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much was tried: what tests that repeat something say about themselves, and
 * how often they are to do it.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_COUNT_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_COUNT_H

#include <libvfio/types.h>

/*
 * A diagnostic line that the runner adds up over all programs, see
 * tools/testing/check/reliability.sh for the keys.
 */
void vfm_count(const char *key, u64 n);

/*
 * VFM_ROUNDS if it is set; else @standard, or this divided by VFM_FEWER, but not much
 * below what is worth the trouble.
 */
unsigned int vfm_rounds(unsigned int standard);

/*
 * Which points of a sweep are tried, where that takes long: each, or each tenth one if
 * VFM_FEWER asks for a short form.
 */
unsigned int vfm_stride(void);

#endif
