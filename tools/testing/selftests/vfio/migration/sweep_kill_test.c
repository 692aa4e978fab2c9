// SPDX-License-Identifier: GPL-2.0-only
/*
 * B1, A6: the process that migrates is killed, after every step and in every call that
 * can wait: it dies at once, the devices are closed by that, and whoever opens them
 * next finds them running and as good as new. The same for vfio-migrate, which only
 * borrows the devices of a process that lives on.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <libvfio_migration.h>

#define CHUNK		16384
#define STATE_SIZE	(24 * 4096)

FIXTURE(kill_sweep) {
	struct vfm_device *from, *to;
	bool *ended;			/* shared: the victim has no more steps */
	unsigned int points;
};

FIXTURE_VARIANT(kill_sweep) {
	const char *type;
};

FIXTURE_VARIANT_ADD(kill_sweep, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(kill_sweep, snapshot) { .type = MIGSIM_SNAPSHOT };
FIXTURE_VARIANT_ADD(kill_sweep, precopy) { .type = MIGSIM_PRECOPY };
FIXTURE_VARIANT_ADD(kill_sweep, basic) { .type = MIGSIM_BASIC };

/* Closed: they are the victim's. */
static struct vfm_device *device(const char *type, u64 seed)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", STATE_SIZE);
	vfm_attr_set(dev, "window", 65536);
	vfm_attr_set(dev, "seed", seed);
	return dev;
}

FIXTURE_SETUP(kill_sweep)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->from = device(variant->type, 1);
	self->to = device(variant->type, 2);
	self->ended = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->ended);
}

FIXTURE_TEARDOWN(kill_sweep)
{
	vfm_count("kill_points", self->points);
	vfm_destroy(self->from);
	vfm_destroy(self->to);
	munmap(self->ended, 4096);
}

static void check_works(FIXTURE_DATA(kill_sweep) *self)
{
	u64 mark = self->points;

	vfm_open(self->from);
	vfm_open(self->to);
	vfm_assert_state(self->from, VFM_RUNNING);
	vfm_assert_state(self->to, VFM_RUNNING);
	vfm_reset(self->to);
	vfm_bar_write(self->from, MIGSIM_BAR_MEM, 4096, &mark, sizeof(mark));
	vfm_move_all(self->from, self->to);
	vfm_reset(self->from);
	vfm_close(self->from);
	vfm_close(self->to);
}

/* A migration of as many steps; more than there are ends it. Does not return. */
static void victim(FIXTURE_DATA(kill_sweep) *self, unsigned int steps)
{
	struct vfm_move move;
	int ret = 1;

	vfm_open(self->from);
	vfm_open(self->to);
	vfm_move_begin(&move, self->from, self->to, CHUNK);
	while (ret > 0 && move.steps < steps)
		ret = vfm_move_step(&move);
	*self->ended = !ret;
	kill(getpid(), SIGKILL);
	_exit(1);
}

static pid_t start(FIXTURE_DATA(kill_sweep) *self, unsigned int steps)
{
	pid_t pid;

	*self->ended = false;
	pid = fork();
	VFIO_ASSERT_GE(pid, 0);
	if (!pid)
		victim(self, steps);
	return pid;
}

/* It may not take the release of anything: whatever waits has to give up. */
static void killed(pid_t pid)
{
	int status;

	VFM_WAIT(waitpid(pid, &status, WNOHANG) == pid);
	VFIO_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			 "status %#x", status);
}

TEST_F(kill_sweep, after_each_step)
{
	unsigned int n;

	for (n = 0; !*self->ended; n++) {
		killed(start(self, n));
		self->points++;
		check_works(self);
	}
	ASSERT_LT(10, n);
}

static void kill_within(FIXTURE_DATA(kill_sweep) *self, struct vfm_device *dev,
			const char *rule)
{
	pid_t pid;

	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0, "%s", rule);
	pid = start(self, ~0U);
	VFM_WAIT(vfm_rule_fired(dev, rule) || *self->ended);
	if (vfm_rule_fired(dev, rule)) {
		kill(pid, SIGKILL);
		self->points++;
	}
	killed(pid);
	vfm_fault_clear(dev);
	check_works(self);
}

TEST_F(kill_sweep, within_each_arc)
{
	char rule[128];
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->from);
	vfm_open(self->from);
	vfm_close(self->from);
	vfm_for_each_arc(self->from->flags, from, to) {
		snprintf_assert(rule, sizeof(rule), "arc_stall %s->%s 1 1 0",
				vfm_state_name(from), vfm_state_name(to));
		kill_within(self, self->from, rule);
		kill_within(self, self->to, rule);
	}
	ASSERT_EQ(vfm_move_arcs(self->from, true) + vfm_move_arcs(self->to, false),
		  self->points);
}

/* It calls a migration off, and that does not end. Does not return. */
static void cancelling_victim(FIXTURE_DATA(kill_sweep) *self,
			      const struct vfm_path *path)
{
	int fd, none;
	char c;

	vfm_open(self->from);
	fd = vfm_enter(self->from, path->state[0]);
	VFIO_ASSERT_EQ(vfm_read(fd, &c, 1), 1);
	__vfm_set_state(self->from, path->state[path->arcs], &none);
	_exit(1);
}

