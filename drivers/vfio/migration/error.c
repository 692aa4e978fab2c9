// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: what went wrong, for programs and people
 *
 * A driver says why a callback of its fails; the core says why it refuses data or
 * a transition. The reason travels with the errno: from the callback in
 * vfio_mig.reason, for a session that failed for good in the session, and ends up in
 * vfio_mig.error, where the client finds it (A12), in the log, and in the trace.
 */
#include <kunit/visibility.h>
#include <linux/string.h>

#include "session.h"
#include "trace.h"

/**
 * vfio_mig_clear_reason - a callback begins
 * @mig: device; state_mutex is held
 */
void vfio_mig_clear_reason(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	mig->reason.text[0] = 0;
	mig->reason.offset = VFIO_MIGX_NO_OFFSET;
}

/*
 * The way back from a failure keeps the first reason; what fails on it is only
 * logged.
 */
static void vfio_mig_give_reason(struct vfio_mig *mig, int err,
				 struct va_format *reason)
{
	lockdep_assert_held(&mig->state_mutex);
	if (mig->unwinding)
		pr_warn_ratelimited("vfio-migration: %s: on the way back from %s: %pV (%d)\n",
				    mig->name, vfio_mig_state_name(mig->state),
				    reason, err);
	else
		snprintf(mig->reason.text, sizeof(mig->reason.text), "%pV",
			 reason);
}

/**
 * vfio_mig_fail - say why a callback fails
 * @mig: device
 * @err: negative errno
 * @fmt: the reason, for people
 *
 * Context: in a callback.
 * Return: @err, for the callback to return.
 */
int vfio_mig_fail(struct vfio_mig *mig, int err, const char *fmt, ...)
{
	struct va_format reason = { .fmt = fmt };
	va_list args;

	va_start(args, fmt);
	reason.va = &args;
	vfio_mig_give_reason(mig, err, &reason);
	va_end(args);

	return err;
}
EXPORT_SYMBOL_GPL(vfio_mig_fail);

/**
 * vfio_mig_broken - say that an arc left the device unusable
 * @mig: device, which goes to ERROR when the arc returns
 * @err: negative errno
 * @fmt: the reason, for people
 *
 * Context: in &vfio_mig_ops.arc.
 * Return: @err, for the arc to return.
 */
int vfio_mig_broken(struct vfio_mig *mig, int err, const char *fmt, ...)
{
	struct va_format reason = { .fmt = fmt };
	va_list args;

	lockdep_assert_held(&mig->state_mutex);
	mig->broken = true;
	va_start(args, fmt);
	reason.va = &args;
	vfio_mig_give_reason(mig, err, &reason);
	va_end(args);

	return err;
}
EXPORT_SYMBOL_GPL(vfio_mig_broken);

/**
 * vfio_mig_result - what a callback returned, if that is what it may return
 * @mig: device; state_mutex is held
 * @ret: from the callback
 * @most: highest number that it may return
 * @callback: its name
 *
 * Return: @ret, or -EIO with a reason if it is neither an errno nor up to @most.
 */
int vfio_mig_result(struct vfio_mig *mig, int ret, int most,
		    const char *callback)
{
	if (ret >= -MAX_ERRNO && ret <= most)
		return ret;

	return vfio_mig_fail(mig, -EIO, "the driver's %s() returned %d",
			     callback, ret);
}

/* What can be said of an error that nobody gave a reason for. */
static const char *vfio_mig_default_reason(int err)
{
	switch (err) {
	case -ECANCELED:
		return "a reset came";
	case -EINTR:
		return "a signal came";
	case -ENOMEM:
		return "no memory";
	default:
		return "no reason given";
	}
}

static const char *vfio_mig_reason_text(const struct vfio_mig_reason *reason,
					int err)
{
	return reason->text[0] ? reason->text : vfio_mig_default_reason(err);
}

