// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: what becomes of a walk that fails (A5, A6)
 *
 * For each set of capabilities and each pair of states, every step of the path is
 * made to fail in every way, and then every step of the way back as well. What has
 * to come of it is what a model says: a handful of lines that follow the rules,
 * with the paths from graph.c. Compared are the result, the state, the arcs that
 * the driver was asked for, and who has a session afterwards.
 */
#include <linux/file.h>

#include "fake.h"
#include "graph.h"
#include "image.h"

static const struct migt_set {
	const char *name;
	unsigned int flags;
} migt_unwind_sets[] = {
	{ "stop_copy", VFIO_MIGRATION_STOP_COPY },
	{ "p2p", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "pre_copy", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "full", MIGT_ALL },
	{ "pre_copy_back", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY |
	  VFIO_MIG_COPY_BACK },
	{ "full_back", MIGT_ALL | VFIO_MIG_COPY_BACK },
};

KUNIT_ARRAY_PARAM_DESC(migt_set, migt_unwind_sets, name);

/**
 * struct migt_walk - one SET, as it is and as it should be
 * @fake: device
 * @flags: VFIO_MIGRATION_* that it offers, and VFIO_MIG_COPY_BACK
 * @from: state that it starts from
 * @to: state that is asked for
 * @faults: what goes wrong
 * @image: stream to be had in RESUMING
 * @start: file of the session that @from has
 * @ret: expected result
 * @state: expected state
 * @arcs: expected arcs
 * @nr_arcs: how many
 * @lost: the session that @from has is to end
 * @reset: a reset is to come
 * @failed: the arc that is to fail, or from where to where there is no way
 * @errors: there were before
 */
struct migt_walk {
	struct migt_fake *fake;
	unsigned int flags;
	u32 from;
	u32 to;
	struct migt_fault faults[2];
	struct migt_image *image;
	struct file *start;

	int ret;
	u32 state;
	struct migt_arc arcs[16];
	unsigned int nr_arcs;
	bool lost;
	bool reset;
	struct migt_arc failed;
	u64 errors;
};

static int migt_model_fault(struct migt_walk *walk, enum migt_what what, int err)
{
	if (what >= MIGT_RESET) {
		walk->reset = true;
		return -ECANCELED;
	}
	if (what == MIGT_FAIL)
		return err;
	walk->state = VFIO_DEVICE_STATE_ERROR;

	return what == MIGT_BREAK ? err : -EIO;
}

static int migt_model_arc(struct migt_walk *walk, u32 to)
{
	unsigned int i = walk->nr_arcs++;

	walk->arcs[i] = (struct migt_arc){ walk->state, to };
	if (walk->faults[0].call == i + 1)
		return migt_model_fault(walk, walk->faults[0].what,
					-MIGT_ERRNO);
	if (walk->faults[1].call == i + 1)
		return migt_model_fault(walk, walk->faults[1].what,
					-MIGT_ERRNO2);
	walk->state = to;

	return 0;
}

/* As far as it goes. */
static int migt_model_path(struct migt_walk *walk, u32 to)
{
	struct migt_path path;
	unsigned int i;
	int ret = 0;

	if (!migt_find_path(walk->flags, walk->state, to, &path))
		return -EINVAL;
	for (i = 1; i <= path.nr && !ret; i++) {
		ret = migt_model_arc(walk, path.state[i]);
		if (!ret && migt_ends(path.state[i - 1], path.state[i]))
			walk->lost = true;
		if (!ret && migt_opens(path.state[i - 1], path.state[i]))
			ret = 1;
	}

	return ret;
}

static void migt_model_end(struct migt_walk *walk)
{
	if (walk->reset) {
		walk->ret = -ECANCELED;
		walk->state = VFIO_DEVICE_STATE_RUNNING;
	}
	if (walk->reset || walk->state == VFIO_DEVICE_STATE_ERROR)
		walk->lost = true;
}

