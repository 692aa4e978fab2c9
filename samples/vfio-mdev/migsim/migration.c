// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: the driver of the migration core
 *
 * The stream has three types of sections: CONFIG comes first, with the seed and
 * size; MEMORY carries whole pages, the first one's index being the object; REGS
 * comes last, when the device has stopped. With PRE_COPY all pages are sent once,
 * then those that became dirty; after STOP_COPY the rest.
 *
 * Latency and bandwidth are not slept off in save() and load(): they say IDLE and
 * have themselves kicked.
 */
#include <linux/mm.h>
#include <linux/string.h>

#include "migsim.h"

#define MIGSIM_STREAM_VERSION	2

/* Payload of MIGSIM_SECTION_CONFIG. */
struct migsim_section_config {
	__le64 seed;
	__le64 nr_pages;
};

/* A limited bandwidth may be exceeded for so long, after it was not used. */
#define MIGSIM_LATE_MS		100

/* What is sent besides pages. */
#define MIGSIM_SMALL_SIZE	(sizeof(struct migsim_section_config) + \
				 sizeof(struct migsim_section_regs))

static bool migsim_is_running(enum vfio_device_mig_state state)
{
	return state == VFIO_DEVICE_STATE_RUNNING ||
	       state == VFIO_DEVICE_STATE_RUNNING_P2P ||
	       state == VFIO_DEVICE_STATE_PRE_COPY ||
	       state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

static bool migsim_is_precopy(enum vfio_device_mig_state state)
{
	return state == VFIO_DEVICE_STATE_PRE_COPY ||
	       state == VFIO_DEVICE_STATE_PRE_COPY_P2P;
}

/* Does it initiate anything towards others. */
static bool migsim_is_active(enum vfio_device_mig_state state)
{
	return state == VFIO_DEVICE_STATE_RUNNING ||
	       state == VFIO_DEVICE_STATE_PRE_COPY;
}

static void migsim_stream_begin(struct migsim_dev *sim, bool track)
{
	memset(&sim->stream, 0, sizeof(sim->stream));
	migsim_track(sim, track);
}

/* The time that an arc takes. */
static u64 migsim_arc_latency(struct migsim_dev *sim,
			      enum vfio_device_mig_state from,
			      enum vfio_device_mig_state to)
{
	const bool p2p = sim->type->flags & VFIO_MIGRATION_P2P;

	if (migsim_is_running(from) && !migsim_is_running(to))
		return p2p || !migsim_drained(sim) ?
		       sim->config.stop_latency_us : 0;
	if (from == VFIO_DEVICE_STATE_RESUMING)
		return sim->config.load_latency_us;
	if ((from == VFIO_DEVICE_STATE_RUNNING &&
	     to == VFIO_DEVICE_STATE_RUNNING_P2P) ||
	    (from == VFIO_DEVICE_STATE_PRE_COPY &&
	     to == VFIO_DEVICE_STATE_PRE_COPY_P2P))
		return migsim_drained(sim) ? 0 : sim->config.p2p_latency_us;

	return 0;
}

static void migsim_enter_stop_copy(struct migsim_dev *sim,
				   enum vfio_device_mig_state from)
{
	if (!migsim_is_precopy(from))
		migsim_stream_begin(sim, false);
	sim->stream.snapshot = true;
	sim->stream.ready = ktime_add_us(ktime_get(),
					 sim->config.save_latency_us);
}

/* What it was still preparing for STOP_COPY, nobody waits for any more. */
static void migsim_copy_back(struct migsim_dev *sim)
{
	sim->stream.snapshot = false;
	sim->stream.ready = ktime_get();
	migsim_track_on(sim);
}

/* Return: 0, or -EINTR or -ECANCELED with the device as active as it was. */
static int migsim_quiesce(struct migsim_dev *sim)
{
	int ret;

	migsim_ring_stop(sim);
	ret = migsim_dma_freeze(sim);
	if (ret)
		migsim_ring_start(sim);

	return ret;
}

/* Return: 0, or an errno with the device as active as it was. */
static int migsim_halt(struct migsim_dev *sim, enum vfio_device_mig_state from,
		       enum vfio_device_mig_state to)
{
	bool active = migsim_is_active(from);
	int ret;

	ret = active && !migsim_is_active(to) ? migsim_quiesce(sim) : 0;
	if (ret || !migsim_is_running(from) || migsim_is_running(to))
		return ret;
	ret = migsim_fault_stop(sim, from, to);
	if (ret && active)
		migsim_activate(sim);

	return ret;
}

static void migsim_stop(struct migsim_dev *sim)
{
	migsim_ring_accept(sim, false);
	migsim_workload_stop(sim);
}

static void migsim_move(struct migsim_dev *sim,
			enum vfio_device_mig_state from,
			enum vfio_device_mig_state to)
{
	if (migsim_is_running(from) && !migsim_is_running(to))
		migsim_stop(sim);
	if (from == VFIO_DEVICE_STATE_STOP_COPY && migsim_is_precopy(to))
		migsim_copy_back(sim);
	else if (from == VFIO_DEVICE_STATE_STOP_COPY)
		migsim_track(sim, false);
	if (to == VFIO_DEVICE_STATE_STOP_COPY)
		migsim_enter_stop_copy(sim, from);
	if (to == VFIO_DEVICE_STATE_RESUMING)
		migsim_stream_begin(sim, false);
	if (migsim_is_precopy(to) && !migsim_is_precopy(from) &&
	    from != VFIO_DEVICE_STATE_STOP_COPY)
		migsim_stream_begin(sim, true);
	if (migsim_is_precopy(from) && migsim_is_running(to) &&
	    !migsim_is_precopy(to))
		migsim_track(sim, false);
	if (!migsim_is_running(from) && migsim_is_running(to))
		migsim_run(sim);
	if (!migsim_is_active(from) && migsim_is_active(to))
		migsim_activate(sim);
}

/* RESUMING -> STOP: is what was loaded a device's state. */
static int migsim_load_verdict(struct migsim_dev *sim)
{
	if (!vfio_mig_loaded(sim->mig) || sim->stream.finished)
		return 0;

	return vfio_mig_broken(sim->mig, -EINVAL,
			       "the stream does not end with the registers");
}

static int migsim_arc(struct vfio_mig *mig, enum vfio_device_mig_state from,
		      enum vfio_device_mig_state to)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);
	int ret;

	ret = migsim_fault_arc(sim, from, to);
	if (ret)
		return ret;
	ret = vfio_mig_wait_us(mig, migsim_arc_latency(sim, from, to));
	if (ret)
		return ret;
	if (from == VFIO_DEVICE_STATE_RESUMING)
		ret = migsim_load_verdict(sim);
	else
		ret = migsim_halt(sim, from, to);
	if (!ret)
		migsim_move(sim, from, to);

	return ret;
}

