/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * migsim: a migratable PCI device made of software
 *
 * Locks, outermost first:
 *
 *  migsim_dev.config_lock	attributes against open
 *  the migration core's state_mutex, which callbacks of migration.c run under
 *  migsim_irq.lock		VFIO_DEVICE_SET_IRQS against itself
 *  mmap_lock			of whoever touches mapped device memory
 *  migsim_dev.memory_lock	the device itself: memory, registers, what is
 *				dirty, whether it runs, what it signals
 *  migsim_faults.lock		the fault rules
 *  migsim_dma_log.lock		what DMA has written; taken with none of the others
 *  ring.c's lock		who is in which ring, and the tokens of everybody
 *
 * None of these is held across user memory.
 */
#ifndef _MIGSIM_H
#define _MIGSIM_H

#include <linux/bits.h>
#include <linux/ctype.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci_regs.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/vfio.h>
#include <linux/vfio_migration.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "migsim_regs.h"

struct dentry;
struct device;
struct eventfd_ctx;
struct mdev_device;
struct migsim_unmask;
struct vm_area_struct;
struct mem_cgroup;
struct seq_file;

/* Largest device memory. The pattern makes it cheap, BAR sizes limit it. */
#define MIGSIM_STATE_MAX	BIT_ULL(38)
#define MIGSIM_STATE_DEFAULT	SZ_64M

/**
 * struct migsim_config - what the attributes say
 * @state_size: bytes of device memory
 * @seed: of the memory's pattern after reset, and of the workload
 * @window: of the data sessions, bytes
 * @save_latency_us: from entering STOP_COPY to its first byte
 * @stop_latency_us: to stop
 * @p2p_latency_us: to quiesce towards peers
 * @load_latency_us: to leave RESUMING
 * @bandwidth: of saving and loading, bytes per second; 0 for no limit
 * @dirty_rate: of the workload, bytes of pages per second; 0 for no workload
 * @token_count: tokens after reset
 * @token_rate: tokens per second that it passes on while it runs
 * @verify: the state carries its hash, which the destination compares
 * @donate: written pages are handed to the stream, rather than copied into it
 * @drain: offer VFIO_DEVICE_FEATURE_MIGX_DRAIN
 * @stop_copy_back: offer VFIO_DEVICE_FEATURE_MIGX_COPY_BACK
 * @poll: data fds can be polled
 * @nowait: data fds take non-blocking attempts
 */
struct migsim_config {
	u64 state_size;
	u64 seed;
	u64 window;
	u64 save_latency_us;
	u64 stop_latency_us;
	u64 p2p_latency_us;
	u64 load_latency_us;
	u64 bandwidth;
	u64 dirty_rate;
	u64 token_count;
	u64 token_rate;
	u64 verify;
	u64 donate;
	u64 drain;
	u64 stop_copy_back;
	u64 poll;
	u64 nowait;
};

/**
 * struct migsim_memory - the device's state
 * @pages: written pages, by index; all others have the pattern of @seed. Pages
 *	marked MIGSIM_DIRTY were sent, and written since; those marked MIGSIM_MAPPED
 *	are in some address space
 * @block: pages for the next new ones
 * @nr_block: how many there are
 * @seed: the configured one, or that of the device that was loaded
 * @nr_pages: of the device
 * @ticks: writes that the workload made
 * @int_status: MIGSIM_INT_*
 * @int_enable: MIGSIM_INT_*
 * @scratch: registers
 * @running: the device accepts writes and the workload runs
 * @resetting: it does not now, but is about to
 * @draining: the workload and DMA pause nevertheless: the cookie of the drain, or 0
 * @drain_due: the time is over that this takes
 * @drained: and what it had begun is done
 * @reconfigured: MIGSIM_REG_RECONFIG was written, and that has no effect yet
 * @tracking: writes to pages below @sent are noted
 * @sent: pages of the first pass that were sent
 * @nr_dirty: pages marked MIGSIM_DIRTY
 *
 * All under &migsim_dev.memory_lock.
 */
struct migsim_memory {
	struct xarray pages;
	struct page *block;
	unsigned int nr_block;
	u64 seed;
	unsigned long nr_pages;
	u64 ticks;
	u64 int_status;
	u64 int_enable;
	u64 scratch[MIGSIM_NR_SCRATCH];
	bool running;
	bool resetting;
	u64 draining;
	bool drain_due;
	bool drained;
	bool reconfigured;
	bool tracking;
	unsigned long sent;
	unsigned long nr_dirty;
};

