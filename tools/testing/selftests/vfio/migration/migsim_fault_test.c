// SPDX-License-Identifier: GPL-2.0-only
/*
 * C3, D2: every fault site of migsim fires, with everything that passes it in turn,
 * while vfio-migrate moves eight devices. A table says how each of them has to end:
 * which side runs, and that its devices have the state that they had, but for the one
 * that must have lost it; and then vfio-migrate has to say so.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define NR		8
#define FAULTY		3
#define IOVA		0x100000

FIXTURE(fault) {
	struct vfm_device *src[NR];
	struct vfm_device *dst[NR];
	struct vfm_device *dev;		/* tells the sites */
	uint64_t hash[NR];
};

static struct vfm_device *device(unsigned int seed)
{
	struct vfm_device *dev = vfm_create(MIGSIM_FULL);

	vfm_attr_set(dev, "state_size", 64 * 4096);
	vfm_attr_set(dev, "seed", seed);
	vfm_attr_set(dev, "verify", 1);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(fault)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = device(0);
	VFM_REQUIRE_FAULTS(self->dev);
}

FIXTURE_TEARDOWN(fault)
{
	vfm_destroy(self->dev);
}

static void write_state(struct vfm_device *dev, unsigned int i)
{
	vfm_bar_write(dev, MIGSIM_BAR_MEM, 0, "state", 5);
	vfm_bar_write(dev, MIGSIM_BAR_MEM, 4096 * i, "state", 5);
}

static void set_up(FIXTURE_DATA(fault) *self)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		self->src[i] = device(i);
		self->dst[i] = device(100 + i);
		write_state(self->src[i], i);
		vfm_set_state_nofd(self->src[i], VFM_STOP);
		self->hash[i] = vfm_state_hash(self->src[i]);
		vfm_set_state_nofd(self->src[i], VFM_RUNNING);
		vfm_set_state_nofd(self->dst[i], VFM_STOP);
	}
}

static void tear_down(FIXTURE_DATA(fault) *self)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		vfm_destroy(self->src[i]);
		vfm_destroy(self->dst[i]);
	}
}

static bool runs(struct vfm_device *dev)
{
	u32 state = vfm_get_state(dev);

	return state == VFM_RUNNING || state == VFM_RUNNING_P2P ||
	       state == VFM_PRE_COPY || state == VFM_PRE_COPY_P2P;
}

static unsigned int running(struct vfm_device **devs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < NR; i++)
		nr += runs(devs[i]);
	return nr;
}

/* Where something goes wrong, in this order. */
static const char * const down[] = {
	"RUNNING->PRE_COPY", "PRE_COPY->PRE_COPY_P2P", "PRE_COPY_P2P->STOP_COPY", NULL
};

static const char * const up[] = {
	"STOP->RESUMING", "RESUMING->STOP", "STOP->RUNNING_P2P", NULL
};

/* All destinations have confirmed by then. */
static const char * const last[] = { "RUNNING_P2P->RUNNING", NULL };

static const char * const stop[] = { "PRE_COPY_P2P->STOP_COPY", NULL };
static const char * const sections[] = { "CONFIG", "MEMORY", "REGS", NULL };
static const char * const nothing[] = { "-", NULL };

/* What becomes of the device with the rule, on the side that is to run. */
enum fate {
	KEPT,		/* it runs with its state */
	LOST,		/* it runs, but not with its state */
	DEAD,		/* it does not run */
};

#define WENT_BACK	"the destinations were reset, the sources run on"
#define WENT_OVER	"the destinations hold the state, the sources stay stopped"
#define WAS_RESET	"could not go back and was reset: its state is lost, " \
			"the other sources run on"

