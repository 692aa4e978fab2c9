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
	ASSERT_LT(3, self->points);
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
