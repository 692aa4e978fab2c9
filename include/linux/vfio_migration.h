/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core: the driver API
 *
 * A driver implements the arcs of its device's migration state machine and two
 * callbacks that move state: save() fills sections of the stream, load() gets
 * them back on the other side. The core owns everything that user space sees:
 * the walk over combination transitions and its unwinding, the data fd with
 * read, write, poll and io_uring, the memory window, the framed and checksummed
 * stream, and reset at any time.
 *
 * The life of a device:
 *
 *	vfio_device_ops.init	vfio_mig_alloc()
 *	  .open_device		vfio_mig_open()
 *	  .device_feature	vfio_mig_device_feature()
 *	  .ioctl (RESET)	vfio_mig_reset()	(mdev)
 *	  reset_prepare/done	vfio_mig_reset_prepare(), vfio_mig_reset_done() (PCI)
 *	  .close_device		vfio_mig_close()
 *	  .release		vfio_mig_free()
 *
 * What a driver may rely on, for all callbacks of &struct vfio_mig_ops:
 *
 * - never two of one device at once, never under a spinlock, always in process
 *   context, never before vfio_mig_open() and never after vfio_mig_close();
 * - save() and load() run in a worker, with allocations charged to the memory
 *   cgroup of the task that opened the session;
 * - the driver need not check states, only react to the arcs it is given.
 */
#ifndef _LINUX_VFIO_MIGRATION_H
#define _LINUX_VFIO_MIGRATION_H

#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/wait.h>

struct page;
struct vfio_mig;
struct vfio_mig_sink;
struct vfio_mig_source;

/* Length of a device type's id in the stream, without a terminating NUL. */
#define VFIO_MIG_ID_LEN		32

/**
 * enum vfio_mig_progress - what save() and load() achieved
 * @VFIO_MIG_MORE: save(): the section is filled, call again. load(): the
 *	section was consumed.
 * @VFIO_MIG_IDLE: nothing can be done now; vfio_mig_kick() says when. What
 *	save() put into the section before is sent. load() is given the same
 *	section again from its start.
 * @VFIO_MIG_DONE: save() in STOP_COPY only: the device's state is complete.
 *
 * In PRE_COPY an IDLE device whose precopy_info() is zero has reached the
 * temporary end of the stream: the reader gets ENOMSG (B2).
 */
enum vfio_mig_progress {
	VFIO_MIG_MORE,
	VFIO_MIG_IDLE,
	VFIO_MIG_DONE,
};

/**
 * struct vfio_mig_precopy - what is left to send while the device runs
 * @initial: bytes of the first pass that save() has not produced yet; may only
 *	grow after vfio_mig_reinit()
 * @dirty: bytes beyond the first pass that save() would produce now
 *
 * The core adds what is produced but unread, so that user space sees the
 * distance to the end of the stream (VFIO_MIG_GET_PRECOPY_INFO, B8).
 */
struct vfio_mig_precopy {
	u64 initial;
	u64 dirty;
};

