/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core: sessions
 *
 * What is behind a data fd; private.h has the locks and lifetimes. A saving
 * session is a ring of chunks of pages, a resuming one a list of sections.
 */
#ifndef _VFIO_MIGRATION_SESSION_H
#define _VFIO_MIGRATION_SESSION_H

#include <linux/bitops.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "private.h"

struct iov_iter;
struct mem_cgroup;
struct pipe_inode_info;

#define VFIO_MIG_WINDOW_MIN	max_t(size_t, SZ_64K, 4 * PAGE_SIZE)
#define VFIO_MIG_WINDOW_MAX	SZ_1G
#define VFIO_MIG_WINDOW_DEFAULT	SZ_4M

/* Unread bytes from which on a running device's pages are left to age in it. */
#define VFIO_MIG_PRECOPY_AHEAD	SZ_1M

/*
 * Bytes from which on a reader is woken while the worker goes on: waking costs as
 * much as copying many pages. With a smaller window, it is woken when that is full.
 */
#define VFIO_MIG_WAKE_AHEAD	SZ_1M

#define VFIO_MIG_SECTION_PAGES	(VFIO_MIG_SECTION_MAX / PAGE_SIZE)

/**
 * struct vfio_mig_chunk - some bytes of the stream in a page
 * @page: holds them; the chunk has a reference
 * @offset: of the first byte not read yet
 * @length: bytes not read yet, at most a page
 * @payload: the page counts against the window
 * @donated: the page is the driver's, not to be used again
 * @initial: belongs to the first pass of PRE_COPY
 */
struct vfio_mig_chunk {
	struct page *page;
	u32 offset;
	u32 length : 24;
	u32 payload : 1;
	u32 donated : 1;
	u32 initial : 1;
};

/* The end section is one chunk. */
#define VFIO_MIG_END_LENGTH	(sizeof(struct vfio_mig_section_header) + \
				 sizeof(struct vfio_mig_section_end))

/* All that one section can bring with it: the stream's header before, the end behind. */
#define VFIO_MIG_HEADERS_MAX	(sizeof(struct vfio_mig_stream_header) + \
				 sizeof(struct vfio_mig_section_header) + \
				 VFIO_MIG_END_LENGTH)

/* A section's header and its payload. */
#define VFIO_MIG_SINK_CHUNKS	(1 + VFIO_MIG_SECTION_PAGES)

/* A worker that stopped for lack of room is not called for less, but to refill. */
#define VFIO_MIG_REFILL		SZ_256K

/* Bytes of complete sections for which a writer calls the worker in between. */
#define VFIO_MIG_SERVE_LOAD	SZ_256K

/* Sections after which the worker looks whether other sessions wait. */
#define VFIO_MIG_TURN		16

/* Chunks that a reader has in hand at a time. */
#define VFIO_MIG_CLAIM		VFIO_MIG_SINK_CHUNKS

/**
 * struct vfio_mig_sink - a section that the driver is filling
 * @session: which it will be part of
 * @type: of the section, the driver's
 * @object: of the section, the driver's
 * @max: payload that it may have
 * @length: payload so far
 * @reserved: bytes behind it that the driver may commit
 * @nr: pages in @pages
 * @donated: bits of those in @pages that are the driver's
 * @pages: the payload, and behind it pages that nothing is in yet
 *
 * Belongs to the worker.
 */
struct vfio_mig_sink {
	struct vfio_mig_session *session;
	u32 type;
	u64 object;
	size_t max;
	size_t length;
	size_t reserved;
	unsigned int nr;
	unsigned long donated;
	struct page *pages[VFIO_MIG_SECTION_PAGES];
};

/**
 * struct vfio_mig_turn - what one call of save() was about
 * @initial: its bytes belong to the first pass
 * @idle: it left the device with nothing to send
 * @reinits: &vfio_mig_save.reinits at that time
 * @backs: &vfio_mig_save.backs at that time
 * @head: &vfio_mig_save.head before it
 */
