// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: a device from allocation to release, and its queries
 *
 * vfio.ko keeps the ioctl front end. It calls in through migration_set_state(),
 * migration_get_state() and migration_get_data_size(), with the vfio_device open.
 */
#include <kunit/visibility.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "session.h"

static void vfio_mig_release(struct kref *ref)
{
	struct vfio_mig *mig = container_of(ref, struct vfio_mig, ref);

	mutex_destroy(&mig->state_mutex);
	kfree(mig);
}

/**
 * vfio_mig_get - take a reference
 * @mig: device
 */
void vfio_mig_get(struct vfio_mig *mig)
{
	kref_get(&mig->ref);
}

/**
 * vfio_mig_put - drop a reference
 * @mig: device
 */
void vfio_mig_put(struct vfio_mig *mig)
{
	kref_put(&mig->ref, vfio_mig_release);
}

static bool vfio_mig_occupied(const struct vfio_mig *mig)
{
	return READ_ONCE(mig->busy) || READ_ONCE(mig->bus_reset);
}

/**
 * vfio_mig_begin - lock a device that no transition is under way on
 * @mig: device
 *
 * Takes state_mutex, for vfio_mig_unlock(). Waits for a running transition, so
 * that the states in its middle are never seen (A7).
 * Return: 0, or -EINTR on a fatal signal, with nothing taken.
 */
int vfio_mig_begin(struct vfio_mig *mig)
{
	for (;;) {
		if (mutex_lock_killable(&mig->state_mutex))
			return -EINTR;
		vfio_mig_run_pending(mig);
		if (!vfio_mig_occupied(mig))
			return 0;
		vfio_mig_unlock(mig);
		if (wait_event_killable(mig->wait, !vfio_mig_occupied(mig)))
			return -EINTR;
	}
}

/**
 * vfio_mig_set_busy - drop state_mutex in the middle of a transition
 * @mig: device; state_mutex is held and dropped
 */
void vfio_mig_set_busy(struct vfio_mig *mig)
{
	lockdep_assert_held(&mig->state_mutex);
	WRITE_ONCE(mig->busy, true);
	vfio_mig_unlock(mig);
}

/**
 * vfio_mig_clear_busy - take state_mutex again after vfio_mig_set_busy()
 * @mig: device. A reset may have come; &vfio_mig.reset_count tells
 */
void vfio_mig_clear_busy(struct vfio_mig *mig)
{
	mutex_lock(&mig->state_mutex);
	WRITE_ONCE(mig->busy, false);
	wake_up_all(&mig->wait);
}

static int vfio_mig_get_state(struct vfio_device *vdev,
			      enum vfio_device_mig_state *state)
{
	struct vfio_mig *mig = vfio_mig_from_vdev(vdev);
	int ret;

	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	*state = mig->state;
	vfio_mig_unlock(mig);

	return 0;
}

/* Sections that are no full page. */
#define VFIO_MIG_FRAMING_SMALL	(8 * sizeof(struct vfio_mig_section_header))

/**
 * vfio_mig_framing - what the headers of sections add to a payload
 * @bytes: of payload that is still to come
 *
 * Return: bytes at most: dirty pages come one by one, and some sections are small.
 */
u64 vfio_mig_framing(u64 bytes)
{
	if (!bytes)
		return 0;

	return div_u64(bytes, PAGE_SIZE) * sizeof(struct vfio_mig_section_header) +
	       VFIO_MIG_FRAMING_SMALL;
}

/**
 * vfio_mig_data_size - VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
 * @mig: device
 * @length: set to bytes of the stream if the device stopped now, never less than
 *	GET_PRECOPY_INFO would tell
 *
 * Rule: B8.
 * Return: 0 or -EINTR.
 */
int vfio_mig_data_size(struct vfio_mig *mig, unsigned long *length)
{
	struct vfio_mig_session *session;
	u64 bytes;
	int ret;

	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	bytes = mig->ops->data_size(mig);
	session = mig->session;
	if (session && session->saving && !vfio_mig_ended(session)) {
		spin_lock(&session->lock);
		bytes += session->save.unread_initial +
			 session->save.unread_later;
		spin_unlock(&session->lock);
	}
	/* GET_PRECOPY_INFO counts two passes with small sections each. */
	*length = sizeof(struct vfio_mig_stream_header) + bytes +
		  vfio_mig_framing(bytes) + VFIO_MIG_FRAMING_SMALL +
		  VFIO_MIG_END_LENGTH;
	vfio_mig_unlock(mig);

	return 0;
}

