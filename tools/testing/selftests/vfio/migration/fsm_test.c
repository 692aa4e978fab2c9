// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine against an independent search: A1 (values), A2 and A3 (arcs,
 * paths, capability sets), A4 (blocked transitions), A7 (GET, SET to the current
 * state), A8 (the matrix of every capability set), A9 (flags).
 */
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET
#define PROBE	VFIO_DEVICE_FEATURE_PROBE

/* A1, and that the names below mean what the kernel means. */
_Static_assert(VFM_ERROR == 0 && VFM_STOP == 1 && VFM_RUNNING == 2 &&
	       VFM_STOP_COPY == 3 && VFM_RESUMING == 4 &&
	       VFM_RUNNING_P2P == 5 && VFM_PRE_COPY == 6 &&
	       VFM_PRE_COPY_P2P == 7, "values of the uAPI");

FIXTURE(fsm) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	int fd;
};

FIXTURE_VARIANT(fsm) {
	const char *type;
	u64 flags;
	unsigned int arcs;
};

FIXTURE_VARIANT_ADD(fsm, full) {
	.type = MIGSIM_FULL,
	.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
		 VFIO_MIGRATION_PRE_COPY,
	.arcs = 15,
};

FIXTURE_VARIANT_ADD(fsm, snapshot) {
	.type = MIGSIM_SNAPSHOT,
	.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P,
	.arcs = 8,
};

FIXTURE_VARIANT_ADD(fsm, precopy) {
	.type = MIGSIM_PRECOPY,
	.flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY,
	.arcs = 9,
};

FIXTURE_VARIANT_ADD(fsm, basic) {
	.type = MIGSIM_BASIC,
	.flags = VFIO_MIGRATION_STOP_COPY,
	.arcs = 6,
};

FIXTURE_SETUP(fsm)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->fd = -1;
	self->dev = vfm_create_small(variant->type);
	/* RESUMING can only be left with a whole stream in it. */
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(fsm)
{
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

/* A device that was never in any state before, and now is in @state. */
static int fresh(struct vfm_device *dev, const struct vfm_buf *stream,
		 u32 state)
{
	int fd;

	vfm_reopen(dev);
	vfm_reset(dev);
	fd = vfm_enter(dev, state);
	if (state == VFM_RESUMING)
		vfm_feed(fd, stream->data, stream->len, NULL);
	return fd;
}

TEST_F(fsm, flags)
{
	struct vfio_device_feature_migration mig = { 0 };
	const u32 index = VFIO_DEVICE_FEATURE_MIGRATION;
	const size_t argsz = sizeof(struct vfio_device_feature) + sizeof(mig);
	const int fd = self->dev->fd;
	u32 from, to;
	unsigned int n = 0;

	ASSERT_EQ(variant->flags, self->dev->flags);
	vfm_for_each_arc(self->dev->flags, from, to)
		n++;
	ASSERT_EQ(variant->arcs, n);

	vfm_feature(fd, PROBE | GET | index, &mig, sizeof(mig));
	vfm_feature_err(fd, PROBE | SET | index, &mig, sizeof(mig), EINVAL);
	vfm_feature_err(fd, SET | index, &mig, sizeof(mig), EINVAL);
	vfm_feature_argsz_err(fd, GET | index, &mig, sizeof(mig), argsz - 1,
			      EINVAL);
	ASSERT_EQ(0, mig.flags);
}

TEST_F(fsm, state_feature)
{
	struct vfio_device_feature_mig_state mig = {
		.device_state = VFM_STOP,
	};
	const u32 index = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
	const size_t argsz = sizeof(struct vfio_device_feature) + sizeof(mig);
	const int fd = self->dev->fd;

	vfm_feature(fd, PROBE | GET | SET | index, &mig, sizeof(mig));
	vfm_feature_argsz_err(fd, SET | index, &mig, sizeof(mig), argsz - 1,
			      EINVAL);
	/* Neither a probe nor a refused call has done anything. */
	vfm_assert_state(self->dev, VFM_RUNNING);
	/* The reset that the uAPI promises is announced. */
	{
		struct vfio_device_info info = { .argsz = sizeof(info) };

		ASSERT_EQ(0, ioctl(fd, VFIO_DEVICE_GET_INFO, &info));
		ASSERT_TRUE(info.flags & VFIO_DEVICE_FLAGS_RESET);
		ASSERT_TRUE(info.flags & VFIO_DEVICE_FLAGS_PCI);
	}
}

static void check_pair(struct vfm_device *dev, const struct vfm_buf *stream,
		       u32 from, u32 to)
{
	struct vfm_path path = vfm_find_path(dev->flags, from, to);
	int old = fresh(dev, stream, from), fd = -2, ret;
	unsigned int before = vfm_nr_fds();
	bool opens;

	ret = __vfm_set_state(dev, to, &fd);
	if (from == to && from != VFM_ERROR) {
		VFIO_ASSERT_EQ(ret, 0);
		VFIO_ASSERT_EQ(fd, -1, "an fd from SET to the same state");
	} else if (!path.arcs) {
		VFIO_ASSERT_EQ(ret, -EINVAL, "%s to %s",
			       vfm_state_name(from), vfm_state_name(to));
		VFIO_ASSERT_EQ(fd, -1);
		to = from;
	} else {
		VFIO_ASSERT_EQ(ret, 0, "%s to %s: %s", vfm_state_name(from),
			       vfm_state_name(to), strerror(-ret));
		opens = vfm_arc_opens(path.state[path.arcs - 1], to);
		VFIO_ASSERT_EQ(fd >= 0, opens, "%s to %s: fd %d",
			       vfm_state_name(from), vfm_state_name(to), fd);
	}
	vfm_assert_state(dev, to);

	/* One fd is made where there should be one, and nowhere else. */
	VFIO_ASSERT_EQ(vfm_nr_fds(), before + (fd >= 0));
	if (fd >= 0)
		close(fd);
	if (old >= 0)
		close(old);
}

TEST_F(fsm, matrix)
{
	u32 from, to;

	for (from = 0; from < VFM_NR_STATES; from++) {
		if (!vfm_supports(self->dev, from))
			continue;
		for (to = 0; to < VFM_NR_STATES; to++)
			check_pair(self->dev, &self->stream, from, to);
	}
}

TEST_F(fsm, out_of_range)
{
	static const u32 bad[] = {
		8, 9, 255, 0xffffffff, 0x80000002, 0x10002,
	};
	u32 from;
	size_t i;
	int fd;

	for (from = 0; from < VFM_NR_STATES; from++) {
		if (!vfm_supports(self->dev, from))
			continue;
		fd = fresh(self->dev, &self->stream, from);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			vfm_set_state_err(self->dev, bad[i], EINVAL);
			vfm_assert_state(self->dev, from);
		}
		if (fd >= 0)
			close(fd);
	}
}

