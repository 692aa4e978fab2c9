// SPDX-License-Identifier: GPL-2.0-only
/*
 * C3, A5, A6: the rules of migsim, one at a time, on every arc while every transition
 * is asked for, and on every section while it is saved or loaded. What comes of it
 * follows from the path alone.
 */
#include <libvfio_migration.h>

FIXTURE(fault_sweep) {
	struct vfm_device *dev;
	struct vfm_buf stream;
	u64 hash;			/* of what is in it */
	unsigned int runs;
};

FIXTURE_VARIANT(fault_sweep) {
	const char *type;
};

FIXTURE_VARIANT_ADD(fault_sweep, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(fault_sweep, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(fault_sweep, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(fault_sweep, basic) { .type = MIGSIM_BASIC };

/* Running, without rules, and with a page that is not as a reset leaves it. */
static void start_over(FIXTURE_DATA(fault_sweep) *self)
{
	u64 mark = 0x6d61726b;

	vfm_fault_clear(self->dev);
	vfm_reset(self->dev);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 0, &mark, sizeof(mark));
}

/* What the data's own checksums cannot see, the hash of the whole state does. */
FIXTURE_SETUP(fault_sweep)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = vfm_create(variant->type);
	vfm_attr_set(self->dev, "state_size", VFM_SMALL_STATE);
	vfm_attr_set(self->dev, "verify", 1);
	vfm_open(self->dev);
	VFM_REQUIRE_FAULTS(self->dev);
	start_over(self);
	vfm_save(self->dev, &self->stream, NULL);
	self->hash = vfm_state_hash(self->dev);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(fault_sweep)
{
	vfm_count("fault_runs", self->runs);
	vfm_buf_free(&self->stream);
	vfm_destroy(self->dev);
}

static int start_in(FIXTURE_DATA(fault_sweep) *self, u32 state)
{
	int fd;

	vfm_fault_clear(self->dev);
	vfm_reset(self->dev);
	fd = vfm_enter(self->dev, state);
	if (state == VFM_RESUMING)
		vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	return fd;
}

struct site {
	const char *name;
	int err;		/* what the caller gets */
	u32 state;		/* and where the device is then, */
	bool unwinds;		/* unless it is told by the path */
	bool stops;		/* only where the device stops running */
};

static const struct site sites[] = {
	{ .name = "arc_fail", .err = EXDEV, .unwinds = true },
	{ .name = "stop_fail", .err = ENOTUNIQ, .unwinds = true, .stops = true },
	{ .name = "arc_broken", .err = EREMOTEIO, .state = VFM_ERROR },
	{ .name = "arc_reset", .err = ECANCELED, .state = VFM_RUNNING },
};

/* Which arc of the path it is; path->arcs if it is none. */
static unsigned int step_of(const struct vfm_path *path, u32 from, u32 to)
{
	unsigned int i;

	for (i = 0; i < path->arcs; i++)
		if (path->state[i] == from && path->state[i + 1] == to)
			break;
	return i;
}

static bool runs_in(u32 state)
{
	return state == VFM_RUNNING || state == VFM_RUNNING_P2P ||
	       state == VFM_PRE_COPY || state == VFM_PRE_COPY_P2P;
}

static void check_transition(FIXTURE_DATA(fault_sweep) *self,
			     const struct site *site, u32 a, u32 b,
			     const struct vfm_path *path)
{
	const u32 from = path->state[0], to = path->state[path->arcs];
	unsigned int n = step_of(path, a, b);
	int old = start_in(self, from), fd, ret;
	bool hit = n < path->arcs &&
		   (!site->stops || (runs_in(a) && !runs_in(b)));
	u32 state = to;

	if (hit)
		state = site->unwinds ? vfm_unwind_state(path, n) : site->state;
	vfm_fault_arc(self->dev, site->name, a, b, 1, 1,
		      site->state == VFM_RUNNING ? 0 : site->err);
	ret = __vfm_set_state(self->dev, to, &fd);
	VFIO_ASSERT_EQ(ret, hit ? -site->err : 0, "%s %s->%s, from %s to %s",
		       site->name, vfm_state_name(a), vfm_state_name(b),
		       vfm_state_name(from), vfm_state_name(to));
	vfm_assert_state(self->dev, state);
	VFIO_ASSERT_EQ(vfm_fault_fired(self->dev, site->name, a, b), hit);
	if (fd >= 0)
		close(fd);
	if (old >= 0)
		close(old);
	self->runs++;
}

static void check_arc(FIXTURE_DATA(fault_sweep) *self, const struct site *site,
		      u32 a, u32 b)
{
	struct vfm_path path;
	u32 from, to;

	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; to < VFM_NR_STATES; to++) {
			path = vfm_find_path(self->dev->flags, from, to);
			if (from != to && path.arcs)
				check_transition(self, site, a, b, &path);
		}
	}
}

