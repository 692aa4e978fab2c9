// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the table of the state machine (A8)
 *
 * Every entry, for each set of capabilities, against what graph.c finds by
 * searching.
 */
#include "fake.h"
#include "graph.h"

/**
 * struct migt_set - a set of capabilities
 * @name: for people
 * @flags: VFIO_MIGRATION_*, VFIO_MIG_COPY_BACK
 * @nr_arcs: arcs that a driver has to make
 */
struct migt_set {
	const char *name;
	unsigned int flags;
	unsigned int nr_arcs;
};

static const struct migt_set migt_sets[] = {
	{ "stop_copy", VFIO_MIGRATION_STOP_COPY, 6 },
	{ "p2p", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P, 8 },
	{ "pre_copy", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY, 9 },
	{ "full", MIGT_ALL, 15 },
	{ "pre_copy_back", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY |
	  VFIO_MIG_COPY_BACK, 10 },
	{ "full_back", MIGT_ALL | VFIO_MIG_COPY_BACK, 16 },
	/* There is nothing to go back to. */
	{ "stop_copy_back", VFIO_MIGRATION_STOP_COPY | VFIO_MIG_COPY_BACK, 6 },
	{ "p2p_back", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
	  VFIO_MIG_COPY_BACK, 8 },
};

KUNIT_ARRAY_PARAM_DESC(migt_set, migt_sets, name);

/* States there are, and numbers that are none. */
static const u32 migt_numbers[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 63, 64, 255, 256, 257, 263,
	0x7fffffff, 0x80000000, 0x80000002, 0xfffffffe, 0xffffffff,
};

static void migt_check_entry(struct kunit *test, unsigned int flags, u32 from,
			     u32 to)
{
	struct migt_path path = {};
	unsigned int ways;
	u32 expected;

	ways = migt_find_path(flags, from, to, &path);
	/* Or the rules would not tell which way is meant. */
	KUNIT_EXPECT_LE_MSG(test, ways, 1, "%u ways from %s to %s", ways,
			    migt_name(from), migt_name(to));
	expected = !ways ? VFIO_DEVICE_STATE_ERROR :
		   path.nr ? path.state[1] : from;
	KUNIT_EXPECT_EQ_MSG(test, vfio_mig_next_arc(flags, from, to), expected,
			    "from %s (%u) to %s (%u)", migt_name(from), from,
			    migt_name(to), to);
}

static void migt_fsm_entries(struct kunit *test)
{
	const struct migt_set *set = test->param_value;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(migt_numbers); i++)
		for (j = 0; j < ARRAY_SIZE(migt_numbers); j++)
			migt_check_entry(test, set->flags, migt_numbers[i],
					 migt_numbers[j]);
}

/* All pairs of states that there are, for a set of capabilities. */
static void migt_each_pair(struct kunit *test,
			   void (*check)(struct kunit *test, unsigned int flags,
					 u32 from, u32 to))
{
	const struct migt_set *set = test->param_value;
	u32 from, to;

	for (from = 0; from < MIGT_STATES; from++)
		for (to = 0; to < MIGT_STATES; to++)
			check(test, set->flags, from, to);
}

static void migt_check_path(struct kunit *test, unsigned int flags, u32 from,
			    u32 to)
{
	struct migt_path path;
	unsigned int i;
	u32 next;

	if (!migt_find_path(flags, from, to, &path))
		return;
	for (i = 0; i < path.nr; i++) {
		next = vfio_mig_next_arc(flags, path.state[i], to);
		KUNIT_EXPECT_EQ_MSG(test, next, path.state[i + 1],
				    "step %u from %s to %s", i, migt_name(from),
				    migt_name(to));
	}
}

/* Entry by entry, the table leads along the path, and to its end. */
static void migt_fsm_paths(struct kunit *test)
{
	migt_each_pair(test, migt_check_path);
}

static bool migt_core_has_arc(unsigned int flags, u32 from, u32 to)
{
	return from != to && to != VFIO_DEVICE_STATE_ERROR &&
	       vfio_mig_next_arc(flags, from, to) == to;
}

static void migt_check_arc(struct kunit *test, unsigned int flags, u32 from,
			   u32 to)
{
	KUNIT_EXPECT_EQ_MSG(test, migt_core_has_arc(flags, from, to),
			    migt_has_arc(flags, from, to), "%s to %s",
			    migt_name(from), migt_name(to));
}

/* A driver is asked for the arcs of A3, and there are as many as it says. */
static void migt_fsm_arcs(struct kunit *test)
{
	const struct migt_set *set = test->param_value;
	unsigned int nr = 0;
	u32 from, to;

	migt_each_pair(test, migt_check_arc);
	for (from = 0; from < MIGT_STATES; from++)
		for (to = 0; to < MIGT_STATES; to++)
			nr += migt_core_has_arc(set->flags, from, to);
	KUNIT_EXPECT_EQ(test, nr, set->nr_arcs);
}

static void migt_check_one_fd(struct kunit *test, unsigned int flags, u32 from,
			      u32 to)
{
	struct migt_path path;
	unsigned int i;

	if (!migt_find_path(flags, from, to, &path))
		return;
	for (i = 1; i < path.nr; i++)
		KUNIT_EXPECT_FALSE_MSG(test,
				       vfio_mig_arc_opens(path.state[i - 1],
							  path.state[i]),
				       "%s to %s", migt_name(from),
				       migt_name(to));
}

/* Only the last step of a path returns a data fd: there is one to return. */
static void migt_fsm_one_fd(struct kunit *test)
{
	migt_each_pair(test, migt_check_one_fd);
}

static void migt_check_session(struct kunit *test, unsigned int flags, u32 from,
			       u32 to)
{
	if (!migt_has_arc(flags, from, to))
		return;
	KUNIT_EXPECT_EQ_MSG(test, vfio_mig_arc_opens(from, to),
			    migt_opens(from, to), "%s to %s", migt_name(from),
			    migt_name(to));
	KUNIT_EXPECT_EQ_MSG(test, vfio_mig_arc_ends(from, to),
			    migt_ends(from, to), "%s to %s", migt_name(from),
			    migt_name(to));
}

/* Which arcs of any device open a session, and which end it. */
static void migt_fsm_sessions(struct kunit *test)
{
	migt_each_pair(test, migt_check_session);
}

static void migt_fsm_predicates(struct kunit *test)
{
	u32 state;

	for (state = 0; state < MIGT_STATES; state++) {
		KUNIT_EXPECT_EQ_MSG(test, vfio_mig_saving(state),
				    migt_is_saving(state), "%s",
				    migt_name(state));
		KUNIT_EXPECT_EQ_MSG(test, vfio_mig_precopy(state),
				    state == VFIO_DEVICE_STATE_PRE_COPY ||
				    state == VFIO_DEVICE_STATE_PRE_COPY_P2P,
				    "%s", migt_name(state));
	}
}

static void migt_fsm_names(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(migt_numbers); i++)
		KUNIT_EXPECT_STREQ(test, vfio_mig_state_name(migt_numbers[i]),
				   migt_name(migt_numbers[i]));
}

static struct kunit_case migt_fsm_cases[] = {
	KUNIT_CASE_PARAM(migt_fsm_entries, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_fsm_paths, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_fsm_arcs, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_fsm_one_fd, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_fsm_sessions, migt_set_gen_params),
	KUNIT_CASE(migt_fsm_predicates),
	KUNIT_CASE(migt_fsm_names),
	{}
};

static struct kunit_suite migt_fsm_suite = {
	.name = "vfio_migration_fsm",
	.test_cases = migt_fsm_cases,
};

kunit_test_suite(migt_fsm_suite);
