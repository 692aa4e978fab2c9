// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: from complete sections to the driver
 *
 * The writer (receive.c) leaves complete sections in a list. The worker verifies
 * the first one's payload, gives it to the driver's load(), and frees it. A section
 * stays in the list, and counts against the window, until the driver has taken it.
 *
 * RESUMING -> STOP waits until the worker is done with all that was accepted, and
 * judges it. What is in the hands of a writer at that moment was not accepted.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "session.h"

/**
 * vfio_mig_load_init - set up the resuming half
 * @session: new session
 */
void vfio_mig_load_init(struct vfio_mig_session *session)
{
	INIT_LIST_HEAD(&session->load.sections);
}

static void vfio_mig_section_free(struct vfio_mig_section *section)
{
	unsigned int i;

	if (!section)
		return;
	for (i = 0; i < VFIO_MIG_SECTION_PAGES; i++)
		if (section->pages[i])
			put_page(section->pages[i]);
	kfree(section);
}

/* The session is locked. Return: the first section, whose owner is the caller. */
static struct vfio_mig_section *vfio_mig_load_pop(struct vfio_mig_load *load)
{
	struct vfio_mig_section *section;

	section = list_first_entry(&load->sections, struct vfio_mig_section, node);
	list_del(&section->node);
	load->pages -= vfio_mig_section_pages(section);
	load->queued -= section->filled;

	return section;
}

/**
 * vfio_mig_load_purge - free all sections
 * @session: resuming session that is over, with neither writer nor worker
 */
void vfio_mig_load_purge(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	struct vfio_mig_section *section, *next, *last = NULL;
	LIST_HEAD(sections);

	spin_lock(&session->lock);
	list_splice_init(&load->sections, &sections);
	swap(last, load->section);
	load->pages = 0;
	load->queued = 0;
	spin_unlock(&session->lock);

	list_for_each_entry_safe(section, next, &sections, node) {
		vfio_mig_section_free(section);
		cond_resched();
	}
	vfio_mig_section_free(last);
}

/**
 * vfio_mig_source_type - type that the sender gave to vfio_mig_sink_section()
 * @source: from load()
 *
 * Return: below &vfio_mig_config.nr_types.
 */
u32 vfio_mig_source_type(const struct vfio_mig_source *source)
{
	return le32_to_cpu(source->section->header.type);
}
EXPORT_SYMBOL_GPL(vfio_mig_source_type);

/**
 * vfio_mig_source_object - object that the sender gave to vfio_mig_sink_section()
 * @source: from load()
 *
 * Return: any number: it is untrusted.
 */
u64 vfio_mig_source_object(const struct vfio_mig_source *source)
{
	return le64_to_cpu(source->section->header.object);
}
EXPORT_SYMBOL_GPL(vfio_mig_source_object);

/**
 * vfio_mig_source_left - bytes of the section not taken yet
 * @source: from load()
 *
 * Return: at most VFIO_MIG_SECTION_MAX.
 */
size_t vfio_mig_source_left(const struct vfio_mig_source *source)
{
	return le32_to_cpu(source->section->header.length) - source->position;
}
EXPORT_SYMBOL_GPL(vfio_mig_source_left);

/**
 * vfio_mig_source_bytes - take bytes of the section
 * @source: from load()
 * @to: where to
 * @len: how many; at most vfio_mig_source_left()
 *
 * Return: 0, or -EINVAL if there are not as many, for load() to return.
 */
int vfio_mig_source_bytes(struct vfio_mig_source *source, void *to, size_t len)
{
	size_t used, n;

	if (len > vfio_mig_source_left(source))
		return -EINVAL;
	while (len) {
		used = offset_in_page(source->position);
		n = min_t(size_t, len, PAGE_SIZE - used);
		memcpy(to, page_address(source->section->pages[source->position >>
							       PAGE_SHIFT]) +
			   used, n);
		source->position += n;
		to += n;
		len -= n;
	}

	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_source_bytes);

/**
 * vfio_mig_source_take_page - keep the next page of the section
 * @source: from load(), which may not return VFIO_MIG_IDLE afterwards
 *
 * Nobody else knows the page: the driver may write to it. It is charged to the
 * memory cgroup of the task that opened the session.
 * Return: a page for put_page(), or NULL if the next bytes are not a whole page of
 * it; then there is vfio_mig_source_bytes().
 */
struct page *vfio_mig_source_take_page(struct vfio_mig_source *source)
{
	struct page **slot, *page;

	if (offset_in_page(source->position) ||
	    vfio_mig_source_left(source) < PAGE_SIZE)
		return NULL;
	slot = &source->section->pages[source->position >> PAGE_SHIFT];
	page = *slot;
	*slot = NULL;
	source->position += PAGE_SIZE;
	source->taken++;

	return page;
}
EXPORT_SYMBOL_GPL(vfio_mig_source_take_page);

