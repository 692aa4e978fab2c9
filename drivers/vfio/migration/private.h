/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core: structures, locks and lifetimes
 *
 * Locks, outermost first:
 *
 *  vfio's dev_set->lock, and for PCI memory_lock
 *  (1) vfio_mig.state_mutex	serialises every driver callback
 *  (2) vfio_mig_session.lock	the queue between a data fd and the driver
 *  (3) vfio_mig.reset_lock	a pending reset, and which session is current
 *
 *  vfio_mig.stats_lock		what is only told to people; innermost
 *
 * mmap_lock is never taken inside any of them: user memory is only touched with
 * no lock held, by whoever owns the session's slot. memory_lock is not taken
 * inside (2) and (3); a driver may take it for reading inside (1). Since reset
 * comes under memory_lock (PCI), its first step takes (3) alone, and its second
 * only tries (1): whoever holds (1) then runs the reset before letting go. A
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
struct iov_iter;
struct mem_cgroup;
struct pipe_inode_info;
struct seq_file;

/*
 * A failed allocation is the caller's ENOMEM: neither a splat nor a reason to
 * kill, in the caller's memory cgroup or elsewhere.
 */
#define VFIO_MIG_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

#define VFIO_MIG_WINDOW_MIN	max_t(size_t, SZ_64K, 4 * PAGE_SIZE)
#define VFIO_MIG_WINDOW_MAX	SZ_1G
#define VFIO_MIG_WINDOW_DEFAULT	SZ_4M

/* Unread bytes from which on a running device's pages are left to age in it. */
#define VFIO_MIG_PRECOPY_AHEAD	SZ_1M

/*
 * Bytes from which on a reader is woken while the worker goes on: a wake-up for
 * every page would cost more than the page.
 */
#define VFIO_MIG_WAKE_AHEAD	SZ_256K

#define VFIO_MIG_SECTION_PAGES	(VFIO_MIG_SECTION_MAX / PAGE_SIZE)

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
 * @opted: the client has asked for one since the device was opened. Under
 *	state_mutex
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
 * @unwinding: arcs run on the way back after a failure; under @state_mutex
 * @broken: the running arc called vfio_mig_broken(); under @state_mutex
 * @reason: why the running callback fails; under @state_mutex
 * @loaded_id: stream that was loaded last, if @is_loaded; under @state_mutex
 * @is_loaded: the device's state is what was loaded; under @state_mutex
 * @reset_count: resets done; written under @state_mutex
 * @copy_back: the client opted in to A11; set by any thread, with no lock
 * @precopy_info_v2: the client opted in to VFIO_PRECOPY_INFO_REINIT, where vfio.ko
 *	does not know that; likewise
 * @wait: sleepers in an arc, and those that wait for !@busy
 * @reset_lock: protects the members below
 * @open: between vfio_mig_open() and vfio_mig_close()
 * @reset_pending: a reset was asked for and not done yet
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
};

/**
 * struct vfio_mig_chunk - some bytes of the stream in a page
 * @page: holds them; the chunk has a reference
 * @offset: of the first byte not read yet
 * @length: bytes not read yet
 * @payload: the page counts against the window
 * @donated: the page is the driver's, not to be used again
 * @initial: belongs to the first pass of PRE_COPY
 */
struct vfio_mig_chunk {
	struct page *page;
	u32 offset;
	u32 length;
	bool payload;
	bool donated;
	bool initial;
};

/* The end section is one chunk. */
#define VFIO_MIG_END_LENGTH	(sizeof(struct vfio_mig_section_header) + \
				 sizeof(struct vfio_mig_section_end))

/* A section's header and its payload. */
#define VFIO_MIG_SINK_CHUNKS	(1 + VFIO_MIG_SECTION_PAGES)

/* Chunks that a reader has in hand at a time. */
#define VFIO_MIG_CLAIM		VFIO_MIG_SINK_CHUNKS

