// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: what sessions of both directions share
 *
 * A session is a queue between a data fd and the driver. The driver's end is a
 * worker, which calls save() or load() under state_mutex, one section at a time.
 * It waits for nothing, so that a few servers (worker.c) do for any number of
 * sessions.
 * The other end is whoever holds the slot: one reader or writer at a time. The
 * owner of the slot copies from or to user memory, which may take for ever, with
 * no lock held; the worker and reset never wait for it.
 *
 * Ending a session is one atomic bit and a wake-up, so that anybody can do it in
 * any context. The memory goes when nobody is at work on it: purge is tried by
 * who ended the session, by the worker, and by the owner of the slot, and the last of
 * them leaves it to a work item.
 */
#include <kunit/visibility.h>
#include <linux/memcontrol.h>
#include <linux/poll.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "session.h"
#include "trace.h"

static void vfio_mig_session_release(struct kref *ref)
{
	struct vfio_mig_session *session =
		container_of(ref, struct vfio_mig_session, ref);

	if (session->saving)
		vfio_mig_save_free(session);
	else
		vfio_mig_load_purge(session);
	mem_cgroup_put(session->memcg);
	vfio_mig_put(session->mig);
	kfree(session);
}

/**
 * vfio_mig_session_put - drop a reference
 * @session: session
 *
 * Context: process context.
 */
void vfio_mig_session_put(struct vfio_mig_session *session)
{
	kref_put(&session->ref, vfio_mig_session_release);
}

static void vfio_mig_session_free_pages(struct work_struct *work)
{
	struct vfio_mig_session *session =
		container_of(work, struct vfio_mig_session, purge);

	if (session->saving)
		vfio_mig_save_purge(session);
	else
		vfio_mig_load_purge(session);
	vfio_mig_session_put(session);
}

static struct vfio_mig_session *vfio_mig_session_alloc(struct vfio_mig *mig,
						       bool saving)
{
	struct vfio_mig_session *session;

	session = kzalloc(sizeof(*session), VFIO_MIG_GFP);
	if (!session)
		return NULL;
	kref_init(&session->ref);
	init_waitqueue_head(&session->wait);
	spin_lock_init(&session->lock);
	INIT_WORK(&session->purge, vfio_mig_session_free_pages);
	vfio_mig_get(mig);
	session->mig = mig;
	session->saving = saving;
	session->config = mig->config;
	session->window = mig->config.window;
	session->nowait = !mig->config.no_nowait;
	session->memcg = get_mem_cgroup_from_mm(current->mm);

	return session;
}

/**
 * vfio_mig_session_open - a session and its file, not current yet
 * @mig: device; state_mutex is held
 * @saving: direction
 *
 * Return: a session whose one reference belongs to its file, which belongs to the
 * caller, or an ERR_PTR(): -ENOMEM, -ENFILE.
 */
struct vfio_mig_session *vfio_mig_session_open(struct vfio_mig *mig,
					       bool saving)
{
	struct vfio_mig_session *session;
	struct file *file;
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	session = vfio_mig_session_alloc(mig, saving);
	if (!session)
		return ERR_PTR(-ENOMEM);
	if (saving) {
		ret = vfio_mig_save_init(session);
		if (ret)
			goto err_put;
		/* The same state gives the same bytes, if it is to stay the same. */
		if (mig->is_loaded && !READ_ONCE(mig->copy_back))
			session->save.stream_id = mig->loaded_id;
	} else {
		vfio_mig_load_init(session);
	}
	file = vfio_mig_file(session);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		goto err_put;
	}
	session->file = file;
	spin_lock(&mig->stats_lock);
	mig->nr_sessions[saving]++;
	spin_unlock(&mig->stats_lock);
	vfio_mig_session_trace(session, VFIO_MIG_TRACE_OPENED);

	return session;

err_put:
	vfio_mig_session_put(session);

	return ERR_PTR(ret);
}

