/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * VFIO device migration: the protocol in prose, the extensions, and the format of
 * the stream
 *
 * The binary interface is that of <linux/vfio.h>; nothing here changes it. This
 * file says what a device on the migration core does with it, and what it offers
 * beyond to a client that asks.
 *
 * States (enum vfio_device_mig_state)
 * -----------------------------------
 *
 *  RUNNING		the device works.
 *  RUNNING_P2P		it works but starts nothing towards other devices; it
 *			still accepts what they send.
 *  STOP		it does nothing and changes nothing. Config space and
 *			registers can be read; writes to registers and memory
 *			are dropped.
 *  PRE_COPY		RUNNING, and its state can be read while it changes.
 *  PRE_COPY_P2P	RUNNING_P2P, likewise.
 *  STOP_COPY		STOP, and the rest of its state can be read.
 *  RESUMING		STOP, and a state can be written to it.
 *  ERROR		it is unusable. VFIO_DEVICE_RESET leads to RUNNING.
 *
 * VFIO_DEVICE_FEATURE_MIGRATION tells which of them the device has: STOP_COPY
 * always, RUNNING_P2P with VFIO_MIGRATION_P2P, PRE_COPY with
 * VFIO_MIGRATION_PRE_COPY, PRE_COPY_P2P with both. A state that the device lacks
 * can neither be entered nor read.
 *
 * Arcs
 * ----
 *
 *	RUNNING <-> RUNNING_P2P <-> STOP	with P2P, else RUNNING <-> STOP
 *	STOP <-> STOP_COPY, STOP <-> RESUMING
 *	RUNNING <-> PRE_COPY			with PRE_COPY
 *	RUNNING_P2P <-> PRE_COPY_P2P		with both
 *	PRE_COPY <-> PRE_COPY_P2P -> STOP_COPY	with both
 *	PRE_COPY -> STOP_COPY			with PRE_COPY, without P2P
 *
 * A SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE walks the shortest path of arcs
 * on which no saving state (PRE_COPY, PRE_COPY_P2P, STOP_COPY) is an interior
 * step, unless the whole path stays among the saving states. There is no way
 * from STOP_COPY to PRE_COPY or PRE_COPY_P2P (but see "Extensions"), from ERROR, or
 * to ERROR.
 *
 * A SET to the state that the device is in succeeds and returns -1 as data_fd.
 * Transitions of one device are serialised; GET waits for a running one, so that
 * no state in the middle of a walk is ever seen. Only a reset changes the state
 * without a SET.
 *
 * When a SET fails, the device is in the state in which it was, if the walk had
 * not ended a data session; else in the last state that it reached, which is one
 * to go on from; or in ERROR if nothing else is left. GET tells. The errno is
 * that of the arc that failed, or:
 *
 *  EINVAL	no such state, or no way to it
 *  EINTR	a handler ran before the transition had any effect; nothing has
 *		changed. A process that is stopped and continued, traced or frozen
 *		does not notice. Later on only a fatal signal ends a transition
 *  ECANCELED	a reset came; the device is RUNNING and there is no fd
 *  EMFILE,	no fd could be given to the caller; the device is in the state in
 *  EFAULT	which it was. EFAULT of a transition that returns no fd: it was
 *		made, only the answer could not be written
 *  ENFILE	no file is left in the system; as EMFILE
 *  ENOMEM	no memory, or not in the caller's memory cgroup
 *  others	the data was refused (RESUMING -> STOP; see "Errors of the data"),
 *		or the driver's own
 *
 * Data sessions
 * -------------
 *
 * The arcs RUNNING -> PRE_COPY, RUNNING_P2P -> PRE_COPY_P2P, STOP -> STOP_COPY
 * return a data fd to read the device's state from, STOP -> RESUMING one to write
 * it to. The saving states share one session: going from one to the other keeps
 * the fd. Leaving them, or RESUMING, ends the session, as do reset and the last
 * close of the device; the fd stays, without use.
 *
 * The fd is a stream: pread(2), pwrite(2) and lseek(2) fail with ESPIPE, the
 * wrong direction with EBADF. How the bytes are cut into reads and writes does
 * not matter; either may do less than was asked for.
 *
 *	read(2)			poll(2)		when
 *	bytes			POLLIN		there are some
 *	waits, or EAGAIN	-		the device is preparing more, or
 *						another reader is at work
 *	ENOMSG			POLLPRI		in PRE_COPY, the device has nothing
 *						new now; poll wakes when it has
 *	0			POLLIN		STOP_COPY, all was read; for ever
 *	ENODEV			POLLERR|POLLHUP	the session is over
 *	another errno		POLLERR		the device failed; for ever
 *
 *	write(2)		poll(2)		when
 *	bytes			POLLOUT		there is room
 *	waits, or EAGAIN	-		the device is loading, or another
 *						writer is at work
 *	ENODEV			POLLERR|POLLHUP	the session is over
 *	another errno		POLLERR		the data was refused; for ever
 *
 * EAGAIN is for O_NONBLOCK and RWF_NOWAIT; io_uring completes inline and waits by
 * poll. EINTR, EAGAIN, EFAULT and ENOMSG change nothing. EINTR is for handlers
 * without SA_RESTART; a process that is stopped and continued, traced or frozen does
 * not notice.
 *
 * splice(2) does what read and write do, with the same errnos and those of the pipe
 * (EPIPE), and SPLICE_F_NONBLOCK as O_NONBLOCK. Out of a session it hands references
 * to pages to the pipe, which copies nothing; what is in the pipe stays what it was
 * and outlives the session, the device and its driver, and no longer counts against
 * the window. Into a session it copies, since whoever filled the pipe may still be
 * able to change the pages.
 *
 * SET to STOP_COPY returns when the device has stopped; it prepares its state in
 * the background and poll tells. Devices therefore prepare at the same time.
 *
 * ioctls of a data fd that saves: FIONREAD tells how many bytes a read would give
 * now; VFIO_MIG_GET_PRECOPY_INFO, in PRE_COPY and PRE_COPY_P2P only (else
 * EINVAL), how far the end of the stream is: read gives ENOMSG if and only if
 * initial_bytes and dirty_bytes are both 0, and gives EAGAIN or waits for the
 * moment that the device takes to look. A device that was reconfigured may have its
 * first pass begin again. To a client that set VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
 * the next VFIO_MIG_GET_PRECOPY_INFO says so once, by VFIO_PRECOPY_INFO_REINIT, and
 * all that is unread counts as initial_bytes; to others, the new pass counts as
 * dirty_bytes, and flags are 0.
 *
 * A session holds at most its window of the state in kernel memory, a section
 * besides, and what it takes to keep account of them, whatever the size of the
 * state. It is charged to the memory cgroup of the task
 * that opened it.
 *
 * /proc/PID/fdinfo of a data fd tells, in lines "vfio-mig-NAME:\t": state (saving,
 * resuming, ended), bytes (of the stream, produced or accepted so far), window and
 * held (bytes of it in use), queued (bytes that a read would give, or that are not
 * loaded yet), error (errno that sticks, or 0).
 *
 * The stream
 * ----------
 *
 * All numbers are little endian, all checksums 64-bit xxHash (XXH64) with seed 0.
 * A stream is one struct vfio_mig_stream_header, then sections, each a
 * struct vfio_mig_section_header and its payload. The last section is of type
 * VFIO_MIG_SECTION_END, with a struct vfio_mig_section_end as payload. Nothing
 * follows it. User space need not know any of this to move a device.
 *
 * A later section supersedes an earlier one of the same type and object. A
 * receiver skips sections with VFIO_MIG_SECTION_OPTIONAL whose type it does not
 * know and refuses others.
 *
 * Errors of the data
 * ------------------
 *
 * They come from write(2), as early as the fault can be known, and from the SET
 * that leaves RESUMING, which then leads to ERROR. A blocking write(2) whose last byte
 * is that of the end section returns when everything is loaded: it tells whether the
 * stream as a whole was taken, unless a signal, a reset or the last close comes first.
 * Where nothing blocks, with O_NONBLOCK or from io_uring, SET tells.
 *
 *  EILSEQ		not a stream: bad magic
 *  EBADMSG		a checksum is wrong
 *  EPROTONOSUPPORT	newer format, or an unknown mandatory feature or section
 *  EMEDIUMTYPE		another type of device, or another size
 *  ESTALE		a version of the device's state that it does not read
 *  EMSGSIZE		a section longer than VFIO_MIG_SECTION_MAX
 *  EPROTO		sections missing, repeated, out of order, of another stream,
 *			or not adding up
 *  ENODATA		the stream ends before its end section (on SET)
 *  E2BIG		bytes after the end section
 *  EINVAL, EIO, ENOMEM	the driver refused the content, the device failed, or
 *			there is no memory
 *
 * Extensions
 * ----------
 *
 * Features of VFIO_DEVICE_FEATURE, which a plain client never meets: without them
 * a device does exactly what is said above. VFIO_DEVICE_FEATURE_PROBE tells whether
 * they are there. Errnos of all:
 *
 *  ENOTTY	the kernel does not know the feature, or the device lacks it
 *  EINVAL	GET where it is SET or the reverse, a structure shorter than here, or
 *		input that must be 0 is not
 *  E2BIG	bytes beyond the structure that the kernel knows are not 0, or it is
 *		longer than a page
 *  EFAULT	not the caller's memory
 *  EINTR	a fatal signal came while a transition was under way
 *
 * The structures may grow at their end. What a client opts in to lasts until the
 * last close of the device, also over a reset.
 */
