// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: from the ring to the reader
 *
 * The owner of the slot claims some chunks at the ring's head, copies out of their
 * pages, or moves references to them into a pipe, with no lock held, and then
 * consumes what it moved. Claims are as long as a section: a lock for every page
 * would cost a good part of the copy.
 */
#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/pipe_fs_i.h>
#include <linux/sched/signal.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "session.h"

/**
 * vfio_mig_save_ready - what a read would do
 * @session: saving session, locked
 *
 * Return: 1 if it would get bytes, 0 at the permanent end, -ENOMSG at the
 * temporary one, -EAGAIN if it would wait, or the session's error.
 */
int vfio_mig_save_ready(struct vfio_mig_session *session)
{
	const struct vfio_mig_save *save = &session->save;

	if (vfio_mig_ended(session))
		return -ENODEV;
	if (save->queued)
		return session->slot ? -EAGAIN : 1;
	if (session->error)
		return session->error;
	if (save->done)
		return 0;
	if (save->idle && !save->stop_copy &&
	    !test_bit(VFIO_MIG_KICKED, &session->flags))
		return -ENOMSG;

	return -EAGAIN;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_save_ready);

/*
 * No more than is wanted: what nobody is at work on may be withdrawn.
 * Return: chunks at the ring's head that are the caller's until it consumes.
 */
static unsigned int vfio_mig_claim(struct vfio_mig_session *session,
				   size_t wanted)
{
	struct vfio_mig_save *save = &session->save;
	unsigned int claimed = 0, most = 0;
	size_t bytes = 0;

	spin_lock(&session->lock);
	if (!vfio_mig_ended(session))
		most = min(save->tail - save->head, VFIO_MIG_CLAIM);
	while (claimed < most && bytes < wanted)
		bytes += vfio_mig_chunk_at(save, save->head + claimed++)->length;
	save->claimed = claimed;
	spin_unlock(&session->lock);

	return claimed;
}

/* The session is locked. Return: a page to be put, or NULL. */
static struct page *vfio_mig_consume_chunk(struct vfio_mig_session *session,
					   struct vfio_mig_chunk *chunk,
					   size_t n)
{
	struct vfio_mig_save *save = &session->save;
	bool recycle = chunk->payload && !chunk->donated;
	struct page *page;

	lockdep_assert_held(&session->lock);
	if (save->done && save->tail - save->head == 1)
		save->end_given = true;
	if (chunk->initial || (long)(save->head - save->initial_until) < 0)
		save->unread_initial -= n;
	else
		save->unread_later -= n;
	chunk->offset += n;
	chunk->length -= n;
	save->queued -= n;
	if (chunk->length)
		return NULL;
	page = vfio_mig_save_pop(save);
	/* Others may have it in a pipe, and then it must not change. */
	if (!recycle || page_count(page) != 1 || vfio_mig_ended(session))
		return page;
	list_add_tail(&page->lru, &save->spare);
	save->nr_spare++;

	return NULL;
}

/* Nothing to claim: the end section, which was all, may have been withdrawn. */
static int vfio_mig_claimed_none(const struct vfio_mig_session *session)
{
	return vfio_mig_ended(session) ? -ENODEV : -EAGAIN;
}

/* Give the claim back, less @n bytes that were moved. */
static void vfio_mig_consume(struct vfio_mig_session *session, size_t n)
{
	struct vfio_mig_save *save = &session->save;
	struct page *pages[VFIO_MIG_CLAIM];
	struct vfio_mig_chunk *chunk;
	unsigned int nr = 0;
	bool work;
	size_t m;

	spin_lock(&session->lock);
	for (; n; n -= m) {
		chunk = vfio_mig_chunk_at(save, save->head);
		m = min_t(size_t, n, chunk->length);
		pages[nr] = vfio_mig_consume_chunk(session, chunk, m);
		nr += !!pages[nr];
	}
	save->claimed = 0;
	work = vfio_mig_save_unstall(session);
	spin_unlock(&session->lock);

	while (nr)
		put_page(pages[--nr]);
	if (work)
		vfio_mig_session_work(session);
}

