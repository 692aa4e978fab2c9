// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: the workload
 *
 * While the device runs, it writes one word into a page of its memory, at pages
 * that follow from the seed and the number of writes before, often enough to
 * dirty dirty_rate bytes of pages a second.
 *
 * A drain (A10) has it pause. What the device has begun then takes as long as the
 * arc that would wait for it otherwise.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "migsim.h"

#define MIGSIM_TICK_MS		10

/* After a pause, a workload does not make up for more than this. */
#define MIGSIM_BEHIND_MS	250

/* The memory is locked for so many writes at most. */
#define MIGSIM_TICK_WRITES	16384

static void migsim_workload_write(struct migsim_dev *sim)
{
	struct migsim_memory *memory = &sim->memory;
	u64 random = migsim_mix(memory->seed + memory->ticks);
	u64 pos = (random % memory->nr_pages) << PAGE_SHIFT;

	pos += (random >> 32) % (PAGE_SIZE / sizeof(u64)) * sizeof(u64);
	if (migsim_memory_write(sim, pos, &random, sizeof(random)))
		return;
	memory->ticks++;
}

static u64 migsim_workload_due(struct migsim_dev *sim)
{
	u64 rate = sim->config.dirty_rate;
	ktime_t now = ktime_get();
	u64 us = ktime_us_delta(now, sim->worked);

	us = min_t(u64, us, MIGSIM_BEHIND_MS * USEC_PER_MSEC);
	sim->worked = now;
	sim->owed += div_u64(rate, USEC_PER_MSEC) * us / MSEC_PER_SEC;

	sim->owed = min_t(u64, sim->owed, MIGSIM_TICK_WRITES << PAGE_SHIFT);

	return sim->owed >> PAGE_SHIFT;
}

static void migsim_workload_func(struct work_struct *work)
{
	struct migsim_dev *sim = container_of(to_delayed_work(work),
					      struct migsim_dev, workload);
	struct migsim_memory *memory = &sim->memory;
	struct mem_cgroup *old;
	bool running, dirty;
	u64 due;

	old = set_active_memcg(sim->memcg);
	mutex_lock(&sim->memory_lock);
	running = memory->running && !memory->draining;
	for (due = running ? migsim_workload_due(sim) : 0; due; due--) {
		migsim_workload_write(sim);
		sim->owed -= PAGE_SIZE;
	}
	dirty = memory->nr_dirty;
	mutex_unlock(&sim->memory_lock);
	set_active_memcg(old);

	if (dirty)
		vfio_mig_kick(sim->mig);
	if (running)
		queue_delayed_work(migsim_wq, &sim->workload,
				   msecs_to_jiffies(MIGSIM_TICK_MS));
}

static void migsim_drain_func(struct work_struct *work)
{
	struct migsim_dev *sim = container_of(to_delayed_work(work),
					      struct migsim_dev, drain);

	mutex_lock(&sim->memory_lock);
	sim->memory.drain_due = sim->memory.draining;
	migsim_drain_look(sim);
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_drain_look - a drain is done if neither its time nor DMA is missing
 * @sim: device; memory_lock is held
 */
void migsim_drain_look(struct migsim_dev *sim)
{
	struct migsim_memory *memory = &sim->memory;

	lockdep_assert_held(&sim->memory_lock);
	if (!memory->drain_due || memory->drained || sim->dma.busy)
		return;
	memory->drained = true;
	vfio_mig_drained(sim->mig, memory->draining);
}

/**
 * migsim_workload_init - set up the workload, not running
 * @sim: new device
 */
void migsim_workload_init(struct migsim_dev *sim)
{
	INIT_DELAYED_WORK(&sim->workload, migsim_workload_func);
	INIT_DELAYED_WORK(&sim->drain, migsim_drain_func);
}

/**
 * migsim_workload_start - the device runs
 * @sim: device
 */
void migsim_workload_start(struct migsim_dev *sim)
{
	bool work;

	mutex_lock(&sim->memory_lock);
	sim->memory.running = true;
	sim->memory.resetting = false;
	/* What was mapped of a stopped device cannot be written to. */
	migsim_unmap_all(sim);
	migsim_irq_update(sim);
	work = sim->config.dirty_rate && sim->memory.nr_pages &&
	       !sim->memory.draining;
	mutex_unlock(&sim->memory_lock);
	if (!work)
		return;
	sim->worked = ktime_get();
	sim->owed = 0;
	queue_delayed_work(migsim_wq, &sim->workload,
			   msecs_to_jiffies(MIGSIM_TICK_MS));
}

/**
 * migsim_workload_stop - the device stops; on return nothing changes any more
 * @sim: device
 */
void migsim_workload_stop(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	sim->memory.running = false;
	migsim_unmap_all(sim);
	mutex_unlock(&sim->memory_lock);
	cancel_delayed_work_sync(&sim->workload);
}

/**
 * migsim_drain_start - begin no new work
 * @sim: device that runs; migsim_drained() tells when the old is done
 * @cookie: of the drain
 */
void migsim_drain_start(struct migsim_dev *sim, u64 cookie)
{
	u64 us = sim->type->flags & VFIO_MIGRATION_P2P ?
		 sim->config.p2p_latency_us : sim->config.stop_latency_us;

	mutex_lock(&sim->memory_lock);
	sim->memory.draining = cookie;
	mutex_unlock(&sim->memory_lock);
	cancel_delayed_work_sync(&sim->workload);
	queue_delayed_work(migsim_wq, &sim->drain, usecs_to_jiffies(us));
}

/**
 * migsim_drain_stop - work again, if the device runs
 * @sim: device
 */
void migsim_drain_stop(struct migsim_dev *sim)
{
	bool running;

	cancel_delayed_work_sync(&sim->drain);
	mutex_lock(&sim->memory_lock);
	sim->memory.draining = 0;
	sim->memory.drain_due = false;
	sim->memory.drained = false;
	migsim_dma_go(sim);
	running = sim->memory.running;
	mutex_unlock(&sim->memory_lock);
	if (running)
		migsim_workload_start(sim);
}

/**
 * migsim_drained - has the device nothing left to do
 * @sim: device
 *
 * Return: true from the end of a drain's work to the end of the drain.
 */
bool migsim_drained(struct migsim_dev *sim)
{
	bool drained;

	mutex_lock(&sim->memory_lock);
	drained = sim->memory.drained;
	mutex_unlock(&sim->memory_lock);

	return drained;
}
