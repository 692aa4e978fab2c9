// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: drain, for devices that cannot quiesce at will (A10)
 *
 * The client has the device take no new work, and gets an fd that tells when the
 * old is finished. There is one drain of a device at a time, known by a number; an
 * fd with another number is over.
 *
 * An fd may be closed where nothing can be waited for. Like a reset, its end is
 * noted under reset_lock, and carried out by whoever holds state_mutex then.
 */
#include <kunit/visibility.h>
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "private.h"

/**
 * struct vfio_mig_drain_fd - what is behind a drain's fd
 * @mig: device; a reference
 * @id: of the drain
 */
struct vfio_mig_drain_fd {
	struct vfio_mig *mig;
	u64 id;
};

/**
 * vfio_mig_drain_init - no drain yet
 * @drain: of a new device
 */
void vfio_mig_drain_init(struct vfio_mig_drain *drain)
{
	init_waitqueue_head(&drain->wait);
}

/**
 * vfio_mig_drained - the device has finished its work
 * @mig: device
 * @cookie: of the drain that is done; another one is over, and not told of
 *
 * Context: any, but with PREEMPT_RT no interrupt that is not threaded;
 *	also &vfio_mig_ops.drain.
 */
void vfio_mig_drained(struct vfio_mig *mig, u64 cookie)
{
	unsigned long flags;

	spin_lock_irqsave(&mig->reset_lock, flags);
	if (cookie && mig->drain.current_id == cookie)
		mig->drain.done = true;
	spin_unlock_irqrestore(&mig->reset_lock, flags);
	wake_up_all(&mig->drain.wait);
}
EXPORT_SYMBOL_GPL(vfio_mig_drained);

/* The drain is over: its fd tells so. Return: whether there was one. */
static bool vfio_mig_drain_forget(struct vfio_mig *mig)
{
	bool active;

	spin_lock_irq(&mig->reset_lock);
	active = mig->drain.current_id;
	mig->drain.current_id = 0;
	mig->drain.done = false;
	WRITE_ONCE(mig->drain.ending, false);
	spin_unlock_irq(&mig->reset_lock);
	wake_up_all(&mig->drain.wait);

	return active;
}

/**
 * vfio_mig_drain_end - end the drain that there may be
 * @mig: device; state_mutex is held
 * @reset: the device was reset, and knows nothing of it any more
 */
void vfio_mig_drain_end(struct vfio_mig *mig, bool reset)
{
	lockdep_assert_held(&mig->state_mutex);
	if (vfio_mig_drain_forget(mig) && !reset)
		mig->ops->drain(mig, 0);
}

/**
 * vfio_mig_drain_holds - does drain forbid an arc
 * @mig: device; state_mutex is held
 * @from: where the arc begins
 * @to: where it leads
 *
 * Rule: A10, "an opted-in client's P2P arc fails with EBUSY".
 * Return: true if so.
 */
bool vfio_mig_drain_holds(struct vfio_mig *mig, enum vfio_device_mig_state from,
			  enum vfio_device_mig_state to)
{
	bool done;

	lockdep_assert_held(&mig->state_mutex);
	if (!READ_ONCE(mig->drain.opted) || !vfio_mig_working(from) ||
	    vfio_mig_working(to))
		return false;
	spin_lock_irq(&mig->reset_lock);
	done = mig->drain.done && !mig->drain.ending;
	spin_unlock_irq(&mig->reset_lock);

	return !done;
}

static __poll_t vfio_mig_drain_poll(struct file *file, poll_table *wait)
{
	struct vfio_mig_drain_fd *drain_fd = file->private_data;
	struct vfio_mig *mig = drain_fd->mig;
	__poll_t mask = 0;

	poll_wait(file, &mig->drain.wait, wait);
	spin_lock_irq(&mig->reset_lock);
	if (mig->drain.current_id != drain_fd->id)
		mask = EPOLLERR | EPOLLHUP;
	else if (mig->drain.done)
		mask = EPOLLIN | EPOLLRDNORM;
	spin_unlock_irq(&mig->reset_lock);

	return mask;
}

static int vfio_mig_drain_release(struct inode *inode, struct file *file)
{
	struct vfio_mig_drain_fd *drain_fd = file->private_data;
	struct vfio_mig *mig = drain_fd->mig;
	bool mine;

	spin_lock_irq(&mig->reset_lock);
	mine = mig->drain.current_id == drain_fd->id;
	if (mine)
		WRITE_ONCE(mig->drain.ending, true);
	spin_unlock_irq(&mig->reset_lock);
	/* Pairs with vfio_mig_unlock(). */
	smp_mb();
	if (mine && mutex_trylock(&mig->state_mutex))
		vfio_mig_unlock(mig);
	vfio_mig_put(mig);
	kfree(drain_fd);

	return 0;
}

static const struct file_operations vfio_mig_drain_fops = {
	.owner		= THIS_MODULE,
	.poll		= vfio_mig_drain_poll,
	.release	= vfio_mig_drain_release,
};

static struct file *vfio_mig_drain_file(struct vfio_mig *mig, u64 id)
{
	struct vfio_mig_drain_fd *drain_fd;
	struct file *file;

	drain_fd = kmalloc(sizeof(*drain_fd), VFIO_MIG_GFP);
	if (!drain_fd)
		return ERR_PTR(-ENOMEM);
	drain_fd->mig = mig;
	drain_fd->id = id;
	file = anon_inode_getfile("[vfio-mig-drain]", &vfio_mig_drain_fops,
				  drain_fd, O_RDONLY);
	if (IS_ERR(file))
		kfree(drain_fd);
	else
		vfio_mig_get(mig);

	return file;
}

/* The driver may say that it is done before it returns. */
static int vfio_mig_drain_begin(struct vfio_mig *mig, u64 id)
{
	int ret;

	spin_lock_irq(&mig->reset_lock);
	mig->drain.last_id = id;
	mig->drain.current_id = id;
	spin_unlock_irq(&mig->reset_lock);
	ret = vfio_mig_aborted(mig) ? -ECANCELED :
	      vfio_mig_result(mig, mig->ops->drain(mig, id), 0, "drain");
	if (ret)
		vfio_mig_drain_forget(mig);

	return ret;
}

/**
 * vfio_mig_drain_start - VFIO_DEVICE_FEATURE_MIGX_DRAIN
 * @mig: device; state_mutex is held
 *
 * Return: the drain's file, or an ERR_PTR(): -EINVAL in another state, -EBUSY if
 * there is a drain, -ECANCELED if a reset comes, -ENOMEM, -ENFILE, the driver's.
 */
struct file *vfio_mig_drain_start(struct vfio_mig *mig)
{
	u64 id = mig->drain.last_id + 1;
	struct file *file;
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	if (!vfio_mig_working(mig->state))
		return ERR_PTR(-EINVAL);
	if (mig->drain.current_id)
		return ERR_PTR(-EBUSY);
	file = vfio_mig_drain_file(mig, id);
	if (IS_ERR(file))
		return file;
	vfio_mig_clear_reason(mig);
	ret = vfio_mig_drain_begin(mig, id);
	if (ret) {
		fput(file);
		return ERR_PTR(ret);
	}

	return file;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_drain_start);
