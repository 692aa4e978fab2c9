// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: the walk over the state machine
 *
 * User space names the state that it wants; the core takes the device there arc
 * by arc. What happens when an arc fails (A5):
 *
 * - The driver has left the device where the arc began. If no arc before it ended
 *   a session that the caller had, the core walks back to where the caller
 *   started. Otherwise what the caller had cannot be given back, and the device
 *   stays in the state reached, from which the caller can go on.
 * - If an arc of the way back fails too, the device stays there.
 * - ERROR only if the driver said vfio_mig_broken(), or if the data refused.
 *
 * A signal ends a walk only before its first arc has had an effect: the call then
 * returns -ERESTARTNOHAND, which is EINTR after a handler and otherwise starts it
 * anew. Afterwards all waits are killable, and bounded by the hardware.
 *
 * vfio.ko installs the data fd after the walk. If it cannot (EMFILE, EFAULT), it
 * drops the file, which nobody ever saw, and the way back is walked from the
 * file's release (vfio_mig_withdraw()), before the ioctl returns to user space.
 *
 * A reset may come at any time. It is carried out when the walk lets go of
 * state_mutex, at the latest, and the walk then reports ECANCELED (A6).
 */
#include <linux/file.h>
#include <linux/sched/signal.h>

#include "session.h"
#include "trace.h"

/**
 * struct vfio_mig_walk - one SET_STATE
 * @mig: device
 * @start: state that the caller saw
 * @reset_count: to notice a reset
 * @from: where the last arc began
 * @to: where it leads, or the target if there is no arc
 * @reason: why it failed
 * @lost: a session of the caller was ended on the way
 * @opened: session that the last arc opened
 */
struct vfio_mig_walk {
	struct vfio_mig *mig;
	enum vfio_device_mig_state start;
	unsigned long reset_count;
	enum vfio_device_mig_state from;
	unsigned int to;
	struct vfio_mig_reason reason;
	bool lost;
	struct vfio_mig_session *opened;
};

/**
 * vfio_mig_aborted - has a reset come that is not carried out yet, or the last
 *	close
 * @mig: device
 *
 * Context: any. For arcs that poll their hardware.
 * Return: true if the arc is to be left as soon as possible, with -ECANCELED.
 */
bool vfio_mig_aborted(struct vfio_mig *mig)
{
	return READ_ONCE(mig->reset_pending) || !READ_ONCE(mig->open);
}
EXPORT_SYMBOL_GPL(vfio_mig_aborted);

static bool vfio_mig_overtaken(const struct vfio_mig_walk *walk)
{
	return vfio_mig_aborted(walk->mig) ||
	       walk->mig->reset_count != walk->reset_count;
}

/*
 * Make a session current, unless a reset has come, which would not know of it.
 */
static void vfio_mig_publish(struct vfio_mig *mig,
			     struct vfio_mig_session *session)
{
	spin_lock_irq(&mig->reset_lock);
	if (mig->open && !mig->reset_pending) {
		kref_get(&session->ref);
		mig->session = session;
	}
	spin_unlock_irq(&mig->reset_lock);
	if (mig->session == session)
		vfio_mig_session_work(session);
	else
		vfio_mig_session_end(session);
}

/* A file that vfio.ko does not get: nobody can see it. */
static void vfio_mig_discard(struct vfio_mig_session *session)
{
	vfio_mig_session_end(session);
	fput(session->file);
}

/**
 * vfio_mig_enter_error - only a reset helps now
 * @mig: device; state_mutex is held
 */
void vfio_mig_enter_error(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	WRITE_ONCE(mig->state, VFIO_DEVICE_STATE_ERROR);
	vfio_mig_session_detach(mig);
}

/* A call is only restarted if its walk has had no effect. */
static int vfio_mig_arc_result(struct vfio_mig *mig, int ret)
{
	ret = vfio_mig_result(mig, ret, 0, "arc");
	switch (ret) {
	case -ERESTARTSYS:
	case -ERESTARTNOINTR:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		return mig->first_arc ? -ERESTARTNOHAND : -EINTR;
	default:
		return ret;
	}
}

/* The driver's part of an arc. */
static int vfio_mig_call_arc(struct vfio_mig *mig,
			     enum vfio_device_mig_state to)
{
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	/* It may have taken long to get here. */
	if (vfio_mig_aborted(mig))
		return -ECANCELED;
	mig->broken = false;
	ret = vfio_mig_arc_result(mig, mig->ops->arc(mig, mig->state, to));
	if (mig->broken) {
		vfio_mig_enter_error(mig);
		return ret ?: -EIO;
	}