/* Exit status 0: moved. 1: not moved. 3: moved, but not all run. 4: a state is lost. */
static const struct fault {
	const char *site;
	const char * const *args;
	bool source;		/* or at the destination */
	int status;
	enum fate fate;
	const char *says;
} faults[] = {
	{ "arc_fail",	down,	  true,	 1, KEPT, WENT_BACK },
	{ "arc_fail",	up,	  false, 1, KEPT, WENT_BACK },
	{ "arc_fail",	last,	  false, 3, KEPT, WENT_OVER },
	{ "arc_broken",	down,	  true,	 4, LOST, WAS_RESET },
	{ "arc_broken",	up,	  false, 1, KEPT, WENT_BACK },
	{ "arc_broken",	last,	  false, 4, DEAD, "it is in ERROR" },
	{ "arc_stall",	down,	  true,	 0, KEPT, NULL },
	{ "arc_stall",	up,	  false, 0, KEPT, NULL },
	{ "arc_stall",	last,	  false, 0, KEPT, NULL },
	{ "arc_reset",	down,	  true,	 4, LOST, "a reset came" },
	{ "arc_reset",	up,	  false, 1, KEPT, WENT_BACK },
	{ "arc_reset",	last,	  false, 4, LOST, "a reset came" },
	{ "stop_fail",	stop,	  true,	 1, KEPT, WENT_BACK },
	{ "snapshot_fail", nothing, true, 1, KEPT, WENT_BACK },
	{ "snapshot_stall", nothing, true, 0, KEPT, NULL },
	{ "save_fail",	sections, true,	 1, KEPT, WENT_BACK },
	{ "save_stall",	sections, true,	 0, KEPT, NULL },
	{ "save_short",	sections, true,	 1, KEPT, WENT_BACK },
	{ "save_flip",	sections, true,	 1, KEPT, WENT_BACK },
	{ "save_reset",	sections, true,	 4, LOST, "was the device reset" },
	{ "load_fail",	sections, false, 1, KEPT, WENT_BACK },
	{ "load_stall",	sections, false, 0, KEPT, NULL },
	{ "load_reset",	sections, false, 1, KEPT, WENT_BACK },
	{ "dma_fail",	nothing,  true,	 0, KEPT, NULL },
};

static bool is(const struct fault *fault, const char *end)
{
	const char *at = strrchr(fault->site, '_');

	return at && !strcmp(at + 1, end);
}

/* One that has lost its state cannot have it. */
static void check_hashes(FIXTURE_DATA(fault) *self, struct vfm_device **devs,
			 enum fate fate)
{
	unsigned int i;
	u64 hash;

	for (i = 0; i < NR; i++) {
		if (i == FAULTY && fate == DEAD)
			continue;
		vfm_set_state_nofd(devs[i], VFM_STOP);
		hash = vfm_state_hash(devs[i]);
		VFIO_ASSERT_EQ(hash == self->hash[i], i != FAULTY || fate == KEPT,
			       "device %u", i);
	}
}

static void check_end(FIXTURE_DATA(fault) *self, const struct fault *fault)
{
	bool back = fault->status == 1 || (fault->status == 4 && fault->source);
	struct vfm_device **winner = back ? self->src : self->dst;
	struct vfm_device **loser = back ? self->dst : self->src;

	VFIO_ASSERT_EQ(running(loser), 0);
	VFIO_ASSERT_EQ(running(winner), NR - (fault->fate == DEAD));
	check_hashes(self, winner, fault->fate);
}

#define WAITS	"vfio-migrate: waiting for "

/* That it waits it may say at any time, on a slow machine. */
static bool only_waits(const char *text)
{
	while (*text && !strncmp(text, WAITS, strlen(WAITS))) {
		text += strcspn(text, "\n");
		text += *text == '\n';
	}
	return !*text;
}

static void check_said(int err, const char *says)
{
	char text[4096];
	ssize_t n = pread(err, text, sizeof(text) - 1, 0);

	VFIO_ASSERT_GE(n, 0);
	text[n] = 0;
	if (n)
		printf("# %s", text);
	close(err);
	if (says)
		VFIO_ASSERT_TRUE(strstr(text, says), "it does not say: %s", says);
	else
		VFIO_ASSERT_TRUE(only_waits(text), "it has nothing to say");
}

static void add_rule(struct vfm_device *dev, const struct fault *fault,
		     const char *arg)
{
	bool has_errno = is(fault, "fail") || is(fault, "broken");
	char rule[128];

	snprintf_assert(rule, sizeof(rule), "%s %s 1 1 %d", fault->site, arg,
			has_errno ? EIO : 0);
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0, "%s", rule);
}

