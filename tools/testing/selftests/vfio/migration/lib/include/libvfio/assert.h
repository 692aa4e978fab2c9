/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Assertions for library code and helpers, which have no harness metadata at
 * hand. They end the process: the harness takes that as a failure of the test
 * that runs in it, and the library removes what the process made.
 *
 * Names and meaning as in libvfio; the output is a KTAP diagnostic.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_ASSERT_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_ASSERT_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvfio/types.h>

#include "kselftest.h"

#define VFIO_LOG_AND_EXIT(...) do {					\
	fprintf(stderr, "#   " __VA_ARGS__);				\
	fprintf(stderr, "\n");						\
	exit(KSFT_FAIL);						\
} while (0)

#define VFIO_ASSERT_OP(_lhs, _rhs, _op, ...) do {			\
	__typeof__(_lhs) __lhs = (_lhs);				\
	__typeof__(_rhs) __rhs = (_rhs);				\
									\
	if (__lhs _op __rhs)						\
		break;							\
									\
	fprintf(stderr, "# %s:%u: Assertion Failure\n", __FILE__,	\
		__LINE__);						\
	fprintf(stderr, "#   Expression: %s " #_op " %s\n", #_lhs, #_rhs); \
	fprintf(stderr, "#   Observed: %lld %s %lld\n",			\
		(long long)__lhs, #_op, (long long)__rhs);		\
	VFIO_LOG_AND_EXIT(__VA_ARGS__);					\
} while (0)

#define VFIO_ASSERT_EQ(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, ==, "" __VA_ARGS__)
#define VFIO_ASSERT_NE(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, !=, "" __VA_ARGS__)
#define VFIO_ASSERT_LT(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, <, "" __VA_ARGS__)
#define VFIO_ASSERT_LE(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, <=, "" __VA_ARGS__)
#define VFIO_ASSERT_GT(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, >, "" __VA_ARGS__)
#define VFIO_ASSERT_GE(_a, _b, ...) VFIO_ASSERT_OP(_a, _b, >=, "" __VA_ARGS__)
#define VFIO_ASSERT_TRUE(_a, ...) \
	VFIO_ASSERT_NE(0, !!(_a), "" __VA_ARGS__)
#define VFIO_ASSERT_FALSE(_a, ...) \
	VFIO_ASSERT_EQ(0, !!(_a), "" __VA_ARGS__)

#define VFIO_FAIL(_fmt, ...) do {					\
	fprintf(stderr, "# %s:%u: FAIL\n", __FILE__, __LINE__);		\
	VFIO_LOG_AND_EXIT(_fmt, ##__VA_ARGS__);				\
} while (0)

/* The asserting and the expect-errno form of a call that returns 0 or -errno. */
#define VFM_SUCCEEDS(_call) do {					\
	int __call_ret = (_call);					\
									\
	VFIO_ASSERT_EQ(__call_ret, 0, "%s: %s", #_call,			\
		       strerror(-__call_ret));				\
} while (0)

#define VFM_FAILS(_call, _errno) do {					\
	int __call_ret = (_call), __call_err = (_errno);		\
									\
	VFIO_ASSERT_EQ(__call_ret, -__call_err, "%s: wanted %s, got %s", #_call, \
		       strerror(__call_err), strerror(-__call_ret));	\
} while (0)

#define snprintf_assert(_s, _size, _fmt, ...) do {			\
	int __ret = snprintf(_s, _size, _fmt, ##__VA_ARGS__);		\
									\
	VFIO_ASSERT_LT(__ret, (int)(_size));				\
} while (0)

static inline void *vfm_zalloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		VFIO_FAIL("out of memory (%zu bytes)", size);
	return p;
}

#endif