	return ret;
}

/* Whose stream the device's state is now, if it is one's (B10). */
static void vfio_mig_note_loaded(struct vfio_mig *mig,
				 enum vfio_device_mig_state from,
				 enum vfio_device_mig_state to)
{
	if (to == VFIO_DEVICE_STATE_RUNNING ||
	    to == VFIO_DEVICE_STATE_RUNNING_P2P || vfio_mig_precopy(to))
		mig->is_loaded = false;
	if (from == VFIO_DEVICE_STATE_RESUMING && mig->session &&
	    mig->session->load.complete) {
		mig->is_loaded = mig->config.idempotent;
		mig->loaded_id = mig->session->load.stream_id;
	}
}

/* The core's part, once the device has moved. */
static void vfio_mig_entered(struct vfio_mig *mig,
			     enum vfio_device_mig_state to)
{
	enum vfio_device_mig_state from = mig->state;

	WRITE_ONCE(mig->state, to);
	vfio_mig_note_loaded(mig, from, to);
	if (vfio_mig_arc_ends(from, to))
		vfio_mig_session_detach(mig);
	else if (to == VFIO_DEVICE_STATE_STOP_COPY && mig->session)
		vfio_mig_save_stop_copy(mig->session);
	else if (from == VFIO_DEVICE_STATE_STOP_COPY && mig->session)
		vfio_mig_save_copy_back(mig->session);
}

/*
 * What has to be so before the driver is asked. The load that leaving RESUMING
 * completes drops state_mutex meanwhile.
 */
static int vfio_mig_prepare_arc(struct vfio_mig *mig,
				enum vfio_device_mig_state to)
{
	if (mig->state == VFIO_DEVICE_STATE_RESUMING)
		return vfio_mig_load_finish(mig);
	if (mig->state == VFIO_DEVICE_STATE_STOP_COPY &&
	    vfio_mig_precopy(to) && mig->session)
		return vfio_mig_save_withdraw_end(mig->session);

	return 0;
}

/* The driver has refused: what vfio_mig_prepare_arc() did is undone. */
static void vfio_mig_stay(struct vfio_mig *mig)
{
	if (mig->state == VFIO_DEVICE_STATE_RESUMING)
		vfio_mig_load_resume(mig->session);
	else if (mig->state == VFIO_DEVICE_STATE_STOP_COPY && mig->session)
		vfio_mig_session_work(mig->session);
}

/*
 * One arc. It opens its session before it has any effect, so that lack of memory
 * costs nothing. On success *opened is a session whose file the caller owns.
 */
static int vfio_mig_make_arc(struct vfio_mig *mig,
			     enum vfio_device_mig_state to,
			     struct vfio_mig_session **opened)
{
	struct vfio_mig_session *session = NULL;
	int ret;

	vfio_mig_clear_reason(mig);
	if (vfio_mig_arc_opens(mig->state, to)) {
		session = vfio_mig_session_open(mig, vfio_mig_saving(to));
		if (IS_ERR(session))
			return PTR_ERR(session);
		if (to == VFIO_DEVICE_STATE_STOP_COPY)
			session->save.stop_copy = true;
	}
	ret = vfio_mig_prepare_arc(mig, to);
	if (ret)
		goto err_discard;
	ret = vfio_mig_call_arc(mig, to);
	if (ret) {
		vfio_mig_stay(mig);
		goto err_discard;
	}
	vfio_mig_entered(mig, to);
	if (session)
		vfio_mig_publish(mig, session);
	*opened = session;

	return 0;

err_discard:
	if (session)
		vfio_mig_discard(session);

	return ret;
}

static int vfio_mig_do_arc(struct vfio_mig *mig, enum vfio_device_mig_state to,
			   struct vfio_mig_session **opened)
{
	enum vfio_device_mig_state from = mig->state;
	ktime_t start = ktime_get();
	u64 us;
	int ret;

	ret = vfio_mig_make_arc(mig, to, opened);
	us = ktime_us_delta(ktime_get(), start);
	vfio_mig_count_arc(mig, from, to, us);
	trace_vfio_mig_arc(mig->name, from, to, ret, us);

	return ret;
}

/*
 * The way back to @start. Of signals only fatal ones stop it; what fails leaves the
 * device where it then is.
 */