static int vfio_mig_get_data_size(struct vfio_device *vdev,
				  unsigned long *length)
{
	return vfio_mig_data_size(vfio_mig_from_vdev(vdev), length);
}

static bool vfio_mig_ops_fit(const struct vfio_mig_ops *ops, unsigned int flags)
{
	const unsigned int known = VFIO_MIGRATION_STOP_COPY |
				   VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

	if (!(flags & VFIO_MIGRATION_STOP_COPY) || (flags & ~known))
		return false;
	if (!ops->arc || !ops->save || !ops->load || !ops->reset ||
	    !ops->data_size)
		return false;

	return !!ops->precopy_info == !!(flags & VFIO_MIGRATION_PRE_COPY);
}

/**
 * vfio_mig_alloc - make a device migratable
 * @vdev: device that is not registered yet; its mig_ops and migration_flags are
 *	set here
 * @ops: the driver's callbacks, valid until vfio_mig_free()
 * @flags: VFIO_MIGRATION_*: STOP_COPY, and P2P and PRE_COPY if offered
 * @priv: for vfio_mig_priv()
 *
 * Context: process context, e.g. &vfio_device_ops.init.
 * Return: an object for vfio_mig_free(), or an ERR_PTR(): -EINVAL if @ops and
 * @flags do not fit (a line in the log says so), -ENOMEM.
 */
struct vfio_mig *vfio_mig_alloc(struct vfio_device *vdev,
				const struct vfio_mig_ops *ops,
				unsigned int flags, void *priv)
{
	struct vfio_mig *mig;

	if (!vfio_mig_ops_fit(ops, flags)) {
		dev_err(vdev->dev,
			"migration: operations do not fit flags 0x%x\n", flags);
		return ERR_PTR(-EINVAL);
	}
	mig = kzalloc(sizeof(*mig), GFP_KERNEL);
	if (!mig)
		return ERR_PTR(-ENOMEM);

	kref_init(&mig->ref);
	mutex_init(&mig->state_mutex);
	spin_lock_init(&mig->reset_lock);
	spin_lock_init(&mig->stats_lock);
	init_waitqueue_head(&mig->wait);
	vfio_mig_drain_init(&mig->drain);
	vfio_mig_forget_error(mig);
	strscpy(mig->name, dev_name(vdev->dev), sizeof(mig->name));
	mig->vdev = vdev;
	mig->ops = ops;
	mig->flags = flags;
	mig->priv = priv;
	mig->state = VFIO_DEVICE_STATE_STOP;
	mig->vfio_ops.migration_set_state = vfio_mig_set_state;
	mig->vfio_ops.migration_get_state = vfio_mig_get_state;
	mig->vfio_ops.migration_get_data_size = vfio_mig_get_data_size;
	vfio_mig_debugfs_add(mig);
	vdev->mig_ops = &mig->vfio_ops;
	vdev->migration_flags = flags;

	return mig;
}
EXPORT_SYMBOL_GPL(vfio_mig_alloc);

/**
 * vfio_mig_free - the device goes away
 * @mig: closed device. Data fds may still be open; they keep what they need
 *
 * Context: process context, e.g. &vfio_device_ops.release.
 */
void vfio_mig_free(struct vfio_mig *mig)
{
	vfio_mig_debugfs_remove(mig);
	vfio_mig_put(mig);
}
EXPORT_SYMBOL_GPL(vfio_mig_free);

static int vfio_mig_take_config(struct vfio_mig *mig,
				const struct vfio_mig_config *config)
{
	size_t window = config->window ?: VFIO_MIG_WINDOW_DEFAULT;

	if (window < VFIO_MIG_WINDOW_MIN || window > VFIO_MIG_WINDOW_MAX ||
	    config->min_version > config->version || !config->nr_types ||
	    config->nr_types > VFIO_MIG_SECTION_CORE ||
	    (config->drain && !mig->ops->drain) ||
	    (config->copy_back && !(mig->flags & VFIO_MIGRATION_PRE_COPY)))
		return -EINVAL;
	mig->config = *config;
	mig->config.window = round_down(window, PAGE_SIZE);

	return 0;
}

/* As vfio_mig_begin(), for who cannot fail and may be in no transition. */
static void vfio_mig_lock_from_bus(struct vfio_mig *mig)
{
	for (;;) {
		mutex_lock(&mig->state_mutex);
		if (!READ_ONCE(mig->bus_reset))
			return;
		mutex_unlock(&mig->state_mutex);
		wait_event(mig->wait, !READ_ONCE(mig->bus_reset));
	}
}