static void wait_and_release(struct vfm_device *dev, const char *rule)
{
	VFM_WAIT(vfm_rule_fired(dev, rule));
	vfm_fault_release(dev);
}

/* DMA is not part of the migration: somebody has to ask for it. */
static void fail_dma(struct vfm_device *dev)
{
	static uint8_t memory[4096] __attribute__((aligned(4096)));

	vfm_dma_map(dev, IOVA, memory, sizeof(memory));
	vfm_command_write(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	vfm_dma_queue(dev, MIGSIM_DMA_WRITE, IOVA, 0, 1);
	VFM_WAIT(vfm_reg_read(dev, MIGSIM_REG_DMA_FAILED));
	VFIO_ASSERT_EQ(vfm_reg_read(dev, MIGSIM_REG_DMA_ERROR), EIO);
}

#define HOLD	"arc_stall PRE_COPY->PRE_COPY_P2P "

/* It comes to grief while the migration stands still in PRE_COPY. */
static void fail_dma_held(struct vfm_device *dev)
{
	VFM_WAIT(vfm_rule_fired(dev, HOLD));
	fail_dma(dev);
	vfm_fault_release(dev);
}

/* That it failed is part of the state: what it is then, a twin tells. */
static void expect_dma(FIXTURE_DATA(fault) *self, const struct fault *fault)
{
	struct vfm_device *twin = device(FAULTY);

	write_state(twin, FAULTY);
	add_rule(twin, fault, "-");
	fail_dma(twin);
	vfm_set_state_nofd(twin, VFM_STOP);
	self->hash[FAULTY] = vfm_state_hash(twin);
	vfm_destroy(twin);
}

static void try_fault(FIXTURE_DATA(fault) *self, const struct fault *fault,
		      const char *arg)
{
	int status, err = memfd_create("stderr", MFD_CLOEXEC);
	bool dma = !strcmp(fault->site, "dma_fail");
	struct vfm_device *dev;
	pid_t pid;

	set_up(self);
	dev = fault->source ? self->src[FAULTY] : self->dst[FAULTY];
	add_rule(dev, fault, arg);
	if (dma) {
		VFIO_ASSERT_EQ(__vfm_fault_write(dev, HOLD "1 1 0"), 0);
		expect_dma(self, fault);
	}
	pid = vfm_program_migrate_to(self->src, self->dst, NR, NULL, err);
	if (dma)
		fail_dma_held(dev);
	if (is(fault, "stall"))
		wait_and_release(dev, fault->site);
	status = vfm_program_wait(pid);
	printf("# %s %s: %s, status %d\n", fault->site, arg,
	       fault->source ? "source" : "destination", status);
	check_said(err, fault->says);
	VFIO_ASSERT_EQ(status, fault->status);
	VFIO_ASSERT_EQ(vfm_rule_fired(dev, fault->site), 1);
	check_end(self, fault);
	tear_down(self);
}

static void try_site(FIXTURE_DATA(fault) *self, const char *site)
{
	unsigned int i, j, nr = 0;

	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (strcmp(faults[i].site, site))
			continue;
		for (j = 0; faults[i].args[j]; j++, nr++)
			try_fault(self, &faults[i], faults[i].args[j]);
	}
	VFIO_ASSERT_GT(nr, 0, "how does %s have to end?", site);
}

/* Whatever the device offers: a site that is not in the table is noticed. */
TEST_F_TIMEOUT(fault, every_site, 800)
{
	char path[PATH_MAX], line[256];
	unsigned int nr = 0;
	FILE *file;

	snprintf_assert(path, sizeof(path),
			"/sys/kernel/debug/migsim/%s/fault_sites", self->dev->uuid);
	file = fopen(path, "r");
	ASSERT_NE(NULL, file);
	while (fgets(line, sizeof(line), file)) {
		*strchrnul(line, ' ') = 0;
		try_site(self, line);
		nr++;
	}
	fclose(file);
	ASSERT_EQ(16, nr);
}

TEST_HARNESS_MAIN