TEST_F_TIMEOUT(fault_sweep, arcs, 600)
{
	size_t i;
	u32 a, b;

	for (i = 0; i < ARRAY_SIZE(sites); i++)
		vfm_for_each_arc(self->dev->flags, a, b)
			check_arc(self, &sites[i], a, b);
	ASSERT_LT(100, self->runs);
}

static const char * const sections[] = { "CONFIG", "MEMORY", "REGS" };
static const int errnos[] = { EIO, EINVAL, ENOMEM };

static void rule(FIXTURE_DATA(fault_sweep) *self, const char *site,
		 const char *section, int err)
{
	char line[64];

	snprintf_assert(line, sizeof(line), "%s %s 1 1 %d", site, section, err);
	VFIO_ASSERT_EQ(__vfm_fault_write(self->dev, line), 0, "%s", line);
}

static bool fired(FIXTURE_DATA(fault_sweep) *self)
{
	return vfm_rule_fired(self->dev, "");
}

static bool is_last(const char *section)
{
	return !strcmp(section, "REGS");
}

/* The session says it for ever, the device is where it was, and a new one is good. */
static void check_save(FIXTURE_DATA(fault_sweep) *self, u32 state,
		       const char *site, const char *arg, int err)
{
	struct vfm_buf got = { 0 };
	int fd, i;

	vfm_fault_clear(self->dev);
	vfm_reset(self->dev);
	rule(self, site, arg, err);
	fd = vfm_enter(self->dev, state);
	if (state != VFM_STOP_COPY) {
		i = __vfm_drain(fd, &got, NULL);
		/* The registers are saved last, when the device has stopped. */
		if (i == -ENOMSG)
			vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	}
	for (i = 0; i < 2; i++)
		vfm_drain_err(fd, &got, NULL, err);
	VFIO_ASSERT_TRUE(vfm_poll(fd, POLLIN, 0) & POLLERR);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	got.len = 0;
	vfm_save(self->dev, &got, NULL);
	vfm_buf_free(&got);
	self->runs++;
}

TEST_F(fault_sweep, save)
{
	size_t i, j;
	u32 state;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_in_saving_group(state) || !vfm_supports(self->dev, state))
			continue;
		for (j = 0; j < ARRAY_SIZE(errnos) && errnos[j] != ENOMEM; j++) {
			check_save(self, state, "snapshot_fail", "-", errnos[j]);
			for (i = 0; i < ARRAY_SIZE(sections); i++)
				check_save(self, state, "save_fail", sections[i],
					   errnos[j]);
		}
	}
}

/* To the end, or to an error. */
static int save_from(struct vfm_device *dev, u32 state, struct vfm_buf *got)
{
	int ret, fd = vfm_enter(dev, state);

	ret = __vfm_drain(fd, got, NULL);
	if (ret == -ENOMSG) {
		vfm_set_state_nofd(dev, VFM_STOP_COPY);
		ret = __vfm_drain(fd, got, NULL);
	}
	close(fd);
	return ret;
}