#define MIGSIM_DIRTY		XA_MARK_0
#define MIGSIM_MAPPED		XA_MARK_1

/* A place in the device fd is a region and an offset in it. */
#define MIGSIM_OFFSET_SHIFT	40
#define MIGSIM_OFFSET_MASK	((1ULL << MIGSIM_OFFSET_SHIFT) - 1)

/* The DMA engine in struct migsim_section_regs. */
struct migsim_section_dma {
	__le64 iova;
	__le64 offset;
	__le64 length;
	__le64 done;
	__le64 failed;
	__le64 error;
	__le64 nr;
	struct {
		__le64 command;
		__le64 iova;
		__le64 offset;
		__le64 length;
	} queue[MIGSIM_DMA_DEPTH];
};

/*
 * Payload of the section that comes last: all registers, and what is behind them. It
 * ends with the last command that is queued.
 */
struct migsim_section_regs {
	__le64 ticks;
	__le64 int_status;
	__le64 int_enable;
	__le64 scratch[MIGSIM_NR_SCRATCH];
	__le64 tokens;
	__le64 tokens_lost;
	__le64 position;
	__le64 verify;
	__le64 hash;
	struct migsim_section_dma dma;
};

/* What the irq index is while interrupts are disabled. */
#define MIGSIM_IRQ_NONE		(-1)

/**
 * struct migsim_irq - how the device interrupts
 * @lock: serialises VFIO_DEVICE_SET_IRQS
 * @unmask: eventfd that unmasks INTx, or NULL; under @lock
 * @index: VFIO_PCI_*_IRQ_INDEX in use, or MIGSIM_IRQ_NONE. This and what follows is
 *	under &migsim_dev.memory_lock, and all but the last two members are written
 *	under @lock as well
 * @trigger: of the interrupt in use, or NULL
 * @request: tells that the device is to be given back, or NULL
 * @masked: INTx is
 * @told: bits that MSI was sent for
 */
struct migsim_irq {
	/* SET_IRQS against itself */
	struct mutex lock;
	struct migsim_unmask *unmask;
	int index;
	struct eventfd_ctx *trigger;
	struct eventfd_ctx *request;
	bool masked;
	u64 told;
};

/**
 * struct migsim_dma_command - a copy that the DMA engine is to make
 * @command: MIGSIM_DMA_*
 * @iova: the rest of it in the guest's memory
 * @offset: the rest of it in the device memory
 * @length: bytes of the rest
 */
struct migsim_dma_command {
	u64 command;
	u64 iova;
	u64 offset;
	u64 length;
};

/**
 * struct migsim_dma - the DMA engine
 * @next: registers: the command that the next write of the command register queues
 * @queue: commands that are not over, from @head, modulo its size
 * @head: first of them
 * @nr: how many
 * @done: commands that were
 * @failed: commands that were not
 * @error: positive errno of the last of these
 * @active: the state allows to initiate DMA
 * @busy: a step is under way
 * @epoch: resets so far: what was begun before has no effect
 * @steps: begun so far
 * @watched: @steps when @watch looked last
 * @worker: the thread, while open
 * @work: carries the queue out
 * @watch: interrupts steps that take long
 * @bounce: a page, while open. Belongs to @work
 *
 * Written under &migsim_dev.memory_lock, but for @work, @watch and @bounce.
 */
struct migsim_dma {
	struct migsim_dma_command next;
	struct migsim_dma_command queue[MIGSIM_DMA_DEPTH];
	unsigned int head;
	unsigned int nr;
	u64 done;
	u64 failed;
	u64 error;
	bool active;
	bool busy;
	unsigned int epoch;
	unsigned int steps;
	unsigned int watched;
	struct kthread_worker *worker;
	struct kthread_work work;
	struct delayed_work watch;
	void *bounce;
};

/**
 * struct migsim_ring_state - tokens that travel
 * @tokens: that the device holds
 * @lost: that it had to drop
 * @position: in the ring
 */
struct migsim_ring_state {
	u64 tokens;
	u64 lost;
	u64 position;
};

