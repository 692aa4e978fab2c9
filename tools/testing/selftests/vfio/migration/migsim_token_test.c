// SPDX-License-Identifier: GPL-2.0-only
/*
 * C5, D2: eight devices with peers, moved by vfio-migrate to eight others and back, as
 * often as VFM_ROUNDS says, with the latencies and rates of those that they move to drawn
 * anew each time. No token is lost. Without the P2P phase of one side some are, or the
 * test proves nothing: there, latencies are such that it does not take long.
 */
#include <libvfio_migration.h>

#include "migsim_regs.h"

#define NR		8
#define TOKENS		500
#define RATE		50000
#define ROUNDS		200
#define TRIES		200

struct side {
	struct vfm_device *devs[NR];
};

FIXTURE(token) {
	struct side side[2];
	struct vfm_rng rng;
	uint64_t tokens;
	uint64_t lost;
};

static uint64_t sum(struct side *side, const char *attr)
{
	return vfm_ring_sum(side->devs, NR, attr);
}

static void all(struct side *side, uint32_t state)
{
	vfm_ring_set(side->devs, NR, state);
}

/* Linked in an order of its own. */
static void make_side(struct side *side, unsigned int first)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		side->devs[i] = vfm_create(MIGSIM_FULL);
		vfm_attr_set(side->devs[i], "state_size", 16 * 4096);
		vfm_attr_set(side->devs[i], "token_count", TOKENS);
		vfm_attr_set(side->devs[i], "token_rate", RATE);
		vfm_attr_set(side->devs[i], "dirty_rate", 1 << 20);
		vfm_attr_set(side->devs[i], "p2p_latency_us", 500 * i);
		vfm_attr_set(side->devs[i], "stop_latency_us", 3500 - 500 * i);
		vfm_attr_set(side->devs[i], "load_latency_us", 700 * (i ^ 3));
	}
	vfm_ring_link(side->devs, NR, first);
	for (i = 0; i < NR; i++)
		vfm_open(side->devs[i]);
	all(side, VFM_RUNNING_P2P);
}

FIXTURE_SETUP(token)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->rng = vfm_rng(4711);
	make_side(&self->side[0], 0);
	make_side(&self->side[1], 5);
	all(&self->side[1], VFM_STOP);
	self->tokens = sum(&self->side[0], "tokens");
	self->lost = sum(&self->side[0], "tokens_lost");
	ASSERT_EQ(NR * TOKENS, self->tokens + self->lost);
	all(&self->side[0], VFM_RUNNING);
}

FIXTURE_TEARDOWN(token)
{
	unsigned int i;

	for (i = 0; i < 2 * NR; i++)
		vfm_destroy(self->side[i % 2].devs[i / 2]);
}

/* Which source goes where is drawn. */
static void migrate(FIXTURE_DATA(token) *self, struct side *from,
		    struct side *to, const char *option)
{
	unsigned int shift = vfm_random_below(&self->rng, NR), i;
	struct vfm_device *target[NR];
	pid_t pid;

	for (i = 0; i < NR; i++)
		target[i] = to->devs[(i + shift) % NR];
	usleep(vfm_random_below(&self->rng, 20000));
	pid = vfm_program_migrate(from->devs, target, NR, option);
	VFIO_ASSERT_EQ(vfm_program_wait(pid), 0, "VFM_SEED=%#llx",
		       (unsigned long long)vfm_seed());
}

static void draw(FIXTURE_DATA(token) *self, struct vfm_device *dev)
{
	static const struct {
		const char *attr;
		u64 min, max;
	} ranges[] = {
		{ "p2p_latency_us", 0, 5000 },
		{ "stop_latency_us", 0, 5000 },
		{ "load_latency_us", 0, 7000 },
		{ "save_latency_us", 0, 5000 },
		{ "token_rate", RATE / 10, 2 * RATE },
		{ "dirty_rate", 0, 2 << 20 },
		{ "bandwidth", 8 << 20, 64 << 20 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++)
		vfm_attr_set(dev, ranges[i].attr, ranges[i].min +
			     vfm_random_below(&self->rng, ranges[i].max -
						ranges[i].min));
}

/* A side that is to be moved to: what it has, it will forget. */
static void redraw(FIXTURE_DATA(token) *self, struct side *side)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		vfm_close(side->devs[i]);
		draw(self, side->devs[i]);
	}
	for (i = 0; i < NR; i++)
		vfm_open(side->devs[i]);
	all(side, VFM_STOP);
}

/* They stand still while they are counted, and then go on. */
static void count(struct side *side, uint64_t *tokens, uint64_t *lost)
{
	all(side, VFM_RUNNING_P2P);
	*tokens = sum(side, "tokens");
	*lost = sum(side, "tokens_lost");
	all(side, VFM_RUNNING);
}

TEST_F_TIMEOUT(token, conserved, 800)
{
	uint64_t tokens, lost;
	unsigned int i, rounds = vfm_rounds(ROUNDS);

	for (i = 0; i < rounds; i++) {
		redraw(self, &self->side[!(i % 2)]);
		migrate(self, &self->side[i % 2], &self->side[!(i % 2)], NULL);
		count(&self->side[!(i % 2)], &tokens, &lost);
		ASSERT_EQ(self->lost, lost) {
			TH_LOG("round %u of VFM_SEED=%#llx", i,
			       (unsigned long long)vfm_seed());
		}
		ASSERT_EQ(self->tokens, tokens) {
			TH_LOG("round %u of VFM_SEED=%#llx", i,
			       (unsigned long long)vfm_seed());
		}
	}
	printf("# %u migrations of %u devices\n", i, NR);
}

/* Sooner or later somebody gives to one that has stopped: in three of ten, or fewer. */
static void check_loses(FIXTURE_DATA(token) *self, const char *option)
{
	uint64_t tokens, lost;
	unsigned int i;

	for (i = 0; i < TRIES; i++) {
		migrate(self, &self->side[i % 2], &self->side[!(i % 2)], option);
		count(&self->side[!(i % 2)], &tokens, &lost);
		/* What was dropped after the registers were saved, nobody knows. */
		VFIO_ASSERT_LE(tokens + lost, NR * TOKENS);
		if (tokens < self->tokens)
			return;
	}
	VFIO_FAIL("nothing was lost in %u migrations with %s\n", TRIES, option);
}

TEST_F_TIMEOUT(token, lost_without_p2p_down, 800)
{
	check_loses(self, "--skip-p2p=down");
}

TEST_F_TIMEOUT(token, lost_without_p2p_up, 800)
{
	check_loses(self, "--skip-p2p=up");
}

TEST_HARNESS_MAIN