/* Not yet: come back at @sim->stream.ready. */
static bool migsim_must_wait(struct migsim_dev *sim)
{
	s64 us = ktime_us_delta(sim->stream.ready, ktime_get());

	if (us <= 0)
		return false;
	mod_delayed_work(migsim_wq, &sim->wakeup, usecs_to_jiffies(us) + 1);

	return true;
}

static void migsim_wakeup_func(struct work_struct *work)
{
	struct migsim_dev *sim = container_of(to_delayed_work(work),
					      struct migsim_dev, wakeup);

	vfio_mig_kick(sim->mig);
}

/* So much was moved; with a limited bandwidth, it takes its time. */
static void migsim_spend(struct migsim_dev *sim, size_t bytes)
{
	u64 bandwidth = sim->config.bandwidth;
	ktime_t earliest;

	if (!bandwidth)
		return;
	/* Timers are late: what that costs is made up for. */
	earliest = ktime_sub_ms(ktime_get(), MIGSIM_LATE_MS);
	if (ktime_before(sim->stream.ready, earliest))
		sim->stream.ready = earliest;
	sim->stream.ready = ktime_add_ns(sim->stream.ready,
					 div64_u64(bytes * NSEC_PER_SEC,
						   bandwidth));
}

/* A section of @size bytes, which may change them. */
static int migsim_save_bytes(struct migsim_dev *sim, struct vfio_mig_sink *sink,
			     enum migsim_section type, void *from, size_t size)
{
	if (sim->stream.spoil == MIGSIM_SPOIL_FLIP)
		*(u8 *)from ^= 1;
	if (sim->stream.spoil == MIGSIM_SPOIL_SHORT)
		size -= sizeof(u64);
	vfio_mig_sink_section(sink, type, 0);