/**
 * vfio_mig_session_end - no more data
 * @session: session
 *
 * Context: any.
 */
void vfio_mig_session_end(struct vfio_mig_session *session)
{
	set_bit(VFIO_MIG_ENDED, &session->flags);
	wake_up_all(&session->wait);
}

/**
 * vfio_mig_session_detach - end the current session, if there is one
 * @mig: device; state_mutex is held
 */
void vfio_mig_session_detach(struct vfio_mig *mig)
{
	struct vfio_mig_session *session;
	unsigned long flags;

	lockdep_assert_held(&mig->state_mutex);
	spin_lock_irqsave(&mig->reset_lock, flags);
	session = mig->session;
	mig->session = NULL;
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	if (!session)
		return;

	vfio_mig_session_end(session);
	vfio_mig_session_trace(session, VFIO_MIG_TRACE_ENDED);
	vfio_mig_session_purge(session);
	vfio_mig_session_put(session);
}

/**
 * vfio_mig_session_purge - free the memory of a session that is over
 * @session: session. Nothing happens while the slot or the worker is busy; they
 *	come here when they are done
 *
 * The pages are freed by a work item: the caller may hold state_mutex, and a window
 * has up to a GiB of them.
 *
 * Context: process context.
 */
void vfio_mig_session_purge(struct vfio_mig_session *session)
{
	bool mine;

	if (!vfio_mig_ended(session))
		return;
	spin_lock(&session->lock);
	mine = !session->slot && !session->working && !session->purged;
	/* A session that is over gets neither reader, writer nor worker any more. */
	if (mine)
		session->purged = true;
	spin_unlock(&session->lock);
	if (!mine)
		return;
	kref_get(&session->ref);
	queue_work(vfio_mig_wq, &session->purge);
}

/**
 * vfio_mig_driver_errno - what a driver may say of the data
 * @err: negative errno from save() or load()
 *
 * Others mean something else to readers, writers and io_uring.
 * Return: -EINVAL, -ENOMEM or -EIO.
 */
int vfio_mig_driver_errno(int err)
{
	return err == -EINVAL || err == -ENOMEM ? err : -EIO;
}

/**
 * vfio_mig_session_trylock - take state_mutex for one callback
 * @session: session, whose worker the caller is
 *
 * The worker does not wait for transitions, which may take long: few workers
 * serve all devices.
 *
 * Return: true with state_mutex held, for vfio_mig_unlock(). Else who has it calls
 * the worker again, or has done so already.
 */
bool vfio_mig_session_trylock(struct vfio_mig_session *session)
{
	struct vfio_mig *mig = session->mig;

	if (mutex_trylock(&mig->state_mutex))
		return true;
	WRITE_ONCE(mig->deferred, 1);
	/* Pairs with vfio_mig_unlock(). */
	smp_mb();
	if (!mutex_trylock(&mig->state_mutex))
		return false;
	/* If somebody has called already, save() would be called twice. */
	if (mig->session != session || xchg(&mig->deferred, 0))
		return true;
	vfio_mig_unlock(mig);

	return false;
}

/**
 * vfio_mig_session_undefer - call the worker again that gave way
 * @mig: device, whose state_mutex was just dropped
 */
void vfio_mig_session_undefer(struct vfio_mig *mig)
{
	unsigned long flags;

	spin_lock_irqsave(&mig->reset_lock, flags);
	if (xchg(&mig->deferred, 0) && mig->session)
		vfio_mig_session_work(mig->session);
	spin_unlock_irqrestore(&mig->reset_lock, flags);
}

/* The worker is done for now: readers, writers and RESUMING -> STOP may look. */
static void vfio_mig_session_idle(struct vfio_mig_session *session)
{
	spin_lock(&session->lock);
	session->working = false;
	if (!session->saving)
		session->load.starved = false;
	spin_unlock(&session->lock);
	vfio_mig_wake(session);
	vfio_mig_session_purge(session);
}

/**
 * vfio_mig_session_serve - do what there is to do for a session
 * @session: session; nobody else serves it
 */