/**
 * struct vfio_mig_ops - a migratable device
 * @arc: take the device over one arc of the state machine.
 *	The core only ever asks for arcs that the device's flags imply (A3); the
 *	fifteen of the full set are listed in Documentation/driver-api/vfio-migration.rst.
 *	Return 0 when the device is in @to, or a negative errno with the device
 *	still in @from. If neither can be had, return vfio_mig_broken(): the device
 *	then goes to ERROR, which only a reset leaves (A5).
 *	May sleep: in vfio_mig_wait_event() while nothing of the arc has had an
 *	effect, in vfio_mig_wait_event_killable() and vfio_mig_wait_us() once the
 *	hardware is at work on it. A reset ends all of them, a signal the first.
 *	RESUMING -> STOP comes after the whole stream was loaded and checked, or, if
 *	vfio_mig_loaded() says no, after the session was withdrawn unused: the device
 *	must be what it was before STOP -> RESUMING then.
 * @save: produce the next section of the stream, or part of the work for it.
 *	Called in the saving states with room for one section. Returns
 *	&enum vfio_mig_progress or one of -EINVAL, -EIO, which the reader gets for
 *	good, or -ENOMEM: what is in the section is sent, and save() is called again
 *	for the rest when the reader has given memory back; only if nothing is
 *	queued, the reader gets that for good as well.
 *	Must be bounded: it never sleeps for latency or room.
 * @load: consume one complete, checked section. Content is still untrusted: the
 *	checksum proves transport, not intent. Returns VFIO_MIG_MORE, VFIO_MIG_IDLE
 *	or one of -EINVAL, -EIO, -ENOMEM, which refuses the whole stream (B9).
 *	What it applies must be undone by reset(). Must be bounded, as save().
 * @reset: bring the device into the state it has after power on, RUNNING. Cannot
 *	fail. Follows VFIO_DEVICE_RESET and errors that reset clears (A6). May run
 *	under memory_lock (PCI). After a reset by the bus the hardware is in that state
 *	already, and the client may have programmed it since: the driver then puts its
 *	own account right, and touches no register.
 * @data_size: bytes that save() would produce if the device stopped now (B8), not
 *	less than precopy_info() tells. Called in any state.
 * @precopy_info: fill @info, zeroed before. Mandatory with PRE_COPY.
 * @drain: optional, for &vfio_mig_config.drain (A10). With a @cookie: take no new work,
 *	in RUNNING and PRE_COPY; vfio_mig_drained() with that cookie says that the old
 *	is finished, maybe before this returns. Return 0 or a negative errno with
 *	nothing changed. The arc out of RUNNING or PRE_COPY that follows need not wait
 *	then. With 0: take work again; cannot fail, and comes in any state, in which it
 *	must not start work that the state forbids. After reset() there is no drain.
 *
 * Rule: A2, "drivers implement arcs, never combination transitions".
 */
struct vfio_mig_ops {
	int (*arc)(struct vfio_mig *mig, enum vfio_device_mig_state from,
		   enum vfio_device_mig_state to);
	int (*save)(struct vfio_mig *mig, struct vfio_mig_sink *sink);
	int (*load)(struct vfio_mig *mig, struct vfio_mig_source *source);
	void (*reset)(struct vfio_mig *mig);
	u64 (*data_size)(struct vfio_mig *mig);
	void (*precopy_info)(struct vfio_mig *mig,
			     struct vfio_mig_precopy *info);
	int (*drain)(struct vfio_mig *mig, u64 cookie);
};

/**
 * struct vfio_mig_config - what one opening of a device looks like
 * @id: type of the device, NUL padded; a stream of another type is refused with
 *	EMEDIUMTYPE
 * @size: size of the device's state in the driver's own units, 0 if the type
 *	implies it; a stream of another size is refused with EMEDIUMTYPE
 * @version: version of the driver's state format that this device writes
 * @min_version: oldest version that it reads; others are refused with ESTALE
 * @nr_types: section types in use are 0 to @nr_types - 1 (B9)
 * @window: bytes of memory that a session may hold, 64 KiB (and four pages) to
 *	1 GiB, rounded down to pages; 0 for the default of 4 MiB (B6)
 * @drain: offer VFIO_DEVICE_FEATURE_MIGX_DRAIN; needs &vfio_mig_ops.drain
 * @copy_back: offer VFIO_DEVICE_FEATURE_MIGX_COPY_BACK; needs PRE_COPY. There is one
 *	arc more then, from STOP_COPY to PRE_COPY_P2P, without P2P to PRE_COPY: save()
 *	goes on with what changes from then on, and sends again, in the next STOP_COPY,
 *	what it sends before it is done. load() must take that too (A11)
 * @idempotent: save() of a state that load() brought and nothing changed since gives
 *	the sections that load() got, if those were saved without PRE_COPY and within
 *	the same window; the stream then is the same, byte by byte (B10)
 * @no_poll: hide poll() from user space, to test a client's fallback (C2)
 * @no_nowait: hide non-blocking attempts (IOCB_NOWAIT) likewise (C2)
 */