/**
 * struct vfio_mig_sink - a section that the driver is filling
 * @session: which it will be part of
 * @type: of the section, the driver's
 * @object: of the section, the driver's
 * @max: payload that it may have
 * @length: payload so far
 * @nr: pages in @pages
 * @donated: bits of those in @pages that are the driver's
 * @pages: the payload
 *
 * Belongs to the worker.
 */
struct vfio_mig_sink {
	struct vfio_mig_session *session;
	u32 type;
	u64 object;
	size_t max;
	size_t length;
	unsigned int nr;
	unsigned long donated;
	struct page *pages[VFIO_MIG_SECTION_PAGES];
};

/**
 * struct vfio_mig_save - saving half of a session
 * @ring: chunks from @head to @tail, modulo @ring_size, a power of two. Entries
 *	from @head belong to the owner of the slot, who alone moves @head; the
 *	worker fills the entry at @tail and then moves @tail
 * @ring_size: immutable
 * @head: under the session's lock
 * @tail: under the session's lock
 * @queued: bytes in @ring; under the session's lock
 * @pages: payload pages in @ring; under the session's lock
 * @spare: pages to use again; under the session's lock
 * @nr_spare: pages in @spare; under the session's lock
 * @unread_initial: bytes of the first pass that the driver has produced and the
 *	reader has not read; under the session's lock
 * @unread_later: bytes produced later, likewise; under the session's lock
 * @idle: the driver has nothing now; under the session's lock
 * @stop_copy: the device has stopped; under the session's lock
 * @done: the end section is queued; under the session's lock
 * @stalled: the worker stopped for lack of room; under the session's lock
 * @claimed: chunks from @head that the owner of the slot is at work on; under the
 *	session's lock
 * @backs: times that the device went back to PRE_COPY; under the session's lock
 * @sink: belongs to the worker
 * @header_page: page that the next header goes to. Belongs to the worker
 * @header_used: bytes used of it. Belongs to the worker
 * @started: the stream header is queued. Belongs to the worker
 * @stream_id: random. Immutable
 * @sections: sections so far. Belongs to the worker
 * @bytes: their payload. Belongs to the worker
 * @produced: bytes of the stream so far; under the session's lock
 */
struct vfio_mig_save {
	struct vfio_mig_chunk *ring;
	unsigned long ring_size;
	unsigned long head;
	unsigned long tail;
	size_t queued;
	unsigned long pages;
	struct list_head spare;
	unsigned long nr_spare;
	u64 unread_initial;
	u64 unread_later;
	bool idle;
	bool stop_copy;
	bool done;
	bool stalled;
	unsigned int claimed;
	unsigned int backs;

	struct vfio_mig_sink sink;
	struct page *header_page;
	unsigned int header_used;
	bool started;
	u64 stream_id;
	u64 sections;
	u64 bytes;
	u64 produced;
};

/**
 * struct vfio_mig_section - a section on its way in
 * @node: in &vfio_mig_load.sections
 * @header: checked, little endian
 * @offset: where in the stream it begins
 * @filled: payload bytes accepted
 * @checked: payload's checksum was found right
 * @pages: the payload, allocated as it comes; NULL where the driver took one
 */
struct vfio_mig_section {
	struct list_head node;
	struct vfio_mig_section_header header;
	u64 offset;
	size_t filled;
	bool checked;
	struct page *pages[VFIO_MIG_SECTION_PAGES];
};

/**
 * struct vfio_mig_source - a section as load() sees it
 * @section: the section
 * @position: payload bytes that the driver has taken
 * @taken: pages of them that it keeps
 */
struct vfio_mig_source {
	struct vfio_mig_section *section;
	size_t position;
	unsigned int taken;
};

/**
 * enum vfio_mig_stage - what the next byte of the stream is part of
 * @VFIO_MIG_STAGE_STREAM: the stream header
 * @VFIO_MIG_STAGE_SECTION: a section header
 * @VFIO_MIG_STAGE_PAYLOAD: the payload of &vfio_mig_load.section
 * @VFIO_MIG_STAGE_END: nothing: the end section is complete
 */