void vfio_mig_session_serve(struct vfio_mig_session *session)
{
	struct mem_cgroup *old;
	bool go;

	spin_lock(&session->lock);
	go = !vfio_mig_ended(session);
	session->working = go;
	spin_unlock(&session->lock);
	if (!go)
		return;

	old = set_active_memcg(session->memcg);
	if (session->saving)
		vfio_mig_save_work(session);
	else
		vfio_mig_load_work(session);
	set_active_memcg(old);
	vfio_mig_session_idle(session);
}

/**
 * vfio_mig_kick - there is more to save, or load() can go on, or an arc's
 *	condition may hold now
 * @mig: device
 *
 * Context: any, but with PREEMPT_RT no interrupt that is not threaded.
 */
void vfio_mig_kick(struct vfio_mig *mig)
{
	unsigned long flags;

	spin_lock_irqsave(&mig->reset_lock, flags);
	if (mig->session) {
		set_bit(VFIO_MIG_KICKED, &mig->session->flags);
		vfio_mig_session_work(mig->session);
	}
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	wake_up_all(&mig->wait);
}
EXPORT_SYMBOL_GPL(vfio_mig_kick);

/**
 * vfio_mig_reinit - in PRE_COPY, the first pass begins again
 * @mig: device, whose precopy_info() tells the new one's length from now on
 *
 * Rule: B8, VFIO_PRECOPY_INFO_REINIT.
 * Context: any, but with PREEMPT_RT no interrupt that is not threaded.
 */
