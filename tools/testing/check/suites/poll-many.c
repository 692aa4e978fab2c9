// SPDX-License-Identifier: GPL-2.0-only
/* liburing's test of that name; the number of files is cut, as each is a device. */
#define main liburing_main
#include "poll-many-fewer.c"
#undef main

#include "kselftest_harness.h"

TEST(whole) { ASSERT_EQ(0, liburing_main(1, NULL)); }

TEST_HARNESS_MAIN
