// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: tokens, by which peers can tell whether a migration kept its order
 *
 * Instances form rings. A device that runs passes tokens that it holds to the next
 * one, by writing to its peer, so to speak. In P2P states it passes none but accepts
 * them; a stopped device accepts nothing, and what it has to drop it counts. So no
 * token is lost in a migration of all devices if and only if all are in P2P states
 * before any stops, and all have left STOP before any leaves P2P (C5).
 *
 * The next device is the one whose position in the ring follows. The position is part
 * of the state, as its tokens are: a ring that was migrated has the order that it had,
 * whoever its devices were linked by.
 */
#include <linux/device.h>
#include <linux/list.h>
#include <linux/spinlock.h>

#include "migsim.h"

#define MIGSIM_RING_TICK_MS	5

/* Tokens that pass in one go at most. */
#define MIGSIM_RING_BURST	1024

/* who is in which ring, and the tokens of everybody */
static DEFINE_SPINLOCK(migsim_ring_lock);
static LIST_HEAD(migsim_ring_all);

/* The member whose position follows, the ring's first after its last; or NULL. */
static struct migsim_dev *migsim_ring_next(struct migsim_dev *sim)
{
	struct migsim_dev *other, *first = NULL, *next = NULL;

	lockdep_assert_held(&migsim_ring_lock);
	list_for_each_entry(other, &sim->ring.members, ring.members) {
		if (!first || other->ring.position < first->ring.position)
			first = other;
		if (other->ring.position > sim->ring.position &&
		    (!next || other->ring.position < next->ring.position))
			next = other;
	}

	return next ?: first;
}

static void migsim_ring_pass(struct migsim_dev *sim, u64 nr)
{
	struct migsim_dev *next = migsim_ring_next(sim);

	if (!sim->ring.sending || !next)
		return;
	nr = min(nr, sim->ring.tokens);
	sim->ring.tokens -= nr;
	if (next->ring.accepting)
		next->ring.tokens += nr;
	else
		next->ring.lost += nr;
}

/* Tokens that are due at the configured rate. */
static u64 migsim_ring_due(struct migsim_dev *sim)
{
	struct migsim_ring *ring = &sim->ring;
	ktime_t now = ktime_get();
	u32 rest;
	u64 nr;

	ring->owed += sim->config.token_rate *
		      min_t(u64, ktime_us_delta(now, ring->passed), USEC_PER_SEC);
	ring->passed = now;
	nr = div_u64_rem(ring->owed, USEC_PER_SEC, &rest);
	ring->owed = rest;

	return min_t(u64, nr, MIGSIM_RING_BURST);
}

static void migsim_ring_func(struct work_struct *work)
{
	struct migsim_dev *sim = container_of(to_delayed_work(work),
					      struct migsim_dev, ring.work);
	u64 due = migsim_ring_due(sim);
	bool more;

	spin_lock(&migsim_ring_lock);
	migsim_ring_pass(sim, due);
	more = sim->ring.sending;
	spin_unlock(&migsim_ring_lock);
	if (more)
		queue_delayed_work(migsim_wq, &sim->ring.work,
				   msecs_to_jiffies(MIGSIM_RING_TICK_MS));
}

/**
 * migsim_ring_init - a device alone, without tokens
 * @sim: new device
 */
void migsim_ring_init(struct migsim_dev *sim)
{
	INIT_LIST_HEAD(&sim->ring.members);
	INIT_DELAYED_WORK(&sim->ring.work, migsim_ring_func);
	spin_lock(&migsim_ring_lock);
	list_add_tail(&sim->ring.all, &migsim_ring_all);
	spin_unlock(&migsim_ring_lock);
}

static void migsim_ring_leave(struct migsim_dev *sim)
{
	lockdep_assert_held(&migsim_ring_lock);
	list_del_init(&sim->ring.members);
	sim->ring.home = 0;
	sim->ring.position = 0;
}

/**
 * migsim_ring_exit - a device goes away, whose name may do so before the rest of it
 * @sim: closed device, which may have been told that already
 */
void migsim_ring_exit(struct migsim_dev *sim)
{
	spin_lock(&migsim_ring_lock);
	migsim_ring_leave(sim);
	list_del_init(&sim->ring.all);
	spin_unlock(&migsim_ring_lock);
}

static struct migsim_dev *migsim_ring_find(const char *name)
{
	struct migsim_dev *sim;