	return vfio_mig_sink_bytes(sink, from, size);
}

static int migsim_save_config(struct migsim_dev *sim,
			      struct vfio_mig_sink *sink)
{
	struct migsim_section_config config = {
		.seed = cpu_to_le64(sim->memory.seed),
		.nr_pages = cpu_to_le64(sim->memory.nr_pages),
	};

	int ret;

	ret = migsim_fault_save(sim, MIGSIM_SECTION_CONFIG);
	if (ret)
		return ret;
	ret = migsim_save_bytes(sim, sink, MIGSIM_SECTION_CONFIG, &config,
				sizeof(config));
	if (ret)
		return ret;
	sim->stream.configured = true;

	return VFIO_MIG_MORE;
}

/* In place, as hardware does that writes to memory by itself. */
static int migsim_fill_page(struct migsim_dev *sim, struct vfio_mig_sink *sink,
			    unsigned long index)
{
	size_t len;
	void *to;

	to = vfio_mig_sink_reserve(sink, &len);
	if (IS_ERR(to))
		return PTR_ERR(to);
	migsim_page_read(sim, index, to);
	if (sim->stream.spoil == MIGSIM_SPOIL_FLIP)
		*(u8 *)to ^= 1;
	vfio_mig_sink_commit(sink, len);

	return 0;
}

static int migsim_save_page(struct migsim_dev *sim, struct vfio_mig_sink *sink,
			    unsigned long index)
{
	struct page *page = NULL;
	int ret;

	/* From here on, the next write to it is noticed. */
	migsim_unmap_page(sim, index);
	if (sim->config.donate && sim->stream.spoil != MIGSIM_SPOIL_FLIP)
		page = migsim_page_find(sim, index);
	ret = page ? vfio_mig_sink_add_page(sink, page) :
		     migsim_fill_page(sim, sink, index);
	if (!ret)
		migsim_dirty_clear(sim, index);

	return ret;
}

/* A section of the first pass, in order of pages. */
static int migsim_save_pass(struct migsim_dev *sim, struct vfio_mig_sink *sink)
{
	struct migsim_memory *memory = &sim->memory;
	int ret = 0;

	vfio_mig_sink_section(sink, MIGSIM_SECTION_MEMORY, memory->sent);
	while (!ret && memory->sent < memory->nr_pages &&
	       vfio_mig_sink_room(sink)) {
		ret = migsim_save_page(sim, sink, memory->sent);
		if (!ret)
			memory->sent++;
	}

	return ret;
}

/* A section of dirty pages that follow each other, beginning with @index. */
static int migsim_save_dirty(struct migsim_dev *sim, struct vfio_mig_sink *sink,
			     unsigned long index)
{
	int ret;

	vfio_mig_sink_section(sink, MIGSIM_SECTION_MEMORY, index);
	do {
		ret = migsim_save_page(sim, sink, index++);
	} while (!ret && vfio_mig_sink_room(sink) &&
		 xa_get_mark(&sim->memory.pages, index, MIGSIM_DIRTY));
	sim->stream.cursor = index;

	return ret;
}

