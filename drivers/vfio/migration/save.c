// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: from the driver to the reader
 *
 * The worker has the driver fill one section at a time, checksums it, and puts it
 * into the ring as chunks of pages, while there is room in the window. What becomes
 * of them there is in read.c. Pages that were read are used again, so that a
 * session's memory stays in the cache.
 *
 * While the device runs, the worker keeps little ahead of the reader: what lies
 * in the ring gets stale, and would be sent again while the device is stopped.
 */
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "session.h"

/**
 * vfio_mig_save_init - set up the saving half
 * @session: new session
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_save_init(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;

	/* The worst case are sections of a page, which take two chunks each. */
	save->ring_size = roundup_pow_of_two(2 * (session->window / PAGE_SIZE) +
					     2 * VFIO_MIG_SINK_CHUNKS);
	save->ring = kvcalloc(save->ring_size, sizeof(*save->ring), VFIO_MIG_GFP);
	if (!save->ring)
		return -ENOMEM;
	INIT_LIST_HEAD(&save->spare);
	save->sink.session = session;
	save->sink.max = min_t(size_t, VFIO_MIG_SECTION_MAX,
			       round_down(session->window / 4, PAGE_SIZE));
	save->stream_id = get_random_u64();
	save->told_initial = U64_MAX;

	return 0;
}

/**
 * vfio_mig_save_held - memory of the window in use
 * @session: saving session, locked
 *
 * Return: pages, at most the window.
 */
unsigned long vfio_mig_save_held(const struct vfio_mig_session *session)
{
	return session->save.pages + session->save.nr_spare;
}

/**
 * vfio_mig_save_pop - take the first chunk out of the ring
 * @save: of a session, locked
 *
 * Return: its page, whose reference is the caller's.
 */
struct page *vfio_mig_save_pop(struct vfio_mig_save *save)
{
	struct vfio_mig_chunk *chunk = vfio_mig_chunk_at(save, save->head);

	save->head++;
	save->queued -= chunk->length;
	if (chunk->payload)
		save->pages--;

	return chunk->page;
}

/* Pages that nothing refers to by the time they are freed. */
static void vfio_mig_free_pages(struct list_head *pages)
{
	struct page *page;

	while ((page = list_first_entry_or_null(pages, struct page, lru))) {
		list_del(&page->lru);
		put_page(page);
		cond_resched();
	}
}

/**
 * vfio_mig_save_purge - free all pages
 * @session: saving session that is over, with neither reader nor worker
 */
void vfio_mig_save_purge(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;
	struct page *header_page = NULL;
	unsigned long index, tail;
	LIST_HEAD(spare);

	spin_lock(&session->lock);
	index = save->head;
	tail = save->tail;
	save->head = tail;
	save->queued = 0;
	save->pages = 0;
	list_splice_init(&save->spare, &spare);
	save->nr_spare = 0;
	swap(header_page, save->header_page);
	spin_unlock(&session->lock);

	for (; index != tail; index++) {
		put_page(vfio_mig_chunk_at(save, index)->page);
		cond_resched();
	}
	vfio_mig_free_pages(&spare);
	if (header_page)
		put_page(header_page);
}

/**
 * vfio_mig_save_free - undo vfio_mig_save_init()
 * @session: session whose last reference is gone
 */
void vfio_mig_save_free(struct vfio_mig_session *session)
{
	if (!session->save.ring)
		return;
	vfio_mig_save_purge(session);
	kvfree(session->save.ring);
}

/**
 * vfio_mig_save_room - is there room for whatever the driver puts into a section
 * @session: saving session, locked
 *
 * Return: true if so.
 */
bool vfio_mig_save_room(const struct vfio_mig_session *session)
{
	const struct vfio_mig_save *save = &session->save;
	unsigned long most = save->sink.max >> PAGE_SHIFT;

	lockdep_assert_held(&session->lock);
	if (!save->stop_copy && save->queued >= VFIO_MIG_PRECOPY_AHEAD)
		return false;

	return (save->pages + most) << PAGE_SHIFT <= session->window &&
	       save->tail - save->head + VFIO_MIG_SINK_CHUNKS + 2 <=
	       save->ring_size;
}

