/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's names of the integer types, as tools/include has them. */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TYPES_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;

#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#endif