/* A rule of short data: the next page is taken for one that was sent. */
static void migsim_skip_page(struct migsim_dev *sim, unsigned long index)
{
	struct migsim_memory *memory = &sim->memory;

	if (memory->sent < memory->nr_pages)
		memory->sent++;
	else if (index != ULONG_MAX)
		migsim_dirty_clear(sim, index);
}

/* Return: whether there are pages to be saved, by *index if the first pass is over. */
static bool migsim_pages_wait(struct migsim_dev *sim, unsigned long *index)
{
	*index = migsim_dirty_next(sim, sim->stream.cursor);

	return sim->memory.sent < sim->memory.nr_pages || *index != ULONG_MAX;
}

static int migsim_save_pages(struct migsim_dev *sim, struct vfio_mig_sink *sink)
{
	struct migsim_memory *memory = &sim->memory;
	unsigned long index;

	lockdep_assert_held(&sim->memory_lock);
	if (!migsim_pages_wait(sim, &index))
		return 0;
	if (sim->stream.spoil == MIGSIM_SPOIL_SHORT) {
		migsim_skip_page(sim, index);
		sim->stream.spoil = MIGSIM_SPOIL_NONE;
		if (!migsim_pages_wait(sim, &index))
			return 0;
	}

	return memory->sent < memory->nr_pages ?
	       migsim_save_pass(sim, sink) :
	       migsim_save_dirty(sim, sink, index);
}

/* *waited: whether there was a page to be saved. Return: as save(). */
static int migsim_save_memory(struct migsim_dev *sim,
			      struct vfio_mig_sink *sink, bool *waited)
{
	unsigned long index;
	int ret;

	mutex_lock(&sim->memory_lock);
	*waited = migsim_pages_wait(sim, &index);
	mutex_unlock(&sim->memory_lock);
	if (!*waited)
		return VFIO_MIG_MORE;
	ret = migsim_fault_save(sim, MIGSIM_SECTION_MEMORY);
	if (ret)
		return ret;
	mutex_lock(&sim->memory_lock);
	ret = migsim_save_pages(sim, sink);
	mutex_unlock(&sim->memory_lock);

	return ret;
}

static int migsim_save_regs(struct migsim_dev *sim, struct vfio_mig_sink *sink)
{
	struct migsim_section_regs regs;
	int ret;

	ret = migsim_fault_save(sim, MIGSIM_SECTION_REGS);
	if (ret)
		return ret;
	mutex_lock(&sim->memory_lock);
	migsim_regs_save(sim, &regs);
	regs.verify = cpu_to_le64(sim->config.verify);
	if (sim->config.verify)
		regs.hash = cpu_to_le64(migsim_state_hash(sim));
	mutex_unlock(&sim->memory_lock);

	return migsim_save_bytes(sim, sink, MIGSIM_SECTION_REGS, &regs,
				 migsim_regs_length(&regs)) ?: VFIO_MIG_DONE;
}

/* STOP_COPY was entered without waiting for it. */
static int migsim_save_begin(struct migsim_dev *sim)
{
	int ret;

	if (!sim->stream.snapshot)
		return 0;
	ret = migsim_fault_snapshot(sim);
	sim->stream.snapshot = ret;

	return ret;
}

static int migsim_save(struct vfio_mig *mig, struct vfio_mig_sink *sink)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);
	size_t room = vfio_mig_sink_room(sink);
	bool waited;
	int ret;

	if (migsim_must_wait(sim))
		return VFIO_MIG_IDLE;
	ret = migsim_save_begin(sim);
	if (ret)
		return ret;
	if (!sim->stream.configured)
		return migsim_save_config(sim, sink);
	ret = migsim_save_memory(sim, sink, &waited);
	migsim_spend(sim, room - vfio_mig_sink_room(sink));
	if (ret || waited)
		return ret;

	return vfio_mig_state(mig) == VFIO_DEVICE_STATE_STOP_COPY ?
	       migsim_save_regs(sim, sink) : VFIO_MIG_IDLE;
}