/* A refused SET must not touch the session either: it goes on where it was. */
TEST_F(fsm, refused_set_keeps_session)
{
	struct vfm_buf got = { 0 };
	int fd;

	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	ASSERT_GT(vfm_read(fd, vfm_buf_room(&got, 100), 100), 0);
	got.len = 0;
	vfm_set_state_err(self->dev, VFM_ERROR, EINVAL);
	vfm_set_state_err(self->dev, VFM_PRE_COPY, EINVAL);
	vfm_set_state_err(self->dev, VFM_PRE_COPY_P2P, EINVAL);
	vfm_set_state_err(self->dev, 99, EINVAL);
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &got, NULL);
	ASSERT_GT(got.len, VFM_SMALL_STATE - 100);
	close(fd);
	vfm_buf_free(&got);
}

/*
 * That the ends are right says nothing about the way. Every arc of the expected
 * path must be walked, so that making it fail is noticed, and no other arc may be.
 */
static void check_path(struct vfm_device *dev, const struct vfm_buf *stream,
		       const struct vfm_path *path)
{
	const u32 from = path->state[0], to = path->state[path->arcs];
	u32 a, b;
	unsigned int i;
	int old, fd;

	for (i = 0; i < path->arcs; i++) {
		old = fresh(dev, stream, from);
		vfm_fault_arc(dev, "arc_fail", path->state[i],
			      path->state[i + 1], 1, 1, EXDEV);
		vfm_set_state_err(dev, to, EXDEV);
		VFIO_ASSERT_EQ(vfm_fault_fired(dev, "arc_fail", path->state[i],
					       path->state[i + 1]), 1);
		vfm_fault_clear(dev);
		if (old >= 0)
			close(old);
	}

	old = fresh(dev, stream, from);
	vfm_for_each_arc(dev->flags, a, b) {
		for (i = 0; i < path->arcs; i++)
			if (path->state[i] == a && path->state[i + 1] == b)
				break;
		if (i == path->arcs)
			vfm_fault_arc(dev, "arc_fail", a, b, 1, 0, EXDEV);
	}
	fd = vfm_set_state(dev, to);
	vfm_fault_clear(dev);
	if (fd >= 0)
		close(fd);
	if (old >= 0)
		close(old);
}

TEST_F(fsm, paths)
{
	unsigned int nr[VFM_NR_STATES] = { 0 };
	struct vfm_path path;
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->dev);
	for (from = 0; from < VFM_NR_STATES; from++) {
		if (!vfm_supports(self->dev, from))
			continue;
		for (to = 0; to < VFM_NR_STATES; to++) {
			if (from == to)
				continue;
			path = vfm_find_path(variant->flags, from, to);
			nr[path.arcs]++;
			if (path.arcs)
				check_path(self->dev, &self->stream, &path);
		}
	}
	ASSERT_EQ(variant->arcs, nr[1]);
	/* The uAPI's own list for the full set has 25 combinations. */
	if (variant->arcs == 15)
		ASSERT_EQ(25, nr[2] + nr[3] + nr[4]);
}

/*
 * Two clients ask for two transitions at once: they are done one after the
 * other, and GET waits, so that no state in between is ever seen.
 */
TEST_F(fsm, serialised)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_RESUMING };
	const struct vfm_path path = vfm_find_path(variant->flags, VFM_RUNNING,
						   VFM_RESUMING);
	struct vfm_thread setter, getter;

	VFM_REQUIRE_FAULTS(self->dev);
	/* Stalls in the last arc, so that an interior state could be seen. */
	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP, VFM_RESUMING, 1, 1, 0);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_STOP,
				 VFM_RESUMING));
	ASSERT_GT(path.arcs, 1);

	vfm_thread_start(&getter, vfm_thread_get_state, self->dev);
	vfm_assert_blocked(&getter);
	vfm_fault_release(self->dev);
	ASSERT_EQ(0, vfm_thread_join(&setter));
	ASSERT_EQ(VFM_RESUMING, vfm_thread_join(&getter));
	ASSERT_LE(0, set.data_fd);
	close(set.data_fd);
}

TEST_HARNESS_MAIN