/* The worker's first section. It stays in the list. */
static struct vfio_mig_section *
vfio_mig_load_first(struct vfio_mig_session *session)
{
	struct vfio_mig_section *section = NULL;

	spin_lock(&session->lock);
	if (!vfio_mig_ended(session) && !session->error)
		section = list_first_entry_or_null(&session->load.sections,
						   struct vfio_mig_section,
						   node);
	spin_unlock(&session->lock);

	return section;
}

static int vfio_mig_load_check(struct vfio_mig_session *session,
			       struct vfio_mig_section *section)
{
	size_t length = le32_to_cpu(section->header.length);

	if (section->checked)
		return 0;
	if (vfio_mig_sum_pages(section->pages, length) !=
	    le64_to_cpu(section->header.payload_sum))
		return vfio_mig_session_fail(session, -EBADMSG, section->offset,
					     "checksum of section %llu",
					     le64_to_cpu(section->header.sequence));
	section->checked = true;

	return 0;
}

/* Return: as load(), or -EAGAIN if the worker is called again. */
static int vfio_mig_load_call(struct vfio_mig_session *session,
			      struct vfio_mig_section *section)
{
	struct vfio_mig_source source = { .section = section };
	struct vfio_mig *mig = session->mig;
	int ret = -ENODEV;

	if (!vfio_mig_session_trylock(session))
		return -EAGAIN;
	if (mig->session == session && !vfio_mig_ended(session)) {
		vfio_mig_clear_reason(mig);
		ret = vfio_mig_result(mig, mig->ops->load(mig, &source),
				      VFIO_MIG_IDLE, "load");
	}
	if (ret == VFIO_MIG_IDLE && source.taken)
		ret = vfio_mig_fail(mig, -EIO,
				    "it wants it twice and took pages of it");
	if (ret < 0) {
		strscpy(session->said, mig->reason.text, sizeof(session->said));
		ret = vfio_mig_driver_errno(ret);
	}
	vfio_mig_unlock(mig);

	return ret;
}

static int vfio_mig_load_driver(struct vfio_mig_session *session,
				struct vfio_mig_section *section)
{
	u32 type = le32_to_cpu(section->header.type);
	int ret;

	/* It is optional, or it would have been refused. */
	if (type >= session->config.nr_types)
		return VFIO_MIG_MORE;
	ret = vfio_mig_load_call(session, section);
	if (ret < 0 && ret != -EAGAIN && !vfio_mig_ended(session))
		return vfio_mig_session_fail(session, ret, section->offset,
					     "the driver refused section %llu: %s",
					     le64_to_cpu(section->header.sequence),
					     session->said);
	return ret;
}

static int vfio_mig_load_end(struct vfio_mig_session *session,
			     struct vfio_mig_section *section)
{
	int ret;

	ret = vfio_mig_check_end(session, section->offset,
				 page_address(section->pages[0]));
	if (ret)
		return ret;
	spin_lock(&session->lock);
	session->load.complete = true;
	spin_unlock(&session->lock);

	return VFIO_MIG_MORE;
}

static int vfio_mig_load_section(struct vfio_mig_session *session,
				 struct vfio_mig_section *section)
{
	int ret;

	ret = vfio_mig_load_check(session, section);
	if (ret)
		return ret;
	if (le32_to_cpu(section->header.type) == VFIO_MIG_SECTION_END)
		return vfio_mig_load_end(session, section);

	return vfio_mig_load_driver(session, section);
}

static void vfio_mig_load_consumed(struct vfio_mig_session *session)
{
	struct vfio_mig_load *load = &session->load;
	struct vfio_mig_section *section;
	bool wake;

	spin_lock(&session->lock);
	section = vfio_mig_load_pop(load);
	spin_unlock(&session->lock);
	load->nr_loaded++;
	load->bytes += le32_to_cpu(section->header.length);
	vfio_mig_section_free(section);

	spin_lock(&session->lock);
	wake = load->starved ||
	       load->pages << PAGE_SHIFT <= session->window / 2;
	load->starved = false;
	load->freed++;
	spin_unlock(&session->lock);
	if (wake)
		vfio_mig_wake(session);
}

/**
 * vfio_mig_load_work - the worker: load what is complete
 * @session: resuming session
 */
void vfio_mig_load_work(struct vfio_mig_session *session)
{
	struct vfio_mig_section *section;
	unsigned int turn = 0;

	while ((section = vfio_mig_load_first(session))) {
		if (vfio_mig_load_section(session, section) != VFIO_MIG_MORE)
			break;
		vfio_mig_load_consumed(session);
		if (vfio_mig_session_yield(session, ++turn))
			break;
		cond_resched();
	}
}

static bool vfio_mig_load_drained(struct vfio_mig_session *session)
{
	bool drained;

	spin_lock(&session->lock);
	drained = vfio_mig_ended(session) || session->error ||
		  list_empty(&session->load.sections);
	spin_unlock(&session->lock);

	return drained;
}