	lockdep_assert_held(&migsim_ring_lock);
	list_for_each_entry(sim, &migsim_ring_all, ring.all)
		if (!strcmp(name, dev_name(sim->vdev.dev)))
			return sim;

	return NULL;
}

/* The position after the last one of a ring. */
static u64 migsim_ring_end(struct migsim_dev *sim)
{
	u64 end = sim->ring.home + 1;
	struct migsim_dev *other;

	list_for_each_entry(other, &sim->ring.members, ring.members)
		end = max(end, other->ring.home + 1);

	return end;
}

/**
 * migsim_ring_join - become the last one of a ring
 * @sim: device, not open
 * @name: of any of its devices; empty: leave the ring
 *
 * Return: 0, or -ENODEV if there is no such device, -EINVAL if it is this one.
 */
int migsim_ring_join(struct migsim_dev *sim, const char *name)
{
	struct migsim_dev *peer;
	int ret = 0;

	spin_lock(&migsim_ring_lock);
	peer = migsim_ring_find(name);
	if (!*name) {
		migsim_ring_leave(sim);
	} else if (!peer) {
		ret = -ENODEV;
	} else if (peer == sim) {
		ret = -EINVAL;
	} else {
		migsim_ring_leave(sim);
		sim->ring.home = migsim_ring_end(peer);
		sim->ring.position = sim->ring.home;
		list_add_tail(&sim->ring.members, &peer->ring.members);
	}
	spin_unlock(&migsim_ring_lock);

	return ret;
}

/**
 * migsim_ring_peer - whom the device's tokens go to
 * @sim: device
 * @buf: for the name, empty if there is nobody
 * @size: of it
 */
void migsim_ring_peer(struct migsim_dev *sim, char *buf, size_t size)
{
	struct migsim_dev *next;

	spin_lock(&migsim_ring_lock);
	next = migsim_ring_next(sim);
	strscpy(buf, next ? dev_name(next->vdev.dev) : "", size);
	spin_unlock(&migsim_ring_lock);
}

/**
 * migsim_ring_reset - tokens as after power on
 * @sim: device
 */
void migsim_ring_reset(struct migsim_dev *sim)
{
	spin_lock(&migsim_ring_lock);
	sim->ring.tokens = sim->config.token_count;
	sim->ring.lost = 0;
	sim->ring.position = sim->ring.home;
	spin_unlock(&migsim_ring_lock);
}

/**
 * migsim_ring_accept - take tokens from peers, or drop them
 * @sim: device
 * @accept: take them
 */
void migsim_ring_accept(struct migsim_dev *sim, bool accept)
{
	spin_lock(&migsim_ring_lock);
	sim->ring.accepting = accept;
	spin_unlock(&migsim_ring_lock);
}

/**
 * migsim_ring_start - pass tokens on
 * @sim: device
 */
void migsim_ring_start(struct migsim_dev *sim)
{
	spin_lock(&migsim_ring_lock);
	sim->ring.sending = sim->config.token_rate;
	spin_unlock(&migsim_ring_lock);
	if (!sim->config.token_rate)
		return;
	sim->ring.passed = ktime_get();
	sim->ring.owed = 0;
	queue_delayed_work(migsim_wq, &sim->ring.work, 0);
}

/**
 * migsim_ring_stop - pass no tokens on; on return none is on its way
 * @sim: device
 */
void migsim_ring_stop(struct migsim_dev *sim)
{
	spin_lock(&migsim_ring_lock);
	sim->ring.sending = false;
	spin_unlock(&migsim_ring_lock);
	cancel_delayed_work_sync(&sim->ring.work);
}

/**
 * migsim_ring_get - what the device has
 * @sim: device
 * @state: filled in
 */
void migsim_ring_get(struct migsim_dev *sim, struct migsim_ring_state *state)
{
	spin_lock(&migsim_ring_lock);
	state->tokens = sim->ring.tokens;
	state->lost = sim->ring.lost;
	state->position = sim->ring.position;
	spin_unlock(&migsim_ring_lock);
}

/**
 * migsim_ring_set - what the device is to have
 * @sim: stopped device
 * @state: untrusted
 */
void migsim_ring_set(struct migsim_dev *sim,
		     const struct migsim_ring_state *state)
{
	spin_lock(&migsim_ring_lock);
	sim->ring.tokens = state->tokens;
	sim->ring.lost = state->lost;
	sim->ring.position = state->position;
	spin_unlock(&migsim_ring_lock);
}
