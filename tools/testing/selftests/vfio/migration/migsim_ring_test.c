// SPDX-License-Identifier: GPL-2.0-only
/*
 * C5: tokens that go round between migsim devices are conserved by a migration of all
 * of them if none stops before all are in P2P states, and none leaves P2P states
 * before all have left STOP. If either is left out, some are lost: the test can fail.
 */
#include <libvfio_migration.h>

#include "migsim_regs.h"

#define NR		4
#define TOKENS		1000
#define RATE		100000

FIXTURE(ring) {
	struct vfm_device *src[NR];
	struct vfm_device *dst[NR];
	struct vfm_buf got[NR];
	uint64_t tokens;	/* in the ring, after all were opened */
	uint64_t lost;
};

/* The destinations are linked in another order than the sources. */
static void make_ring(struct vfm_device **devs, unsigned int first,
		      uint64_t tokens)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		devs[i] = vfm_create(MIGSIM_FULL);
		vfm_attr_set(devs[i], "state_size", 4096);
		vfm_attr_set(devs[i], "token_count", tokens);
		vfm_attr_set(devs[i], "token_rate", RATE);
	}
	vfm_ring_link(devs, NR, first);
	for (i = 0; i < NR; i++)
		vfm_open(devs[i]);
}

static uint64_t sum(struct vfm_device **devs, const char *attr)
{
	return vfm_ring_sum(devs, NR, attr);
}

static void all(struct vfm_device **devs, uint32_t state)
{
	vfm_ring_set(devs, NR, state);
}

/* The one that has most to lose. */
static struct vfm_device *richest(struct vfm_device **devs)
{
	struct vfm_device *best = devs[0];
	unsigned int i;

	for (i = 1; i < NR; i++)
		if (vfm_attr_get(devs[i], "tokens") > vfm_attr_get(best, "tokens"))
			best = devs[i];
	return best;
}

FIXTURE_SETUP(ring)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	make_ring(self->src, 0, TOKENS);
	make_ring(self->dst, 2, 0);
	/* All but the last to be opened gave some to those that were not. */
	all(self->src, VFM_RUNNING_P2P);
	self->tokens = sum(self->src, "tokens");
	self->lost = sum(self->src, "tokens_lost");
	ASSERT_EQ(NR * TOKENS, self->tokens + self->lost);
	ASSERT_LE(TOKENS, self->tokens);
	all(self->src, VFM_RUNNING);
}

FIXTURE_TEARDOWN(ring)
{
	unsigned int i;

	for (i = 0; i < NR; i++) {
		vfm_buf_free(&self->got[i]);
		vfm_destroy(self->src[i]);
		vfm_destroy(self->dst[i]);
	}
}

static void transfer(FIXTURE_DATA(ring) *self)
{
	unsigned int i;
	int fd;

	for (i = 0; i < NR; i++) {
		fd = vfm_set_state(self->src[i], VFM_STOP_COPY);
		self->got[i].len = 0;
		vfm_drain(fd, &self->got[i], NULL);
		close(fd);
		vfm_restore(self->dst[i], &self->got[i], NULL);
		vfm_set_state_nofd(self->src[i], VFM_STOP);
	}
}

/*
 * The others go on, and so what they have comes by. But it may be that all tokens go
 * round together, and have just come to the one that stops.
 */
static bool stop_too_early(FIXTURE_DATA(ring) *self)
{
	struct vfm_device *dev = self->src[0];

	vfm_set_state_nofd(dev, VFM_STOP);
	VFM_WAIT(sum(self->src, "tokens_lost") > self->lost ||
		 vfm_attr_get(dev, "tokens") == self->tokens);
	if (sum(self->src, "tokens_lost") > self->lost)
		return true;
	vfm_set_state_nofd(dev, VFM_RUNNING);
	VFM_WAIT(vfm_attr_get(dev, "tokens") != self->tokens);
	return false;
}

