// SPDX-License-Identifier: GPL-2.0-only
/*
 * A5: a transition that fails leaves the device in its starting state if no
 * session of the caller was ended on the way, else in the last state completed;
 * ERROR only where nothing else is left. The first errno is the caller's.
 */
#include <libvfio_migration.h>

FIXTURE(unwind) {
	struct vfm_device *dev;
	struct vfm_buf stream;
};

FIXTURE_VARIANT(unwind) {
	const char *type;
};

FIXTURE_VARIANT_ADD(unwind, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(unwind, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(unwind, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(unwind, basic) { .type = MIGSIM_BASIC };

FIXTURE_SETUP(unwind)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create_small(variant->type);
	VFM_REQUIRE_FAULTS(self->dev);
	vfm_save(self->dev, &self->stream, NULL);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(unwind)
{
	vfm_fault_clear(self->dev);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

static int start_in(struct vfm_device *dev, const struct vfm_buf *stream,
		    u32 state)
{
	int fd;

	vfm_fault_clear(dev);
	vfm_reset(dev);
	fd = vfm_enter(dev, state);
	if (state == VFM_RESUMING)
		vfm_feed(fd, stream->data, stream->len, NULL);
	return fd;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

/*
 * Not only the name of the state is right: the session that belongs to it works,
 * and the device can do the transition that failed before.
 */
static void check_usable(struct vfm_device *dev, u32 start, int old,
			 u32 to)
{
	u32 state = vfm_get_state(dev);
	struct vfm_buf got = { 0 };
	int fd;

	if (state == start && vfm_in_saving_group(state))
		vfm_drain_err(old, &got, NULL,
			      state == VFM_STOP_COPY ? 0 : ENOMSG);
	vfm_buf_free(&got);

	if (state == to || !vfm_find_path(dev->flags, state, to).arcs)
		return;
	fd = vfm_set_state(dev, to);
	vfm_assert_state(dev, to);
	close_if(fd);
}

/* All pairs that are a path of at least @min arcs. */
#define for_each_path(_dev, _path, _from, _to, _min)			\
	for (_from = 0; _from < VFM_NR_STATES; _from++)			\
		for (_to = 0; _to < VFM_NR_STATES; _to++)		\
			if (_from == _to ||				\
			    (_path = vfm_find_path((_dev)->flags, _from, \
						   _to)).arcs < (_min)) { \
			} else

TEST_F(unwind, each_step_fails)
{
	struct vfm_device *dev = self->dev;
	struct vfm_path path;
	u32 from, to;
	unsigned int i;
	int old;

	for_each_path(dev, path, from, to, 1) {
		for (i = 0; i < path.arcs; i++) {
			old = start_in(dev, &self->stream, from);
			vfm_fault_arc(dev, "arc_fail", path.state[i],
				      path.state[i + 1], 1, 1, EXDEV);
			vfm_set_state_err(dev, to, EXDEV);
			ASSERT_EQ(vfm_unwind_state(&path, i), vfm_get_state(dev))
				TH_LOG("%s to %s failing at step %u",
				       vfm_state_name(from),
				       vfm_state_name(to), i);
			check_usable(dev, from, old, to);
			close_if(old);
		}
	}
}

/*
 * The way back fails as well. Its first arc is that from the last state
 * completed towards the start; the device stays where that arc begins, and the
 * errno is still the first.
 */
TEST_F(unwind, way_back_fails)
{
	struct vfm_device *dev = self->dev;
	struct vfm_path path, back;
	u32 from, to, at;
	unsigned int i, n = 0;
	int old;

	for_each_path(dev, path, from, to, 2) {
		for (i = 1; i < path.arcs; i++) {
			if (vfm_path_ends_session(&path, i))
				continue;
			at = path.state[i];
			back = vfm_find_path(dev->flags, at, from);
			ASSERT_GT(back.arcs, 0);
			old = start_in(dev, &self->stream, from);
			vfm_fault_arc(dev, "arc_fail", at, path.state[i + 1],
				      1, 1, EXDEV);
			vfm_fault_arc(dev, "arc_fail", at, back.state[1],
				      1, 1, ENOSPC);
			vfm_set_state_err(dev, to, EXDEV);
			ASSERT_EQ(1, vfm_fault_fired(dev, "arc_fail", at,
						     back.state[1]));
			ASSERT_EQ(at, vfm_get_state(dev));
			check_usable(dev, from, old, to);
			close_if(old);
			n++;
		}
	}
	ASSERT_GT(n, 0);
}

static void check_error_is_final(struct vfm_device *dev)
{
	u32 to;

	vfm_assert_state(dev, VFM_ERROR);
	for (to = 0; to < VFM_NR_STATES; to++)
		vfm_set_state_err(dev, to, EINVAL);
	vfm_assert_state(dev, VFM_ERROR);
	vfm_fault_clear(dev);
	vfm_reset(dev);
	vfm_assert_state(dev, VFM_RUNNING);
}

TEST_F(unwind, each_step_breaks)
{
	struct vfm_device *dev = self->dev;
	struct vfm_path path;
	u32 from, to;
	unsigned int i;
	char c;
	int old;

	for_each_path(dev, path, from, to, 1) {
		for (i = 0; i < path.arcs; i++) {
			old = start_in(dev, &self->stream, from);
			vfm_fault_arc(dev, "arc_broken", path.state[i],
				      path.state[i + 1], 1, 1, EREMOTEIO);
			vfm_set_state_err(dev, to, EREMOTEIO);
			/* What was a session is none any more. */
			if (vfm_in_saving_group(from))
				VFIO_ASSERT_EQ(vfm_read(old, &c, 1), -ENODEV);
			else if (from == VFM_RESUMING)
				VFIO_ASSERT_EQ(vfm_write(old, "", 1), -ENODEV);
			check_error_is_final(dev);
			close_if(old);
		}
	}
}

TEST_F(unwind, way_back_breaks)
{
	struct vfm_device *dev = self->dev;
	struct vfm_path path, back;
	u32 from, to, at;
	unsigned int i, n = 0;
	int old;

	for_each_path(dev, path, from, to, 2) {
		for (i = 1; i < path.arcs; i++) {
			if (vfm_path_ends_session(&path, i))
				continue;
			at = path.state[i];
			back = vfm_find_path(dev->flags, at, from);
			old = start_in(dev, &self->stream, from);
			vfm_fault_arc(dev, "arc_fail", at, path.state[i + 1],
				      1, 1, EXDEV);
			vfm_fault_arc(dev, "arc_broken", at, back.state[1],
				      1, 1, EREMOTEIO);
			vfm_set_state_err(dev, to, EXDEV);
			check_error_is_final(dev);
			close_if(old);
			n++;
		}
	}
	ASSERT_GT(n, 0);
}

/* The only failure of data: leaving RESUMING, whatever the target is. */
TEST_F(unwind, refused_data)
{
	struct vfm_device *dev = self->dev;
	struct vfm_path path;
	u32 to;
	int fd;

	for (to = 0; to < VFM_NR_STATES; to++) {
		path = vfm_find_path(dev->flags, VFM_RESUMING, to);
		if (to == VFM_RESUMING || !path.arcs)
			continue;
		vfm_reset(dev);
		fd = vfm_enter(dev, VFM_RESUMING);
		vfm_feed(fd, self->stream.data, self->stream.len - 1, NULL);
		vfm_set_state_err(dev, to, ENODATA);
		ASSERT_EQ(-ENODEV, vfm_write(fd, "", 1));
		check_error_is_final(dev);
		close(fd);
	}
}

/* A SET to @set->state that sleeps in an arc, and a signal. */
static void signal_in_arc(struct vfm_set *set, struct vfm_thread *setter,
			  u32 from, u32 to)
{
	vfm_fault_arc(set->dev, "arc_stall", from, to, 1, 1, 0);
	vfm_thread_start(setter, vfm_thread_set_state, set);
	VFM_WAIT(vfm_fault_fired(set->dev, "arc_stall", from, to));
	vfm_thread_signal(setter);
}

/* A signal in the first arc of any path leaves the device as it was. */
TEST_F(unwind, signal)
{
	struct vfm_device *dev = self->dev;
	struct vfm_set set = { .dev = dev };
	struct vfm_thread setter;
	struct vfm_path path;
	u32 from, to;
	int old;

	for_each_path(dev, path, from, to, 1) {
		old = start_in(dev, &self->stream, from);
		set.state = to;
		signal_in_arc(&set, &setter, from, path.state[1]);
		ASSERT_EQ(-EINTR, vfm_thread_join(&setter));
		ASSERT_EQ(-1, set.data_fd);
		ASSERT_EQ(from, vfm_get_state(dev));
		check_usable(dev, from, old, to);
		close_if(old);
	}
}

/* Once an arc has had an effect, the walk goes on to its end. */
TEST_F(unwind, signal_later)
{
	struct vfm_device *dev = self->dev;
	struct vfm_set set = { .dev = dev };
	struct vfm_thread setter;
	struct vfm_path path;
	unsigned int i, n = 0;
	u32 from, to;
	int old;

	for_each_path(dev, path, from, to, 2) {
		for (i = 1; i < path.arcs; i++, n++) {
			old = start_in(dev, &self->stream, from);
			set.state = to;
			signal_in_arc(&set, &setter, path.state[i],
				      path.state[i + 1]);
			vfm_assert_blocked(&setter);
			vfm_fault_release(dev);
			ASSERT_EQ(0, vfm_thread_join(&setter));
			ASSERT_EQ(to, vfm_get_state(dev));
			close_if(set.data_fd);
			close_if(old);
		}
	}
	ASSERT_GT(n, 0);
}

/* A stall that is released is no failure at all. */
TEST_F(unwind, stall_released)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP_COPY };
	struct vfm_thread setter;
	struct vfm_buf got = { 0 };

	vfm_fault_arc(self->dev, "arc_stall", VFM_STOP, VFM_STOP_COPY, 1, 1, 0);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_STOP,
				 VFM_STOP_COPY));
	vfm_assert_blocked(&setter);
	vfm_fault_release(self->dev);
	ASSERT_EQ(0, vfm_thread_join(&setter));
	ASSERT_LE(0, set.data_fd);
	vfm_drain(set.data_fd, &got, NULL);
	ASSERT_GT(got.len, VFM_SMALL_STATE);
	close(set.data_fd);
	vfm_buf_free(&got);
}

/* Rules count: the n-th arc from now, so many times, and the device counts. */
TEST_F(unwind, rules_count)
{
	struct vfm_device *dev = self->dev;
	int i, fd;

	vfm_fault_arc(dev, "arc_fail", VFM_STOP, VFM_STOP_COPY, 2, 2, ENOSPC);
	for (i = 1; i <= 4; i++) {
		vfm_set_state_nofd(dev, VFM_STOP);
		if (i == 2 || i == 3) {
			vfm_set_state_err(dev, VFM_STOP_COPY, ENOSPC);
			vfm_assert_state(dev, VFM_STOP);
			continue;
		}
		fd = vfm_set_state(dev, VFM_STOP_COPY);
		ASSERT_LE(0, fd);
		close(fd);
	}
	ASSERT_EQ(2, vfm_fault_fired(dev, "arc_fail", VFM_STOP, VFM_STOP_COPY));
}

/* RESUMING -> STOP that fails for another reason than the data leaves all as it was. */
TEST_F(unwind, resuming_goes_on)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_thread setter;
	int fd;

	fd = vfm_set_state(self->dev, VFM_RESUMING);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLOUT, 0));
	vfm_fault_arc(self->dev, "arc_fail", VFM_RESUMING, VFM_STOP, 1, 1, EIO);
	vfm_set_state_err(self->dev, VFM_STOP, EIO);
	vfm_assert_state(self->dev, VFM_RESUMING);
	ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLOUT, 0));

	vfm_fault_clear(self->dev);
	vfm_fault_arc(self->dev, "arc_stall", VFM_RESUMING, VFM_STOP, 1, 1, 0);
	vfm_thread_start(&setter, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_fault_fired(self->dev, "arc_stall", VFM_RESUMING,
				 VFM_STOP));
	vfm_thread_signal(&setter);
	ASSERT_EQ(-EINTR, vfm_thread_join(&setter));
	vfm_assert_state(self->dev, VFM_RESUMING);
	ASSERT_EQ(POLLOUT, vfm_poll(fd, POLLOUT, 0));

	/* More is looked at, and here it is too much. */
	ASSERT_EQ(-E2BIG, vfm_write(fd, "x", 1));
	vfm_set_state_err(self->dev, VFM_STOP, E2BIG);
	vfm_assert_state(self->dev, VFM_ERROR);
	close(fd);
}

TEST_HARNESS_MAIN
