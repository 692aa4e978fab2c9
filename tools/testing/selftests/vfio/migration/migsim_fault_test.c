// SPDX-License-Identifier: GPL-2.0-only
/*
 * C3, D2: every fault site of migsim fires, with everything that passes it in turn,
 * while vfio-migrate moves eight devices; DMA that fails, on one of them before that,
 * since they do none by themselves. However that ends, one side runs and the other does
 * not, and the devices that run have the state that they had; except one that has lost
 * it, and says so.
 */
#include <fcntl.h>
#include <limits.h>

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

static void set_up(FIXTURE_DATA(fault) *self)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		self->src[i] = device(i);
		self->dst[i] = device(100 + i);
		vfm_bar_write(self->src[i], MIGSIM_BAR_MEM, 0, "state", 5);
		vfm_bar_write(self->src[i], MIGSIM_BAR_MEM, 4096 * i, "state", 5);
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
	return vfm_get_state(dev) == VFM_RUNNING;
}

static unsigned int running(struct vfm_device **devs)
{
	unsigned int i, nr = 0;

	for (i = 0; i < NR; i++)
		nr += runs(devs[i]);
	return nr;
}

/* @lost: the one with the rule may have lost its state. */
static void check_hashes(FIXTURE_DATA(fault) *self, struct vfm_device **devs,
			 bool lost)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		if (!runs(devs[i]) || (lost && i == FAULTY))
			continue;
		vfm_set_state_nofd(devs[i], VFM_STOP);
		VFIO_ASSERT_EQ(vfm_state_hash(devs[i]), self->hash[i],
			       "device %u", i);
	}
}

/* 0: moved. 1: not moved. 3: moved, but one does not run. */
static void check_end(FIXTURE_DATA(fault) *self, int status, bool lost)
{
	switch (status) {
	case 0:
		VFIO_ASSERT_EQ(running(self->dst), NR);
		VFIO_ASSERT_EQ(running(self->src), 0);
		check_hashes(self, self->dst, false);
		break;
	case 1:
		VFIO_ASSERT_EQ(running(self->src), NR);
		VFIO_ASSERT_EQ(running(self->dst), 0);
		check_hashes(self, self->src, lost);
		break;
	default:
		VFIO_ASSERT_EQ(status, 3);
		VFIO_ASSERT_EQ(running(self->src), 0);
		VFIO_ASSERT_GE(running(self->dst), NR - 1);
		check_hashes(self, self->dst, true);
	}
}

struct fault {
	const char *site;
	const char *arg;
	bool source;		/* or at the destination */
};

static bool is(const struct fault *fault, const char *end)
{
	const char *at = strrchr(fault->site, '_');

	return at && !strcmp(at + 1, end);
}

static void add_rule(struct vfm_device *dev, const struct fault *fault)
{
	bool has_errno = is(fault, "fail") || is(fault, "broken");
	char rule[128];

	snprintf_assert(rule, sizeof(rule), "%s %s 1 1 %d", fault->site,
			fault->arg, has_errno ? EIO : 0);
	VFIO_ASSERT_EQ(__vfm_fault_write(dev, rule), 0, "%s", rule);
}

/* There is none during a migration that nobody asked for before. */
static void ask_for_dma(FIXTURE_DATA(fault) *self)
{
	static uint8_t memory[4096] __attribute__((aligned(4096)));

	vfm_dma_map(self->src[FAULTY], IOVA, memory, sizeof(memory));
	vfm_command_write(self->src[FAULTY], 6);
	vfm_dma_queue(self->src[FAULTY], MIGSIM_DMA_WRITE, IOVA, 0, 1);
	vfm_dma_wait(self->src[FAULTY]);
	vfm_set_state_nofd(self->src[FAULTY], VFM_STOP);
	self->hash[FAULTY] = vfm_state_hash(self->src[FAULTY]);
	vfm_set_state_nofd(self->src[FAULTY], VFM_RUNNING);
}

static void try_fault(FIXTURE_DATA(fault) *self, const struct fault *fault)
{
	struct vfm_device *dev;
	int status;
	pid_t pid;

	set_up(self);
	dev = fault->source ? self->src[FAULTY] : self->dst[FAULTY];
	add_rule(dev, fault);
	if (!strcmp(fault->site, "dma_fail"))
		ask_for_dma(self);
	pid = vfm_program_migrate(self->src, self->dst, NR, NULL);
	if (is(fault, "stall")) {
		VFM_WAIT(vfm_rule_fired(dev, fault->site));
		vfm_fault_release(dev);
	}
	status = vfm_program_wait(pid);
	printf("# %s %s: %s, status %d\n", fault->site, fault->arg,
	       fault->source ? "source" : "destination", status);
	VFIO_ASSERT_EQ(vfm_rule_fired(dev, fault->site), 1);
	check_end(self, status, fault->source &&
		  (is(fault, "broken") || is(fault, "reset")));
	tear_down(self);
}

static const struct fault arcs[] = {
	{ .arg = "RUNNING->PRE_COPY", .source = true },
	{ .arg = "PRE_COPY->PRE_COPY_P2P", .source = true },
	{ .arg = "PRE_COPY_P2P->STOP_COPY", .source = true },
	{ .arg = "STOP->RESUMING" },
	{ .arg = "RESUMING->STOP" },
	{ .arg = "STOP->RUNNING_P2P" },
	{ .arg = "RUNNING_P2P->RUNNING" },
};

static const char * const sections[] = { "CONFIG", "MEMORY", "REGS" };

static void try_site(FIXTURE_DATA(fault) *self, const char *site)
{
	struct fault fault = { .site = site };
	unsigned int i;

	if (!strncmp(site, "arc_", 4)) {
		for (i = 0; i < ARRAY_SIZE(arcs); i++) {
			fault = arcs[i];
			fault.site = site;
			try_fault(self, &fault);
		}
	} else if (!strcmp(site, "dma_fail")) {
		fault = (struct fault) { site, "-", true };
		try_fault(self, &fault);
	} else {
		for (i = 0; i < ARRAY_SIZE(sections); i++) {
			fault = (struct fault) {
				site, sections[i], !strncmp(site, "save_", 5),
			};
			try_fault(self, &fault);
		}
	}
}

/* Whatever the device offers: a new site is in here by itself. */
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
	ASSERT_EQ(13, nr);
}

TEST_HARNESS_MAIN