enum vfio_mig_stage {
	VFIO_MIG_STAGE_STREAM,
	VFIO_MIG_STAGE_SECTION,
	VFIO_MIG_STAGE_PAYLOAD,
	VFIO_MIG_STAGE_END,
};

/**
 * struct vfio_mig_load - resuming half of a session
 * @stage: belongs to the owner of the slot, who writes it under the session's lock
 * @filled: bytes of @header accepted; likewise
 * @accepted: bytes of the stream so far; likewise
 * @header: the header that is coming in. Belongs to the owner of the slot
 * @header_at: where in the stream it begins; likewise
 * @section: the section that is coming in; likewise
 * @stream_id: of the stream; likewise
 * @sequence: number that the next section must have; likewise
 * @sections: complete sections that are not loaded yet; under the session's lock.
 *	The first belongs to the worker while it runs
 * @pages: payload pages of @sections and @section; under the session's lock
 * @queued: payload bytes of @sections and @section; under the session's lock
 * @ending: RESUMING -> STOP is waiting for the rest to be loaded; no more bytes
 *	are accepted; under the session's lock
 * @nr_loaded: sections that the worker is done with. Belongs to the worker
 * @bytes: their payload. Belongs to the worker
 * @complete: the end section was found right; under the session's lock
 */
struct vfio_mig_load {
	enum vfio_mig_stage stage;
	size_t filled;
	u64 accepted;
	union {
		struct vfio_mig_stream_header stream;
		struct vfio_mig_section_header section;
	} header;
	u64 header_at;
	struct vfio_mig_section *section;
	u64 stream_id;
	u64 sequence;

	struct list_head sections;
	unsigned long pages;
	size_t queued;
	bool ending;
	u64 nr_loaded;
	u64 bytes;
	bool complete;
};

/* Bits of vfio_mig_session.flags. */
enum {
	/* The session is over; set once, by anybody, with no lock. */
	VFIO_MIG_ENDED,
	/* vfio_mig_kick() came since the worker last called the driver. */
	VFIO_MIG_KICKED,
	/* Some process got the fd. */
	VFIO_MIG_DELIVERED,
	/* The first pass began again, and the client was not told yet. */
	VFIO_MIG_REINIT,
	/* The first pass began again at some time. */
	VFIO_MIG_REINITED,
};

/**
 * struct vfio_mig_session - what is behind a data fd
 * @ref: see "Lifetimes" at the top of this file
 * @mig: the device. Immutable
 * @saving: direction. Immutable
 * @window: bytes of payload that it may hold. Immutable
 * @nowait: non-blocking attempts are honoured. Immutable
 * @memcg: pays for its memory. Immutable
 * @undo: state to go back to if nobody gets the fd. Written once, before the
 *	ioctl returns
 * @file: what vfio.ko installs. Only the opening SET uses it
 * @flags: bits above
 * @work: the worker
 * @wait: readers or writers, pollers, and RESUMING -> STOP
 * @lock: protects the members below and those of @save and @load that say so
 * @slot: a reader or writer is at work
 * @working: the worker is at work
 * @error: the first one, for good; 0 if none
 * @reason: of @error
 * @worker_stalls: times that the worker stopped for lack of room
 * @client_stalls: times that a reader or writer could not go on at once
 * @said: what the driver said when it failed last. Belongs to the worker
 * @save: if @saving
 * @load: if not
 */
struct vfio_mig_session {
	struct kref ref;
	struct vfio_mig *mig;
	bool saving;
	bool nowait;
	size_t window;
	struct mem_cgroup *memcg;
	enum vfio_device_mig_state undo;
	struct file *file;
	unsigned long flags;
	struct work_struct work;
	wait_queue_head_t wait;

	/* the queue between the data fd and the driver */
	spinlock_t lock;
	bool slot;
	bool working;
	int error;
	struct vfio_mig_reason reason;
	unsigned long worker_stalls;
	unsigned long client_stalls;
	char said[sizeof_field(struct vfio_mig_reason, text)];
	union {
		struct vfio_mig_save save;
		struct vfio_mig_load load;
	};
};