/* Return: bytes copied out of @claimed chunks; fewer than all if @to is short. */
static size_t vfio_mig_copy_chunks(struct vfio_mig_session *session,
				   unsigned int claimed, struct iov_iter *to,
				   bool *fault)
{
	struct vfio_mig_save *save = &session->save;
	struct vfio_mig_chunk *chunk;
	size_t done = 0, length, n;
	unsigned int i;

	for (i = 0; i < claimed; i++) {
		chunk = vfio_mig_chunk_at(save, save->head + i);
		length = min_t(size_t, chunk->length, iov_iter_count(to));
		n = copy_page_to_iter(chunk->page, chunk->offset, length, to);
		done += n;
		*fault = n < length;
		if (*fault)
			break;
	}

	return done;
}

/**
 * vfio_mig_save_read - copy what is queued
 * @session: saving session, whose slot the caller owns
 * @to: user memory
 *
 * A claim is a section at most: a long copy lets others run after each, and a dying
 * reader ends it.
 *
 * Return: bytes copied, at least 1. If there were none, -EFAULT, -ENODEV, or -EAGAIN
 * to look again.
 */
ssize_t vfio_mig_save_read(struct vfio_mig_session *session,
			   struct iov_iter *to)
{
	unsigned int claimed;
	bool fault = false;
	ssize_t done = 0;
	size_t n;

	while (iov_iter_count(to) && !fault) {
		claimed = vfio_mig_claim(session, iov_iter_count(to));
		if (!claimed)
			return done ?: vfio_mig_claimed_none(session);
		n = vfio_mig_copy_chunks(session, claimed, to, &fault);
		vfio_mig_consume(session, n);
		done += n;
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}

	return done ?: -EFAULT;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_save_read);

/*
 * The buffers point at pages only, and at code and data of the kernel proper, so
 * that they may outlive the session, the device and this module.
 * Return: bytes of one chunk moved, or what add_to_pipe() says.
 */
static ssize_t vfio_mig_chunk_to_pipe(const struct vfio_mig_chunk *chunk,
				      struct pipe_inode_info *pipe, size_t len)
{
	struct pipe_buffer buf = {
		.page = chunk->page,
		.offset = chunk->offset,
		.len = min_t(size_t, chunk->length, len),
		.ops = &nosteal_pipe_buf_ops,
	};

	get_page(buf.page);

	return add_to_pipe(pipe, &buf);
}

static size_t vfio_mig_splice_chunks(struct vfio_mig_session *session,
				     unsigned int claimed,
				     struct pipe_inode_info *pipe, size_t len,
				     int *err)
{
	struct vfio_mig_save *save = &session->save;
	size_t done = 0;
	unsigned int i;
	ssize_t n;

	for (i = 0; i < claimed; i++) {
		n = vfio_mig_chunk_to_pipe(vfio_mig_chunk_at(save, save->head + i),
					   pipe, len - done);
		if (n < 0) {
			*err = n;
			break;
		}
		done += n;
	}

	return done;
}

/**
 * vfio_mig_save_splice - hand out references to what is queued
 * @session: saving session, whose slot the caller owns
 * @pipe: gets them; locked
 * @len: bytes at most
 *
 * Return: bytes moved, at least 1. If there were none, -EAGAIN if the pipe is
 * full or to look again, -EPIPE if nobody reads it, -ENODEV.
 */
ssize_t vfio_mig_save_splice(struct vfio_mig_session *session,
			     struct pipe_inode_info *pipe, size_t len)
{
	unsigned int claimed;
	ssize_t done = 0;
	int err = 0;
	size_t n;

	while (done < len && !err) {
		claimed = vfio_mig_claim(session, len - done);
		if (!claimed)
			return done ?: vfio_mig_claimed_none(session);
		n = vfio_mig_splice_chunks(session, claimed, pipe, len - done,
					   &err);
		vfio_mig_consume(session, n);
		done += n;
	}

	return done ?: err;
}