static bool vfio_mig_load_ended(struct vfio_mig_session *session)
{
	bool ended;

	spin_lock(&session->lock);
	ended = session->load.stage == VFIO_MIG_STAGE_END;
	spin_unlock(&session->lock);

	return ended;
}

/**
 * vfio_mig_load_settle - if a write has brought the end section, wait for the worker
 * @session: resuming session, whose slot the caller has let go of
 *
 * What comes last may be what is wrong, and a client that leaves RESUMING only when
 * it is to run, as QEMU does, has nobody to tell by then.
 *
 * Rule: B9, "at the earliest point where it is known".
 * Return: 0, also if the session ends meanwhile or a signal comes, or the session's
 * error.
 */
int vfio_mig_load_settle(struct vfio_mig_session *session)
{
	int ret;

	if (!vfio_mig_load_ended(session) ||
	    wait_event_interruptible(session->wait,
				     vfio_mig_load_drained(session)))
		return 0;
	spin_lock(&session->lock);
	ret = session->error;
	spin_unlock(&session->lock);

	return ret;
}

static void vfio_mig_load_set_ending(struct vfio_mig_session *session,
				     bool ending)
{
	spin_lock(&session->lock);
	session->load.ending = ending;
	spin_unlock(&session->lock);
	if (!ending)
		vfio_mig_wake(session);
}

/*
 * Waits with state_mutex dropped, since the worker needs it. Leaving RESUMING is the
 * first arc of any path, so a signal may end it.
 */
static int vfio_mig_load_drain(struct vfio_mig *mig,
			       struct vfio_mig_session *session)
{
	unsigned long reset_count = mig->reset_count;
	int ret;

	vfio_mig_set_busy(mig);
	ret = wait_event_interruptible(session->wait,
				       vfio_mig_load_drained(session));
	vfio_mig_clear_busy(mig);
	vfio_mig_clear_reason(mig);
	if (vfio_mig_aborted(mig) || mig->reset_count != reset_count)
		return -ECANCELED;

	return ret ? -ERESTARTNOHAND : 0;
}

static int vfio_mig_load_verdict(struct vfio_mig_session *session)
{
	u64 accepted;
	bool cut;

	spin_lock(&session->lock);
	cut = !session->error && !session->load.complete;
	accepted = session->load.accepted;
	spin_unlock(&session->lock);
	if (cut)
		vfio_mig_session_fail(session, -ENODATA, accepted,
				      "it ends before its end section");

	return vfio_mig_session_error(session, &session->mig->reason);
}

/* Nobody got the fd, so nothing came that would have to be judged. */
static bool vfio_mig_load_untouched(const struct vfio_mig_session *session)
{
	return test_bit(VFIO_MIG_UNSEEN, &session->flags);
}

/**
 * vfio_mig_loaded - is there a new state to take over
 * @mig: device
 *
 * Context: in the arc RESUMING -> STOP.
 * Return: true if a whole stream came, though perhaps without a section for the
 * driver. False if nobody got the data fd: the device has to be what it was before
 * STOP -> RESUMING.
 */
bool vfio_mig_loaded(struct vfio_mig *mig)
{
	struct vfio_mig_session *session = mig->session;
	bool loaded;

	lockdep_assert_held(&mig->state_mutex);
	if (!session || session->saving)
		return false;
	spin_lock(&session->lock);
	loaded = session->load.complete;
	spin_unlock(&session->lock);

	return loaded;
}
EXPORT_SYMBOL_GPL(vfio_mig_loaded);

/**
 * vfio_mig_load_finish - the core's part of RESUMING -> STOP
 * @mig: device in RESUMING; state_mutex is held, dropped, and held again
 *
 * Rule: B10, A5.
 * Return: 0 if the device may go to STOP. -ERESTARTNOHAND with nothing changed. -ECANCELED
 * after a reset. Otherwise the data is refused, and the device is in ERROR.
 */
int vfio_mig_load_finish(struct vfio_mig *mig)
{
	struct vfio_mig_session *session = mig->session;
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	if (WARN_ON_ONCE(!session))
		return -EIO;
	if (vfio_mig_load_untouched(session))
		return 0;

	kref_get(&session->ref);
	vfio_mig_load_set_ending(session, true);
	/* A writer that sleeps in user memory may not have called it. */
	vfio_mig_session_work(session);
	ret = vfio_mig_load_drain(mig, session);
	if (!ret) {
		ret = vfio_mig_load_verdict(session);
		if (ret)
			vfio_mig_enter_error(mig);
	}
	if (ret == -ERESTARTNOHAND)
		vfio_mig_load_resume(session);
	vfio_mig_session_put(session);

	return ret;
}

/**
 * vfio_mig_load_resume - the device is still in RESUMING after all
 * @session: current session
 */
void vfio_mig_load_resume(struct vfio_mig_session *session)
{
	vfio_mig_load_set_ending(session, false);
}