struct vfio_mig_turn {
	bool initial;
	bool idle;
	unsigned int reinits;
	unsigned int backs;
	unsigned long head;
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
 * @told_initial: bytes of the first pass that the client was last told of; under
 *	state_mutex
 * @idle: the driver has nothing now; under the session's lock
 * @stop_copy: the device has stopped; under the session's lock
 * @done: the end section is queued; under the session's lock
 * @stalled: the worker stopped for lack of room or memory; under the session's lock
 * @claimed: chunks from @head that the owner of the slot is at work on; under the
 *	session's lock
 * @end_given: a reader has some of the end section; under the session's lock
 * @initial_until: chunks before this one belong to the first pass, whatever they
 *	say; under the session's lock
 * @reinits: times that the client learnt of a new first pass; under the session's
 *	lock
 * @backs: times that the device went back to PRE_COPY; under the session's lock
 * @sink: belongs to the worker
 * @header_page: page that the next header goes to. Belongs to the worker
 * @header_used: bytes used of it. Belongs to the worker
 * @started: the stream header is queued. Written by the worker, under the lock
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
	u64 told_initial;
	bool idle;
	bool stop_copy;
	bool done;
	bool stalled;
	unsigned int claimed;
	bool end_given;
	unsigned long initial_until;
	unsigned int reinits;
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
 * @unserved: bytes of complete sections that the worker was not called for yet;
 *	likewise
 * @sections: complete sections that are not loaded yet; under the session's lock.
 *	The first belongs to the worker while it runs
 * @pages: payload pages of @sections and @section; under the session's lock
 * @queued: payload bytes of @sections and @section; under the session's lock
 * @freed: sections that were freed; under the session's lock
 * @seen: @freed when the owner of the slot began what it is at; likewise
 * @starved: a writer had no memory, and waits for the worker to free some; under the
 *	session's lock
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
	size_t unserved;

	struct list_head sections;
	unsigned long pages;
	size_t queued;
	u64 freed;
	u64 seen;
	bool starved;
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
	/* Nobody got it, and the file is gone. */
	VFIO_MIG_UNSEEN,
	/* The first pass began again, and the client was not told yet. */
	VFIO_MIG_REINIT,
	/* The first pass began again at some time. */
	VFIO_MIG_REINITED,
};

/**
 * struct vfio_mig_session - what is behind a data fd
 * @ref: see "Lifetimes" at the top of private.h
 * @mig: the device. Immutable
 * @saving: direction. Immutable
 * @config: of the opening that it belongs to: when it is over, the device may be
 *	open anew, with another one. Immutable
 * @window: bytes of payload that it may hold. Immutable
 * @nowait: non-blocking attempts are honoured. Immutable
 * @memcg: pays for its memory. Immutable
 * @undo: state to go back to if nobody gets the fd. Written once, before the
 *	ioctl returns
 * @file: what vfio.ko installs. Only the opening SET uses it
 * @flags: bits above
 * @node: in the queue of sessions that have something to do. This and the next two
 *	are under the queue's lock
 * @waiting: there is something to do
 * @served: the worker is at it
 * @wait: readers or writers, pollers, and RESUMING -> STOP
 * @purge: frees the memory when the session is over; has a reference then
 * @lock: protects the members below and those of @save and @load that say so
 * @slot: a reader or writer is at work
 * @working: the worker is at work
 * @purged: @purge was queued
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
	struct vfio_mig_config config;
	bool nowait;
	size_t window;
	struct mem_cgroup *memcg;
	enum vfio_device_mig_state undo;
	struct file *file;
	unsigned long flags;
	struct list_head node;
	bool waiting;
	bool served;
	wait_queue_head_t wait;
	struct work_struct purge;

	/* the queue between the data fd and the driver */
	spinlock_t lock;
	bool slot;
	bool working;
	bool purged;
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

static inline struct vfio_mig_chunk *
vfio_mig_chunk_at(const struct vfio_mig_save *save, unsigned long index)
{
	return &save->ring[index & (save->ring_size - 1)];
}