/* A5 */
static void migt_model(struct migt_walk *walk)
{
	walk->nr_arcs = 0;
	walk->lost = false;
	walk->reset = false;
	walk->state = walk->from;
	walk->failed = (struct migt_arc){ walk->from, walk->to };
	walk->ret = migt_model_path(walk, walk->to);
	if (walk->nr_arcs)
		walk->failed = walk->arcs[walk->nr_arcs - 1];
	if (walk->ret < 0 && !walk->lost && !walk->reset &&
	    walk->state != VFIO_DEVICE_STATE_ERROR)
		migt_model_path(walk, walk->from);
	migt_model_end(walk);
}

static void migt_enter(struct migt_walk *walk, u32 state)
{
	struct migt_fake *fake = walk->fake;
	struct kunit *test = fake->test;

	migt_close(fake);
	migt_reset(fake);
	migt_forget(fake);
	if (state == VFIO_DEVICE_STATE_ERROR) {
		fake->faults[0] = (struct migt_fault){ 1, MIGT_BREAK };
		KUNIT_ASSERT_LT(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	} else {
		KUNIT_ASSERT_GE(test, migt_go(fake, state), 0);
	}
	if (state == VFIO_DEVICE_STATE_RESUMING)
		migt_write_image(fake, walk->image);
	KUNIT_ASSERT_EQ(test, migt_state(fake), state);
	migt_forget(fake);
}

/* Who has a session now, and is there nothing that nobody has? */
static void migt_check_sessions(struct migt_walk *walk, const char *what)
{
	struct migt_fake *fake = walk->fake;
	struct vfio_mig_session *now = NULL;
	struct kunit *test = fake->test;
	unsigned int files = 0;

	if (walk->start) {
		KUNIT_EXPECT_EQ_MSG(test, walk->lost,
				    vfio_mig_ended(migt_session(walk->start)),
				    "%s", what);
		if (!walk->lost)
			now = migt_session(walk->start);
		files++;
	}
	if (walk->ret == 1) {
		now = migt_session(fake->file);
		KUNIT_EXPECT_FALSE_MSG(test, vfio_mig_ended(now), "%s", what);
		files++;
	}
	KUNIT_EXPECT_PTR_EQ_MSG(test, fake->mig->session, now, "%s", what);
	migt_expect_sessions(fake, files);
}

static void migt_check_arcs(struct migt_walk *walk, const char *what)
{
	struct migt_fake *fake = walk->fake;

	KUNIT_EXPECT_EQ_MSG(fake->test, fake->nr_arcs, walk->nr_arcs, "%s",
			    what);
	KUNIT_EXPECT_MEMEQ_MSG(fake->test, fake->arcs, walk->arcs,
			       walk->nr_arcs * sizeof(walk->arcs[0]), "%s",
			       what);
	KUNIT_EXPECT_EQ_MSG(fake->test, fake->resets, walk->reset, "%s", what);
}

static void migt_expected_reason(const struct migt_walk *walk, char *reason,
				 size_t size)
{
	if (walk->ret == -EINVAL)
		strscpy(reason, "there is no way", size);
	else if (walk->ret == -ECANCELED)
		strscpy(reason, "a reset came", size);
	else
		snprintf(reason, size, MIGT_REASON, -MIGT_ERRNO);
}

/* The client can ask what went wrong: once, and with what came first (A12). */
static void migt_check_error(struct migt_walk *walk, const char *what)
{
	struct kunit *test = walk->fake->test;
	struct vfio_mig_error error;
	char reason[64];

	vfio_mig_last_error(walk->fake->mig, &error);
	KUNIT_EXPECT_EQ_MSG(test, error.count, walk->errors + (walk->ret < 0),
			    "%s", what);
	if (walk->ret >= 0)
		return;
	migt_expected_reason(walk, reason, sizeof(reason));
	KUNIT_EXPECT_EQ_MSG(test, error.err, walk->ret, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, error.from, walk->failed.from, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, error.to, walk->failed.to, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, error.reason.offset, VFIO_MIGX_NO_OFFSET,
			    "%s", what);
	KUNIT_EXPECT_STREQ_MSG(test, error.reason.text, reason, "%s", what);
}

/* Wherever it is, that is a state to go on from. */
static void migt_check_goes_on(struct migt_walk *walk, const char *what)
{
	struct migt_fake *fake = walk->fake;
	struct migt_path path;
	int ret;

	migt_forget(fake);
	ret = migt_go(fake, walk->to);
	if (!migt_find_path(walk->flags, walk->state, walk->to, &path)) {
		KUNIT_EXPECT_EQ_MSG(fake->test, ret, -EINVAL, "%s", what);
		KUNIT_EXPECT_EQ_MSG(fake->test, fake->nr_arcs, 0, "%s", what);
		return;
	}
	KUNIT_EXPECT_GE_MSG(fake->test, ret, 0, "%s", what);
	KUNIT_EXPECT_EQ_MSG(fake->test, migt_state(fake), walk->to, "%s", what);
}

static void migt_check(struct migt_walk *walk, int ret, const char *what)
{
	struct kunit *test = walk->fake->test;

	KUNIT_EXPECT_EQ_MSG(test, ret, walk->ret, "%s", what);
	KUNIT_EXPECT_EQ_MSG(test, migt_state(walk->fake), walk->state, "%s",
			    what);
	migt_check_arcs(walk, what);
	migt_check_error(walk, what);
	migt_check_sessions(walk, what);
	migt_check_goes_on(walk, what);
}

/* One SET from start to end. */
static void migt_try(struct migt_walk *walk)
{
	struct migt_fake *fake = walk->fake;
	struct vfio_mig_error error;
	char what[96];
	int ret;

	snprintf(what, sizeof(what), "%s to %s: arc %u fails by %u, arc %u by %u",
		 migt_name(walk->from), migt_name(walk->to),
		 walk->faults[0].call, walk->faults[0].what,
		 walk->faults[1].call, walk->faults[1].what);
	migt_model(walk);
	migt_enter(walk, walk->from);
	if (fake->file)
		walk->start = get_file(fake->file);
	vfio_mig_last_error(fake->mig, &error);
	walk->errors = error.count;
	memcpy(fake->faults, walk->faults, sizeof(fake->faults));
	ret = migt_go(fake, walk->to);
	migt_check(walk, ret, what);
	if (walk->start)
		__fput_sync(walk->start);
	walk->start = NULL;
}

/* A state that the device lacks is not entered, from wherever. */
static void migt_cannot_start(struct migt_walk *walk)
{
	struct migt_fake *fake = walk->fake;

	migt_enter(walk, VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(fake->test, migt_go(fake, walk->from), -EINVAL);
	KUNIT_EXPECT_EQ(fake->test, fake->nr_arcs, 0);
	KUNIT_EXPECT_EQ(fake->test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
}

static void migt_each_target(struct migt_walk *walk,
			     void (*each)(struct migt_walk *walk,
					  const struct migt_path *path))
{
	for (walk->to = 0; walk->to <= MIGT_STATES; walk->to++) {
		struct migt_path path = {};

		migt_find_path(walk->flags, walk->from, walk->to, &path);
		memset(walk->faults, 0, sizeof(walk->faults));
		each(walk, &path);
	}
}

/* @each pair of states of the set that the parameter is. */
static void migt_each_pair(struct kunit *test,
			   void (*each)(struct migt_walk *walk,
					const struct migt_path *path))
{
	static const struct migt_section section = { 0, 0, 1, 100 };
	const struct migt_set *set = test->param_value;
	struct migt_walk walk = { .flags = set->flags };

	walk.fake = migt_new(test, set->flags & ~VFIO_MIG_COPY_BACK, NULL);
	/* As the client's opt-in does. */
	walk.fake->mig->copy_back = set->flags & VFIO_MIG_COPY_BACK;
	walk.image = migt_image_make(test, 1, &section, 1);
	for (walk.from = 0; walk.from < MIGT_STATES; walk.from++) {
		if (migt_has_state(walk.flags, walk.from))
			migt_each_target(&walk, each);
		else
			migt_cannot_start(&walk);
	}
}

static void migt_without_faults(struct migt_walk *walk,
				const struct migt_path *path)
{
	migt_try(walk);
}

static void migt_unwind_none(struct kunit *test)
{
	migt_each_pair(test, migt_without_faults);
}

static void migt_with_a_fault(struct migt_walk *walk,
			      const struct migt_path *path)
{
	unsigned int call, what;

	for (call = 1; call <= path->nr; call++)
		for (what = 0; what < MIGT_NR_WHAT; what++) {
			walk->faults[0] = (struct migt_fault){ call, what };
			migt_try(walk);
		}
}

static void migt_unwind_once(struct kunit *test)
{
	migt_each_pair(test, migt_with_a_fault);
}

/* The way back from where the @call'th arc fails, as long as it is. */
static void migt_fail_back(struct migt_walk *walk, unsigned int call)
{
	unsigned int back, what, nr;

	walk->faults[0] = (struct migt_fault){ call, MIGT_FAIL };
	walk->faults[1] = (struct migt_fault){};
	migt_model(walk);
	nr = walk->nr_arcs;
	for (back = call + 1; back <= nr; back++)
		for (what = 0; what < MIGT_NR_WHAT; what++) {
			walk->faults[1] = (struct migt_fault){ back, what };
			migt_try(walk);
		}
}

static void migt_with_two_faults(struct migt_walk *walk,
				 const struct migt_path *path)
{
	unsigned int call;

	for (call = 1; call <= path->nr; call++)
		migt_fail_back(walk, call);
}

static void migt_unwind_twice(struct kunit *test)
{
	migt_each_pair(test, migt_with_two_faults);
}

/*
 * vfio.ko could not install the fd: the way back is walked when the file goes, to
 * where the walk started, or if a session was lost, to where the last arc did.
 */
static void migt_model_drop(struct migt_walk *walk,
			    const struct migt_fault *fault)
{
	struct migt_path path;

	migt_find_path(walk->flags, walk->from, walk->to, &path);
	memset(walk->faults, 0, sizeof(walk->faults));
	migt_model(walk);
	walk->nr_arcs = 0;
	walk->faults[0] = *fault;
	migt_model_path(walk, walk->lost ? path.state[path.nr - 1] : walk->from);
	migt_model_end(walk);
}

static void migt_try_drop(struct migt_walk *walk, const struct migt_fault *fault)
{
	struct migt_fake *fake = walk->fake;
	struct kunit *test = fake->test;
	char what[96];

	snprintf(what, sizeof(what), "%s to %s: arc %u fails by %u",
		 migt_name(walk->from), migt_name(walk->to), fault->call,
		 fault->what);
	migt_model_drop(walk, fault);
	migt_enter(walk, walk->from);
	KUNIT_ASSERT_EQ_MSG(test, migt_go(fake, walk->to), 1, "%s", what);
	migt_forget(fake);
	fake->faults[0] = *fault;
	migt_drop(fake);
	migt_check_arcs(walk, what);
	KUNIT_EXPECT_EQ_MSG(test, migt_state(fake), walk->state, "%s", what);
	migt_reset(fake);
	migt_expect_sessions(fake, 0);
}

static void migt_with_dropped_file(struct migt_walk *walk,
				   const struct migt_path *path)
{
	struct migt_fault fault = {};
	unsigned int nr, what;

	if (!path->nr || !migt_opens(path->state[path->nr - 1], walk->to))
		return;
	migt_try_drop(walk, &fault);
	nr = walk->nr_arcs;
	for (fault.call = 1; fault.call <= nr; fault.call++)
		for (what = 0; what < MIGT_NR_WHAT; what++) {
			fault.what = what;
			migt_try_drop(walk, &fault);
		}
}

static void migt_unwind_dropped(struct kunit *test)
{
	migt_each_pair(test, migt_with_dropped_file);
}

static struct kunit_case migt_unwind_cases[] = {
	KUNIT_CASE_PARAM(migt_unwind_none, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_unwind_once, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_unwind_twice, migt_set_gen_params),
	KUNIT_CASE_PARAM(migt_unwind_dropped, migt_set_gen_params),
	{}
};

static struct kunit_suite migt_unwind_suite = {
	.name = "vfio_migration_unwind",
	.test_cases = migt_unwind_cases,
};

kunit_test_suite(migt_unwind_suite);