static void vfio_mig_walk_back(struct vfio_mig *mig,
			       enum vfio_device_mig_state start)
{
	struct vfio_mig_session *opened = NULL;
	enum vfio_device_mig_state next;

	lockdep_assert_held(&mig->state_mutex);
	mig->unwinding = true;
	while (mig->state != start && !vfio_mig_aborted(mig)) {
		next = vfio_mig_next_arc(vfio_mig_flags(mig), mig->state, start);
		if (vfio_mig_do_arc(mig, next, &opened))
			break;
		if (WARN_ON_ONCE(opened)) {
			vfio_mig_discard(opened);
			break;
		}
	}
	mig->unwinding = false;
}

static int vfio_mig_walk_step(struct vfio_mig_walk *walk,
			      enum vfio_device_mig_state next)
{
	struct vfio_mig *mig = walk->mig;
	enum vfio_device_mig_state from = mig->state;
	int ret;

	walk->from = from;
	walk->to = next;
	/* A path comes by its start but once. */
	mig->first_arc = from == walk->start;
	ret = vfio_mig_do_arc(mig, next, &walk->opened);
	mig->first_arc = false;
	walk->reason = mig->reason;
	if (ret)
		return ret;
	if (vfio_mig_arc_ends(from, next))
		walk->lost = true;
	if (walk->opened)
		walk->opened->undo = walk->lost ? from : walk->start;

	return 0;
}

static int vfio_mig_walk_refuse(struct vfio_mig_walk *walk, int err,
				unsigned int from, unsigned int to,
				const char *why)
{
	walk->from = from;
	walk->to = to;
	strscpy(walk->reason.text, why, sizeof(walk->reason.text));

	return err;
}

/* What can be known to fail does so before the first arc changes anything. */
static int vfio_mig_look_ahead(struct vfio_mig_walk *walk, unsigned int target)
{
	struct vfio_mig *mig = walk->mig;
	enum vfio_device_mig_state state = mig->state, next;

	do {
		next = vfio_mig_next_arc(vfio_mig_flags(mig), state, target);
		if (next == VFIO_DEVICE_STATE_ERROR)
			return vfio_mig_walk_refuse(walk, -EINVAL, state, target,
						    "there is no way");
		if (vfio_mig_drain_holds(mig, state, next))
			return vfio_mig_walk_refuse(walk, -EBUSY, state, next,
						    "no drain is done");
		state = next;
	} while (state != target);

	return 0;
}

/* A reset that overtakes is the first to be told of. */
static int vfio_mig_walk_outcome(struct vfio_mig_walk *walk, int ret)
{
	if (!vfio_mig_overtaken(walk))
		return ret;
	walk->reason = (struct vfio_mig_reason) {
		.offset = VFIO_MIGX_NO_OFFSET,
	};

	return -ECANCELED;
}

static int vfio_mig_walk(struct vfio_mig_walk *walk,
			 enum vfio_device_mig_state target)
{
	struct vfio_mig *mig = walk->mig;
	enum vfio_device_mig_state next;
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	ret = vfio_mig_look_ahead(walk, target);
	if (ret)
		return ret;
	while (!ret && mig->state != target && !vfio_mig_overtaken(walk)) {
		next = vfio_mig_next_arc(vfio_mig_flags(mig), mig->state, target);
		ret = vfio_mig_walk_step(walk, next);
	}

	if (ret && !walk->lost && mig->state != VFIO_DEVICE_STATE_ERROR &&
	    !vfio_mig_overtaken(walk))
		vfio_mig_walk_back(mig, walk->start);

	return vfio_mig_walk_outcome(walk, ret);
}

/* Return: the file for vfio.ko, NULL, or an ERR_PTR(). */
static struct file *vfio_mig_walk_all(struct vfio_mig_walk *walk,
				      enum vfio_device_mig_state target)
{
	struct vfio_mig *mig = walk->mig;
	int ret;

	walk->start = mig->state;
	walk->from = mig->state;
	walk->reset_count = mig->reset_count;
	ret = vfio_mig_walk(walk, target);
	if (!ret)
		return walk->opened ? walk->opened->file : NULL;
	if (walk->opened)
		vfio_mig_discard(walk->opened);

	return ERR_PTR(ret);
}

/**
 * vfio_mig_set_state - VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, SET
 * @vdev: device
 * @target: any number, as user space gave it
 *
 * Rule: A2, A4, A5, A6, A7.
 * Return: the data fd's file if the last arc opens a session, NULL if not, or an
 * ERR_PTR(): see include/uapi/linux/vfio_migration.h.
 */