/**
 * struct migsim_ring - tokens and peers
 * @all: all devices. This and what follows is under ring.c's lock
 * @members: the other devices of the ring
 * @home: position after reset
 * @position: position now, different in a ring unless streams claim otherwise
 * @tokens: held
 * @lost: dropped
 * @sending: the state allows to initiate something
 * @accepting: the state allows to take something
 * @work: passes tokens on
 * @passed: when it last did. Belongs to @work
 * @owed: millionths of tokens that are due. Belongs to @work
 */
struct migsim_ring {
	struct list_head all;
	struct list_head members;
	u64 home;
	u64 position;
	u64 tokens;
	u64 lost;
	bool sending;
	bool accepting;
	struct delayed_work work;
	ktime_t passed;
	u64 owed;
};

/**
 * enum migsim_spoil - what a fault rule does to a section on its way out
 * @MIGSIM_SPOIL_NONE: nothing
 * @MIGSIM_SPOIL_SHORT: its last page, or the end of its only one, is missing
 * @MIGSIM_SPOIL_FLIP: a bit of it is wrong
 */
enum migsim_spoil {
	MIGSIM_SPOIL_NONE,
	MIGSIM_SPOIL_SHORT,
	MIGSIM_SPOIL_FLIP,
};

/* Sections of the stream, by which fault rules speak of them too. */
enum migsim_section {
	MIGSIM_SECTION_CONFIG,
	MIGSIM_SECTION_MEMORY,
	MIGSIM_SECTION_REGS,
	MIGSIM_NR_SECTIONS,
};

/**
 * struct migsim_stream - progress of the present session
 * @configured: saving: the first section was sent; loading: it was seen
 * @snapshot: saving: STOP_COPY was entered, and nothing was saved there yet
 * @stalled: a fault rule has it stall until the next release after @released
 * @released: releases when it began
 * @spoil: fault rules of the section that is being saved
 * @finished: likewise the last one, and no other since
 * @summed: the memory is as it was for @sum
 * @sum: migsim_memory_sum() of what was loaded
 * @cursor: where the search for dirty pages goes on
 * @ready: saving and loading wait until then
 *
 * Used in the migration core's callbacks only, which it serialises.
 */
struct migsim_stream {
	bool configured;
	bool snapshot;
	bool stalled;
	unsigned long released;
	enum migsim_spoil spoil;
	bool finished;
	bool summed;
	u64 sum;
	unsigned long cursor;
	ktime_t ready;
};

/**
 * struct migsim_faults - rules of what is to go wrong
 * @lock: protects the members
 * @rules: list of struct migsim_fault
 * @released: counts releases of stalled arcs
 * @dir: in debugfs
 */
struct migsim_faults {
	/* the rules */
	struct mutex lock;
	struct list_head rules;
	unsigned long released;
	struct dentry *dir;
};

/* Of the logged addresses, for when there is no memory to log single pages. */
#define MIGSIM_LOG_CHUNKS	8192

/**
 * struct migsim_dma_log - what DMA has written (dma_log.c)
 * @lock: protects the members
 * @on: between start and stop
 * @starts: times that it was started
 * @first: address that is logged
 * @last: address that is logged
 * @pages: that were written, 32 to an entry
 * @nr: entries
 * @shift: size of a chunk, as a power of two
 * @chunks: of which any page may have been written
 */
struct migsim_dma_log {
	/* the log; no user memory is touched under it */
	struct mutex lock;
	bool on;
	unsigned long starts;
	unsigned long first;
	unsigned long last;
	struct xarray pages;
	unsigned int nr;
	unsigned int shift;
	DECLARE_BITMAP(chunks, MIGSIM_LOG_CHUNKS);
};

/**
 * struct migsim_type - a class of devices of the field (C4)
 * @name: of the mdev type, and the device's id in the stream with a prefix
 * @title: for people
 * @flags: VFIO_MIGRATION_*
 */
struct migsim_type {
	const char *name;
	const char *title;
	unsigned int flags;
};

/**
 * struct migsim_dev - one device
 * @vdev: what VFIO knows
 * @type: immutable
 * @mig: immutable
 * @config_lock: protects @config and @open
 * @config: fixed while open
 * @open: between open_device and close_device
 * @memcg: of the opener, who pays for what the workload writes; while open
 * @memory_lock: protects @memory, @pci_config, and what @irq and @dma say
 * @memory: the state
 * @pci_config: config space
 * @stream: of the present session
 * @workload: runs while @memory.running
 * @worked: when the workload last ran. Belongs to @workload
 * @owed: bytes of pages that the workload is behind. Belongs to @workload
 * @drain: says that a drain is done
 * @wakeup: kicks the migration core when @stream.ready is over
 * @irq: interrupts
 * @dma: the DMA engine
 * @dma_log: what it wrote
 * @ring: peers
 * @faults: rules
 */
