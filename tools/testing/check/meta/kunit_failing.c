// SPDX-License-Identifier: GPL-2.0-only
/* A suite with one test that fails: "make kunit" has to fail. */
#include <kunit/test.h>
#include <linux/module.h>

static void meta_passes(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 1, 1);
}

static void meta_fails(struct kunit *test)
{
	KUNIT_EXPECT_EQ_MSG(test, 1, 2, "known to be bad");
}

static struct kunit_case meta_cases[] = {
	KUNIT_CASE(meta_passes),
	KUNIT_CASE(meta_fails),
	{}
};

static struct kunit_suite meta_suite = {
	.name = "meta_failing",
	.test_cases = meta_cases,
};

static struct kunit_case meta_good_cases[] = {
	KUNIT_CASE(meta_passes),
	{}
};

static struct kunit_suite meta_good_suite = {
	.name = "meta_passing",
	.test_cases = meta_good_cases,
};

kunit_test_suites(&meta_suite, &meta_good_suite);

MODULE_DESCRIPTION("known to be bad");
MODULE_LICENSE("GPL");