static int migsim_load_config(struct migsim_dev *sim,
			      struct vfio_mig_source *source)
{
	struct migsim_section_config config;

	if (sim->stream.configured ||
	    vfio_mig_source_left(source) != sizeof(config))
		return -EINVAL;
	vfio_mig_source_bytes(source, &config, sizeof(config));
	if (le64_to_cpu(config.nr_pages) != sim->memory.nr_pages)
		return -EINVAL;
	mutex_lock(&sim->memory_lock);
	migsim_memory_drop(sim);
	sim->memory.seed = le64_to_cpu(config.seed);
	mutex_unlock(&sim->memory_lock);
	sim->stream.configured = true;

	return VFIO_MIG_MORE;
}

static int migsim_load_pages(struct migsim_dev *sim,
			     struct vfio_mig_source *source)
{
	u64 index = vfio_mig_source_object(source);
	struct page *page;
	int ret = 0;

	mutex_lock(&sim->memory_lock);
	while (!ret && (page = vfio_mig_source_take_page(source)))
		ret = migsim_page_adopt(sim, index++, page);
	mutex_unlock(&sim->memory_lock);

	return ret;
}

static int migsim_load_memory(struct migsim_dev *sim,
			      struct vfio_mig_source *source)
{
	u64 index = vfio_mig_source_object(source);
	size_t len = vfio_mig_source_left(source);

	if (!sim->stream.configured || len % PAGE_SIZE ||
	    index > sim->memory.nr_pages ||
	    len >> PAGE_SHIFT > sim->memory.nr_pages - index)
		return -EINVAL;

	/* What came back to PRE_COPY has registers again at the end. */
	sim->stream.finished = false;
	sim->stream.summed = false;

	return migsim_load_pages(sim, source) ?: VFIO_MIG_MORE;
}

/* Only once for each memory: a stream can have any number of small sections. */
static u64 migsim_load_hash(struct migsim_dev *sim)
{
	if (!sim->stream.summed)
		sim->stream.sum = migsim_memory_sum(sim);
	sim->stream.summed = true;

	return migsim_small_hash(sim) + sim->stream.sum;
}

/* The device had stopped when they were saved: now it is all here. */
static int migsim_load_verify(struct migsim_dev *sim,
			      const struct migsim_section_regs *regs)
{
	lockdep_assert_held(&sim->memory_lock);
	if (!regs->verify || migsim_load_hash(sim) == le64_to_cpu(regs->hash))
		return 0;

	return vfio_mig_fail(sim->mig, -EIO,
			     "the state's hash is not the source's");
}

static int migsim_load_regs(struct migsim_dev *sim,
			    struct vfio_mig_source *source)
{
	size_t len = vfio_mig_source_left(source);
	struct migsim_section_regs regs = {};
	int ret;

	if (!sim->stream.configured || len > sizeof(regs))
		return -EINVAL;
	vfio_mig_source_bytes(source, &regs, len);
	if (migsim_regs_length(&regs) != len)
		return -EINVAL;
	mutex_lock(&sim->memory_lock);
	ret = migsim_regs_load(sim, &regs) ?: migsim_load_verify(sim, &regs);
	mutex_unlock(&sim->memory_lock);
	if (ret)
		return ret;
	sim->stream.finished = true;

	return VFIO_MIG_MORE;
}

static int migsim_load(struct vfio_mig *mig, struct vfio_mig_source *source)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);
	int ret;

	if (migsim_must_wait(sim))
		return VFIO_MIG_IDLE;
	ret = migsim_fault_load(sim, vfio_mig_source_type(source));
	if (ret)
		return ret;
	migsim_spend(sim, vfio_mig_source_left(source));
	switch (vfio_mig_source_type(source)) {
	case MIGSIM_SECTION_CONFIG:
		return migsim_load_config(sim, source);
	case MIGSIM_SECTION_MEMORY:
		return migsim_load_memory(sim, source);
	default:
		return migsim_load_regs(sim, source);
	}
}