/**
 * vfio_mig_save_low - is it time to go on for a worker that stopped for lack of room
 * @session: saving session, locked
 *
 * Not for one section at a time: waking costs more than a section. A reader never
 * waits for a worker that is not woken, since then there is something left to read.
 *
 * Return: true if so.
 */
bool vfio_mig_save_low(const struct vfio_mig_session *session)
{
	const struct vfio_mig_save *save = &session->save;
	size_t free = session->window - (save->pages << PAGE_SHIFT);

	if (!save->stop_copy && save->queued > VFIO_MIG_PRECOPY_AHEAD / 2)
		return false;

	return vfio_mig_save_room(session) &&
	       free >= max(session->window / 2,
			   min_t(size_t, session->window, VFIO_MIG_REFILL));
}

/**
 * vfio_mig_save_unstall - is a worker to be called that stopped for lack of room
 * @session: saving session, locked
 *
 * Return: true, once, if so.
 */
bool vfio_mig_save_unstall(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;
	bool work;

	lockdep_assert_held(&session->lock);
	work = save->stalled && vfio_mig_save_low(session);
	if (work)
		save->stalled = false;

	return work;
}

/* Return: whether the driver is to be called. */
static bool vfio_mig_save_may(struct vfio_mig_session *session,
			      struct vfio_mig_turn *turn)
{
	struct vfio_mig_save *save = &session->save;
	bool may, stalls = false;

	vfio_mig_sink_start(session);
	spin_lock(&session->lock);
	may = !vfio_mig_ended(session) && !session->error && !save->done;
	if (may) {
		may = vfio_mig_save_room(session);
		stalls = !may;
		save->stalled = stalls;
		session->worker_stalls += stalls;
	}
	if (may) {
		save->idle = false;
		turn->head = save->head;
		vfio_mig_sink_stock(session);
	}
	spin_unlock(&session->lock);
	if (stalls)
		vfio_mig_session_trace(session, VFIO_MIG_TRACE_NO_ROOM);

	return may;
}

/* What is produced counts as unread from here on, also before it is queued. */
static void vfio_mig_save_account(struct vfio_mig_session *session,
				  bool initial)
{
	size_t bytes = session->save.sink.length;

	if (!bytes)
		return;
	bytes += sizeof(struct vfio_mig_section_header);
	spin_lock(&session->lock);
	if (initial)
		session->save.unread_initial += bytes;
	else
		session->save.unread_later += bytes;
	spin_unlock(&session->lock);
}

static void vfio_mig_save_left(struct vfio_mig *mig,
			       struct vfio_mig_precopy *left)
{
	memset(left, 0, sizeof(*left));
	if (vfio_mig_precopy(mig->state) && !vfio_mig_aborted(mig))
		mig->ops->precopy_info(mig, left);
}

/* Return: as save(), with errnos that user space may see. */
static int vfio_mig_save_driver(struct vfio_mig_session *session)
{
	struct vfio_mig *mig = session->mig;
	int ret;

	vfio_mig_clear_reason(mig);
	ret = vfio_mig_result(mig, mig->ops->save(mig, &session->save.sink),
			      VFIO_MIG_DONE, "save");
	if (ret == VFIO_MIG_DONE && vfio_mig_precopy(mig->state))
		ret = vfio_mig_fail(mig, -EIO, "it is done too early");
	if (ret >= 0)
		return ret;
	strscpy(session->said, mig->reason.text, sizeof(session->said));

	return vfio_mig_driver_errno(ret);
}

static int vfio_mig_save_call(struct vfio_mig_session *session,
			      struct vfio_mig_turn *turn)
{
	struct vfio_mig *mig = session->mig;
	struct vfio_mig_precopy left;
	int ret;