struct migsim_dev {
	struct vfio_device vdev;
	const struct migsim_type *type;
	struct vfio_mig *mig;

	/* attributes against open */
	struct mutex config_lock;
	struct migsim_config config;
	bool open;
	struct mem_cgroup *memcg;

	/* the state, and whether it may change */
	struct mutex memory_lock;
	struct migsim_memory memory;
	u8 pci_config[PCI_CFG_SPACE_SIZE];

	struct migsim_stream stream;
	struct delayed_work workload;
	ktime_t worked;
	u64 owed;
	struct delayed_work drain;
	struct delayed_work wakeup;
	struct migsim_irq irq;
	struct migsim_dma dma;
	struct migsim_dma_log dma_log;
	struct migsim_ring ring;
	struct migsim_faults faults;
};

/* main.c */
extern struct workqueue_struct *migsim_wq;
const struct migsim_type *migsim_type_of(struct mdev_device *mdev);

/* device.c: what VFIO calls */
extern const struct vfio_device_ops migsim_device_ops;
void migsim_run(struct migsim_dev *sim);
void migsim_activate(struct migsim_dev *sim);
void migsim_clear_state(struct migsim_dev *sim);
void migsim_reset(struct migsim_dev *sim);

/* config.c: config space */
void migsim_config_reset(struct migsim_dev *sim);
int migsim_config_access(struct migsim_dev *sim, u64 pos, void *buf, size_t len,
			 bool write);
u16 migsim_config_command(const struct migsim_dev *sim);
u64 migsim_memory_bar_size(const struct migsim_dev *sim);

/* pci.c: regions */
int migsim_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
		       struct vfio_info_cap *caps);
ssize_t migsim_read(struct vfio_device *vdev, char __user *buf, size_t count,
		    loff_t *ppos);
ssize_t migsim_write(struct vfio_device *vdev, const char __user *buf,
		     size_t count, loff_t *ppos);

/* regs.c: registers */
int migsim_regs_access(struct migsim_dev *sim, u64 pos, void *buf, size_t len,
		       bool write);
size_t migsim_regs_length(const struct migsim_section_regs *regs);
void migsim_regs_save(struct migsim_dev *sim, struct migsim_section_regs *regs);
int migsim_regs_load(struct migsim_dev *sim,
		     const struct migsim_section_regs *regs);

/* irq.c: interrupts */
void migsim_irq_init(struct migsim_dev *sim);
u64 migsim_irq_asserted(const struct migsim_dev *sim);
void migsim_irq_update(struct migsim_dev *sim);
void migsim_irq_raise(struct migsim_dev *sim, u64 bits);
void migsim_irq_request(struct vfio_device *vdev, unsigned int count);
int migsim_irq_get_info(struct vfio_irq_info __user *arg);
int migsim_irq_set_irqs(struct migsim_dev *sim,
			struct vfio_irq_set __user *arg);
void migsim_irq_close(struct migsim_dev *sim);

/* dma.c: the DMA engine */
int migsim_dma_open(struct migsim_dev *sim);
void migsim_dma_close(struct migsim_dev *sim);
void migsim_dma_abort(struct migsim_dev *sim);
void migsim_dma_reset(struct migsim_dev *sim);
void migsim_dma_start(struct migsim_dev *sim);
int migsim_dma_freeze(struct migsim_dev *sim);
void migsim_dma_go(struct migsim_dev *sim);
void migsim_dma_queue(struct migsim_dev *sim, u64 value);
u64 migsim_dma_reg_read(const struct migsim_dev *sim, u64 reg);
u64 *migsim_dma_reg(struct migsim_dev *sim, u64 reg);
void migsim_dma_save(const struct migsim_dev *sim,
		     struct migsim_section_dma *to);
int migsim_dma_load(struct migsim_dev *sim,
		    const struct migsim_section_dma *from);

/* dma_log.c: what it wrote */
void migsim_dma_log_init(struct migsim_dev *sim);
void migsim_dma_log(struct migsim_dev *sim, u64 iova);
void migsim_dma_log_end(struct migsim_dev *sim);