static void kill_within_cancel(FIXTURE_DATA(kill_sweep) *self,
			       const struct vfm_path *path, unsigned int step)
{
	const u32 from = path->state[step], to = path->state[step + 1];
	/* On the way to where it begins, it may come by. */
	struct vfm_path before = vfm_find_path(self->from->flags, VFM_RUNNING,
					       path->state[0]);
	unsigned int i, nth = 1;
	pid_t pid;

	for (i = 0; i < before.arcs; i++)
		nth += before.state[i] == from && before.state[i + 1] == to;
	vfm_fault_arc(self->from, "arc_stall", from, to, nth, 1, 0);
	pid = fork();
	VFIO_ASSERT_GE(pid, 0);
	if (!pid)
		cancelling_victim(self, path);
	VFM_WAIT(vfm_rule_fired(self->from, "arc_stall"));
	kill(pid, SIGKILL);
	killed(pid);
	self->points++;
	vfm_fault_clear(self->from);
	check_works(self);
}

TEST_F(kill_sweep, within_each_arc_of_a_cancel)
{
	unsigned int i, wanted = 0;
	struct vfm_path path;
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->from);
	vfm_open(self->from);
	vfm_close(self->from);
	for (from = 0; from < VFM_NR_STATES; from++) {
		for (to = 0; vfm_in_saving_group(from) && to < VFM_NR_STATES; to++) {
			path = vfm_find_path(self->from->flags, from, to);
			for (i = 0; i < path.arcs; i++)
				kill_within_cancel(self, &path, i);
			wanted += path.arcs;
		}
	}
	ASSERT_LT(0, wanted);
	ASSERT_EQ(wanted, self->points);
}

static const char * const sections[] = { "CONFIG", "MEMORY", "REGS" };

TEST_F(kill_sweep, within_transfers)
{
	char rule[64];
	size_t i;

	VFM_REQUIRE_FAULTS(self->from);
	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		snprintf_assert(rule, sizeof(rule), "save_stall %s 1 1 0", sections[i]);
		kill_within(self, self->from, rule);
		snprintf_assert(rule, sizeof(rule), "load_stall %s 1 1 0", sections[i]);
		kill_within(self, self->to, rule);
	}
	ASSERT_EQ(2 * ARRAY_SIZE(sections), self->points);
}

static bool exited(pid_t pid)
{
	siginfo_t info = { 0 };

	VFIO_ASSERT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid == pid;
}

/* The devices stay open: nothing is cleaned up by closing them. */
static void kill_program(FIXTURE_DATA(kill_sweep) *self, struct vfm_device *dev,
			 const char *rule)
{
	pid_t pid;

	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0, "%s", rule);
	pid = vfm_program_migrate(&self->from, &self->to, 1, NULL);
	VFM_WAIT(vfm_rule_fired(dev, rule) || exited(pid));
	if (vfm_rule_fired(dev, rule)) {
		kill(pid, SIGKILL);
		killed(pid);
		self->points++;
	} else {
		VFIO_ASSERT_EQ(vfm_program_wait(pid), 0, "%s", rule);
	}
	vfm_fault_clear(dev);
	vfm_reset(self->from);
	vfm_reset(self->to);
	VFIO_ASSERT_EQ(vfm_program_wait(vfm_program_migrate(&self->from, &self->to,
							    1, NULL)), 0);
	vfm_assert_state(self->to, VFM_RUNNING);
	vfm_reset(self->from);
}

/* A source whose state has arrived is reset, and stopped for whoever has it open. */
static unsigned int program_arcs(struct vfm_device *dev, bool source)
{
	struct vfm_arcs arcs = { .nr = 0 };
	u32 state = VFM_RUNNING;

	if (source) {
		state = vfm_arcs_go(&arcs, dev, state, VFM_PRE_COPY);
		state = vfm_arcs_go(&arcs, dev, state, VFM_PRE_COPY_P2P);
		vfm_arcs_go(&arcs, dev, state, VFM_STOP_COPY);
		vfm_arcs_go(&arcs, dev, VFM_RUNNING, VFM_STOP);
	} else {
		state = vfm_arcs_go(&arcs, dev, state, VFM_RESUMING);
		state = vfm_arcs_go(&arcs, dev, state, VFM_RUNNING_P2P);
		vfm_arcs_go(&arcs, dev, state, VFM_RUNNING);
	}
	return arcs.nr;
}

TEST_F(kill_sweep, program_within_each_arc)
{
	char rule[128];
	u32 from, to;

	VFM_REQUIRE_FAULTS(self->from);
	vfm_open(self->from);
	vfm_open(self->to);
	vfm_for_each_arc(self->from->flags, from, to) {
		snprintf_assert(rule, sizeof(rule), "arc_stall %s->%s 1 1 0",
				vfm_state_name(from), vfm_state_name(to));
		kill_program(self, self->from, rule);
		kill_program(self, self->to, rule);
	}
	ASSERT_EQ(program_arcs(self->from, true) + program_arcs(self->to, false),
		  self->points);
}

TEST_F(kill_sweep, program_within_transfers)
{
	char rule[64];
	size_t i;

	VFM_REQUIRE_FAULTS(self->from);
	vfm_open(self->from);
	vfm_open(self->to);
	for (i = 0; i < ARRAY_SIZE(sections); i++) {
		snprintf_assert(rule, sizeof(rule), "save_stall %s 1 1 0", sections[i]);
		kill_program(self, self->from, rule);
		snprintf_assert(rule, sizeof(rule), "load_stall %s 1 1 0", sections[i]);
		kill_program(self, self->to, rule);
	}
	ASSERT_EQ(2 * ARRAY_SIZE(sections), self->points);
}

TEST_HARNESS_MAIN
