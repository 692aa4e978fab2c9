// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: the data fd
 *
 * Thin adapters between file operations and the two halves of a session. Whether
 * anybody got the fd is known by flush, which comes for every file that leaves a
 * table of fds, and only for those: a file released without it is one that vfio.ko
 * could not install.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <asm/ioctls.h>

#include "session.h"

static bool vfio_mig_nowait(const struct kiocb *iocb)
{
	return (iocb->ki_flags & IOCB_NOWAIT) ||
	       (iocb->ki_filp->f_flags & O_NONBLOCK);
}

/*
 * Without FMODE_NOWAIT, an attempt is refused as the VFS does for drivers with
 * plain read() and write(), also if poll says that it would work.
 */
static bool vfio_mig_refuse(const struct vfio_mig_session *session,
			    const struct kiocb *iocb)
{
	return !session->nowait && (iocb->ki_flags & IOCB_NOWAIT) &&
	       !(iocb->ki_filp->f_flags & O_NONBLOCK);
}

static ssize_t vfio_mig_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfio_mig_session *session = iocb->ki_filp->private_data;
	bool nowait = vfio_mig_nowait(iocb);
	ssize_t ret;

	if (!iov_iter_count(to))
		return 0;
	if (vfio_mig_refuse(session, iocb))
		return -EAGAIN;
	do {
		ret = vfio_mig_slot_take(session, vfio_mig_save_ready, nowait);
		if (ret <= 0)
			return ret;
		ret = vfio_mig_save_read(session, to);
		vfio_mig_slot_release(session);
	} while (ret == -EAGAIN && !nowait);

	return ret;
}

/**
 * vfio_mig_write_once - write what there is room for
 * @session: resuming session
 * @from: bytes
 * @nowait: do not wait for the slot or for room
 *
 * Return: bytes accepted, at least 1, or a negative errno as write(2) gives it.
 */
ssize_t vfio_mig_write_once(struct vfio_mig_session *session,
			    struct iov_iter *from, bool nowait)
{
	ssize_t ret;

	ret = vfio_mig_slot_take(session, vfio_mig_load_ready, nowait);
	if (ret <= 0)
		return ret;
	ret = vfio_mig_load_write(session, from);
	vfio_mig_slot_release(session);

	return ret;
}

/* Is it an error that does not stick? */
static bool vfio_mig_passes(ssize_t err)
{
	return err == -ERESTARTSYS || err == -EINTR || err == -EAGAIN ||
	       err == -EFAULT;
}

/*
 * As a pipe does, a blocking write goes on until everything is accepted. Which is not
 * to say that it was good: that is known at the end of the stream.
 */
static ssize_t vfio_mig_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct vfio_mig_session *session = iocb->ki_filp->private_data;
	bool nowait = vfio_mig_nowait(iocb);
	ssize_t done = 0, ret;

	if (!iov_iter_count(from))
		return 0;
	if (vfio_mig_refuse(session, iocb))
		return -EAGAIN;
	do {
		ret = vfio_mig_write_once(session, from, nowait);
		if (ret > 0)
			done += ret;
		else if (ret != -EAGAIN || nowait)
			break;
	} while (iov_iter_count(from) && !fatal_signal_pending(current));

	if (ret > 0 && !nowait)
		ret = vfio_mig_load_settle(session);
	/* What is not for good is told by a short count: bytes must not come twice. */
	if (vfio_mig_passes(ret))
		return done ?: ret;

	return ret < 0 ? ret : done;
}

/* What poll tells of the outcome that a read or write would have. */
static __poll_t vfio_mig_poll_mask(struct vfio_mig_session *session)
{
	int outcome = session->saving ? vfio_mig_save_ready(session) :
					vfio_mig_load_ready(session);

	if (vfio_mig_ended(session))
		return EPOLLERR | EPOLLHUP;
	if (outcome == -EAGAIN)
		return 0;
	/*
	 * What waits for data does not wake for this; io_uring, which looks for it as
	 * well, does not wait for a read that has come to its end meanwhile.
	 */
	if (outcome == -ENOMSG)
		return EPOLLPRI;
	if (outcome < 0)
		return EPOLLERR;

	return session->saving ? EPOLLIN | EPOLLRDNORM : EPOLLOUT | EPOLLWRNORM;
}