struct file *vfio_mig_set_state(struct vfio_device *vdev,
				enum vfio_device_mig_state target)
{
	struct vfio_mig *mig = vfio_mig_from_vdev(vdev);
	struct vfio_mig_walk walk = {
		.mig = mig,
		.from = vfio_mig_state(mig),
		.to = target,
		.reason.offset = VFIO_MIGX_NO_OFFSET,
	};
	struct file *file;
	int ret;

	ret = vfio_mig_begin(mig);
	if (ret) {
		file = ERR_PTR(ret);
	} else {
		file = vfio_mig_walk_all(&walk, target);
		vfio_mig_unlock(mig);
	}
	/* A call that starts anew has not failed. */
	if (IS_ERR(file) && PTR_ERR(file) != -ERESTARTNOHAND)
		vfio_mig_record(mig, PTR_ERR(file), walk.from, walk.to,
				&walk.reason);
	return file;
}

/**
 * vfio_mig_withdraw - undo the SET that opened a session nobody got the fd of
 * @session: whose file is being released
 *
 * Context: release of the file, in the task that called SET, on its way back to
 * user space. A fatal signal ends it early; the session then stays current, and
 * unused, until it is left.
 */
void vfio_mig_withdraw(struct vfio_mig_session *session)
{
	struct vfio_mig *mig = session->mig;

	if (vfio_mig_ended(session) || vfio_mig_begin(mig))
		return;
	if (mig->session == session && !vfio_mig_ended(session)) {
		vfio_mig_clear_reason(mig);
		vfio_mig_fail(mig, -EMFILE, "no fd could be given");
		vfio_mig_record(mig, -EMFILE, session->undo, mig->state,
				&mig->reason);
		vfio_mig_walk_back(mig, session->undo);
	}
	vfio_mig_unlock(mig);
}

/**
 * vfio_mig_wait_head - where arcs sleep
 * @mig: device
 *
 * Return: the queue that vfio_mig_kick() and reset wake.
 */
wait_queue_head_t *vfio_mig_wait_head(struct vfio_mig *mig)
{
	return &mig->wait;
}
EXPORT_SYMBOL_GPL(vfio_mig_wait_head);

/**
 * vfio_mig_wait_mode - how an arc sleeps
 * @mig: device
 * @killable: the arc has had an effect
 *
 * A frozen task may hold state_mutex: what waits for that, a freezer waits for.
 *
 * Return: TASK_INTERRUPTIBLE while the walk has had no effect, so that it can start
 * anew; otherwise a task state that only fatal signals and freezers wake.
 */
unsigned int vfio_mig_wait_mode(struct vfio_mig *mig, bool killable)
{
	return mig->first_arc && !killable ?
	       TASK_INTERRUPTIBLE : TASK_KILLABLE | TASK_FREEZABLE_UNSAFE;
}
EXPORT_SYMBOL_GPL(vfio_mig_wait_mode);

/**
 * vfio_mig_wait_over - is there no point in sleeping on
 * @mig: device
 *
 * Return: -ECANCELED if a reset or the last close came, else 0.
 */
int vfio_mig_wait_over(struct vfio_mig *mig)
{
	return vfio_mig_aborted(mig) ? -ECANCELED : 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_wait_over);

/**
 * vfio_mig_wait_us - sleep in an arc for as long as the hardware takes
 * @mig: device whose arc is running
 * @us: microseconds
 *
 * Context: only in &vfio_mig_ops.arc.
 * Return: as vfio_mig_wait_event_killable().
 */
int vfio_mig_wait_us(struct vfio_mig *mig, u64 us)
{
	unsigned int mode = vfio_mig_wait_mode(mig, true);
	ktime_t end = ktime_add_us(ktime_get(), us);
	ktime_t left = ktime_sub(end, ktime_get());

	while (!vfio_mig_aborted(mig) && ktime_to_ns(left) > 0) {
		DEFINE_WAIT(wait);

		if (fatal_signal_pending(current))
			return -EINTR;
		prepare_to_wait(&mig->wait, &wait, mode);
		if (!vfio_mig_aborted(mig))
			schedule_hrtimeout(&left, HRTIMER_MODE_REL);
		finish_wait(&mig->wait, &wait);
		left = ktime_sub(end, ktime_get());
	}

	return vfio_mig_wait_over(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_wait_us);
