// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: from the writer to complete sections
 *
 * The stream is taken apart as it comes in: a header is collected and verified,
 * which tells how much payload follows; the payload goes into pages of its own.
 * All bytes are copied before they are looked at, since the writer could still
 * change them.
 *
 * The owner of the slot copies with no lock held. Whether what was copied is
 * accepted is decided under the session's lock afterwards: it is not, if the
 * session is over or being judged by then.
 */
#include <kunit/visibility.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uio.h>

#include "session.h"

/*
 * Between sections the window decides. A section that has begun has its room, so
 * that a receiver with the smallest window takes the longest section.
 */
static bool vfio_mig_load_room(const struct vfio_mig_session *session)
{
	const struct vfio_mig_load *load = &session->load;

	lockdep_assert_held(&session->lock);

	return load->stage != VFIO_MIG_STAGE_SECTION || load->filled ||
	       load->pages << PAGE_SHIFT < session->window;
}

/**
 * vfio_mig_load_ready - what a write would do
 * @session: resuming session, locked
 *
 * Return: 1 if bytes would be looked at, -EAGAIN if it would wait, or the
 * session's error.
 */
int vfio_mig_load_ready(struct vfio_mig_session *session)
{
	if (vfio_mig_ended(session))
		return -ENODEV;
	if (session->error)
		return session->error;
	if (session->slot || session->load.ending || session->load.starved ||
	    !vfio_mig_load_room(session))
		return -EAGAIN;

	return 1;
}
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_load_ready);

/* Return: 1 if bytes may be accepted now, or as vfio_mig_load_ready(). */
static int vfio_mig_load_accepts(const struct vfio_mig_session *session)
{
	lockdep_assert_held(&session->lock);
	if (vfio_mig_ended(session))
		return -ENODEV;
	if (session->error)
		return session->error;

	return session->load.ending ? -EAGAIN : 1;
}

static size_t vfio_mig_header_length(const struct vfio_mig_load *load)
{
	return load->stage == VFIO_MIG_STAGE_STREAM ?
	       sizeof(load->header.stream) : sizeof(load->header.section);
}

static int vfio_mig_check_magic(struct vfio_mig_session *session)
{
	const struct vfio_mig_load *load = &session->load;
	size_t n = min(load->filled, sizeof(load->header.stream.magic));

	if (memcmp(load->header.stream.magic, VFIO_MIG_STREAM_MAGIC, n))
		return vfio_mig_session_fail(session, -EILSEQ, 0,
					     "not a migration stream");
	return 0;
}

static void vfio_mig_load_stage(struct vfio_mig_session *session,
				enum vfio_mig_stage stage)
{
	spin_lock(&session->lock);
	session->load.stage = stage;
	session->load.filled = 0;
	spin_unlock(&session->lock);
}

/*
 * There is no memory, which is no error while the worker is about to free sections:
 * it wakes writers then. Return: -EAGAIN, or the session's error.
 */
static int vfio_mig_load_starves(struct vfio_mig_session *session, u64 offset)
{
	struct vfio_mig_load *load = &session->load;
	bool waits;

	spin_lock(&session->lock);
	/* What was freed meanwhile is there for another try at once. */
	waits = load->freed != load->seen;
	load->starved = !waits &&
			(!list_empty(&load->sections) || session->working);
	waits |= load->starved;
	spin_unlock(&session->lock);

	return waits ? -EAGAIN : vfio_mig_session_fail(session, -ENOMEM, offset,
						       "no memory");
}

/* A section with a verified header: its pages count from here on. */
static int vfio_mig_load_begin(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	struct vfio_mig_section *section;
	struct mem_cgroup *old;

	old = set_active_memcg(session->memcg);
	section = kzalloc(sizeof(*section), VFIO_MIG_GFP);
	set_active_memcg(old);
	if (!section)
		return vfio_mig_load_starves(session, load->header_at);
	section->header = load->header.section;
	section->offset = load->header_at;
	spin_lock(&session->lock);
	load->section = section;
	load->pages += vfio_mig_section_pages(section);
	load->sequence++;
	load->stage = VFIO_MIG_STAGE_PAYLOAD;
	load->filled = 0;
	spin_unlock(&session->lock);

	return 0;
}