static __poll_t vfio_mig_poll(struct file *file, poll_table *wait)
{
	struct vfio_mig_session *session = file->private_data;
	__poll_t mask;

	poll_wait(file, &session->wait, wait);
	spin_lock(&session->lock);
	mask = vfio_mig_poll_mask(session);
	spin_unlock(&session->lock);

	return mask;
}

/* From the driver's counts, of payload to come, to bytes of the stream. */
static void vfio_mig_count_stream(struct vfio_mig_session *session,
				  struct vfio_mig_precopy *info)
{
	info->initial += vfio_mig_framing(info->initial);
	info->dirty += vfio_mig_framing(info->dirty);
	spin_lock(&session->lock);
	info->initial += session->save.unread_initial;
	info->dirty += session->save.unread_later;
	if (info->initial && !session->save.started)
		info->initial += sizeof(struct vfio_mig_stream_header);
	spin_unlock(&session->lock);
}

/*
 * Nothing new comes to a first pass, but the sections are only known when they are
 * made: more headers than was thought count as what came later.
 */
static void vfio_mig_tell_initial(struct vfio_mig_session *session,
				  struct vfio_mig_precopy *info)
{
	u64 told = session->save.told_initial;

	if (info->initial > told) {
		info->dirty += info->initial - told;
		info->initial = told;
	}
	session->save.told_initial = info->initial;
}

/*
 * The news and what it is about are of one moment, since the driver changes both
 * under one lock. Return: whether the client is to know of a new first pass.
 */
static bool vfio_mig_ask_precopy(struct vfio_mig_session *session,
				 struct vfio_mig_precopy *info)
{
	struct vfio_mig *mig = session->mig;
	bool knows = vfio_mig_info_v2(mig), reinit = false;

	do {
		reinit |= knows && test_and_clear_bit(VFIO_MIG_REINIT,
						      &session->flags);
		memset(info, 0, sizeof(*info));
		mig->ops->precopy_info(mig, info);
	} while (knows && test_bit(VFIO_MIG_REINIT, &session->flags));

	return reinit;
}

/* state_mutex is held. Return: flags to report. */
static u32 vfio_mig_count_precopy(struct vfio_mig_session *session,
				  struct vfio_mig_precopy *info)
{
	bool reinit = vfio_mig_ask_precopy(session, info);

	/* If the driver's kick is still on its way, be the first. */
	if (info->initial || info->dirty)
		set_bit(VFIO_MIG_KICKED, &session->flags);
	if (!vfio_mig_save_counts_initial(session)) {
		info->dirty += info->initial;
		info->initial = 0;
	} else if (reinit) {
		vfio_mig_save_reinit(session);
	}
	vfio_mig_count_stream(session, info);
	vfio_mig_tell_initial(session, info);

	return reinit ? VFIO_PRECOPY_INFO_REINIT : 0;
}

static int vfio_mig_get_precopy(struct vfio_mig_session *session,
				struct vfio_mig_precopy *info, u32 *flags)
{
	struct vfio_mig *mig = session->mig;
	int ret;

	ret = vfio_mig_begin(mig);
	if (ret)
		return ret;
	if (mig->session != session || vfio_mig_ended(session) ||
	    !vfio_mig_precopy(mig->state))
		ret = -EINVAL;
	else
		*flags = vfio_mig_count_precopy(session, info);
	if (test_bit(VFIO_MIG_KICKED, &session->flags))
		vfio_mig_session_work(session);
	vfio_mig_unlock(mig);

	return ret;
}

static long vfio_mig_ioctl_precopy(struct vfio_mig_session *session,
				   struct vfio_precopy_info __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_mig_precopy left = {};
	struct vfio_precopy_info info;
	int ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	ret = vfio_mig_get_precopy(session, &left, &info.flags);
	if (ret)
		return ret;
	info.initial_bytes = left.initial;
	info.dirty_bytes = left.dirty;

	if (!copy_to_user(arg, &info, minsz))
		return 0;
	/* What was not told is still news. */
	if (info.flags & VFIO_PRECOPY_INFO_REINIT)
		set_bit(VFIO_MIG_REINIT, &session->flags);

	return -EFAULT;
}

