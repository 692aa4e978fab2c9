/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core: locks and lifetimes, and the device
 *
 * Locks, outermost first:
 *
 *  vfio's dev_set->lock, and for PCI memory_lock
 *  (1) vfio_mig.state_mutex	serialises every driver callback
 *  (2) vfio_mig_session.lock	the queue between a data fd and the driver
 *  (3) vfio_mig.reset_lock	a pending reset, and which session is current
 *
 *  vfio_mig.stats_lock		what is only told to people; innermost
 *  vfio_mig_queue.lock		who has something to do (worker.c); innermost
 *
 * Only (3) and the queue's are taken in interrupts, by vfio_mig_kick() and its like.
 *
 * mmap_lock is never taken inside any of them: user memory is only touched with
 * no lock held, by whoever owns the session's slot. memory_lock is not taken
 * inside (2) and (3); a driver may take it for reading inside (1). Since reset
 * comes under memory_lock (PCI), its first step takes (3) alone, and its second
 * only tries (1): whoever holds (1) then looks when letting go, and runs it. A
 * driver's reset() may therefore run under memory_lock and must not take it.
 *
 * A transition that has to wait for the worker (the load that RESUMING -> STOP
 * completes) drops (1) meanwhile, as the worker needs it, and holds the device
 * with vfio_mig.busy instead: transitions and queries wait for !busy, the worker
 * and reset do not. Arcs that run when the device is closed (vfio_mig_withdraw()
 * raced with the last close) are aborted like those that a reset finds.
 *
 * Lifetimes: struct vfio_mig is counted apart from the vfio_device, which goes
 * away under open data fds. A session holds a reference to struct vfio_mig; the
 * data fd's file, the device while the session is current, and a queued worker
 * each hold one to the session. Nothing holds a reference to the file. After
 * vfio_mig_close() no driver callback runs and neither vdev nor ops are used.
 */
#ifndef _VFIO_MIGRATION_PRIVATE_H
#define _VFIO_MIGRATION_PRIVATE_H

#include <linux/bitops.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/vfio_migration.h>
#include <linux/workqueue.h>
#include <uapi/linux/vfio_migration.h>

struct dentry;
struct file;
struct vfio_mig_session;

/*
 * A failed allocation is the caller's ENOMEM: neither a splat nor a reason to
 * kill, in the caller's memory cgroup or elsewhere.
 */
#define VFIO_MIG_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Beside VFIO_MIGRATION_*: the device may go back from STOP_COPY (A11). */
#define VFIO_MIG_COPY_BACK	BIT(31)

/**
 * struct vfio_mig_reason - why something failed
 * @offset: byte of the stream that it is about, or VFIO_MIGX_NO_OFFSET
 * @text: for people; empty if there is none
 */
struct vfio_mig_reason {
	u64 offset;
	char text[sizeof_field(struct vfio_device_feature_migx_last_error,
			       reason)];
};

/**
 * struct vfio_mig_error - the last error (A12)
 * @err: negative errno, 0 if there was none
 * @from: state in which it came
 * @to: state that the device was to go to then, or @from
 * @count: errors since the device was opened
 * @reason: why
 */
struct vfio_mig_error {
	int err;
	unsigned int from;
	unsigned int to;
	u64 count;
	struct vfio_mig_reason reason;
};

#define VFIO_MIG_NR_STATES	(VFIO_DEVICE_STATE_PRE_COPY_P2P + 1)

/* Powers of two, of microseconds: up to half a minute, and longer. */
#define VFIO_MIG_ARC_BUCKETS	26u

/**
 * struct vfio_mig_arc_times - how long an arc took
 * @count: how often it was tried
 * @total_us: microseconds in all
 * @max_us: the longest time
 * @buckets: number of times below 1, 2, 4, ... us, which are not in one before
 */
struct vfio_mig_arc_times {
	u64 count;
	u64 total_us;
	u64 max_us;
	u32 buckets[VFIO_MIG_ARC_BUCKETS];
};