/**
 * struct vfio_mig_session_counts - a session at one moment
 * @held: bytes of the window in use
 * @queued: bytes that a read would give, or that are not loaded yet
 * @bytes: of the stream so far, produced or accepted
 * @sections: complete ones so far
 * @worker_stalls: see &struct vfio_mig_session
 * @client_stalls: likewise
 * @error: likewise
 */
struct vfio_mig_session_counts {
	unsigned long held;
	size_t queued;
	u64 bytes;
	u64 sections;
	unsigned long worker_stalls;
	unsigned long client_stalls;
	int error;
};

static inline struct vfio_mig *vfio_mig_from_vdev(struct vfio_device *vdev)
{
	return container_of((struct vfio_migration_ops *)vdev->mig_ops,
			    struct vfio_mig, vfio_ops);
}

static inline struct vfio_mig_chunk *
vfio_mig_chunk_at(const struct vfio_mig_save *save, unsigned long index)
{
	return &save->ring[index & (save->ring_size - 1)];
}

static inline bool vfio_mig_ended(const struct vfio_mig_session *session)
{
	return test_bit(VFIO_MIG_ENDED, &session->flags);
}

/* main.c: the device, and its lock */
extern struct workqueue_struct *vfio_mig_wq;
void vfio_mig_get(struct vfio_mig *mig);
void vfio_mig_put(struct vfio_mig *mig);
int vfio_mig_begin(struct vfio_mig *mig);
void vfio_mig_set_busy(struct vfio_mig *mig);
void vfio_mig_clear_busy(struct vfio_mig *mig);
int vfio_mig_data_size(struct vfio_mig *mig, unsigned long *length);

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
void vfio_mig_record(struct vfio_mig *mig, int err, unsigned int from,
		     unsigned int to, const struct vfio_mig_reason *reason);
void vfio_mig_last_error(struct vfio_mig *mig, struct vfio_mig_error *error);
void vfio_mig_forget_error(struct vfio_mig *mig);
__printf(4, 5)
int vfio_mig_session_fail(struct vfio_mig_session *session, int err,
			  u64 offset, const char *fmt, ...);
int vfio_mig_session_error(struct vfio_mig_session *session,
			   struct vfio_mig_reason *reason);

/* drain.c */
void vfio_mig_drain_init(struct vfio_mig_drain *drain);
void vfio_mig_drain_end(struct vfio_mig *mig, bool reset);
bool vfio_mig_drain_holds(struct vfio_mig *mig, enum vfio_device_mig_state to);
struct file *vfio_mig_drain_start(struct vfio_mig *mig);

/* session.c: sessions of both directions */
struct vfio_mig_session *vfio_mig_session_open(struct vfio_mig *mig,
					       bool saving);
void vfio_mig_session_put(struct vfio_mig_session *session);
void vfio_mig_session_end(struct vfio_mig_session *session);
void vfio_mig_session_detach(struct vfio_mig *mig);
void vfio_mig_session_work(struct vfio_mig_session *session);
void vfio_mig_session_purge(struct vfio_mig_session *session);
int vfio_mig_driver_errno(int err);
int vfio_mig_slot_take(struct vfio_mig_session *session,
		       int (*ready)(struct vfio_mig_session *session),
		       bool nowait);
void vfio_mig_slot_release(struct vfio_mig_session *session);
void vfio_mig_wake(struct vfio_mig_session *session);
void vfio_mig_session_count(struct vfio_mig_session *session,
			    struct vfio_mig_session_counts *counts);
void vfio_mig_session_trace(struct vfio_mig_session *session,
			    enum vfio_mig_trace_event event);

/* debugfs.c: what people can read */
void vfio_mig_count_arc(struct vfio_mig *mig, unsigned int from,
			unsigned int to, u64 us);