struct vfio_mig_config {
	char id[VFIO_MIG_ID_LEN];
	u64 size;
	u32 version;
	u32 min_version;
	u32 nr_types;
	size_t window;
	bool drain;
	bool copy_back;
	bool idempotent;
	bool no_poll;
	bool no_nowait;
};

/*
 * The life of a device, as at the top of this file. vfio_mig_alloc() sets the
 * vfio_device's mig_ops and migration_flags, and refuses ops that do not fit
 * @flags (VFIO_MIGRATION_*). vfio_mig_open() copies the configuration.
 */
struct vfio_mig *vfio_mig_alloc(struct vfio_device *vdev,
				const struct vfio_mig_ops *ops,
				unsigned int flags, void *priv);
void vfio_mig_free(struct vfio_mig *mig);
int vfio_mig_open(struct vfio_mig *mig, const struct vfio_mig_config *config);
void vfio_mig_close(struct vfio_mig *mig);

/*
 * For &vfio_device_ops.device_feature: the extensions, and what this kernel's vfio.ko
 * does not answer itself. -ENOTTY if @flags name something else.
 */
int vfio_mig_device_feature(struct vfio_mig *mig, u32 flags, void __user *arg,
			    size_t argsz);

/*
 * Reset, at any time. vfio_mig_reset() is for drivers that do it themselves: it has
 * reset() called and waits for it. The other two go around a reset by the bus:
 * in between no callback begins, and open and close wait; reset() is called by the
 * second, or by whoever is in a callback then.
 */
int vfio_mig_reset(struct vfio_mig *mig);
void vfio_mig_reset_prepare(struct vfio_mig *mig);
void vfio_mig_reset_done(struct vfio_mig *mig);

/*
 * "Any context" is that of a process, a softirq or an interrupt. With PREEMPT_RT it
 * excludes interrupts that are not threaded (IRQF_NO_THREAD, timers of mode
 * HRTIMER_MODE_*_HARD) and whatever holds a raw_spinlock_t: the locks are spinlock_t,
 * which sleep there.
 */

/* In any context: what was given to vfio_mig_alloc(), the state, its name. */
void *vfio_mig_priv(struct vfio_mig *mig);
enum vfio_device_mig_state vfio_mig_state(struct vfio_mig *mig);
const char *vfio_mig_state_name(enum vfio_device_mig_state state);
bool vfio_mig_is_arc(struct vfio_mig *mig, unsigned int from, unsigned int to);

/*
 * In any context: there is more to save, load() can go on, or the condition of a
 * vfio_mig_wait_event() may hold. Takes spinlocks only, and calls nobody back.
 */
void vfio_mig_kick(struct vfio_mig *mig);

/*
 * In any context, likewise: the drain of a cookie is done; and in PRE_COPY, the first pass begins
 * again, as the device was reconfigured (VFIO_PRECOPY_INFO_REINIT, B8): under the
 * lock under which precopy_info() counts it, so that both change at once.
 */
void vfio_mig_drained(struct vfio_mig *mig, u64 cookie);
void vfio_mig_reinit(struct vfio_mig *mig);

/*
 * In arcs. In RESUMING -> STOP, whether a stream came that is to be the device's
 * state. A reset or the last close wants the arc to end: leave with -ECANCELED.
 * The other two give @err back, for "return vfio_mig_fail(...)": the reason, for
 * people; and that the device cannot be brought into a valid state again.
 */
bool vfio_mig_loaded(struct vfio_mig *mig);
bool vfio_mig_aborted(struct vfio_mig *mig);
__printf(3, 4)
int vfio_mig_fail(struct vfio_mig *mig, int err, const char *fmt, ...);
__printf(3, 4)
int vfio_mig_broken(struct vfio_mig *mig, int err, const char *fmt, ...);

/*
 * In save(). Say what the section is (type 0, object 0 if not said), then fill it:
 * in place, by turns of _reserve() (at most a page, NULL when the section is full,
 * ERR_PTR(-ENOMEM)) and _commit(), or by copying (0, -ENOMEM, -ENOSPC), or by
 * donating a whole page (0, -ENOSPC, -EINVAL behind an odd number of bytes), which
 * may not change any more until page_count() says that only the driver has it (B5).
 */