/* What a client opted in to ends with its opening of the device. */
static void vfio_mig_opt_out(struct vfio_mig *mig)
{
	WRITE_ONCE(mig->copy_back, false);
	WRITE_ONCE(mig->precopy_info_v2, false);
	mig->drain.opted = false;
	mig->is_loaded = false;
}

/**
 * vfio_mig_open - first open of the device
 * @mig: closed device
 * @config: copied
 *
 * The device is RUNNING from here on.
 *
 * Context: &vfio_device_ops.open_device. Waits for the end of a reset by the bus.
 * Return: 0, -EINVAL if @config has values out of range, or -EINTR on a fatal signal.
 */
int vfio_mig_open(struct vfio_mig *mig, const struct vfio_mig_config *config)
{
	int ret;

	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	ret = vfio_mig_take_config(mig, config);
	if (!ret) {
		vfio_mig_opt_out(mig);
		vfio_mig_forget_error(mig);
		WRITE_ONCE(mig->state, VFIO_DEVICE_STATE_RUNNING);
		spin_lock_irq(&mig->reset_lock);
		WRITE_ONCE(mig->open, true);
		spin_unlock_irq(&mig->reset_lock);
	}
	vfio_mig_unlock(mig);

	return ret;
}
EXPORT_SYMBOL_GPL(vfio_mig_open);

/**
 * vfio_mig_close - last close of the device
 * @mig: open device
 *
 * Ends the session; its fd may stay open. No callback runs any more on return.
 * The caller then freezes the device as in STOP. What only a reset can leave
 * (ERROR, a state that was not completely loaded) is reset.
 *
 * Context: &vfio_device_ops.close_device. Waits for a callback that runs, and for
 * the end of a reset by the bus.
 */
void vfio_mig_close(struct vfio_mig *mig)
{
	bool reset;

	spin_lock_irq(&mig->reset_lock);
	WRITE_ONCE(mig->open, false);
	reset = mig->reset_pending;
	WRITE_ONCE(mig->reset_pending, false);
	WRITE_ONCE(mig->was_reset, false);
	if (mig->session)
		vfio_mig_session_end(mig->session);
	spin_unlock_irq(&mig->reset_lock);
	wake_up_all(&mig->wait);

	vfio_mig_lock_from_bus(mig);
	vfio_mig_session_detach(mig);
	vfio_mig_drain_end(mig, false);
	if (reset || mig->state == VFIO_DEVICE_STATE_ERROR ||
	    mig->state == VFIO_DEVICE_STATE_RESUMING)
		mig->ops->reset(mig);
	WRITE_ONCE(mig->state, VFIO_DEVICE_STATE_STOP);
	mutex_unlock(&mig->state_mutex);
}
EXPORT_SYMBOL_GPL(vfio_mig_close);

/**
 * vfio_mig_priv - what the driver gave to vfio_mig_alloc()
 * @mig: device
 *
 * Context: any.
 * Return: the pointer.
 */
void *vfio_mig_priv(struct vfio_mig *mig)
{
	return mig->priv;
}
EXPORT_SYMBOL_GPL(vfio_mig_priv);

/**
 * vfio_mig_state - the present state
 * @mig: device
 *
 * Context: any. Only stable inside a callback, and there until a reset; elsewhere a
 * hint, such as for whether a write to a register is to be dropped.
 * Return: the state; STOP when closed. From vfio_mig_reset_done() on it is RUNNING,
 * also while a callback that began before keeps the driver's reset() waiting.
 */
enum vfio_device_mig_state vfio_mig_state(struct vfio_mig *mig)
{
	return READ_ONCE(mig->was_reset) ? VFIO_DEVICE_STATE_RUNNING :
					   READ_ONCE(mig->state);
}
EXPORT_SYMBOL_GPL(vfio_mig_state);

static int __init vfio_mig_init(void)
{
	int ret;

	ret = vfio_mig_workers_init();
	if (ret)
		return ret;
	vfio_mig_debugfs_init();

	return 0;
}

static void __exit vfio_mig_exit(void)
{
	vfio_mig_debugfs_exit();
	vfio_mig_workers_exit();
}

module_init(vfio_mig_init);
module_exit(vfio_mig_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO migration core");
MODULE_AUTHOR("The VFIO migration core developers");
