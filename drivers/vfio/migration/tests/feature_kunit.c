// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the features of a device
 *
 * The transition query against the search of graph.c, for every pair of states; what
 * the last error looks like to a client; and for each feature the errnos that all
 * extensible structures have in common (A9, A11, A12).
 */
#include <linux/uaccess.h>

#include "fake.h"
#include "graph.h"

#define MIGT_GET	VFIO_DEVICE_FEATURE_GET
#define MIGT_SET	VFIO_DEVICE_FEATURE_SET
#define MIGT_PROBE	VFIO_DEVICE_FEATURE_PROBE

static const struct migt_set {
	const char *name;
	unsigned int flags;
} migt_sets[] = {
	{ "stop_copy", VFIO_MIGRATION_STOP_COPY },
	{ "p2p", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "pre_copy", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "full", MIGT_ALL },
	{ "pre_copy_back", VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY |
	  VFIO_MIG_COPY_BACK },
	{ "full_back", MIGT_ALL | VFIO_MIG_COPY_BACK },
};

KUNIT_ARRAY_PARAM_DESC(migt_set, migt_sets, name);

/**
 * struct migt_client - who asks
 * @fake: device
 * @page: its memory
 */
struct migt_client {
	struct migt_fake *fake;
	void __user *page;
};

static void migt_client_init(struct kunit *test, struct migt_client *client,
			     unsigned int flags)
{
	struct vfio_mig_config config = migt_config;

	config.copy_back = flags & VFIO_MIGRATION_PRE_COPY;
	client->fake = migt_new(test, flags & ~VFIO_MIG_COPY_BACK, &config);
	client->page = migt_user_page(test);
}

/* With @length bytes of @data as the feature's structure, which may change. */
static int migt_feature(struct migt_client *client, u32 flags, void *data,
			size_t length)
{
	struct kunit *test = client->fake->test;
	int ret;

	KUNIT_EXPECT_EQ(test, 0, copy_to_user(client->page, data, length));
	ret = vfio_mig_device_feature(client->fake->mig, flags, client->page,
				      length);
	KUNIT_EXPECT_EQ(test, 0, copy_from_user(data, client->page, length));

	return ret;
}

static void migt_expect_path(struct kunit *test,
			     const struct vfio_device_feature_migx_path *got,
			     const struct migt_path *path)
{
	u32 flags = VFIO_MIGX_PATH_SUPPORTED;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, got->nr_steps, path->nr);
	for (i = 0; i < path->nr; i++) {
		KUNIT_EXPECT_EQ(test, got->steps[i], path->state[i + 1]);
		if (migt_ends(path->state[i], path->state[i + 1]))
			flags |= VFIO_MIGX_PATH_ENDS;
		if (migt_opens(path->state[i], path->state[i + 1]))
			flags |= VFIO_MIGX_PATH_DATA_FD;
	}
	KUNIT_EXPECT_EQ_MSG(test, got->flags, flags, "from %s to %s",
			    migt_name(got->from), migt_name(got->to));
}

static void migt_ask_path(struct migt_client *client, unsigned int flags,
			  u32 from, u32 to)
{
	struct vfio_device_feature_migx_path got = { .from = from, .to = to };
	struct kunit *test = client->fake->test;
	struct migt_path path = {};

	KUNIT_EXPECT_EQ(test, 0,
			migt_feature(client, VFIO_DEVICE_FEATURE_MIGX_PATH |
				     MIGT_GET, &got, sizeof(got)));
	KUNIT_EXPECT_EQ(test, got.from, from);
	KUNIT_EXPECT_EQ(test, got.to, to);
	if (migt_find_path(flags, from, to, &path)) {
		migt_expect_path(test, &got, &path);
	} else {
		KUNIT_EXPECT_EQ_MSG(test, got.flags, 0, "from %s to %s",
				    migt_name(from), migt_name(to));
		KUNIT_EXPECT_EQ(test, got.nr_steps, 0);
	}
}

