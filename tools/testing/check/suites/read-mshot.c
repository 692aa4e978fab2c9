// SPDX-License-Identifier: GPL-2.0-only
/* liburing's test of that name, case by case. */
#define main liburing_main
#include "test/read-mshot.c"
#undef main

#include "kselftest_harness.h"

TEST(plain) { ASSERT_EQ(0, test(0, 0, 0, 0)); }
TEST(async) { ASSERT_EQ(0, test(0, 1, 0, 0)); }
TEST(first_good) { ASSERT_EQ(0, test(1, 0, 0, 0)); }
TEST(overflow) { ASSERT_EQ(0, test(0, 0, 1, 0)); }
TEST(async_overflow) { ASSERT_EQ(0, test(0, 1, 1, 0)); }
TEST(first_good_overflow) { ASSERT_EQ(0, test(1, 0, 1, 0)); }
TEST(first_good_async_overflow) { ASSERT_EQ(0, test(1, 1, 1, 0)); }
TEST(incremental) { ASSERT_EQ(0, test(0, 0, 0, 1)); }
TEST(incremental_overflow) { ASSERT_EQ(0, test(0, 0, 1, 1)); }
TEST(incremental_async) { ASSERT_EQ(0, test(0, 1, 0, 1)); }
TEST(incremental_async_overflow) { ASSERT_EQ(0, test(0, 1, 1, 1)); }
TEST(incremental_first_good) { ASSERT_EQ(0, test(1, 0, 0, 1)); }
TEST(incremental_first_good_overflow) { ASSERT_EQ(0, test(1, 0, 1, 1)); }
TEST(incremental_first_good_async) { ASSERT_EQ(0, test(1, 1, 0, 1)); }
TEST(incremental_first_good_async_overflow) { ASSERT_EQ(0, test(1, 1, 1, 1)); }
TEST(invalid) { ASSERT_EQ(0, test_invalid(0)); }
TEST(invalid_async) { ASSERT_EQ(0, test_invalid(1)); }
TEST(clamp) { ASSERT_EQ(0, test_clamp()); }
TEST(inc) { ASSERT_EQ(0, test_inc(0, 0)); }
TEST(inc_sqpoll) { ASSERT_EQ(0, test_inc(0, IORING_SETUP_SQPOLL)); }
TEST(inc_defer)
{
	ASSERT_EQ(0, test_inc(0, IORING_SETUP_SINGLE_ISSUER |
				 IORING_SETUP_DEFER_TASKRUN));
}
TEST(inc_mshot) { ASSERT_EQ(0, test_inc(1, 0)); }
TEST(inc_mshot_sqpoll) { ASSERT_EQ(0, test_inc(1, IORING_SETUP_SQPOLL)); }
TEST(inc_mshot_defer)
{
	ASSERT_EQ(0, test_inc(1, IORING_SETUP_SINGLE_ISSUER |
				 IORING_SETUP_DEFER_TASKRUN));
}

TEST_HARNESS_MAIN