/* mmap.c: device memory in address spaces */
bool migsim_can_mmap(const struct migsim_dev *sim);
int migsim_mmap(struct vfio_device *vdev, struct vm_area_struct *vma);
void migsim_unmap_page(struct migsim_dev *sim, unsigned long index);
void migsim_unmap_all(struct migsim_dev *sim);

/* ring.c: peers */
void migsim_ring_init(struct migsim_dev *sim);
void migsim_ring_exit(struct migsim_dev *sim);
int migsim_ring_join(struct migsim_dev *sim, const char *name);
void migsim_ring_peer(struct migsim_dev *sim, char *buf, size_t size);
void migsim_ring_reset(struct migsim_dev *sim);
void migsim_ring_accept(struct migsim_dev *sim, bool accept);
void migsim_ring_start(struct migsim_dev *sim);
void migsim_ring_stop(struct migsim_dev *sim);
void migsim_ring_get(struct migsim_dev *sim, struct migsim_ring_state *state);
void migsim_ring_set(struct migsim_dev *sim,
		     const struct migsim_ring_state *state);

/* memory.c: device memory */
void migsim_memory_init(struct migsim_dev *sim);
void migsim_memory_drop(struct migsim_dev *sim);
void migsim_memory_reset(struct migsim_dev *sim);
struct page *migsim_page_find(struct migsim_dev *sim, unsigned long index);
struct page *migsim_page_make(struct migsim_dev *sim, unsigned long index);
struct page *migsim_page_touch(struct migsim_dev *sim, unsigned long index);
void migsim_page_read(struct migsim_dev *sim, unsigned long index, void *to);
int migsim_page_adopt(struct migsim_dev *sim, unsigned long index,
		      struct page *page);
int migsim_memory_read(struct migsim_dev *sim, u64 pos, void *to, size_t len);
int migsim_memory_write(struct migsim_dev *sim, u64 pos, const void *from,
			size_t len);
void migsim_track(struct migsim_dev *sim, bool on);
void migsim_track_on(struct migsim_dev *sim);
void migsim_track_again(struct migsim_dev *sim);
unsigned long migsim_dirty_next(struct migsim_dev *sim, unsigned long from);
void migsim_dirty_clear(struct migsim_dev *sim, unsigned long index);
u64 migsim_small_hash(struct migsim_dev *sim);
u64 migsim_memory_sum(struct migsim_dev *sim);
u64 migsim_state_hash(struct migsim_dev *sim);
u64 migsim_mix(u64 value);

/* workload.c */
void migsim_workload_init(struct migsim_dev *sim);
void migsim_workload_start(struct migsim_dev *sim);
void migsim_workload_stop(struct migsim_dev *sim);
void migsim_drain_start(struct migsim_dev *sim, u64 cookie);
void migsim_drain_stop(struct migsim_dev *sim);
void migsim_drain_look(struct migsim_dev *sim);
bool migsim_drained(struct migsim_dev *sim);

/* migration.c */
int migsim_migration_init(struct migsim_dev *sim);
int migsim_migration_open(struct migsim_dev *sim);
void migsim_migration_close(struct migsim_dev *sim);

/* attrs.c */
extern const struct attribute_group *migsim_attr_groups[];

/* fault.c */
void migsim_fault_init(struct migsim_dev *sim, const char *name);
void migsim_fault_free(struct migsim_dev *sim);
int migsim_fault_arc(struct migsim_dev *sim, enum vfio_device_mig_state from,
		     enum vfio_device_mig_state to);
int migsim_fault_stop(struct migsim_dev *sim, enum vfio_device_mig_state from,
		      enum vfio_device_mig_state to);
int migsim_fault_snapshot(struct migsim_dev *sim);
int migsim_fault_save(struct migsim_dev *sim, enum migsim_section type);
int migsim_fault_load(struct migsim_dev *sim, enum migsim_section type);
int migsim_fault_dma(struct migsim_dev *sim);
void migsim_fault_module_init(void);
void migsim_fault_module_exit(void);

/* Of a number that was written: decimal or 0x-hexadecimal, a leading 0 says nothing. */
static inline unsigned int migsim_base(const char *text)
{
	return text[0] == '0' && tolower(text[1]) == 'x' ? 16 : 10;
}

static inline struct migsim_dev *migsim_from_vdev(struct vfio_device *vdev)
{
	return container_of(vdev, struct migsim_dev, vdev);
}

#endif /* _MIGSIM_H */