static void migt_feature_path(struct kunit *test)
{
	static const u32 numbers[] = {
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x80000002, 0xffffffff,
	};
	const struct migt_set *set = test->param_value;
	struct migt_client client;
	unsigned int i, j;

	migt_client_init(test, &client, set->flags);
	if (set->flags & VFIO_MIG_COPY_BACK)
		KUNIT_EXPECT_EQ(test, 0,
				migt_feature(&client,
					     VFIO_DEVICE_FEATURE_MIGX_COPY_BACK |
					     MIGT_SET, NULL, 0));
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (j = 0; j < ARRAY_SIZE(numbers); j++)
			migt_ask_path(&client, set->flags, numbers[i],
				      numbers[j]);
}

/* Nothing but 0 where the answer goes. */
static void migt_feature_path_input(struct kunit *test)
{
	const u32 flags = VFIO_DEVICE_FEATURE_MIGX_PATH | MIGT_GET;
	struct vfio_device_feature_migx_path path;
	struct migt_client client;
	unsigned int i;

	migt_client_init(test, &client, MIGT_ALL);
	for (i = 2; i < sizeof(path) / sizeof(u32); i++) {
		memset(&path, 0, sizeof(path));
		((u32 *)&path)[i] = 1;
		KUNIT_EXPECT_EQ_MSG(test, -EINVAL,
				    migt_feature(&client, flags, &path,
						 sizeof(path)),
				    "field %u", i);
	}
}

static const struct migt_feature {
	const char *name;
	u32 feature;
	u32 op;
	size_t length;
} migt_features[] = {
	{ "path", VFIO_DEVICE_FEATURE_MIGX_PATH, MIGT_GET,
	  sizeof(struct vfio_device_feature_migx_path) },
	{ "copy_back", VFIO_DEVICE_FEATURE_MIGX_COPY_BACK, MIGT_SET, 0 },
	{ "last_error", VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR, MIGT_GET,
	  sizeof(struct vfio_device_feature_migx_last_error) },
};

KUNIT_ARRAY_PARAM_DESC(migt_feature, migt_features, name);

/* As long as here, shorter, and longer: a client may be older or newer. */
static void migt_feature_sizes(struct kunit *test)
{
	const struct migt_feature *feature = test->param_value;
	u32 flags = feature->feature | feature->op;
	struct migt_client client;
	u8 data[512] = {};

	migt_client_init(test, &client, MIGT_ALL);
	KUNIT_EXPECT_EQ(test, 0, migt_feature(&client, flags, data,
					      feature->length));
	memset(data, 0, sizeof(data));
	KUNIT_EXPECT_EQ(test, 0, migt_feature(&client, flags, data,
					      feature->length + 8));
	memset(data, 0, sizeof(data));
	data[feature->length + 7] = 1;
	KUNIT_EXPECT_EQ(test, -E2BIG, migt_feature(&client, flags, data,
						   feature->length + 8));
	if (feature->length)
		KUNIT_EXPECT_EQ(test, -EINVAL,
				migt_feature(&client, flags, data,
					     feature->length - 1));
}

static void migt_feature_ops(struct kunit *test)
{
	const struct migt_feature *feature = test->param_value;
	u32 wrong = feature->op ^ (MIGT_GET | MIGT_SET);
	struct migt_client client;
	u8 data[512] = {};

	migt_client_init(test, &client, MIGT_ALL);
	KUNIT_EXPECT_EQ(test, -EINVAL,
			migt_feature(&client, feature->feature | wrong, data,
				     feature->length));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			migt_feature(&client, feature->feature | MIGT_GET |
				     MIGT_SET, data, feature->length));
	KUNIT_EXPECT_EQ(test, 0,
			migt_feature(&client, feature->feature | MIGT_PROBE |
				     feature->op, data, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			migt_feature(&client, feature->feature | MIGT_PROBE |
				     wrong, data, 0));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(client.fake->mig->copy_back));
}

static void migt_feature_fault(struct kunit *test)
{
	const struct migt_feature *feature = test->param_value;
	u32 flags = feature->feature | feature->op;
	struct migt_client client;

	migt_client_init(test, &client, MIGT_ALL);
	KUNIT_EXPECT_EQ(test, -EFAULT,
			vfio_mig_device_feature(client.fake->mig, flags,
						client.page + PAGE_SIZE,
						feature->length + 8));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(client.fake->mig->copy_back));
}

