// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: reset
 *
 * A reset comes from any state and at any time, also while another thread is in
 * SET_STATE or blocked on the data fd, and for PCI under memory_lock, which page
 * faults on a BAR take inside mmap_lock. It has two steps (A6):
 *
 * 1. In any context, with reset_lock alone: note the reset, end the session, wake
 *    everybody. From here on waits of an arc return ECANCELED, and reads and
 *    writes ENODEV.
 * 2. Under state_mutex: have the driver reset the device. If somebody else holds
 *    the mutex, the holder does it when letting go (vfio_mig_unlock()); since the
 *    holder sleeps in no user memory, it is bound to.
 *
 * A reset by the bus takes time, in which nobody may touch the device: between
 * reset_prepare and reset_done, step 2 waits, and so do transitions, open and close,
 * whichever of these came first. After reset_done the device is as after power on and
 * its state reads RUNNING, though a callback may keep step 2 waiting: the client may
 * program the device by then, so the driver's reset() touches no register of it.
 *
 * So that no reset is lost between the holder's last look and its unlock, it looks
 * again afterwards: who has asked and then finds the mutex taken is seen.
 */
#include "session.h"
#include "trace.h"

/* Step 1, in the lock. Return: false if the device is not open. */
static bool vfio_mig_note_reset(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->reset_lock);
	if (!mig->open)
		return false;
	WRITE_ONCE(mig->reset_pending, true);
	if (mig->session)
		vfio_mig_session_end(mig->session);

	return true;
}

/* Step 1, after the lock. */
static void vfio_mig_tell_reset(struct vfio_mig *mig, bool open)
{
	/* Before the look at state_mutex; pairs with vfio_mig_unlock(). */
	smp_mb();
	if (open)
		trace_vfio_mig_reset(mig->name, vfio_mig_state(mig),
				     VFIO_MIG_TRACE_ASKED);
	wake_up_all(&mig->wait);
}

static bool vfio_mig_ask_reset(struct vfio_mig *mig)
{
	bool open;

	spin_lock_irq(&mig->reset_lock);
	open = vfio_mig_note_reset(mig);
	spin_unlock_irq(&mig->reset_lock);
	vfio_mig_tell_reset(mig, open);

	return open;
}

/* @has: whether the bus has the device from here on. A closed one it has, too. */
static void vfio_mig_ask_bus_reset(struct vfio_mig *mig, bool has)
{
	unsigned long flags;
	bool open;

	spin_lock_irqsave(&mig->reset_lock, flags);
	WRITE_ONCE(mig->bus_reset, has);
	open = vfio_mig_note_reset(mig);
	if (open && !has)
		WRITE_ONCE(mig->was_reset, true);
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	vfio_mig_tell_reset(mig, open);
}

/* For good only with reset_lock held. */
static bool vfio_mig_reset_due(const struct vfio_mig *mig)
{
	return READ_ONCE(mig->reset_pending) && !READ_ONCE(mig->bus_reset);
}

/* Of a drain, only the end is ever due (drain.c). */
static bool vfio_mig_drain_due(const struct vfio_mig *mig)
{
	return READ_ONCE(mig->drain.ending) && !READ_ONCE(mig->bus_reset) &&
	       READ_ONCE(mig->open);
}

/* The driver knows, too, unless the bus has come again meanwhile. */
static void vfio_mig_settle_reset(struct vfio_mig *mig)
{
	unsigned long flags;

	spin_lock_irqsave(&mig->reset_lock, flags);
	if (!mig->reset_pending)
		WRITE_ONCE(mig->was_reset, false);
	spin_unlock_irqrestore(&mig->reset_lock, flags);
}

