// SPDX-License-Identifier: GPL-2.0-only
/*
 * A9: the transition query, for all pairs of states and all capability sets,
 * against the search in lib/graph.c; that it is a question and no more; and what
 * it refuses.
 */
#include <libvfio_migration.h>

FIXTURE(path) {
	struct vfm_device *dev;
	u64 flags;		/* of the graph */
};

FIXTURE_VARIANT(path) {
	const char *type;
	bool back;		/* opted in to the way back from STOP_COPY */
};

FIXTURE_VARIANT_ADD(path, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(path, full_back) { .type = MIGSIM_FULL, .back = true };
FIXTURE_VARIANT_ADD(path, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(path, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(path, precopy_back) {
	.type = MIGSIM_PRECOPY,
	.back = true,
};
FIXTURE_VARIANT_ADD(path, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(path)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->dev, "stop_copy_back", 1);
	vfm_open(self->dev);
	self->flags = self->dev->flags;
	if (variant->back) {
		vfm_allow_copy_back(self->dev);
		self->flags |= VFM_COPY_BACK;
	}
}

FIXTURE_TEARDOWN(path)
{
	vfm_destroy(self->dev);
}

static struct vfio_device_feature_migx_path query(struct vfm_device *dev,
						  u32 from, u32 to)
{
	struct vfio_device_feature_migx_path got = vfm_query_path(dev, from, to);

	VFIO_ASSERT_EQ(got.from, from);
	VFIO_ASSERT_EQ(got.to, to);
	VFIO_ASSERT_LE(got.nr_steps, ARRAY_SIZE(got.steps));
	return got;
}

static u32 wanted_flags(const struct vfm_path *path)
{
	u32 flags = VFIO_MIGX_PATH_SUPPORTED;
	unsigned int i;

	for (i = 0; i < path->arcs; i++) {
		if (vfm_arc_ends(path->state[i], path->state[i + 1]))
			flags |= VFIO_MIGX_PATH_ENDS;
		if (i == path->arcs - 1 &&
		    vfm_arc_opens(path->state[i], path->state[i + 1]))
			flags |= VFIO_MIGX_PATH_DATA_FD;
	}
	return flags;
}

/* Whether the device can be in @state at all and stay there on request. */
static bool can_stay(struct vfm_device *dev, u32 state)
{
	return state != VFM_ERROR && vfm_supports(dev, state);
}

static void check(struct vfm_device *dev, u64 flags, u32 from, u32 to)
{
	struct vfio_device_feature_migx_path got = query(dev, from, to);
	struct vfm_path path = { 0 };
	unsigned int i;
	u32 want = 0;

	if (vfm_supports(dev, from) && vfm_supports(dev, to) && from != to)
		path = vfm_find_path(flags, from, to);
	if (path.arcs)
		want = wanted_flags(&path);
	else if (from == to && can_stay(dev, from))
		want = VFIO_MIGX_PATH_SUPPORTED;
	VFIO_ASSERT_EQ(got.flags, want, "%s to %s", vfm_state_name(from),
		       vfm_state_name(to));
	VFIO_ASSERT_EQ(got.nr_steps, path.arcs, "%s to %s",
		       vfm_state_name(from), vfm_state_name(to));
	for (i = 0; i < ARRAY_SIZE(got.steps); i++)
		VFIO_ASSERT_EQ(got.steps[i],
			       i < path.arcs ? path.state[i + 1] : 0,
			       "%s to %s, step %u", vfm_state_name(from),
			       vfm_state_name(to), i);
}

static const u32 numbers[] = {
	0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 0x10002, 0x80000002, 0xffffffff,
};

static void check_all(struct vfm_device *dev, u64 flags)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (j = 0; j < ARRAY_SIZE(numbers); j++)
			check(dev, flags, numbers[i], numbers[j]);
}

TEST_F(path, matrix)
{
	check_all(self->dev, self->flags);
}

/* What the device is doing does not matter, nor does the question to it. */
TEST_F(path, any_state)
{
	struct vfm_buf got = { 0 };
	u32 state;
	int fd;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_supports(self->dev, state))
			continue;
		fd = vfm_enter(self->dev, state);
		check_all(self->dev, self->flags);
		vfm_assert_state(self->dev, state);
		if (state == VFM_STOP_COPY)
			vfm_drain(fd, &got, NULL);
		if (fd >= 0)
			close(fd);
		vfm_reset(self->dev);
	}
	ASSERT_LT(VFM_SMALL_STATE, got.len);
	vfm_buf_free(&got);
}