/* What the device lacks, and what nobody knows. */
static void migt_feature_absent(struct kunit *test)
{
	struct migt_client client;
	u8 data[64] = {};

	migt_client_init(test, &client, VFIO_MIGRATION_STOP_COPY);
	KUNIT_EXPECT_EQ(test, -ENOTTY,
			migt_feature(&client, VFIO_DEVICE_FEATURE_MIGX_COPY_BACK |
				     MIGT_SET, data, 0));
	KUNIT_EXPECT_EQ(test, -ENOTTY,
			migt_feature(&client, VFIO_DEVICE_FEATURE_MIGX_DRAIN |
				     MIGT_PROBE | MIGT_SET, data, 0));
	KUNIT_EXPECT_EQ(test, -ENOTTY,
			migt_feature(&client, 0xf004 | MIGT_PROBE, data, 0));
	KUNIT_EXPECT_EQ(test, -ENOTTY,
			migt_feature(&client, 0xefff | MIGT_PROBE, data, 0));
}

/* A reset overtakes the client who is about to have the device drain. */
static void migt_feature_drain_reset(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	struct vfio_mig *mig = fake->mig;

	mutex_lock(&mig->state_mutex);
	vfio_mig_reset_done(mig);
	/* The device, which could not, is not asked. */
	KUNIT_EXPECT_PTR_EQ(test, vfio_mig_drain_start(mig),
			    ERR_PTR(-ECANCELED));
	KUNIT_EXPECT_EQ(test, mig->drain.current_id, 0);
	KUNIT_EXPECT_EQ(test, fake->resets, 0);
	mutex_unlock(&mig->state_mutex);
	vfio_mig_reset_done(mig);
	KUNIT_EXPECT_EQ(test, fake->resets, 1);
	KUNIT_EXPECT_EQ(test, migt_state(fake), VFIO_DEVICE_STATE_RUNNING);
	/* Nor is a file left, which would refer to the device. */
	migt_expect_sessions(fake, 0);
}

static unsigned long migt_stop_copy_length(struct migt_fake *fake)
{
	unsigned long length = 0;

	KUNIT_EXPECT_EQ(fake->test, 0,
			fake->vdev.mig_ops->migration_get_data_size(&fake->vdev,
								    &length));
	return length;
}

static void migt_get_last_error(struct migt_client *client,
				struct vfio_device_feature_migx_last_error *last)
{
	memset(last, 0xff, sizeof(*last));
	KUNIT_EXPECT_EQ(client->fake->test, 0,
			migt_feature(client, VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR |
				     MIGT_GET, last, sizeof(*last)));
}

static void migt_feature_last_error(struct kunit *test)
{
	struct vfio_device_feature_migx_last_error last;
	struct migt_client client;
	char reason[64];

	migt_client_init(test, &client, MIGT_ALL);
	migt_get_last_error(&client, &last);
	KUNIT_EXPECT_EQ(test, last.error, 0);
	KUNIT_EXPECT_EQ(test, last.count, 0);
	KUNIT_EXPECT_EQ(test, last.state, VFIO_DEVICE_STATE_RUNNING);
	KUNIT_EXPECT_EQ(test, last.offset, VFIO_MIGX_NO_OFFSET);
	KUNIT_EXPECT_EQ(test, last.reason[0], 0);

	client.fake->faults[0] = (struct migt_fault){ 2, MIGT_FAIL };
	client.fake->faults[1] = (struct migt_fault){ 3, MIGT_FAIL };
	KUNIT_EXPECT_LT(test, migt_go(client.fake, VFIO_DEVICE_STATE_STOP_COPY),
			0);
	migt_get_last_error(&client, &last);
	KUNIT_EXPECT_EQ(test, last.error, MIGT_ERRNO);
	KUNIT_EXPECT_EQ(test, last.from, VFIO_DEVICE_STATE_RUNNING_P2P);
	KUNIT_EXPECT_EQ(test, last.to, VFIO_DEVICE_STATE_STOP);
	KUNIT_EXPECT_EQ(test, last.state, VFIO_DEVICE_STATE_RUNNING_P2P);
	KUNIT_EXPECT_EQ(test, last.count, 1);
	snprintf(reason, sizeof(reason), MIGT_REASON, -MIGT_ERRNO);
	KUNIT_EXPECT_STREQ(test, (char *)last.reason, reason);
	KUNIT_EXPECT_NULL(test, memchr_inv(last.reason + strlen(reason), 0,
					   sizeof(last.reason) - strlen(reason)));
}