/* For the client; a session's lock may be held. */
static void vfio_mig_note_error(struct vfio_mig *mig, int err,
				unsigned int from, unsigned int to,
				const struct vfio_mig_reason *reason)
{
	struct vfio_mig_error *error = &mig->error;

	spin_lock(&mig->stats_lock);
	error->err = err;
	error->from = from;
	error->to = to;
	error->count++;
	error->reason.offset = reason->offset;
	strscpy(error->reason.text, vfio_mig_reason_text(reason, err),
		sizeof(error->reason.text));
	spin_unlock(&mig->stats_lock);
}

/* For the trace and the log. */
static void vfio_mig_tell_error(struct vfio_mig *mig, int err,
				unsigned int from, unsigned int to,
				const struct vfio_mig_reason *reason)
{
	const char *text = vfio_mig_reason_text(reason, err);

	trace_vfio_mig_error(mig->name, err, from, to, reason->offset, text);
	/* No news for the administrator, and anybody's to cause. */
	if (err == -EINTR || err == -ECANCELED)
		return;
	pr_warn_ratelimited("vfio-migration: %s: %s to %s: %s (%d)\n",
			    mig->name, vfio_mig_state_name(from),
			    vfio_mig_state_name(to), text, err);
}

/**
 * vfio_mig_record - note an error where the client finds it
 * @mig: device
 * @err: negative errno
 * @from: state in which it came
 * @to: state that the device was to go to, or @from
 * @reason: why; its text may be empty
 *
 * Rule: A12.
 * Context: any in which no lock of a session is held.
 */
void vfio_mig_record(struct vfio_mig *mig, int err, unsigned int from,
		     unsigned int to, const struct vfio_mig_reason *reason)
{
	vfio_mig_note_error(mig, err, from, to, reason);
	vfio_mig_tell_error(mig, err, from, to, reason);
}

/**
 * vfio_mig_last_error - read what vfio_mig_record() wrote
 * @mig: device
 * @error: filled in
 */
void vfio_mig_last_error(struct vfio_mig *mig, struct vfio_mig_error *error)
{
	spin_lock(&mig->stats_lock);
	*error = mig->error;
	spin_unlock(&mig->stats_lock);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_last_error);

/**
 * vfio_mig_forget_error - nothing has gone wrong yet
 * @mig: device that is being opened
 */
void vfio_mig_forget_error(struct vfio_mig *mig)
{
	spin_lock(&mig->stats_lock);
	memset(&mig->error, 0, sizeof(mig->error));
	mig->error.reason.offset = VFIO_MIGX_NO_OFFSET;
	spin_unlock(&mig->stats_lock);
}

/**
 * vfio_mig_session_fail - what every later call on the session reports
 * @session: session
 * @err: negative errno; the first one stays
 * @offset: byte of the stream that it is about
 * @fmt: the reason, for people
 *
 * Context: process context, no lock of the session held.
 * Return: the error that stays.
 */
int vfio_mig_session_fail(struct vfio_mig_session *session, int err,
			  u64 offset, const char *fmt, ...)
{
	struct vfio_mig_reason reason = { .offset = offset };
	struct vfio_mig *mig = session->mig;
	enum vfio_device_mig_state state;
	va_list args;
	bool told;

	va_start(args, fmt);
	vsnprintf(reason.text, sizeof(reason.text), fmt, args);
	va_end(args);

	spin_lock(&session->lock);
	/* Once it is over, it is nobody's error, least of all of the next opening. */
	told = !session->error && !vfio_mig_ended(session);
	/* Under the lock, so that whoever sees the error finds it there. */
	if (told) {
		state = vfio_mig_state(mig);
		vfio_mig_note_error(mig, err, state, state, &reason);
	}
	if (!session->error) {
		session->error = err;
		session->reason = reason;
	}
	err = session->error;
	spin_unlock(&session->lock);
	if (told)
		vfio_mig_tell_error(mig, err, state, state, &reason);
	wake_up_all(&session->wait);

	return err;
}

/**
 * vfio_mig_session_error - has the session failed for good
 * @session: session
 * @reason: set if so
 *
 * Return: the negative errno, or 0.
 */
int vfio_mig_session_error(struct vfio_mig_session *session,
			   struct vfio_mig_reason *reason)
{
	int error;

	spin_lock(&session->lock);
	error = session->error;
	if (error)
		*reason = session->reason;
	spin_unlock(&session->lock);

	return error;
}