/* What tracepoints tell (trace.h). */
enum vfio_mig_trace_event {
	VFIO_MIG_TRACE_OPENED,
	VFIO_MIG_TRACE_CLOSED,
	VFIO_MIG_TRACE_ENDED,
	VFIO_MIG_TRACE_NO_ROOM,
	VFIO_MIG_TRACE_NO_DATA,
	VFIO_MIG_TRACE_ASKED,
	VFIO_MIG_TRACE_DONE,
};

/**
 * struct vfio_mig_drain - the drain that there may be (A10)
 * @wait: pollers of its fd
 * @current_id: its number, 0 if there is none. This and what follows is under
 *	&vfio_mig.reset_lock
 * @last_id: number of the last one
 * @done: the device has finished its work
 * @ending: the fd was closed; whoever holds state_mutex is to end the drain
 * @opted: the client has got one since the device was opened. Set by any thread,
 *	with no lock
 */
struct vfio_mig_drain {
	wait_queue_head_t wait;
	u64 current_id;
	u64 last_id;
	bool done;
	bool ending;
	bool opted;
};

/**
 * struct vfio_mig - migration of one device
 * @ref: held by the driver until vfio_mig_free() and by every session
 * @vfio_ops: what vfio.ko calls; the vfio_device points at it, which is how a
 *	vfio_device leads here
 * @ops: the driver's callbacks. Immutable
 * @priv: the driver's. Immutable
 * @flags: VFIO_MIGRATION_* offered. Immutable
 * @vdev: used between vfio_mig_open() and vfio_mig_close() only. Immutable
 * @name: of the device, for messages. Immutable
 * @state_mutex: see the top of this file
 * @config: of the present opening. Written by vfio_mig_open()
 * @state: written under @state_mutex
 * @busy: a transition is under way that has dropped @state_mutex; under
 *	@state_mutex
 * @first_arc: the arc that runs is the first of a walk, and a signal may end it;
 *	under @state_mutex
 * @unwinding: arcs run on the way back after a failure; under @state_mutex
 * @broken: the running arc called vfio_mig_broken(); under @state_mutex
 * @reason: why the running callback fails; under @state_mutex
 * @loaded_id: stream that was loaded last, if @is_loaded; under @state_mutex
 * @is_loaded: the device's state is what was loaded; under @state_mutex
 * @reset_count: resets done; written under @state_mutex
 * @copy_back: the client opted in to A11; set by any thread, with no lock
 * @precopy_info_v2: the client opted in to VFIO_PRECOPY_INFO_REINIT, where vfio.ko
 *	does not know that; likewise
 * @deferred: the worker gave way to whoever holds @state_mutex, who is to call it
 *	again. Set by the worker; whoever clears it does so
 * @wait: sleepers in an arc, and those that wait for !@busy
 * @reset_lock: protects the members below
 * @open: between vfio_mig_open() and vfio_mig_close()
 * @reset_pending: a reset was asked for and not done yet
 * @was_reset: the bus has reset the device, and the driver's reset() is still due
 * @bus_reset: between vfio_mig_reset_prepare() and vfio_mig_reset_done(), when
 *	the device is not to be touched
 * @session: the current one, which counts as one reference; also written only
 *	under @state_mutex
 * @drain: see there
 * @stats_lock: protects the members below
 * @error: what LAST_ERROR says
 * @arc_times: of each arc
 * @nr_sessions: that were opened, by direction (saving)
 * @debugfs: folder. Immutable
 */
struct vfio_mig {
	struct kref ref;
	struct vfio_migration_ops vfio_ops;
	const struct vfio_mig_ops *ops;
	void *priv;
	unsigned int flags;
	struct vfio_device *vdev;
	char name[64];

	/* every driver callback, and the members below */
	struct mutex state_mutex;
	struct vfio_mig_config config;
	enum vfio_device_mig_state state;
	bool busy;
	bool first_arc;
	bool unwinding;
	bool broken;
	struct vfio_mig_reason reason;
	u64 loaded_id;
	bool is_loaded;
	unsigned long reset_count;
	wait_queue_head_t wait;

	/* which session is current, and whether a reset is due */
	spinlock_t reset_lock;
	bool open;
	bool reset_pending;
	bool was_reset;
	bool bus_reset;
	struct vfio_mig_session *session;
	struct vfio_mig_drain drain;

