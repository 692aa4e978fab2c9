/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * VFIO device migration: the protocol in prose, and the format of the stream
 *
 * The binary interface is that of <linux/vfio.h>; nothing here changes it. This
 * file says what a device on the migration core does with it.
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
 * from STOP_COPY to PRE_COPY or PRE_COPY_P2P, from ERROR, or to ERROR.
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
 *  EINTR	a signal came before the transition took effect
 *  ECANCELED	a reset came; the device is RUNNING and there is no fd
 *  EMFILE,	no fd could be given to the caller; the device is in the state in
 *  EFAULT	which it was
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
 *	ENOMSG			-		in PRE_COPY, the device has nothing
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
 * poll. EINTR, EAGAIN, EFAULT and ENOMSG change nothing.
 *
 * SET to STOP_COPY returns when the device has stopped; it prepares its state in
 * the background and poll tells. Devices therefore prepare at the same time.
 *
 * ioctls of a data fd that saves: FIONREAD tells how many bytes a read would give
 * now; VFIO_MIG_GET_PRECOPY_INFO, in PRE_COPY and PRE_COPY_P2P only (else
 * EINVAL), how far the end of the stream is: read gives ENOMSG if and only if
 * initial_bytes and dirty_bytes are both 0, and gives EAGAIN or waits for the
 * moment that the device takes to look.
 *
 * A session holds at most its window of the state in kernel memory, a section
 * besides, and what it takes to keep account of them, whatever the size of the
 * state. It is charged to the memory cgroup of the task
 * that opened it.
 *
 * /proc/PID/fdinfo of a data fd tells, in lines "vfio-mig-NAME:\t": state (saving,
 * resuming, ended), window and held (bytes of it in use), queued (bytes that a read
 * would give, or that are not loaded yet), error (errno that sticks, or 0).
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
 * that leaves RESUMING, which then leads to ERROR:
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
 */
#ifndef _UAPI_LINUX_VFIO_MIGRATION_H
#define _UAPI_LINUX_VFIO_MIGRATION_H

#include <linux/types.h>

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