static void migsim_reset_device(struct vfio_mig *mig)
{
	migsim_reset(vfio_mig_priv(mig));
}

static u64 migsim_pages_left(struct migsim_dev *sim)
{
	struct migsim_memory *memory = &sim->memory;
	u64 pages = memory->nr_pages - memory->sent + memory->nr_dirty;

	lockdep_assert_held(&sim->memory_lock);

	return pages << PAGE_SHIFT;
}

static u64 migsim_data_size(struct vfio_mig *mig)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);
	u64 bytes;

	mutex_lock(&sim->memory_lock);
	bytes = migsim_pages_left(sim);
	mutex_unlock(&sim->memory_lock);

	return bytes + MIGSIM_SMALL_SIZE;
}

static void migsim_precopy_info(struct vfio_mig *mig,
				struct vfio_mig_precopy *info)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);

	mutex_lock(&sim->memory_lock);
	info->dirty = (u64)sim->memory.nr_dirty << PAGE_SHIFT;
	info->initial = migsim_pages_left(sim) - info->dirty;
	mutex_unlock(&sim->memory_lock);
	if (!sim->stream.configured)
		info->initial += sizeof(struct migsim_section_config);
}

static int migsim_drain(struct vfio_mig *mig, u64 cookie)
{
	struct migsim_dev *sim = vfio_mig_priv(mig);

	if (cookie)
		migsim_drain_start(sim, cookie);
	else
		migsim_drain_stop(sim);

	return 0;
}

static const struct vfio_mig_ops migsim_precopy_ops = {
	.arc = migsim_arc,
	.save = migsim_save,
	.load = migsim_load,
	.reset = migsim_reset_device,
	.data_size = migsim_data_size,
	.precopy_info = migsim_precopy_info,
	.drain = migsim_drain,
};

static const struct vfio_mig_ops migsim_ops = {
	.arc = migsim_arc,
	.save = migsim_save,
	.load = migsim_load,
	.reset = migsim_reset_device,
	.data_size = migsim_data_size,
	.drain = migsim_drain,
};

/**
 * migsim_migration_init - make the device migratable
 * @sim: new device
 *
 * Return: 0, -ENOMEM.
 */
int migsim_migration_init(struct migsim_dev *sim)
{
	unsigned int flags = sim->type->flags;

	INIT_DELAYED_WORK(&sim->wakeup, migsim_wakeup_func);
	sim->mig = vfio_mig_alloc(&sim->vdev,
				  flags & VFIO_MIGRATION_PRE_COPY ?
				  &migsim_precopy_ops : &migsim_ops,
				  flags, sim);

	return PTR_ERR_OR_ZERO(sim->mig);
}

/**
 * migsim_migration_open - first open
 * @sim: device, whose config_lock is held
 *
 * Return: 0, or -EINVAL if attributes are out of range.
 */
int migsim_migration_open(struct migsim_dev *sim)
{
	struct vfio_mig_config config = {
		.size = sim->config.state_size,
		.version = MIGSIM_STREAM_VERSION,
		.min_version = MIGSIM_STREAM_VERSION,
		.nr_types = MIGSIM_NR_SECTIONS,
		.window = sim->config.window,
		.drain = sim->config.drain,
		.copy_back = sim->config.stop_copy_back &&
			     sim->type->flags & VFIO_MIGRATION_PRE_COPY,
		.idempotent = true,
		.no_poll = !sim->config.poll,
		.no_nowait = !sim->config.nowait,
	};

	snprintf(config.id, sizeof(config.id), "migsim-%s", sim->type->name);

	return vfio_mig_open(sim->mig, &config);
}

/**
 * migsim_migration_close - last close
 * @sim: device
 */
void migsim_migration_close(struct migsim_dev *sim)
{
	vfio_mig_close(sim->mig);
	cancel_delayed_work_sync(&sim->wakeup);
	migsim_track(sim, false);
}