	/* what is only told; nothing is taken inside it */
	spinlock_t stats_lock;
	struct vfio_mig_error error;
	struct vfio_mig_arc_times arc_times[VFIO_MIG_NR_STATES][VFIO_MIG_NR_STATES];
	unsigned long nr_sessions[2];
	struct dentry *debugfs;

	bool copy_back;
	bool precopy_info_v2;
	unsigned int deferred;
};

static inline struct vfio_mig *vfio_mig_from_vdev(struct vfio_device *vdev)
{
	return container_of((struct vfio_migration_ops *)vdev->mig_ops,
			    struct vfio_mig, vfio_ops);
}

/* state_mutex is held, and the device open. */
static inline bool vfio_mig_info_v2(const struct vfio_mig *mig)
{
	return READ_ONCE(mig->precopy_info_v2) ||
	       vfio_device_precopy_info_v2(mig->vdev);
}

static inline unsigned int vfio_mig_flags(const struct vfio_mig *mig)
{
	return mig->flags |
	       (READ_ONCE(mig->copy_back) ? VFIO_MIG_COPY_BACK : 0);
}

/* main.c: the device, and its lock */
void vfio_mig_get(struct vfio_mig *mig);
void vfio_mig_put(struct vfio_mig *mig);
int vfio_mig_begin(struct vfio_mig *mig);
void vfio_mig_set_busy(struct vfio_mig *mig);
void vfio_mig_clear_busy(struct vfio_mig *mig);
u64 vfio_mig_framing(u64 bytes);
int vfio_mig_data_size(struct vfio_mig *mig, unsigned long *length);

/* fsm.c: the state machine */
enum vfio_device_mig_state vfio_mig_next_arc(unsigned int flags,
					     enum vfio_device_mig_state from,
					     unsigned int to);
bool vfio_mig_saving(enum vfio_device_mig_state state);
bool vfio_mig_precopy(enum vfio_device_mig_state state);
bool vfio_mig_working(enum vfio_device_mig_state state);
bool vfio_mig_arc_opens(enum vfio_device_mig_state from,
			enum vfio_device_mig_state to);
bool vfio_mig_arc_ends(enum vfio_device_mig_state from,
		       enum vfio_device_mig_state to);

/* arc.c: the walk */
struct file *vfio_mig_set_state(struct vfio_device *vdev,
				enum vfio_device_mig_state target);
void vfio_mig_withdraw(struct vfio_mig_session *session);
void vfio_mig_enter_error(struct vfio_mig *mig);

/* reset.c */
void vfio_mig_unlock(struct vfio_mig *mig);
void vfio_mig_run_pending(struct vfio_mig *mig);

/* error.c: reasons */
void vfio_mig_clear_reason(struct vfio_mig *mig);
int vfio_mig_result(struct vfio_mig *mig, int ret, int most,
		    const char *callback);
void vfio_mig_record(struct vfio_mig *mig, int err, unsigned int from,
		     unsigned int to, const struct vfio_mig_reason *reason);
void vfio_mig_last_error(struct vfio_mig *mig, struct vfio_mig_error *error);
void vfio_mig_forget_error(struct vfio_mig *mig);

/* drain.c */
void vfio_mig_drain_init(struct vfio_mig_drain *drain);
void vfio_mig_drain_end(struct vfio_mig *mig, bool reset);
bool vfio_mig_drain_holds(struct vfio_mig *mig, enum vfio_device_mig_state from,
			  enum vfio_device_mig_state to);
struct file *vfio_mig_drain_start(struct vfio_mig *mig);

/* debugfs.c: what people can read */
void vfio_mig_count_arc(struct vfio_mig *mig, unsigned int from,
			unsigned int to, u64 us);
void vfio_mig_debugfs_add(struct vfio_mig *mig);
void vfio_mig_debugfs_remove(struct vfio_mig *mig);
void vfio_mig_debugfs_init(void);
void vfio_mig_debugfs_exit(void);

#endif /* _VFIO_MIGRATION_PRIVATE_H */