void vfio_mig_debugfs_add(struct vfio_mig *mig);
void vfio_mig_debugfs_remove(struct vfio_mig *mig);
void vfio_mig_debugfs_init(void);
void vfio_mig_debugfs_exit(void);

/* file.c: the data fd */
struct file *vfio_mig_file(struct vfio_mig_session *session);
ssize_t vfio_mig_write_once(struct vfio_mig_session *session,
			    struct iov_iter *from, bool nowait);

/* splice.c: the data fd and pipes */
ssize_t vfio_mig_splice_read(struct file *file, loff_t *ppos,
			     struct pipe_inode_info *pipe, size_t len,
			     unsigned int flags);
ssize_t vfio_mig_splice_write(struct pipe_inode_info *pipe, struct file *file,
			      loff_t *ppos, size_t len, unsigned int flags);

/* stream.c: the format */
void vfio_mig_fill_stream_header(struct vfio_mig_stream_header *header,
				 const struct vfio_mig_config *config,
				 u64 stream_id);
void vfio_mig_fill_section_header(struct vfio_mig_section_header *header);
int vfio_mig_check_stream_header(struct vfio_mig_session *session,
				 const struct vfio_mig_stream_header *header);
int vfio_mig_check_section_header(struct vfio_mig_session *session,
				  const struct vfio_mig_section_header *header);
int vfio_mig_check_end(struct vfio_mig_session *session, u64 at,
		       const struct vfio_mig_section_end *end);
u64 vfio_mig_sum_pages(struct page **pages, size_t length);

/* save.c, sink.c, read.c: from the driver to the reader */
int vfio_mig_save_init(struct vfio_mig_session *session);
void vfio_mig_save_purge(struct vfio_mig_session *session);
struct page *vfio_mig_save_pop(struct vfio_mig_save *save);
bool vfio_mig_save_room(const struct vfio_mig_session *session);
void vfio_mig_save_recycle(struct vfio_mig_session *session, struct page *page);
void vfio_mig_save_free(struct vfio_mig_session *session);
void vfio_mig_save_work(struct vfio_mig_session *session);
void vfio_mig_save_stop_copy(struct vfio_mig_session *session);
int vfio_mig_save_withdraw_end(struct vfio_mig_session *session);
void vfio_mig_save_copy_back(struct vfio_mig_session *session);
void vfio_mig_save_reinit(struct vfio_mig_session *session);
bool vfio_mig_save_counts_initial(struct vfio_mig_session *session);
int vfio_mig_save_ready(struct vfio_mig_session *session);
ssize_t vfio_mig_save_read(struct vfio_mig_session *session,
			   struct iov_iter *to);
ssize_t vfio_mig_save_splice(struct vfio_mig_session *session,
			     struct pipe_inode_info *pipe, size_t len);
unsigned long vfio_mig_save_held(const struct vfio_mig_session *session);
void vfio_mig_sink_start(struct vfio_mig_session *session);
void vfio_mig_sink_drop(struct vfio_mig_session *session);
int vfio_mig_sink_queue(struct vfio_mig_session *session, bool initial);
int vfio_mig_sink_queue_end(struct vfio_mig_session *session,
			    unsigned int backs);

/* load.c, receive.c: from the writer to the driver */
void vfio_mig_load_init(struct vfio_mig_session *session);
void vfio_mig_load_purge(struct vfio_mig_session *session);
void vfio_mig_load_work(struct vfio_mig_session *session);
int vfio_mig_load_finish(struct vfio_mig *mig);
void vfio_mig_load_resume(struct vfio_mig_session *session);
int vfio_mig_load_ready(struct vfio_mig_session *session);
ssize_t vfio_mig_load_write(struct vfio_mig_session *session,
			    struct iov_iter *from);

/* What a section counts against the window: an empty one is not for nothing. */
static inline unsigned int
vfio_mig_section_pages(const struct vfio_mig_section *section)
{
	return DIV_ROUND_UP(le32_to_cpu(section->header.length), PAGE_SIZE) ?: 1;
}

#endif /* _VFIO_MIGRATION_PRIVATE_H */