/* Once is no failure if there was something to read by then; what comes is all of it. */
static void check_save_starved(FIXTURE_DATA(fault_sweep) *self, u32 state,
			       const char *section)
{
	struct vfm_buf got = { 0 };
	int ret;

	start_over(self);
	rule(self, "save_fail", section, ENOMEM);
	ret = save_from(self->dev, state, &got);
	VFIO_ASSERT_TRUE(fired(self));
	VFIO_ASSERT_TRUE(!ret || ret == -ENOMEM, "%s: %s", section, strerror(-ret));
	start_over(self);
	if (!ret)
		vfm_restore(self->dev, &got, NULL);
	vfm_buf_free(&got);
	self->runs++;
}

TEST_F(fault_sweep, save_lacks_memory)
{
	size_t i;
	u32 state;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_in_saving_group(state) || !vfm_supports(self->dev, state))
			continue;
		for (i = 0; i < ARRAY_SIZE(sections); i++)
			check_save_starved(self, state, sections[i]);
	}
}

TEST_F(fault_sweep, load)
{
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		for (j = 0; j < ARRAY_SIZE(errnos); j++) {
			vfm_fault_clear(self->dev);
			vfm_reset(self->dev);
			rule(self, "load_fail", sections[i], errnos[j]);
			vfm_restore_err(self->dev, &self->stream, NULL, errnos[j]);
			vfm_reset(self->dev);
			vfm_restore(self->dev, &self->stream, NULL);
			self->runs++;
		}
	}
}

/* Nothing comes, which is not the end, and it is not said that anything does. */
static void check_stalled(int fd, struct vfm_buf *got)
{
	vfm_nonblock(fd, true);
	vfm_drain_err(fd, got, NULL, EAGAIN);
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, 0), 0);
	vfm_nonblock(fd, false);
}

/* The rule has a session wait; the registers are saved when the device has stopped. */
static void go_to_stop_copy(FIXTURE_DATA(fault_sweep) *self, u32 state, int fd,
			    const char *section, struct vfm_buf *got)
{
	if (state != VFM_STOP_COPY && is_last(section)) {
		vfm_drain_err(fd, got, NULL, ENOMSG);
	} else if (state != VFM_STOP_COPY) {
		VFM_WAIT(fired(self));
		check_stalled(fd, got);
	}
	if (state != VFM_STOP_COPY)
		vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	VFM_WAIT(fired(self));
	check_stalled(fd, got);
}

static void check_arrives(FIXTURE_DATA(fault_sweep) *self, const struct vfm_buf *got)
{
	u64 hash = vfm_state_hash(self->dev);

	vfm_fault_clear(self->dev);
	vfm_reset(self->dev);
	vfm_restore(self->dev, got, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), hash);
	self->runs++;
}

/* In whatever state it waits: when it goes on, all of it is there. */
static void check_save_stall(FIXTURE_DATA(fault_sweep) *self, u32 state,
			     const char *section)
{
	struct vfm_buf got = { 0 };
	int fd;

	start_over(self);
	rule(self, "save_stall", section, 0);
	fd = vfm_enter(self->dev, state);
	go_to_stop_copy(self, state, fd, section, &got);
	vfm_fault_release(self->dev);
	vfm_drain(fd, &got, NULL);
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	check_arrives(self, &got);
	vfm_buf_free(&got);
}

/* The device runs, its session is over, and the next one is good. */
static void check_save_reset(FIXTURE_DATA(fault_sweep) *self, u32 state,
			     const char *section)
{
	struct vfm_buf got = { 0 };
	int fd, ret;

	start_over(self);
	rule(self, "save_reset", section, 0);
	fd = vfm_set_state(self->dev, state);
	ret = __vfm_drain(fd, &got, NULL);
	if (ret == -ENOMSG && is_last(section)) {
		vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
		ret = __vfm_drain(fd, &got, NULL);
	}
	VFIO_ASSERT_EQ(ret, -ENODEV, "save_reset %s in %s: %s", section,
		       vfm_state_name(state), strerror(-ret));
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLIN, 0), POLLERR | POLLHUP);
	vfm_assert_state(self->dev, VFM_RUNNING);
	close(fd);
	start_over(self);
	got.len = 0;
	vfm_save(self->dev, &got, NULL);
	check_arrives(self, &got);
	vfm_buf_free(&got);
}