#ifndef _UAPI_LINUX_VFIO_MIGRATION_H
#define _UAPI_LINUX_VFIO_MIGRATION_H

#include <linux/types.h>

/**
 * struct vfio_device_feature_migx_path - GET: a transition before it is made
 * @from: state to start from, any number
 * @to: state to go to, any number
 * @flags: out: VFIO_MIGX_PATH_*. In: 0
 * @nr_steps: out: how many of @steps are used. In: 0
 * @steps: out: the states that a SET to @to enters, the last one being @to. In: 0
 *
 * For what the device can do in its present opening, including what the client has
 * opted in to; what the device is doing now does not matter.
 */
struct vfio_device_feature_migx_path {
	__u32 from;
	__u32 to;
	__u32 flags;
	__u32 nr_steps;
	__u32 steps[8];
};

#define VFIO_DEVICE_FEATURE_MIGX_PATH		0xf000

/* There is a way, of no steps if @from is @to. */
#define VFIO_MIGX_PATH_SUPPORTED	(1 << 0)
/* The last step returns a data fd. */
#define VFIO_MIGX_PATH_DATA_FD		(1 << 1)
/* A step ends the data session that @from has. */
#define VFIO_MIGX_PATH_ENDS		(1 << 2)

/**
 * struct vfio_device_feature_migx_drain - SET: take no new work, finish the old
 * @flags: 0
 * @fd: out: an fd for poll(2). In: 0
 *
 * In RUNNING and PRE_COPY (else EINVAL), for devices that must finish work of an
 * unknown length, such as outstanding page requests, before they can quiesce. The
 * state does not change. @fd polls POLLIN when the work is done; then the arc that
 * leaves RUNNING or PRE_COPY towards the P2P states, or STOP, completes at once.
 * Closing @fd ends the drain: the device takes work again, when it runs. A reset
 * and the last close of the device end it too; @fd then polls POLLERR|POLLHUP.
 *
 * Having called it is an opt-in: from then on such an arc fails with EBUSY and
 * changes nothing, rather than wait, unless a drain is open and done; so does a SET
 * with such an arc on its way. How long to wait is the client's to say.
 *
 * EBUSY if a drain is open already; ECANCELED if a reset comes before the device was
 * asked, and then there is no drain; EMFILE, ENFILE, ENOMEM; the driver's own errno.
 */
