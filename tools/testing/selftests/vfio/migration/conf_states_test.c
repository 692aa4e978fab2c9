// SPDX-License-Identifier: GPL-2.0-only
/* Any device: its states against lib/graph.c, for what it claims to be. */

#include <libvfio_migration.h>

#define RULE_RANGE \
	"uapi MIG_DEVICE_STATE: device_state is from enum vfio_device_mig_state"
#define RULE_ERROR \
	"uapi any -> ERROR: only VFIO_DEVICE_RESET leaves it"
#define RULE_KEEPS \
	"uapi MIG_DEVICE_STATE: what is refused has no effect on the session"

FIXTURE(conf) {
	struct vfm_device *dev;
	struct vfm_buf stream;
};

VFM_TARGET_VARIANTS(conf);

FIXTURE_SETUP(conf)
{
	VFM_TARGET_GET(self->dev, &variant->claims);
	VFM_REQUIRE_RESET(self->dev);
	/* RESUMING can only be left with a whole stream in it. */
	vfm_judge_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(conf)
{
	vfm_buf_free(&self->stream);
	vfm_target_put(self->dev);
}

VFM_TARGET_CLAIMS(conf)

/* @stream is what RESUMING can be left with; without it, it cannot. */
static bool enter(struct vfm_device *dev, const struct vfm_buf *stream, u32 state,
		  int *fd)
{
	if (!vfm_judge_enter(dev, state, fd))
		return false;
	if (stream && state == VFM_RESUMING)
		vfm_feed(*fd, stream->data, stream->len, NULL);
	return true;
}

static void check_pair(struct vfm_device *dev, const struct vfm_buf *stream,
		       u32 from, u32 to)
{
	const struct vfm_path path = vfm_find_path(dev->flags, from, to);
	const char *a = vfm_state_name(from), *b = vfm_state_name(to);
	unsigned int before;
	bool opens = false;
	int old, fd, ret;

	if (!enter(dev, path.arcs ? stream : NULL, from, &old))
		return;
	before = vfm_nr_fds();
	ret = __vfm_set_state(dev, to, &fd);
	if (from == to && from != VFM_ERROR) {
		VFIO_ASSERT_EQ(ret, 0, VFM_RULE(RULE_SAME) ": %s", a);
	} else if (!path.arcs) {
		VFIO_ASSERT_EQ(ret, -EINVAL, VFM_RULE(RULE_BLOCKED) ": %s to %s",
			       a, b);
		to = from;
	} else {
		VFIO_ASSERT_EQ(ret, 0, VFM_RULE(RULE_SYNC) ": %s to %s: %s", a, b,
			       strerror(-ret));
		opens = vfm_arc_opens(path.state[path.arcs - 1], to);
	}
	VFIO_ASSERT_EQ(fd >= 0, opens, VFM_RULE(RULE_FD) ": %s to %s, fd %d", a, b,
		       fd);
	VFIO_ASSERT_EQ(vfm_nr_fds(), before + opens, VFM_RULE(RULE_FD) ": %s to %s", a,
		       b);
	VFIO_ASSERT_EQ(vfm_get_state(dev), to, VFM_RULE(RULE_SYNC) ": %s to %s", a,
		       b);
	vfm_close_data(fd);
	vfm_close_data(old);
}

TEST_F(conf, matrix)
{
	u32 from, to;

	for (from = 0; from < VFM_NR_STATES; from++)
		for (to = 0; to < VFM_NR_STATES; to++)
			if (vfm_supports(self->dev, from))
				check_pair(self->dev, &self->stream, from, to);
}

TEST_F(conf, out_of_range)
{
	static const u32 bad[] = { 8, 9, 255, 0xffffffff, 0x80000002, 0x10002 };
	u32 from;
	size_t i;
	int fd, none, ret;

	for (from = 0; from < VFM_NR_STATES; from++) {
		if (!vfm_supports(self->dev, from) ||
		    !enter(self->dev, NULL, from, &fd))
			continue;
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			ret = __vfm_set_state(self->dev, bad[i], &none);
			ASSERT_EQ(-EINVAL, ret) RULE(RULE_RANGE);
			ASSERT_EQ(from, vfm_get_state(self->dev)) RULE(RULE_RANGE);
		}
		vfm_close_data(fd);
	}
}

TEST_F(conf, error_is_final)
{
	u32 to;
	int fd;

	if (!vfm_judge_enter(self->dev, VFM_ERROR, &fd))
		SKIP(return, "leaving RESUMING without data is no ERROR here");
	for (to = 0; to < VFM_NR_STATES; to++) {
		ASSERT_EQ(-EINVAL, __vfm_set_state(self->dev, to, &fd))
			RULE(RULE_ERROR);
		ASSERT_EQ(VFM_ERROR, vfm_get_state(self->dev)) RULE(RULE_ERROR);
	}
	vfm_reset(self->dev);
	ASSERT_EQ(VFM_RUNNING, vfm_get_state(self->dev)) RULE(RULE_RESET);
}

/* Every refusal there is, in the middle of a save that has to go on. */
TEST_F(conf, refusals_keep_session)
{
	static const u32 refused[] = {
		VFM_ERROR, VFM_PRE_COPY, VFM_PRE_COPY_P2P, 99,
	};
	struct vfm_buf got = { 0 };
	ssize_t n;
	size_t i;
	int fd, none;

	ASSERT_TRUE(vfm_judge_enter(self->dev, VFM_STOP_COPY, &fd))
		RULE(RULE_SYNC);
	n = vfm_read(fd, vfm_buf_room(&got, 16), 16);
	ASSERT_LT(0, n) RULE(RULE_DIRECTION);
	got.len = n;
	for (i = 0; i < ARRAY_SIZE(refused); i++)
		ASSERT_EQ(-EINVAL, __vfm_set_state(self->dev, refused[i], &none))
			RULE(RULE_BLOCKED);
	ASSERT_EQ(0, __vfm_set_state(self->dev, VFM_STOP_COPY, &none))
		RULE(RULE_SAME);
	vfm_drain(fd, &got, NULL);
	close(fd);
	vfm_judge_accepts(self->dev, &got, NULL);
	ASSERT_LT(16, got.len) RULE(RULE_KEEPS);
	vfm_buf_free(&got);
}

/* Optional states that are not claimed are as good as out of range, from anywhere. */
TEST_F(conf, unclaimed_states)
{
	u32 from, to;
	int fd, none;

	if (vfm_supports(self->dev, VFM_PRE_COPY_P2P))
		SKIP(return, "the device claims all states");
	for (from = VFM_STOP; from <= VFM_RESUMING; from++) {
		ASSERT_TRUE(enter(self->dev, NULL, from, &fd)) RULE(RULE_SYNC);
		for (to = VFM_RUNNING_P2P; to < VFM_NR_STATES; to++) {
			if (vfm_supports(self->dev, to))
				continue;
			ASSERT_EQ(-EINVAL, __vfm_set_state(self->dev, to, &none))
				RULE(RULE_BLOCKED);
		}
		ASSERT_EQ(from, vfm_get_state(self->dev)) RULE(RULE_BLOCKED);
		vfm_close_data(fd);
	}
}

VFM_TARGET_MAIN