	lockdep_assert_held(&mig->state_mutex);
	clear_bit(VFIO_MIG_KICKED, &session->flags);
	vfio_mig_save_left(mig, &left);
	turn->initial = left.initial && vfio_mig_save_counts_initial(session);
	turn->reinits = session->save.reinits;
	turn->backs = session->save.backs;
	ret = vfio_mig_save_driver(session);
	vfio_mig_save_account(session, turn->initial);
	vfio_mig_save_left(mig, &left);
	/* A device that only waits to go on has not reached the end. */
	turn->idle = ret == VFIO_MIG_IDLE && vfio_mig_precopy(mig->state) &&
		     !left.initial && !left.dirty;

	return ret;
}

/* Return: as save(), or -EAGAIN if the worker is called again, -ENODEV. */
static int vfio_mig_save_produce(struct vfio_mig_session *session,
				 struct vfio_mig_turn *turn)
{
	struct vfio_mig *mig = session->mig;
	int ret = -ENODEV;

	if (!vfio_mig_session_trylock(session))
		return -EAGAIN;
	if (mig->session == session && !vfio_mig_ended(session))
		ret = vfio_mig_save_call(session, turn);
	vfio_mig_unlock(mig);

	return ret;
}

static void vfio_mig_save_set_idle(struct vfio_mig_session *session,
				   const struct vfio_mig_turn *turn)
{
	spin_lock(&session->lock);
	session->save.idle = session->save.backs == turn->backs;
	spin_unlock(&session->lock);
}

/*
 * There is no memory, which is no error while the reader is about to give some back:
 * it calls the worker then, as one that has no room. Return: whether to go on.
 */
static bool vfio_mig_save_starves(struct vfio_mig_session *session,
				  const struct vfio_mig_turn *turn)
{
	struct vfio_mig_save *save = &session->save;
	bool again, waits;

	spin_lock(&session->lock);
	again = save->head != turn->head;
	waits = !again && (save->queued || session->slot);
	if (waits) {
		save->stalled = true;
		session->worker_stalls++;
	}
	spin_unlock(&session->lock);
	if (waits)
		vfio_mig_session_trace(session, VFIO_MIG_TRACE_NO_ROOM);
	else if (!again)
		vfio_mig_session_fail(session, -ENOMEM, save->produced,
				      "no memory");

	return again;
}

/* What save() has put into the section is sent, also if it then lacked memory. */
static bool vfio_mig_save_made(struct vfio_mig_session *session,
			       const struct vfio_mig_turn *turn, int ret)
{
	vfio_mig_sink_queue(session, turn);
	if (ret == -ENOMEM)
		return vfio_mig_save_starves(session, turn);
	if (ret == VFIO_MIG_DONE)
		vfio_mig_sink_queue_end(session, turn);
	else if (turn->idle)
		vfio_mig_save_set_idle(session, turn);

	return ret == VFIO_MIG_MORE;
}

/* One section. Return: whether to go on. */
static bool vfio_mig_save_step(struct vfio_mig_session *session)
{
	struct vfio_mig_turn turn = {};
	int ret;

	if (!vfio_mig_save_may(session, &turn))
		return false;
	ret = vfio_mig_sink_stock_headers(session);
	if (!ret)
		ret = vfio_mig_save_produce(session, &turn);
	if (ret >= 0 || ret == -ENOMEM)
		return vfio_mig_save_made(session, &turn, ret);
	if (ret == -EAGAIN)
		return false;
	vfio_mig_sink_drop(session);
	if (ret != -ENODEV || !vfio_mig_ended(session))
		vfio_mig_session_fail(session, ret, session->save.produced,
				      "the driver failed: %s", session->said);

	return false;
}

/**
 * vfio_mig_save_work - the worker: produce while there is room
 * @session: saving session
 *
 * The reader is also woken when the worker is done for now.
 */
void vfio_mig_save_work(struct vfio_mig_session *session)
{
	unsigned int turn = 0;

	while (vfio_mig_save_step(session)) {
		/* A glance: what it misses is seen a section later. */
		if (data_race(session->save.queued) >= VFIO_MIG_WAKE_AHEAD)
			vfio_mig_wake(session);
		if (vfio_mig_session_yield(session, ++turn))
			break;
		cond_resched();
	}
	vfio_mig_sink_drop(session);
}