struct vfio_device_feature_migx_drain {
	__u32 flags;
	__s32 fd;
};

#define VFIO_DEVICE_FEATURE_MIGX_DRAIN		0xf001

/*
 * SET, without data: allow STOP_COPY -> PRE_COPY_P2P, without P2P STOP_COPY ->
 * PRE_COPY, so that a client whose downtime is running out can go back. The path
 * STOP_COPY -> PRE_COPY_P2P -> PRE_COPY stays among the saving states and so in the
 * session; sections sent before stay valid, later ones supersede them. Only while
 * nothing of the end section was given to a reader, else the SET fails with ENODATA
 * and changes nothing. So it does if the state that is being saved is one that was
 * loaded, and has not run since, unless this was called before: the stream is the
 * one that was loaded, then, and cannot become another.
 */
#define VFIO_DEVICE_FEATURE_MIGX_COPY_BACK	0xf002

/**
 * struct vfio_device_feature_migx_last_error - GET: what went wrong last
 * @error: an errno, 0 if nothing has failed since the device was opened
 * @from: state in which it failed
 * @to: state that the device was to go to then; @from if it was none
 * @state: state that the device is in now
 * @offset: byte of the stream at which what is wrong with it begins: the header of
 *	the section, or the end; VFIO_MIGX_NO_OFFSET if the error is not of a stream
 * @count: errors since the device was opened, to know a new one
 * @reason: for people, with a terminating NUL
 *
 * Every SET of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE that fails is one (EMFILE for
 * all that kept the fd from the caller), and every session that fails for good. What
 * comes of an error, such as the SET that reports
 * again that the data was refused, keeps its reason and its offset.
 */