/* SET goes the way that was told, or not at all. */
TEST_F(path, told_true)
{
	struct vfio_device_feature_migx_path told;
	struct vfm_buf stream = { 0 };
	u32 from, to;
	int old, fd;

	vfm_save(self->dev, &stream, NULL);
	vfm_reset(self->dev);
	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			if (!vfm_supports(self->dev, from))
				continue;
			told = query(self->dev, from, to);
			old = vfm_enter(self->dev, from);
			if (from == VFM_RESUMING)
				vfm_feed(old, stream.data, stream.len, NULL);
			fd = -1;
			ASSERT_EQ(told.flags & VFIO_MIGX_PATH_SUPPORTED ? 0 :
				  -EINVAL, __vfm_set_state(self->dev, to, &fd));
			ASSERT_EQ(!!(told.flags & VFIO_MIGX_PATH_DATA_FD),
				  fd >= 0);
			if (old >= 0)
				ASSERT_EQ(!!(told.flags & VFIO_MIGX_PATH_ENDS),
					  !!(vfm_poll(old, 0, 0) & POLLHUP));
			if (old >= 0)
				close(old);
			if (fd >= 0)
				close(fd);
			vfm_reset(self->dev);
		}
	}
	vfm_buf_free(&stream);
}

/* What a client opts in to is part of the answer, from then to the last close. */
TEST_F(path, opt_in)
{
	vfm_reopen(self->dev);
	check_all(self->dev, self->dev->flags);
	if (!(self->dev->flags & VFIO_MIGRATION_PRE_COPY))
		return;
	vfm_allow_copy_back(self->dev);
	check_all(self->dev, self->dev->flags | VFM_COPY_BACK);
	vfm_reset(self->dev);
	check_all(self->dev, self->dev->flags | VFM_COPY_BACK);
}

TEST_F(path, refusals)
{
	const u32 get = VFIO_DEVICE_FEATURE_GET;
	const u32 index = VFIO_DEVICE_FEATURE_MIGX_PATH;
	struct vfio_device_feature_migx_path exact, longer, bad;
	const size_t len = sizeof(bad);
	u8 *byte = (u8 *)&bad;
	size_t i;

	bad = (struct vfio_device_feature_migx_path) {
		.from = VFM_RUNNING,
		.to = VFM_STOP_COPY,
	};
	vfm_check_refusals(self->dev, get, index, &bad, len);

	/* Each byte of what has to be 0. */
	for (i = offsetof(typeof(bad), flags); i < len; i++) {
		byte[i] = 1;
		vfm_ext_err(self->dev, get, index, &bad, len, EINVAL);
		ASSERT_EQ(1, byte[i]);
		byte[i] = 0;
	}

	exact = bad;
	longer = bad;
	vfm_ext(self->dev, get, index, &exact, len);
	vfm_ext_longer(self->dev, get, index, &longer, len);
	ASSERT_NE(0, exact.nr_steps);
	ASSERT_EQ(0, memcmp(&exact, &longer, len));
	vfm_assert_state(self->dev, VFM_RUNNING);
}

/* Other numbers are not known, before and behind those that are. */
TEST_F(path, unknown_feature)
{
	u8 data[64] = { 0 };

	vfm_ext_err(self->dev, VFIO_DEVICE_FEATURE_GET, 0xf004, data,
		    sizeof(data), ENOTTY);
	vfm_ext_err(self->dev, VFIO_DEVICE_FEATURE_PROBE, 0xefff, data,
		    sizeof(data), ENOTTY);
}

TEST_HARNESS_MAIN