/* The sender does not notice; the destination does, and can say no more than @err. */
static void check_save_spoilt(FIXTURE_DATA(fault_sweep) *self, u32 state,
			      const char *site, const char *section, int err)
{
	struct vfm_buf got = { 0 };
	int fd, ret;

	start_over(self);
	rule(self, site, section, 0);
	fd = vfm_enter(self->dev, state);
	if (state != VFM_STOP_COPY) {
		vfm_drain_err(fd, &got, NULL, ENOMSG);
		vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	}
	vfm_drain(fd, &got, NULL);
	VFIO_ASSERT_TRUE(fired(self));
	vfm_set_state_nofd(self->dev, VFM_STOP);
	close(fd);
	vfm_fault_clear(self->dev);
	vfm_reset(self->dev);
	ret = __vfm_restore(self->dev, got.data, got.len, NULL);
	VFIO_ASSERT_EQ(ret, -err, "%s %s in %s: %s", site, section,
		       vfm_state_name(state), strerror(-ret));
	vfm_buf_free(&got);
	self->runs++;
}

static void check_saves(FIXTURE_DATA(fault_sweep) *self, u32 state,
			const char *section)
{
	/* Sections of a fixed size are refused for it; of memory, only the hash tells. */
	int short_err = strcmp(section, "MEMORY") ? EINVAL : EIO;

	check_save_spoilt(self, state, "save_short", section, short_err);
	check_save_spoilt(self, state, "save_flip", section, EIO);
	check_save_stall(self, state, section);
	check_save_reset(self, state, section);
}

TEST_F(fault_sweep, save_goes_wrong)
{
	size_t i;
	u32 state;

	for (state = 0; state < VFM_NR_STATES; state++) {
		if (!vfm_in_saving_group(state) || !vfm_supports(self->dev, state))
			continue;
		for (i = 0; i < ARRAY_SIZE(sections); i++)
			check_saves(self, state, sections[i]);
	}
}

/* All of it is accepted, and leaving waits until it is loaded. */
static void check_load_stall(FIXTURE_DATA(fault_sweep) *self, const char *section)
{
	struct vfm_set set = { .dev = self->dev, .state = VFM_STOP };
	struct vfm_thread thread;
	int fd;

	start_over(self);
	rule(self, "load_stall", section, 0);
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	vfm_nonblock(fd, true);
	vfm_feed(fd, self->stream.data, self->stream.len, NULL);
	VFM_WAIT(fired(self));
	vfm_thread_start(&thread, vfm_thread_set_state, &set);
	vfm_assert_blocked(&thread);
	vfm_fault_release(self->dev);
	VFIO_ASSERT_EQ(vfm_thread_join(&thread), 0);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), self->hash);
	close(fd);
	self->runs++;
}

/* What was taken before it has gone with the state. */
static void check_load_reset(FIXTURE_DATA(fault_sweep) *self, const char *section)
{
	int fd, ret;

	start_over(self);
	rule(self, "load_reset", section, 0);
	fd = vfm_set_state(self->dev, VFM_RESUMING);
	ret = __vfm_feed(fd, self->stream.data, self->stream.len, NULL, NULL);
	VFIO_ASSERT_TRUE(!ret || ret == -ENODEV, "load_reset %s: %s", section,
			 strerror(-ret));
	VFIO_ASSERT_EQ(vfm_write(fd, "x", 1), -ENODEV);
	VFIO_ASSERT_EQ(vfm_poll(fd, POLLOUT, 0), POLLERR | POLLHUP);
	vfm_assert_state(self->dev, VFM_RUNNING);
	close(fd);
	start_over(self);
	vfm_restore(self->dev, &self->stream, NULL);
	VFIO_ASSERT_EQ(vfm_state_hash(self->dev), self->hash);
	self->runs++;
}

TEST_F(fault_sweep, load_goes_wrong)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		check_load_stall(self, sections[i]);
		check_load_reset(self, sections[i]);
	}
	ASSERT_EQ(2 * ARRAY_SIZE(sections), self->runs);
}

TEST_HARNESS_MAIN
