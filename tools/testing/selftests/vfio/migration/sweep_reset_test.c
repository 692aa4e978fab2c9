// SPDX-License-Identifier: GPL-2.0-only
/*
 * A6, B1: a reset of either side after every step of a migration, and in every call
 * that can wait. The device runs, its session is over, whoever waited is told so, and
 * the next migration is as good as any.
 */
#include <libvfio_migration.h>

#define CHUNK		16384
#define STATE_SIZE	(24 * 4096)

FIXTURE(reset_sweep) {
	struct vfm_device *from, *to;
	unsigned int points;
};

FIXTURE_VARIANT(reset_sweep) {
	const char *type;
};

FIXTURE_VARIANT_ADD(reset_sweep, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(reset_sweep, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(reset_sweep, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(reset_sweep, basic) { .type = MIGSIM_BASIC };

static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", 65536);
	vfm_attr_set(dev, "seed", seed);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(reset_sweep)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->from = device(variant->type, 1);
	self->to = device(variant->type, 2);
}

FIXTURE_TEARDOWN(reset_sweep)
{
	vfm_count("reset_points", self->points);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
}

/* Content that no reset leaves behind. */
static void start_over(FIXTURE_DATA(reset_sweep) *self)
{
	u64 mark = 0x6d61726b + self->points;

	vfm_reset(self->from);
	vfm_reset(self->to);
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, 4096, &mark, sizeof(mark));
	vfm_bar_write(self->to, MIGSIM_BAR_MEM, 8192, &mark, sizeof(mark));
}

static void check_over(struct vfm_move *move, bool source)
{
	int fd = source ? move->save_fd : move->load_fd;
	char c = 0;

	vfm_assert_state(source ? move->from : move->to, VFM_RUNNING);
	if (fd >= 0)
		VFIO_ASSERT_EQ(source ? vfm_read(fd, &c, 1) : vfm_write(fd, &c, 1),
			       -ENODEV);
}

/* False if the migration has fewer steps than that. */
static bool reset_after(FIXTURE_DATA(reset_sweep) *self, unsigned int steps,
			bool source)
{
	struct vfm_move move;
	int ret = 1;

	start_over(self);
	vfm_move_begin(&move, self->from, self->to, CHUNK);
	while (ret && move.steps < steps) {
		ret = vfm_move_step(&move);
		VFIO_ASSERT_GE(ret, 0, "step %u: %s", move.steps, strerror(-ret));
	}
	vfm_reset(source ? self->from : self->to);
	check_over(&move, source);
	vfm_move_end(&move);
	self->points++;

	start_over(self);
	vfm_move_all(self->from, self->to);
	return ret;
}

TEST_F(reset_sweep, source_after_each_step)
{
	unsigned int n = 0;

	while (reset_after(self, n, true))
		n++;
	ASSERT_LT(10, n);
}

TEST_F(reset_sweep, destination_after_each_step)
{
	unsigned int n = 0;

	while (reset_after(self, n, false))
		n++;
	ASSERT_LT(10, n);
}

static long mover(void *arg)
{
	struct vfm_move *move = arg;
	int ret;

	do {
		ret = vfm_move_step(move);
	} while (ret > 0);
	return ret;
}

/* @rule makes @dev wait; then it is reset, and the call ends with @err. */
static void reset_within(FIXTURE_DATA(reset_sweep) *self, struct vfm_device *dev,
			 const char *rule, int err)
{
	struct vfm_thread thread;
	struct vfm_move move;

	start_over(self);
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0, "%s", rule);
	vfm_move_begin(&move, self->from, self->to, CHUNK);
	vfm_thread_start(&thread, mover, &move);
	VFM_WAIT(vfm_rule_fired(dev, rule) || atomic_load(&thread.done));
	/* An arc that no migration takes. */
	if (vfm_rule_fired(dev, rule)) {
		vfm_assert_blocked(&thread);
		vfm_reset(dev);
		VFIO_ASSERT_EQ(vfm_thread_join(&thread), -err, "%s", rule);
		check_over(&move, dev == self->from);
		self->points++;
	} else {
		VFIO_ASSERT_EQ(vfm_thread_join(&thread), 0, "%s", rule);
	}
	vfm_fault_clear(dev);
	vfm_move_end(&move);
	start_over(self);
	vfm_move_all(self->from, self->to);
}