/**
 * vfio_mig_save_stop_copy - the device has stopped, the end will come
 * @session: current session
 */
void vfio_mig_save_stop_copy(struct vfio_mig_session *session)
{
	spin_lock(&session->lock);
	session->save.stop_copy = true;
	spin_unlock(&session->lock);
	wake_up_all(&session->wait);
	vfio_mig_session_work(session);
}

/*
 * The end section is the last chunk. A reader may be at work on it. The ring of a
 * session that is over is not touched: it is being freed, or the reader's still.
 * Return: the page to be put, NULL if there is no end section to take out.
 */
static struct page *vfio_mig_save_pop_end(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;
	struct page *page;

	lockdep_assert_held(&session->lock);
	if (!save->done || vfio_mig_ended(session))
		return NULL;
	page = vfio_mig_chunk_at(save, --save->tail)->page;
	save->queued -= VFIO_MIG_END_LENGTH;
	save->produced -= VFIO_MIG_END_LENGTH;
	save->unread_later -= VFIO_MIG_END_LENGTH;
	save->done = false;

	return page;
}

/**
 * vfio_mig_save_withdraw_end - the device is to go back to PRE_COPY
 * @session: current session, in STOP_COPY; state_mutex is held
 *
 * Takes the end section out of the stream again, also if the worker has not
 * queued it yet. If the device then stays in STOP_COPY after all, the worker has
 * to be called: save() says again that it is done.
 *
 * Rule: A11.
 * Return: 0, or -ENODATA if a reader got some of it, or if the stream is one that
 * was loaded before, byte by byte (B10).
 */
int vfio_mig_save_withdraw_end(struct vfio_mig_session *session)
{
	struct vfio_mig *mig = session->mig;
	struct vfio_mig_save *save = &session->save;
	struct page *page = NULL;
	bool given;

	lockdep_assert_held(&mig->state_mutex);
	/* Begun before the client opted in: what follows would not be that stream. */
	if (mig->is_loaded && save->stream_id == mig->loaded_id)
		return vfio_mig_fail(mig, -ENODATA,
				     "it is the stream that was loaded");
	spin_lock(&session->lock);
	given = save->end_given ||
		(save->done && save->tail - save->head <= save->claimed);
	if (!given) {
		save->backs++;
		page = vfio_mig_save_pop_end(session);
	}
	spin_unlock(&session->lock);
	if (page)
		put_page(page);

	return given ? vfio_mig_fail(mig, -ENODATA,
				     "the end of the stream was read") : 0;
}

/**
 * vfio_mig_save_copy_back - the device is back in PRE_COPY
 * @session: current session
 */
void vfio_mig_save_copy_back(struct vfio_mig_session *session)
{
	spin_lock(&session->lock);
	session->save.stop_copy = false;
	session->save.idle = false;
	spin_unlock(&session->lock);
	vfio_mig_session_work(session);
}

/**
 * vfio_mig_save_counts_initial - is the driver's first pass one for the client
 * @session: saving session; state_mutex is held
 *
 * Return: false if there was a pass before, and the client does not know that
 * there can be another (VFIO_PRECOPY_INFO_REINIT).
 */
bool vfio_mig_save_counts_initial(struct vfio_mig_session *session)
{
	return !test_bit(VFIO_MIG_REINITED, &session->flags) ||
	       vfio_mig_info_v2(session->mig);
}

/**
 * vfio_mig_save_reinit - the client learns that a first pass began again
 * @session: current session
 *
 * Rule: the uAPI's "dirty_bytes is also reset to zero".
 */
void vfio_mig_save_reinit(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;

	spin_lock(&session->lock);
	save->reinits++;
	save->told_initial = U64_MAX;
	save->initial_until = save->tail;
	save->unread_initial += save->unread_later;
	save->unread_later = 0;
	spin_unlock(&session->lock);
}
