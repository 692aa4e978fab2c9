/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO migration core: tracepoints (B11)
 *
 * vfio_mig_arc		an arc was tried: how it ended, how long it took
 * vfio_mig_session	a session was opened, ended; its fd was closed
 * vfio_mig_stall	a session's worker or client has to wait for the other
 * vfio_mig_error	what LAST_ERROR has
 * vfio_mig_reset	a reset was asked for, was carried out
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_migration

#if !defined(_VFIO_MIGRATION_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VFIO_MIGRATION_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

#include "session.h"

#define vfio_mig_show_state(state)				\
	__print_symbolic(state,					\
		{ VFIO_DEVICE_STATE_ERROR, "ERROR" },		\
		{ VFIO_DEVICE_STATE_STOP, "STOP" },		\
		{ VFIO_DEVICE_STATE_RUNNING, "RUNNING" },	\
		{ VFIO_DEVICE_STATE_STOP_COPY, "STOP_COPY" },	\
		{ VFIO_DEVICE_STATE_RESUMING, "RESUMING" },	\
		{ VFIO_DEVICE_STATE_RUNNING_P2P, "RUNNING_P2P" }, \
		{ VFIO_DEVICE_STATE_PRE_COPY, "PRE_COPY" },	\
		{ VFIO_DEVICE_STATE_PRE_COPY_P2P, "PRE_COPY_P2P" })

TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_ERROR);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING_P2P);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY_P2P);

#define vfio_mig_show_event(event)				\
	__print_symbolic(event,					\
		{ VFIO_MIG_TRACE_OPENED, "opened" },		\
		{ VFIO_MIG_TRACE_CLOSED, "closed" },	\
		{ VFIO_MIG_TRACE_ENDED, "ended" },		\
		{ VFIO_MIG_TRACE_NO_ROOM, "no room" },		\
		{ VFIO_MIG_TRACE_NO_DATA, "no data" },		\
		{ VFIO_MIG_TRACE_ASKED, "asked for" },		\
		{ VFIO_MIG_TRACE_DONE, "done" })

TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_OPENED);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_CLOSED);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_ENDED);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_NO_ROOM);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_NO_DATA);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_ASKED);
TRACE_DEFINE_ENUM(VFIO_MIG_TRACE_DONE);

TRACE_EVENT(vfio_mig_arc,
	TP_PROTO(const char *device, unsigned int from, unsigned int to,
		 int ret, u64 us),
	TP_ARGS(device, from, to, ret, us),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, from)
		__field(u32, to)
		__field(int, ret)
		__field(u64, us)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->from = from;
		__entry->to = to;
		__entry->ret = ret;
		__entry->us = us;
	),
	TP_printk("device=%s from=%s to=%s ret=%d us=%llu", __get_str(device),
		  vfio_mig_show_state(__entry->from),
		  vfio_mig_show_state(__entry->to), __entry->ret, __entry->us)
);

DECLARE_EVENT_CLASS(vfio_mig_session_class,
	TP_PROTO(const char *device, bool saving, unsigned int event, u64 bytes),
	TP_ARGS(device, saving, event, bytes),
	TP_STRUCT__entry(
		__string(device, device)
		__field(bool, saving)
		__field(u32, event)
		__field(u64, bytes)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->saving = saving;
		__entry->event = event;
		__entry->bytes = bytes;
	),
	TP_printk("device=%s direction=%s event=%s bytes=%llu",
		  __get_str(device), __entry->saving ? "saving" : "resuming",
		  vfio_mig_show_event(__entry->event), __entry->bytes)
);

/* Bytes of the stream so far. */
DEFINE_EVENT(vfio_mig_session_class, vfio_mig_session,
	TP_PROTO(const char *device, bool saving, unsigned int event, u64 bytes),
	TP_ARGS(device, saving, event, bytes)
);

/* Bytes queued. */
DEFINE_EVENT(vfio_mig_session_class, vfio_mig_stall,
	TP_PROTO(const char *device, bool saving, unsigned int event, u64 bytes),
	TP_ARGS(device, saving, event, bytes)
);

TRACE_EVENT(vfio_mig_error,
	TP_PROTO(const char *device, int err, unsigned int from,
		 unsigned int to, u64 offset, const char *reason),
	TP_ARGS(device, err, from, to, offset, reason),
	TP_STRUCT__entry(
		__string(device, device)
		__string(reason, reason)
		__field(int, err)
		__field(u32, from)
		__field(u32, to)
		__field(u64, offset)
	),
	TP_fast_assign(
		__assign_str(device);
		__assign_str(reason);
		__entry->err = err;
		__entry->from = from;
		__entry->to = to;
		__entry->offset = offset;
	),
	TP_printk("device=%s err=%d from=%s to=%s offset=%lld reason=\"%s\"",
		  __get_str(device), __entry->err,
		  vfio_mig_show_state(__entry->from),
		  vfio_mig_show_state(__entry->to), (s64)__entry->offset,
		  __get_str(reason))
);

TRACE_EVENT(vfio_mig_reset,
	TP_PROTO(const char *device, unsigned int state, unsigned int event),
	TP_ARGS(device, state, event),
	TP_STRUCT__entry(
		__string(device, device)
		__field(u32, state)
		__field(u32, event)
	),
	TP_fast_assign(
		__assign_str(device);
		__entry->state = state;
		__entry->event = event;
	),
	TP_printk("device=%s in=%s event=%s", __get_str(device),
		  vfio_mig_show_state(__entry->state),
		  vfio_mig_show_event(__entry->event))
);

#endif /* _VFIO_MIGRATION_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace

#include <trace/define_trace.h>