TEST_F(reset_sweep, within_each_arc)
{
	char rule[128];
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->from);
	vfm_for_each_arc(self->from->flags, from, to) {
		snprintf_assert(rule, sizeof(rule), "arc_stall %s->%s 1 1 0",
				vfm_state_name(from), vfm_state_name(to));
		reset_within(self, self->from, rule, ECANCELED);
		reset_within(self, self->to, rule, ECANCELED);
	}
	ASSERT_EQ(vfm_move_arcs(self->from, true) + vfm_move_arcs(self->to, false),
		  self->points);
}

/* The migration is called off from where @path begins, and that does not end. */
static void reset_within_cancel(FIXTURE_DATA(reset_sweep) *self,
				const struct vfm_path *path, unsigned int step)
{
	struct vfm_set set = { .dev = self->from, .state = path->state[path->arcs] };
	struct vfm_thread thread;
	u8 chunk[4096];
	int fd;

	start_over(self);
	fd = vfm_enter(self->from, path->state[0]);
	VFIO_ASSERT_GT(vfm_read(fd, chunk, sizeof(chunk)), 0);
	vfm_fault_arc(self->from, "arc_stall", path->state[step],
		      path->state[step + 1], 1, 1, 0);
	vfm_thread_start(&thread, vfm_thread_set_state, &set);
	VFM_WAIT(vfm_rule_fired(self->from, "arc_stall"));
	vfm_assert_blocked(&thread);
	vfm_reset(self->from);
	VFIO_ASSERT_EQ(vfm_thread_join(&thread), -ECANCELED);
	VFIO_ASSERT_EQ(set.data_fd, -1);
	vfm_assert_state(self->from, VFM_RUNNING);
	VFIO_ASSERT_EQ(vfm_read(fd, chunk, sizeof(chunk)), -ENODEV);
	close(fd);
	vfm_fault_clear(self->from);
	self->points++;

	start_over(self);
	vfm_move_all(self->from, self->to);
}

TEST_F(reset_sweep, within_each_arc_of_a_cancel)
{
	unsigned int i, wanted = 0;
	struct vfm_path path;
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->from);
	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; vfm_in_saving_group(from) && to < VFM_NR_STATES; to++) {
			path = vfm_find_path(self->from->flags, from, to);
			for (i = 0; i < path.arcs; i++)
				reset_within_cancel(self, &path, i);
			wanted += path.arcs;
		}
	}
	ASSERT_LT(0, wanted);
	ASSERT_EQ(wanted, self->points);
}

/* What a destination has got by then is no state, which only a reset gets rid of. */
TEST_F(reset_sweep, destination_is_cancelled)
{
	struct vfm_move move;
	int ret = 1, none;

	start_over(self);
	vfm_move_begin(&move, self->from, self->to, CHUNK);
	while (ret > 0 && !move.fed)
		ret = vfm_move_step(&move);
	ASSERT_EQ(1, ret);
	ASSERT_EQ(-ENODATA, __vfm_set_state(self->to, VFM_STOP, &none));
	vfm_assert_state(self->to, VFM_ERROR);
	vfm_reset(self->to);
	check_over(&move, false);
	vfm_set_state_nofd(self->from, VFM_RUNNING);
	vfm_move_end(&move);
	self->points++;
	start_over(self);
	vfm_move_all(self->from, self->to);
}

TEST_F(reset_sweep, within_transfers)
{
	static const char * const sections[] = { "CONFIG", "MEMORY", "REGS" };
	char rule[64];
	size_t i;

	VFM_REQUIRE_FAULTS(self->from);
	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		snprintf_assert(rule, sizeof(rule), "save_stall %s 1 1 0", sections[i]);
		reset_within(self, self->from, rule, ENODEV);
	}
	/* What is not taken fills the window. */
	reset_within(self, self->to, "load_stall MEMORY 1 1 0", ENODEV);
	/* The last write waits for the verdict; its bytes were taken. */
	reset_within(self, self->to, "load_stall REGS 1 1 0", 0);
	ASSERT_EQ(ARRAY_SIZE(sections) + 2, self->points);
}

TEST_HARNESS_MAIN