static bool vfio_mig_run_reset(struct vfio_mig *mig)
{
	unsigned long flags;
	bool due;

	lockdep_assert_held(&mig->state_mutex);
	if (!READ_ONCE(mig->reset_pending))
		return false;
	spin_lock_irqsave(&mig->reset_lock, flags);
	due = vfio_mig_reset_due(mig);
	if (due)
		WRITE_ONCE(mig->reset_pending, false);
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	if (!due)
		return false;

	vfio_mig_session_detach(mig);
	mig->ops->reset(mig);
	vfio_mig_drain_end(mig, true);
	WRITE_ONCE(mig->reset_count, mig->reset_count + 1);
	mig->is_loaded = false;
	WRITE_ONCE(mig->state, VFIO_DEVICE_STATE_RUNNING);
	vfio_mig_settle_reset(mig);
	trace_vfio_mig_reset(mig->name, VFIO_DEVICE_STATE_RUNNING,
			     VFIO_MIG_TRACE_DONE);

	return true;
}

/**
 * vfio_mig_run_pending - carry out what could not wait for state_mutex
 * @mig: device; state_mutex is held
 */
void vfio_mig_run_pending(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	vfio_mig_run_reset(mig);
	if (vfio_mig_drain_due(mig))
		vfio_mig_drain_end(mig, false);
}

/**
 * vfio_mig_unlock - drop state_mutex, after what came meanwhile
 * @mig: device that the caller keeps alive; state_mutex is held
 */
void vfio_mig_unlock(struct vfio_mig *mig)
{
	do {
		vfio_mig_run_pending(mig);
		mutex_unlock(&mig->state_mutex);
		/*
		 * Pairs with those who want something of the holder, and try the
		 * mutex then: either they get it, or this sees what they want.
		 */
		smp_mb();
	} while ((vfio_mig_reset_due(mig) || vfio_mig_drain_due(mig)) &&
		 mutex_trylock(&mig->state_mutex));
	if (READ_ONCE(mig->deferred))
		vfio_mig_session_undefer(mig);
}

/**
 * vfio_mig_reset - VFIO_DEVICE_RESET of a device whose driver resets it itself
 * @mig: device
 *
 * Context: process context, no lock of the core held, not under memory_lock. Waits
 * for the end of a reset by the bus.
 * Return: 0 with the device RUNNING, or -EINTR on a fatal signal: whoever is in
 * a callback, or the bus, then carries the reset out. -ENODEV if the device is not
 * open.
 */
int vfio_mig_reset(struct vfio_mig *mig)
{
	bool done;

	if (!vfio_mig_ask_reset(mig))
		return -ENODEV;
	do {
		if (wait_event_killable(mig->wait, !READ_ONCE(mig->bus_reset)) ||
		    mutex_lock_killable(&mig->state_mutex))
			return -EINTR;
		vfio_mig_run_pending(mig);
		/* With the lock held, or it might be just under way. */
		done = !READ_ONCE(mig->reset_pending);
		vfio_mig_unlock(mig);
	} while (!done);

	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_reset);

/**
 * vfio_mig_reset_prepare - a reset by the bus is about to begin
 * @mig: device, open or not; until vfio_mig_reset_done() no callback begins, but
 *	one that is just being called, and an arc that runs is aborted
 *
 * Context: any, but with PREEMPT_RT no interrupt that is not threaded.
 *	E.g. pci_error_handlers.reset_prepare, under memory_lock.
 */
void vfio_mig_reset_prepare(struct vfio_mig *mig)
{
	vfio_mig_ask_bus_reset(mig, true);
}
EXPORT_SYMBOL_GPL(vfio_mig_reset_prepare);

/**
 * vfio_mig_reset_done - a reset by the bus is over
 * @mig: device, open or not. If it is open, its state reads RUNNING from here on, and
 *	its reset() runs before this returns, or, if another thread has state_mutex,
 *	when that lets go
 *
 * Context: process context, e.g. pci_error_handlers.reset_done, under
 * memory_lock. Does not wait.
 */
void vfio_mig_reset_done(struct vfio_mig *mig)
{
	vfio_mig_ask_bus_reset(mig, false);
	if (mutex_trylock(&mig->state_mutex))
		vfio_mig_unlock(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_reset_done);