static void migrate(FIXTURE_DATA(ring) *self, bool down, bool up)
{
	uint64_t before = vfm_attr_get(self->src[0], "tokens");

	/* They are under way. */
	VFM_WAIT(vfm_attr_get(self->src[0], "tokens") != before);
	if (down)
		all(self->src, VFM_RUNNING_P2P);
	else
		VFM_WAIT(stop_too_early(self));
	all(self->src, VFM_STOP);
	transfer(self);
	if (up) {
		all(self->dst, VFM_RUNNING_P2P);
	} else {
		/* The others are not there yet. */
		vfm_set_state_nofd(richest(self->dst), VFM_RUNNING);
		VFM_WAIT(sum(self->dst, "tokens_lost") > self->lost);
	}
	all(self->dst, VFM_RUNNING);
	usleep(20000);
	all(self->dst, VFM_RUNNING_P2P);
}

TEST_F(ring, conserved)
{
	unsigned int i;

	migrate(self, true, true);
	ASSERT_EQ(self->lost, sum(self->dst, "tokens_lost"));
	ASSERT_EQ(self->tokens, sum(self->dst, "tokens"));
	/* The order is the state's, not that of those who have it now. */
	for (i = 0; i < NR; i++)
		ASSERT_EQ(i, vfm_attr_get(self->dst[i], "position"));
}

TEST_F(ring, lost_on_the_way_down)
{
	migrate(self, false, true);
	ASSERT_LT(self->lost, sum(self->dst, "tokens_lost"));
	ASSERT_EQ(NR * TOKENS, sum(self->dst, "tokens") +
			       sum(self->dst, "tokens_lost"));
}

TEST_F(ring, lost_on_the_way_up)
{
	migrate(self, true, false);
	ASSERT_LT(self->lost, sum(self->dst, "tokens_lost"));
	ASSERT_EQ(NR * TOKENS, sum(self->dst, "tokens") +
			       sum(self->dst, "tokens_lost"));
}

/* In P2P states nothing is passed on, and everything is taken. */
TEST_F(ring, quiet_in_p2p)
{
	uint64_t before;

	vfm_set_state_nofd(self->src[0], VFM_RUNNING_P2P);
	VFM_WAIT(vfm_attr_get(self->src[0], "tokens") > 3 * self->tokens / 4);
	all(self->src, VFM_RUNNING_P2P);
	before = vfm_attr_get(self->src[0], "tokens");
	usleep(20000);
	ASSERT_EQ(before, vfm_attr_get(self->src[0], "tokens"));
	ASSERT_EQ(self->tokens, sum(self->src, "tokens"));
}

TEST_F(ring, links)
{
	char name[64];

	vfm_attr_string(self->src[0], "peer", name, sizeof(name));
	ASSERT_STREQ(self->src[1]->uuid, name);
	vfm_attr_string(self->src[NR - 1], "peer", name, sizeof(name));
	ASSERT_STREQ(self->src[0]->uuid, name);
	ASSERT_EQ(-EBUSY, __vfm_attr_write(self->src[0], "peer", "\n"));
	vfm_close(self->src[1]);
	ASSERT_EQ(-EINVAL, __vfm_attr_write(self->src[1], "peer",
					    self->src[1]->uuid));
	ASSERT_EQ(-ENODEV, __vfm_attr_write(self->src[1], "peer", "nobody"));
	vfm_attr_string(self->src[1], "peer", name, sizeof(name));
	ASSERT_STREQ(self->src[2]->uuid, name);
	ASSERT_EQ(0, __vfm_attr_write(self->src[1], "peer", "\n"));
	vfm_attr_string(self->src[1], "peer", name, sizeof(name));
	ASSERT_STREQ("", name);
	vfm_attr_string(self->src[0], "peer", name, sizeof(name));
	ASSERT_STREQ(self->src[2]->uuid, name);
	/* A ring does without a member that goes away. */
	vfm_destroy(self->src[2]);
	self->src[2] = vfm_create(MIGSIM_FULL);
	vfm_attr_string(self->src[0], "peer", name, sizeof(name));
	ASSERT_STREQ(self->src[3]->uuid, name);
}

TEST_HARNESS_MAIN