void vfio_mig_reinit(struct vfio_mig *mig)
{
	unsigned long flags;

	spin_lock_irqsave(&mig->reset_lock, flags);
	if (mig->session && mig->session->saving) {
		set_bit(VFIO_MIG_REINITED, &mig->session->flags);
		set_bit(VFIO_MIG_REINIT, &mig->session->flags);
	}
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	vfio_mig_kick(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_reinit);

/**
 * vfio_mig_session_count - look at a session
 * @session: session
 * @counts: filled in
 */
void vfio_mig_session_count(struct vfio_mig_session *session,
			    struct vfio_mig_session_counts *counts)
{
	const struct vfio_mig_save *save = &session->save;
	const struct vfio_mig_load *load = &session->load;
	unsigned long pages;

	spin_lock(&session->lock);
	pages = session->saving ? vfio_mig_save_held(session) : load->pages;
	counts->held = pages << PAGE_SHIFT;
	counts->queued = session->saving ? save->queued : load->queued;
	counts->bytes = session->saving ? save->produced : load->accepted;
	counts->sections = session->saving ? save->sections : load->nr_loaded;
	counts->worker_stalls = session->worker_stalls;
	counts->client_stalls = session->client_stalls;
	counts->error = session->error;
	spin_unlock(&session->lock);
}

/**
 * vfio_mig_session_trace - tell that something has become of a session
 * @session: session
 * @event: what
 *
 * Context: any, with no lock of the session held.
 */
void vfio_mig_session_trace(struct vfio_mig_session *session,
			    enum vfio_mig_trace_event event)
{
	struct vfio_mig_session_counts counts;
	const char *name = session->mig->name;

	if (event == VFIO_MIG_TRACE_NO_ROOM || event == VFIO_MIG_TRACE_NO_DATA) {
		if (!trace_vfio_mig_stall_enabled())
			return;
		vfio_mig_session_count(session, &counts);
		trace_vfio_mig_stall(name, session->saving, event,
				     counts.queued);
	} else if (trace_vfio_mig_session_enabled()) {
		vfio_mig_session_count(session, &counts);
		trace_vfio_mig_session(name, session->saving, event,
				       counts.bytes);
	}
}

/**
 * vfio_mig_session_outcome - what a read or write would do now
 * @session: session
 *
 * Context: process context, no lock of the session held.
 * Return: as vfio_mig_save_ready() or vfio_mig_load_ready().
 */
int vfio_mig_session_outcome(struct vfio_mig_session *session)
{
	int outcome;

	spin_lock(&session->lock);
	outcome = session->saving ? vfio_mig_save_ready(session) :
				    vfio_mig_load_ready(session);
	spin_unlock(&session->lock);

	return outcome;
}

/*
 * io_uring takes the key for what poll would tell, and tries again: in vain, if
 * there is nothing to be had, and after some times in vain not by itself any more.
 * A read is also over at the temporary end, of which poll tells as EPOLLPRI: io_uring
 * drops a wake-up by that alone, so the key has that of data besides.
 * Return: what pollers are woken for; without any, those that sleep in a call are.
 */
static __poll_t vfio_mig_wake_key(struct vfio_mig_session *session)
{
	int outcome = vfio_mig_session_outcome(session);

	/* No key at all would be any, and nobody polls for this one. */
	if (outcome == -EAGAIN)
		return EPOLLMSG;
	if (outcome == -ENOMSG)
		return EPOLLIN | EPOLLRDNORM | EPOLLPRI;

	return session->saving ? EPOLLIN | EPOLLRDNORM : EPOLLOUT | EPOLLWRNORM;
}

/**
 * vfio_mig_wake - wake readers or writers and pollers
 * @session: session
 *
 * Context: process context, no lock of the session held. They look at the session
 * under its lock, so the caller changed it under that lock before.
 */
void vfio_mig_wake(struct vfio_mig_session *session)
{
	if (wq_has_sleeper(&session->wait))
		__wake_up(&session->wait, TASK_NORMAL, 0,
			  poll_to_key(vfio_mig_wake_key(session)));
}

/* Return: whether there is anything but to wait; then *result is set. */
static bool vfio_mig_slot_try(struct vfio_mig_session *session,
			      int (*ready)(struct vfio_mig_session *session),
			      int *result)
{
	spin_lock(&session->lock);
	*result = ready(session);
	if (*result > 0)
		session->slot = true;
	spin_unlock(&session->lock);

	return *result != -EAGAIN;
}

static void vfio_mig_client_stalls(struct vfio_mig_session *session)
{
	spin_lock(&session->lock);
	session->client_stalls++;
	spin_unlock(&session->lock);
	vfio_mig_session_trace(session, session->saving ?
			       VFIO_MIG_TRACE_NO_DATA : VFIO_MIG_TRACE_NO_ROOM);
}

/**
 * vfio_mig_slot_take - become the session's one reader or writer
 * @session: session
 * @ready: called under the session's lock. Tells 1 to go ahead, -EAGAIN to wait,
 *	0 or another errno as the outcome
 * @nowait: do not wait
 *
 * A slot and not a mutex: its owner may be asleep in user memory, and then a
 * second one must be able to give up, and poll to tell so (B4).
 * Return: 1 with the slot taken, or what @ready said; -ERESTARTSYS on a signal.
 */
int vfio_mig_slot_take(struct vfio_mig_session *session,
		       int (*ready)(struct vfio_mig_session *session),
		       bool nowait)
{
	int result;

	if (vfio_mig_slot_try(session, ready, &result))
		return result;
	vfio_mig_client_stalls(session);
	if (nowait)
		return result;
	if (wait_event_interruptible(session->wait,
				     vfio_mig_slot_try(session, ready, &result)))
		return vfio_mig_interrupted();

	return result;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_slot_take);

/**
 * vfio_mig_slot_release - let the next reader or writer in
 * @session: session
 */
void vfio_mig_slot_release(struct vfio_mig_session *session)
{
	bool work;

	spin_lock(&session->lock);
	session->slot = false;
	/* By now its pages are given back. */
	work = session->saving && vfio_mig_save_unstall(session);
	spin_unlock(&session->lock);
	if (work)
		vfio_mig_session_work(session);
	vfio_mig_wake(session);
	vfio_mig_session_purge(session);
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_slot_release);
