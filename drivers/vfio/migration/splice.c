// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: the data fd and pipes
 *
 * Out of a session, references to pages go into the pipe. Into a session, bytes are
 * copied out of the pipe's pages: whoever filled the pipe may have them mapped
 * (vmsplice) or in a file, and could change them behind the checksum's back.
 *
 * The VFS calls with the pipe's mutex held, or leaves it to us to take. It is never
 * held while waiting, neither for the session nor for the pipe: its other users,
 * who could not even be killed then, go on, and a session that ends wakes who waits
 * for the pipe. So waiting is for both at once, and everything is looked at again
 * after it. (A splice into a pipe that is full to begin with waits in the VFS, and
 * comes here when there is room.)
 */
#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "session.h"

/*
 * Hints, without the pipe's mutex, which who acts on them takes. They err towards
 * another look.
 */
static bool vfio_mig_pipe_full(const struct pipe_inode_info *pipe)
{
	/* Before the tail: at worst it is older, and the pipe looks emptier. */
	typeof(pipe->head) head = smp_load_acquire(&pipe->head);
	typeof(pipe->head) used = head - READ_ONCE(pipe->tail);

	/* If the tail has overtaken that head, it is not full. */
	return used >= READ_ONCE(pipe->max_usage) &&
	       used <= READ_ONCE(pipe->ring_size);
}

static bool vfio_mig_pipe_empty(const struct pipe_inode_info *pipe)
{
	/* Before the head: at worst it is older, and the pipe looks fuller. */
	typeof(pipe->tail) tail = smp_load_acquire(&pipe->tail);

	return READ_ONCE(pipe->head) == tail;
}

static bool vfio_mig_can_fill(struct vfio_mig_session *session,
			      struct pipe_inode_info *pipe)
{
	int outcome = vfio_mig_session_outcome(session);

	if (!READ_ONCE(pipe->readers))
		return true;

	return outcome > 0 ? !vfio_mig_pipe_full(pipe) : outcome != -EAGAIN;
}

static bool vfio_mig_can_empty(struct vfio_mig_session *session,
			       struct pipe_inode_info *pipe)
{
	int outcome = vfio_mig_session_outcome(session);

	if (outcome <= 0 && outcome != -EAGAIN)
		return true;
	if (vfio_mig_pipe_empty(pipe))
		return !READ_ONCE(pipe->writers);

	return outcome > 0;
}

/* Return: 0 when it is worth to look again, -ERESTARTSYS on a signal. */
static int vfio_mig_splice_wait(struct vfio_mig_session *session,
				struct pipe_inode_info *pipe)
{
	bool (*over)(struct vfio_mig_session *session,
		     struct pipe_inode_info *pipe) =
		session->saving ? vfio_mig_can_fill : vfio_mig_can_empty;
	wait_queue_head_t *head = session->saving ? &pipe->wr_wait :
						    &pipe->rd_wait;
	DEFINE_WAIT_FUNC(session_wait, default_wake_function);
	DEFINE_WAIT_FUNC(pipe_wait, default_wake_function);
	bool woken;

	/* On both queues for good: a wake-up by one must not lose the other. */
	add_wait_queue(&session->wait, &session_wait);
	add_wait_queue(head, &pipe_wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		woken = over(session, pipe);
		if (woken || signal_pending(current))
			break;
		schedule();
	}
	__set_current_state(TASK_RUNNING);
	remove_wait_queue(head, &pipe_wait);
	remove_wait_queue(&session->wait, &session_wait);

	return woken ? 0 : vfio_mig_interrupted();
}

static bool vfio_mig_splice_nowait(const struct file *file, unsigned int flags)
{
	return (flags & SPLICE_F_NONBLOCK) || (file->f_flags & O_NONBLOCK);
}

static ssize_t vfio_mig_fill_pipe(struct vfio_mig_session *session,
				  struct pipe_inode_info *pipe, size_t len)
{
	ssize_t ret;

	if (!pipe->readers) {
		send_sig(SIGPIPE, current, 0);
		return -EPIPE;
	}
	ret = vfio_mig_slot_take(session, vfio_mig_save_ready, true);
	if (ret <= 0)
		return ret;
	ret = vfio_mig_save_splice(session, pipe, len);
	vfio_mig_slot_release(session);

	return ret;
}

/**
 * vfio_mig_splice_read - splice(2) from a session into a pipe
 * @file: data fd
 * @ppos: not used, it is a stream
 * @pipe: locked; dropped and taken again to wait
 * @len: bytes at most
 * @flags: SPLICE_F_NONBLOCK
 *
 * Rule: B2, B5.
 * Return: bytes moved, or what read(2) gives; -EPIPE if nobody reads the pipe.
 */
ssize_t vfio_mig_splice_read(struct file *file, loff_t *ppos,
			     struct pipe_inode_info *pipe, size_t len,
			     unsigned int flags)
{
	struct vfio_mig_session *session = file->private_data;
	bool nowait = vfio_mig_splice_nowait(file, flags);
	ssize_t ret;

	for (;;) {
		ret = vfio_mig_fill_pipe(session, pipe, len);
		if (ret != -EAGAIN || nowait)
			return ret;
		pipe_unlock(pipe);
		ret = vfio_mig_splice_wait(session, pipe);
		pipe_lock(pipe);
		if (ret)
			return ret;
	}
}

/* The pipe is locked: take what there is room for. */
static int vfio_mig_splice_actor(struct pipe_inode_info *pipe,
				 struct pipe_buffer *buf,
				 struct splice_desc *sd)
{
	struct vfio_mig_session *session = sd->u.file->private_data;
	struct iov_iter from;
	struct bio_vec bvec;

	bvec_set_page(&bvec, buf->page, sd->len, buf->offset);
	iov_iter_bvec(&from, ITER_SOURCE, &bvec, 1, sd->len);

	return vfio_mig_write_once(session, &from, true);
}

static ssize_t vfio_mig_empty_pipe(struct pipe_inode_info *pipe,
				   struct file *file, size_t len)
{
	struct splice_desc sd = {
		.total_len = len,
		.flags = SPLICE_F_NONBLOCK,
		.u.file = file,
	};
	ssize_t ret;

	ret = vfio_mig_session_outcome(file->private_data);
	if (ret < 0 && ret != -EAGAIN)
		return ret;
	pipe_lock(pipe);
	ret = __splice_from_pipe(pipe, &sd, vfio_mig_splice_actor);
	pipe_unlock(pipe);

	return ret;
}

/**
 * vfio_mig_splice_write - splice(2) from a pipe into a session
 * @pipe: not locked
 * @file: data fd
 * @ppos: not used, it is a stream
 * @len: bytes at most
 * @flags: SPLICE_F_NONBLOCK
 *
 * Rule: B3, B5.
 * Return: bytes moved, 0 if the pipe is empty and nobody writes to it, or what
 * write(2) gives.
 */
ssize_t vfio_mig_splice_write(struct pipe_inode_info *pipe, struct file *file,
			      loff_t *ppos, size_t len, unsigned int flags)
{
	struct vfio_mig_session *session = file->private_data;
	bool nowait = vfio_mig_splice_nowait(file, flags);
	ssize_t ret;

	do {
		ret = vfio_mig_empty_pipe(pipe, file, len);
		if (ret != -EAGAIN || nowait)
			break;
		ret = vfio_mig_splice_wait(session, pipe);
	} while (!ret);

	if (ret > 0 && !nowait)
		return vfio_mig_load_settle(session) ?: ret;

	return ret;
}