void vfio_mig_sink_section(struct vfio_mig_sink *sink, u32 type, u64 object);
size_t vfio_mig_sink_room(const struct vfio_mig_sink *sink);
void *vfio_mig_sink_reserve(struct vfio_mig_sink *sink, size_t *len);
void vfio_mig_sink_commit(struct vfio_mig_sink *sink, size_t len);
int vfio_mig_sink_bytes(struct vfio_mig_sink *sink, const void *from,
			size_t len);
int vfio_mig_sink_add_page(struct vfio_mig_sink *sink, struct page *page);

/*
 * In load(). What the section is, how many bytes of it are left, and the next ones
 * (0, or -EINVAL if there are not as many), or the next whole page, for the driver to
 * keep (NULL if there is none; load() may not say IDLE after that).
 */
u32 vfio_mig_source_type(const struct vfio_mig_source *source);
u64 vfio_mig_source_object(const struct vfio_mig_source *source);
size_t vfio_mig_source_left(const struct vfio_mig_source *source);
int vfio_mig_source_bytes(struct vfio_mig_source *source, void *to, size_t len);
struct page *vfio_mig_source_take_page(struct vfio_mig_source *source);

/* Implementation of the waits below; not for drivers. */
wait_queue_head_t *vfio_mig_wait_head(struct vfio_mig *mig);
unsigned int vfio_mig_wait_mode(struct vfio_mig *mig, bool killable);
int vfio_mig_wait_over(struct vfio_mig *mig);

#define __vfio_mig_wait_event(mig, condition, killable)			\
({									\
	struct vfio_mig *__mig = (mig);					\
	unsigned int __mode = vfio_mig_wait_mode(__mig, killable);	\
	bool __true = false;						\
									\
	(void)___wait_event(*vfio_mig_wait_head(__mig),			\
			    (__true = (condition)) ||			\
			    vfio_mig_wait_over(__mig),			\
			    __mode, 0, 0, schedule());			\
	__true ? 0 : (vfio_mig_wait_over(__mig) ?:			\
		      __mode & TASK_INTERRUPTIBLE ? -ERESTARTNOHAND : -EINTR); \
})

/**
 * vfio_mig_wait_event - sleep in an arc that has had no effect yet
 * @mig: device whose arc is running
 * @condition: C expression; vfio_mig_kick() has it evaluated again
 *
 * A signal ends the wait only in the first arc of a SET_STATE, where the device is
 * as the caller knew it: after a handler the caller gets EINTR and nothing has
 * changed, and without one (SIGSTOP and SIGCONT, a debugger, a freezer) the call
 * starts anew by itself. In later arcs and on the way back after a failure it is
 * vfio_mig_wait_event_killable().
 *
 * Context: only in &vfio_mig_ops.arc.
 * Return: 0 when @condition holds, -ECANCELED if a reset came, -ERESTARTNOHAND or
 * -EINTR if a signal did. The arc then leaves the device as it was and returns the
 * error.
 */
#define vfio_mig_wait_event(mig, condition)				\
	__vfio_mig_wait_event(mig, condition, false)

/**
 * vfio_mig_wait_event_killable - sleep in an arc that has had an effect
 * @mig: device whose arc is running
 * @condition: C expression; vfio_mig_kick() has it evaluated again. The hardware
 *	makes it true within a bounded time
 *
 * Context: only in &vfio_mig_ops.arc.
 * Return: 0 when @condition holds, -ECANCELED if a reset came, -EINTR if a fatal
 * signal did. The arc then leaves the device as it was and returns the error.
 */
#define vfio_mig_wait_event_killable(mig, condition)			\
	__vfio_mig_wait_event(mig, condition, true)

/* The same for a span of time. */
int vfio_mig_wait_us(struct vfio_mig *mig, u64 us);

#endif /* _LINUX_VFIO_MIGRATION_H */