/* Every opening begins with what a plain client has. */
static void migt_feature_reopened(struct kunit *test)
{
	struct vfio_device_feature_migx_last_error last;
	struct vfio_mig_config config = migt_config;
	struct migt_client client;

	migt_client_init(test, &client, MIGT_ALL);
	config.copy_back = true;
	KUNIT_EXPECT_EQ(test, 0,
			migt_feature(&client, VFIO_DEVICE_FEATURE_MIGX_COPY_BACK |
				     MIGT_SET, NULL, 0));
	KUNIT_EXPECT_EQ(test, -EINVAL, migt_go(client.fake, 99));
	migt_reset(client.fake);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(client.fake->mig->copy_back));
	vfio_mig_close(client.fake->mig);
	KUNIT_ASSERT_EQ(test, 0, vfio_mig_open(client.fake->mig, &config));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(client.fake->mig->copy_back));
	migt_get_last_error(&client, &last);
	KUNIT_EXPECT_EQ(test, last.error, 0);
	KUNIT_EXPECT_EQ(test, last.count, 0);
}

/* Features that vfio.ko has by now: on older kernels they reach the core. */
static void migt_feature_older(struct kunit *test)
{
	const u32 reinit = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2;
	const u32 data_size = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE;
	struct vfio_device_feature_mig_data_size size = { .stop_copy_length = 1 };
	struct migt_client client, plain;

	migt_client_init(test, &client, MIGT_ALL);
	KUNIT_EXPECT_EQ(test, 0, migt_feature(&client, data_size | MIGT_GET, &size,
					      sizeof(size)));
	KUNIT_EXPECT_EQ(test, size.stop_copy_length,
			migt_stop_copy_length(client.fake));
	KUNIT_EXPECT_EQ(test, -EINVAL, migt_feature(&client, data_size | MIGT_SET,
						    &size, sizeof(size)));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			vfio_mig_device_feature(client.fake->mig,
						data_size | MIGT_GET,
						client.page + PAGE_SIZE,
						sizeof(size)));

	KUNIT_EXPECT_EQ(test, -EINVAL, migt_feature(&client, reinit | MIGT_GET,
						    &size, 0));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(client.fake->mig->precopy_info_v2));
	KUNIT_EXPECT_EQ(test, 0, migt_feature(&client, reinit | MIGT_SET |
					      MIGT_PROBE, &size, 0));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(client.fake->mig->precopy_info_v2));
	KUNIT_EXPECT_EQ(test, 0, migt_feature(&client, reinit | MIGT_SET, &size, 0));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(client.fake->mig->precopy_info_v2));
	migt_client_init(test, &plain, VFIO_MIGRATION_STOP_COPY);
	KUNIT_EXPECT_EQ(test, -EINVAL, migt_feature(&plain, reinit | MIGT_SET,
						    &size, 0));
}

static struct kunit_case migt_feature_cases[] = {
	KUNIT_CASE_PARAM(migt_feature_path, migt_set_gen_params),
	KUNIT_CASE(migt_feature_path_input),
	KUNIT_CASE_PARAM(migt_feature_sizes, migt_feature_gen_params),
	KUNIT_CASE_PARAM(migt_feature_ops, migt_feature_gen_params),
	KUNIT_CASE_PARAM(migt_feature_fault, migt_feature_gen_params),
	KUNIT_CASE(migt_feature_absent),
	KUNIT_CASE(migt_feature_drain_reset),
	KUNIT_CASE(migt_feature_last_error),
	KUNIT_CASE(migt_feature_reopened),
	KUNIT_CASE(migt_feature_older),
	{}
};

static struct kunit_suite migt_feature_suite = {
	.name = "vfio_migration_feature",
	.test_cases = migt_feature_cases,
};

kunit_test_suite(migt_feature_suite);