static inline bool vfio_mig_ended(const struct vfio_mig_session *session)
{
	return test_bit(VFIO_MIG_ENDED, &session->flags);
}

/*
 * What a call returns whose wait a signal ended. A worker of io_uring restarts
 * nothing, and older kernels hand the code to its client.
 */
static inline int vfio_mig_interrupted(void)
{
	return current->flags & PF_IO_WORKER ? -EINTR : -ERESTARTSYS;
}

/* What a section counts against the window: an empty one is not for nothing. */
static inline unsigned int
vfio_mig_section_pages(const struct vfio_mig_section *section)
{
	return DIV_ROUND_UP(le32_to_cpu(section->header.length), PAGE_SIZE) ?: 1;
}

/* worker.c: who does the work */
extern struct workqueue_struct *vfio_mig_wq;
int vfio_mig_workers_init(void);
void vfio_mig_workers_exit(void);
void vfio_mig_session_work(struct vfio_mig_session *session);
bool vfio_mig_session_yield(struct vfio_mig_session *session, unsigned int turn);

/* session.c: sessions of both directions */
struct vfio_mig_session *vfio_mig_session_open(struct vfio_mig *mig,
					       bool saving);
void vfio_mig_session_put(struct vfio_mig_session *session);
void vfio_mig_session_end(struct vfio_mig_session *session);
void vfio_mig_session_detach(struct vfio_mig *mig);
void vfio_mig_session_serve(struct vfio_mig_session *session);
bool vfio_mig_session_trylock(struct vfio_mig_session *session);
void vfio_mig_session_undefer(struct vfio_mig *mig);
void vfio_mig_session_purge(struct vfio_mig_session *session);
int vfio_mig_driver_errno(int err);
int vfio_mig_slot_take(struct vfio_mig_session *session,
		       int (*ready)(struct vfio_mig_session *session),
		       bool nowait);
void vfio_mig_slot_release(struct vfio_mig_session *session);
int vfio_mig_session_outcome(struct vfio_mig_session *session);
void vfio_mig_wake(struct vfio_mig_session *session);
void vfio_mig_session_count(struct vfio_mig_session *session,
			    struct vfio_mig_session_counts *counts);
void vfio_mig_session_trace(struct vfio_mig_session *session,
			    enum vfio_mig_trace_event event);

/* error.c: why a session failed */
__printf(4, 5)
int vfio_mig_session_fail(struct vfio_mig_session *session, int err,
			  u64 offset, const char *fmt, ...);
int vfio_mig_session_error(struct vfio_mig_session *session,
			   struct vfio_mig_reason *reason);

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

/* pages.c: memory for sections */
unsigned int vfio_mig_alloc_pages(struct page **pages, unsigned int nr);

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
bool vfio_mig_save_low(const struct vfio_mig_session *session);
bool vfio_mig_save_unstall(struct vfio_mig_session *session);
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
void vfio_mig_sink_stock(struct vfio_mig_session *session);
void vfio_mig_sink_drop(struct vfio_mig_session *session);
int vfio_mig_sink_stock_headers(struct vfio_mig_session *session);
void vfio_mig_sink_queue(struct vfio_mig_session *session,
			 const struct vfio_mig_turn *turn);
void vfio_mig_sink_queue_end(struct vfio_mig_session *session,
			     const struct vfio_mig_turn *turn);

/* load.c, receive.c: from the writer to the driver */
void vfio_mig_load_init(struct vfio_mig_session *session);
void vfio_mig_load_purge(struct vfio_mig_session *session);
void vfio_mig_load_work(struct vfio_mig_session *session);
int vfio_mig_load_settle(struct vfio_mig_session *session);
int vfio_mig_load_finish(struct vfio_mig *mig);
void vfio_mig_load_resume(struct vfio_mig_session *session);
int vfio_mig_load_ready(struct vfio_mig_session *session);
ssize_t vfio_mig_load_write(struct vfio_mig_session *session,
			    struct iov_iter *from);

#endif /* _VFIO_MIGRATION_SESSION_H */