struct vfio_device_feature_migx_last_error {
	__u32 error;
	__u32 from;
	__u32 to;
	__u32 state;
	__aligned_u64 offset;
	__aligned_u64 count;
	__u8 reason[128];
};

#define VFIO_DEVICE_FEATURE_MIGX_LAST_ERROR	0xf003

#define VFIO_MIGX_NO_OFFSET		(~(__u64)0)

#define VFIO_MIG_STREAM_MAGIC		"VFIOMIG\n"
#define VFIO_MIG_STREAM_VERSION		1

/* Largest payload of a section, whatever the windows of sender and receiver. */
#define VFIO_MIG_SECTION_MAX		65536

/**
 * struct vfio_mig_stream_header - the first bytes of a stream
 * @magic: VFIO_MIG_STREAM_MAGIC, without a terminating NUL
 * @version: VFIO_MIG_STREAM_VERSION. Whatever the version, these bytes stand
 *	where they stand.
 * @length: of this header, 128
 * @stream_id: random; every section of the stream repeats it
 * @id: type of the device, NUL padded
 * @size: size of the device's state in the driver's units
 * @device_version: version of the driver's state format
 * @reserved: 0
 * @features: bits that a receiver must understand to read the stream; none so far
 * @features_optional: bits that it may ignore; none so far
 * @padding: 0
 * @sum: checksum of all bytes before it
 */
struct vfio_mig_stream_header {
	__u8 magic[8];
	__le32 version;
	__le32 length;
	__le64 stream_id;
	__u8 id[32];
	__le64 size;
	__le32 device_version;
	__le32 reserved;
	__le64 features;
	__le64 features_optional;
	__u8 padding[32];
	__le64 sum;
};

/* Types below are the driver's. */
#define VFIO_MIG_SECTION_CORE		0x80000000
#define VFIO_MIG_SECTION_END		(VFIO_MIG_SECTION_CORE | 0)

/* Flags of a section. */
#define VFIO_MIG_SECTION_OPTIONAL	(1 << 0)

/**
 * struct vfio_mig_section_header - before each section's payload
 * @type: what the payload is
 * @flags: VFIO_MIG_SECTION_OPTIONAL or 0
 * @length: of the payload, at most VFIO_MIG_SECTION_MAX
 * @reserved: 0
 * @sequence: number of the section in the stream, from 0
 * @stream_id: the stream header's
 * @object: what the payload belongs to, in the driver's terms
 * @payload_sum: checksum of the payload
 * @sum: checksum of all bytes of this header before it
 */
struct vfio_mig_section_header {
	__le32 type;
	__le32 flags;
	__le32 length;
	__le32 reserved;
	__le64 sequence;
	__le64 stream_id;
	__le64 object;
	__le64 payload_sum;
	__le64 sum;
};

/**
 * struct vfio_mig_section_end - payload of the end section
 * @sections: number of sections before it
 * @bytes: sum of their payloads' lengths
 * @reserved: 0
 */
struct vfio_mig_section_end {
	__le64 sections;
	__le64 bytes;
	__le64 reserved[2];
};

#endif /* _UAPI_LINUX_VFIO_MIGRATION_H */