/*
 * Not for each section: to wake the worker costs as much as copying one. Before
 * the owner lets go of the slot or sleeps for room, all are served.
 */
static void vfio_mig_load_serve(struct vfio_mig_session *session, size_t least)
{
	struct vfio_mig_load *load = &session->load;

	if (!load->unserved || load->unserved < least)
		return;
	load->unserved = 0;
	vfio_mig_session_work(session);
}

/* A section with all its payload is for the worker. */
static void vfio_mig_load_complete(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	struct vfio_mig_section *section = load->section;
	bool end = le32_to_cpu(section->header.type) == VFIO_MIG_SECTION_END;

	lockdep_assert_held(&session->lock);
	load->unserved += sizeof(section->header) + section->filled;
	list_add_tail(&section->node, &load->sections);
	load->section = NULL;
	load->stage = end ? VFIO_MIG_STAGE_END : VFIO_MIG_STAGE_SECTION;
}

static int vfio_mig_load_stream_header(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	int ret;

	ret = vfio_mig_check_stream_header(session, &load->header.stream);
	if (ret)
		return ret;
	load->stream_id = le64_to_cpu(load->header.stream.stream_id);
	vfio_mig_load_stage(session, VFIO_MIG_STAGE_SECTION);

	return 0;
}

static int vfio_mig_load_section_header(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	int ret;

	ret = vfio_mig_check_section_header(session, &load->header.section);
	if (ret)
		return ret;
	ret = vfio_mig_load_begin(session);
	if (ret || load->section->header.length)
		return ret;
	spin_lock(&session->lock);
	vfio_mig_load_complete(session);
	spin_unlock(&session->lock);

	return 0;
}

/* Return: 1 if @n bytes behind those of the header were accepted, or a negative errno. */
static int vfio_mig_accept_header(struct vfio_mig_session *session, size_t n)
{
	struct vfio_mig_load *load = &session->load;
	int ret;

	spin_lock(&session->lock);
	ret = vfio_mig_load_accepts(session);
	if (ret > 0) {
		if (!load->filled)
			load->header_at = load->accepted;
		load->filled += n;
		load->accepted += n;
	}
	spin_unlock(&session->lock);

	return ret;
}

/* What the header's bytes so far say. Return: 0, or a negative errno. */
static int vfio_mig_judge_header(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	bool stream = load->stage == VFIO_MIG_STAGE_STREAM;
	int ret;

	ret = stream ? vfio_mig_check_magic(session) : 0;
	if (ret || load->filled < vfio_mig_header_length(load))
		return ret;

	return stream ? vfio_mig_load_stream_header(session) :
			vfio_mig_load_section_header(session);
}

/*
 * A header that is complete, but whose section had no memory, is judged once more.
 * Return: bytes accepted, or a negative errno.
 */
static ssize_t vfio_mig_write_header(struct vfio_mig_session *session,
				     struct iov_iter *from)
{
	struct vfio_mig_load *load = &session->load;
	size_t want = vfio_mig_header_length(load) - load->filled;
	size_t n;
	int ret;

	n = copy_from_iter((u8 *)&load->header + load->filled, want, from);
	if (want && !n)
		return -EFAULT;
	ret = vfio_mig_accept_header(session, n);
	if (ret <= 0) {
		iov_iter_revert(from, n);
		return ret;
	}
	ret = vfio_mig_judge_header(session);

	return ret == -EAGAIN && n ? n : ret ?: n;
}

/* The page of the payload's byte @at, which is new if nothing of it came yet. */
static struct page *vfio_mig_write_page(struct vfio_mig_session *session,
					size_t at)
{
	struct vfio_mig_section *section = session->load.section;
	unsigned int i = at >> PAGE_SHIFT;
	struct mem_cgroup *old;

	if (!section->pages[i]) {
		old = set_active_memcg(session->memcg);
		vfio_mig_alloc_pages(section->pages + i,
				     vfio_mig_section_pages(section) - i);
		set_active_memcg(old);
	}

	return section->pages[i];
}