static long vfio_mig_ioctl_fionread(struct vfio_mig_session *session,
				    int __user *arg)
{
	size_t queued;

	spin_lock(&session->lock);
	queued = vfio_mig_ended(session) ? 0 : session->save.queued;
	spin_unlock(&session->lock);

	return put_user((int)min_t(size_t, queued, INT_MAX), arg);
}

static long vfio_mig_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct vfio_mig_session *session = file->private_data;

	if (!session->saving)
		return -ENOTTY;
	switch (cmd) {
	case VFIO_MIG_GET_PRECOPY_INFO:
		return vfio_mig_ioctl_precopy(session, (void __user *)arg);
	case FIONREAD:
		return vfio_mig_ioctl_fionread(session, (int __user *)arg);
	default:
		return -ENOTTY;
	}
}

static int vfio_mig_flush(struct file *file, fl_owner_t id)
{
	struct vfio_mig_session *session = file->private_data;

	set_bit(VFIO_MIG_DELIVERED, &session->flags);

	return 0;
}

/* Nobody can read any more: the worker need not go on, the state stays. */
static int vfio_mig_release_file(struct inode *inode, struct file *file)
{
	struct vfio_mig_session *session = file->private_data;

	if (!test_bit(VFIO_MIG_DELIVERED, &session->flags)) {
		set_bit(VFIO_MIG_UNSEEN, &session->flags);
		vfio_mig_withdraw(session);
	}
	vfio_mig_session_trace(session, VFIO_MIG_TRACE_CLOSED);
	if (session->saving) {
		vfio_mig_session_end(session);
		vfio_mig_session_purge(session);
	}
	vfio_mig_session_put(session);

	return 0;
}

static void vfio_mig_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct vfio_mig_session *session = file->private_data;
	struct vfio_mig_session_counts counts;

	vfio_mig_session_count(session, &counts);
	seq_printf(m, "vfio-mig-state:\t%s\n",
		   vfio_mig_ended(session) ? "ended" :
		   session->saving ? "saving" : "resuming");
	seq_printf(m, "vfio-mig-bytes:\t%llu\n", counts.bytes);
	seq_printf(m, "vfio-mig-window:\t%zu\n", session->window);
	seq_printf(m, "vfio-mig-queued:\t%zu\n", counts.queued);
	seq_printf(m, "vfio-mig-held:\t%lu\n", counts.held);
	seq_printf(m, "vfio-mig-error:\t%d\n", -counts.error);
}

static const struct file_operations vfio_mig_fops = {
	.owner		= THIS_MODULE,
	.read_iter	= vfio_mig_read_iter,
	.write_iter	= vfio_mig_write_iter,
	.splice_read	= vfio_mig_splice_read,
	.splice_write	= vfio_mig_splice_write,
	.poll		= vfio_mig_poll,
	.unlocked_ioctl	= vfio_mig_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.flush		= vfio_mig_flush,
	.release	= vfio_mig_release_file,
	.show_fdinfo	= vfio_mig_show_fdinfo,
};

static const struct file_operations vfio_mig_fops_no_poll = {
	.owner		= THIS_MODULE,
	.read_iter	= vfio_mig_read_iter,
	.write_iter	= vfio_mig_write_iter,
	.splice_read	= vfio_mig_splice_read,
	.splice_write	= vfio_mig_splice_write,
	.unlocked_ioctl	= vfio_mig_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
	.flush		= vfio_mig_flush,
	.release	= vfio_mig_release_file,
	.show_fdinfo	= vfio_mig_show_fdinfo,
};

/**
 * vfio_mig_file - the file of a session
 * @session: session whose reference the file takes over, on success
 *
 * Return: a file for vfio.ko to install, or an ERR_PTR().
 */
struct file *vfio_mig_file(struct vfio_mig_session *session)
{
	const struct file_operations *fops = session->config.no_poll ?
		&vfio_mig_fops_no_poll : &vfio_mig_fops;
	struct file *file;

	file = anon_inode_getfile(session->saving ? "[vfio-mig-save]" :
						    "[vfio-mig-resume]",
				  fops, session,
				  session->saving ? O_RDONLY : O_WRONLY);
	if (IS_ERR(file))
		return file;
	stream_open(file->f_inode, file);
	if (session->nowait)
		file->f_mode |= FMODE_NOWAIT;

	return file;
}