/* Return: bytes copied; if there could be more, *err says why there are not. */
static size_t vfio_mig_copy_payload(struct vfio_mig_session *session,
				    struct iov_iter *from, int *err)
{
	struct vfio_mig_section *section = session->load.section;
	size_t end = le32_to_cpu(section->header.length);
	size_t at = section->filled, want, n;
	struct page *page;

	while (!*err && at < end && iov_iter_count(from)) {
		page = vfio_mig_write_page(session, at);
		if (!page) {
			*err = -ENOMEM;
			break;
		}
		want = min3(end - at, PAGE_SIZE - offset_in_page(at),
			    iov_iter_count(from));
		n = copy_page_from_iter(page, offset_in_page(at), want, from);
		if (n < want)
			*err = -EFAULT;
		at += n;
	}

	return at - section->filled;
}

static ssize_t vfio_mig_write_payload(struct vfio_mig_session *session,
				      struct iov_iter *from)
{
	struct vfio_mig_section *section = session->load.section;
	int ret, err = 0;
	size_t n;

	n = vfio_mig_copy_payload(session, from, &err);
	if (!n && err == -ENOMEM)
		return vfio_mig_load_starves(session, section->offset);
	if (!n)
		return err;
	spin_lock(&session->lock);
	ret = vfio_mig_load_accepts(session);
	if (ret > 0) {
		section->filled += n;
		session->load.queued += n;
		session->load.accepted += n;
		/* At once, or RESUMING -> STOP might come in between. */
		if (section->filled == le32_to_cpu(section->header.length))
			vfio_mig_load_complete(session);
	}
	spin_unlock(&session->lock);
	if (ret <= 0) {
		iov_iter_revert(from, n);
		return ret;
	}

	return n;
}

static bool vfio_mig_write_more(struct vfio_mig_session *session)
{
	bool more;

	spin_lock(&session->lock);
	session->load.seen = session->load.freed;
	more = vfio_mig_load_accepts(session) != -EAGAIN &&
	       !session->load.starved && vfio_mig_load_room(session);
	spin_unlock(&session->lock);

	return more;
}

static ssize_t vfio_mig_write_some(struct vfio_mig_session *session,
				   struct iov_iter *from)
{
	switch (session->load.stage) {
	case VFIO_MIG_STAGE_STREAM:
	case VFIO_MIG_STAGE_SECTION:
		return vfio_mig_write_header(session, from);
	case VFIO_MIG_STAGE_PAYLOAD:
		return vfio_mig_write_payload(session, from);
	default:
		return vfio_mig_session_fail(session, -E2BIG,
					     session->load.accepted,
					     "bytes after the end section");
	}
}

/**
 * vfio_mig_load_write - take bytes of the stream
 * @session: resuming session, whose slot the caller owns
 * @from: user memory
 *
 * Return: bytes accepted, at least 1. If there were none, -EFAULT, or -EAGAIN
 * because the session is being judged, or has to wait for memory. Errors that stick
 * come at once.
 */
ssize_t vfio_mig_load_write(struct vfio_mig_session *session,
			    struct iov_iter *from)
{
	ssize_t done = 0, ret = -EAGAIN;

	while (iov_iter_count(from) && vfio_mig_write_more(session)) {
		ret = vfio_mig_write_some(session, from);
		if (ret < 0)
			break;
		done += ret;
		vfio_mig_load_serve(session, VFIO_MIG_SERVE_LOAD);
		if (fatal_signal_pending(current))
			break;
		cond_resched();
	}
	vfio_mig_load_serve(session, 0);

	if (ret < 0 && ret != -EFAULT && ret != -EAGAIN)
		return ret;

	return done ?: (ret ?: -EAGAIN);
}
