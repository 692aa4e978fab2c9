// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: a section from the driver's hands into the ring
 *
 * The driver fills pages that become the stream, or donates its own. Headers are
 * kept out of them: they are packed into pages of their own, so that payload starts
 * on a page.
 */
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "session.h"

/**
 * vfio_mig_sink_start - begin a section
 * @session: saving session, whose worker the caller is
 */
void vfio_mig_sink_start(struct vfio_mig_session *session)
{
	struct vfio_mig_sink *sink = &session->save.sink;

	sink->type = 0;
	sink->object = 0;
	sink->length = 0;
	sink->reserved = 0;
}

/**
 * vfio_mig_sink_stock - have spare pages for the whole section
 * @session: saving session, locked, whose worker the caller is
 *
 * All at once, since the lock costs a good part of the copy of a page. If there are
 * not as many, there is none left, and room in the window for new ones: what becomes
 * spare after that is for the next section.
 */
void vfio_mig_sink_stock(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;
	struct vfio_mig_sink *sink = &save->sink;
	struct page *page;

	lockdep_assert_held(&session->lock);
	while (sink->nr < sink->max >> PAGE_SHIFT && save->nr_spare) {
		page = list_first_entry(&save->spare, struct page, lru);
		list_del(&page->lru);
		save->nr_spare--;
		sink->pages[sink->nr++] = page;
	}
}

/**
 * vfio_mig_sink_drop - forget what the driver put in, and give all pages back
 * @session: saving session, whose worker the caller is
 */
void vfio_mig_sink_drop(struct vfio_mig_session *session)
{
	struct vfio_mig_sink *sink = &session->save.sink;

	while (sink->nr)
		put_page(sink->pages[--sink->nr]);
	sink->donated = 0;
	sink->length = 0;
}

/**
 * vfio_mig_sink_section - say what the section is
 * @sink: from save()
 * @type: below &vfio_mig_config.nr_types; 0 unless called
 * @object: for vfio_mig_source_object(); 0 unless called
 *
 * A later section supersedes an earlier one of the same type and object.
 */
void vfio_mig_sink_section(struct vfio_mig_sink *sink, u32 type, u64 object)
{
	sink->type = type;
	sink->object = object;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_section);

/**
 * vfio_mig_sink_room - bytes that the section can still take
 * @sink: from save()
 *
 * Return: bytes; an empty section has room for 16 to 64 KiB, as the window says.
 */
size_t vfio_mig_sink_room(const struct vfio_mig_sink *sink)
{
	return sink->max - sink->length;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_room);

/* Return: whether there are more pages in the sink, for the section or after it. */
static bool vfio_mig_sink_grow(struct vfio_mig_sink *sink)
{
	unsigned int most = sink->max >> PAGE_SHIFT, got;

	got = vfio_mig_alloc_pages(sink->pages + sink->nr, most - sink->nr);
	sink->nr += got;

	return got;
}

/**
 * vfio_mig_sink_reserve - memory of the section to fill in place
 * @sink: from save()
 * @len: set to the number of bytes there, at most a page; a whole page, page
 *	aligned, if all before was committed in whole pages
 *
 * Return: where to write what vfio_mig_sink_commit() then adds; NULL if the
 * section is full; -ENOMEM as ERR_PTR(), for save() to return.
 */
void *vfio_mig_sink_reserve(struct vfio_mig_sink *sink, size_t *len)
{
	size_t used = offset_in_page(sink->length);
	unsigned int at = sink->length >> PAGE_SHIFT;

	if (!vfio_mig_sink_room(sink))
		return NULL;
	if (at == sink->nr && !vfio_mig_sink_grow(sink))
		return ERR_PTR(-ENOMEM);
	*len = PAGE_SIZE - used;
	sink->reserved = *len;

	return page_address(sink->pages[at]) + used;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_reserve);

/**
 * vfio_mig_sink_commit - add what was written to the section
 * @sink: from save()
 * @len: bytes, at most what vfio_mig_sink_reserve() gave
 */
void vfio_mig_sink_commit(struct vfio_mig_sink *sink, size_t len)
{
	if (WARN_ON_ONCE(len > sink->reserved))
		len = sink->reserved;
	sink->length += len;
	sink->reserved -= len;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_commit);

/**
 * vfio_mig_sink_bytes - copy into the section
 * @sink: from save()
 * @from: bytes
 * @len: how many; at most vfio_mig_sink_room()
 *
 * Return: 0, or with nothing copied -ENOMEM, or -ENOSPC if they do not fit.
 */
int vfio_mig_sink_bytes(struct vfio_mig_sink *sink, const void *from,
			size_t len)
{
	size_t before = sink->length;
	size_t given;
	void *to;

	if (len > vfio_mig_sink_room(sink))
		return -ENOSPC;
	while (len) {
		to = vfio_mig_sink_reserve(sink, &given);
		if (IS_ERR(to)) {
			sink->length = before;
			sink->reserved = 0;
			return PTR_ERR(to);
		}
		given = min(given, len);
		memcpy(to, from, given);
		vfio_mig_sink_commit(sink, given);
		from += given;
		len -= given;
	}

	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_bytes);

/**
 * vfio_mig_sink_add_page - add a page of the driver's to the section
 * @sink: from save()
 * @page: whole page, not of kmalloc() or another slab. The core takes references of its own; until
 *	the last of them, and those of pipes and sockets that it handed the page to,
 *	is gone, the page may not change. A driver that has the only reference to it
 *	(page_count() is 1) may write to it; else it has to copy first (B5)
 *
 * Return: 0, -ENOSPC if the section is full, -EINVAL if what was put into it
 * before does not end on a page, or the page is not such a one.
 */
int vfio_mig_sink_add_page(struct vfio_mig_sink *sink, struct page *page)
{
	unsigned int at = sink->length >> PAGE_SHIFT;

	if (offset_in_page(sink->length) || WARN_ON_ONCE(PageSlab(page)))
		return -EINVAL;
	if (vfio_mig_sink_room(sink) < PAGE_SIZE)
		return -ENOSPC;
	/* It takes the place of one in the window. */
	if (at < sink->nr)
		put_page(sink->pages[at]);
	get_page(page);
	__set_bit(at, &sink->donated);
	sink->pages[at] = page;
	sink->nr = max(sink->nr, at + 1);
	sink->length += PAGE_SIZE;
	sink->reserved = 0;

	return 0;
}
EXPORT_SYMBOL_GPL(vfio_mig_sink_add_page);

/**
 * vfio_mig_sink_stock_headers - have room for all headers that a section can take
 * @session: saving session, whose worker the caller is
 *
 * Before the driver is called: what it then puts into the section can be queued
 * without fail. A page of the section will do: the session may hold all memory that
 * there is.
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_sink_stock_headers(struct vfio_mig_session *session)
{
	struct vfio_mig_save *save = &session->save;
	struct vfio_mig_sink *sink = &save->sink;
	struct page *page;

	if (save->header_page &&
	    save->header_used + VFIO_MIG_HEADERS_MAX <= PAGE_SIZE)
		return 0;
	page = alloc_page(VFIO_MIG_GFP);
	if (!page && sink->nr)
		page = sink->pages[--sink->nr];
	if (!page)
		return -ENOMEM;
	if (save->header_page)
		put_page(save->header_page);
	save->header_page = page;
	save->header_used = 0;

	return 0;
}

/*
 * Room for a header, as a chunk without its length's worth of content yet. A
 * chunk's reference keeps the page while others are added to it behind.
 */
static void *vfio_mig_header_space(struct vfio_mig_save *save,
				   struct vfio_mig_chunk *chunk, size_t length)
{
	chunk->page = save->header_page;
	chunk->offset = save->header_used;
	chunk->length = length;
	chunk->payload = false;
	get_page(chunk->page);
	save->header_used += length;

	return page_address(chunk->page) + chunk->offset;
}

/* The session is locked, and vfio_mig_save_room() said that there is room. */
static void vfio_mig_append(struct vfio_mig_save *save,
			    const struct vfio_mig_chunk *chunk)
{
	*vfio_mig_chunk_at(save, save->tail++) = *chunk;
	save->queued += chunk->length;
	save->produced += chunk->length;
	if (chunk->payload)
		save->pages++;
}

/* The first section takes the stream header with it. */
static void vfio_mig_queue_stream_header(struct vfio_mig_session *session)
{
	struct vfio_mig_chunk chunk = { .initial = true };
	struct vfio_mig_save *save = &session->save;
	struct vfio_mig_stream_header *header;

	if (save->started)
		return;
	header = vfio_mig_header_space(save, &chunk, sizeof(*header));
	vfio_mig_fill_stream_header(header, &session->config,
				    save->stream_id);
	spin_lock(&session->lock);
	save->unread_initial += sizeof(*header);
	vfio_mig_append(save, &chunk);
	save->started = true;
	spin_unlock(&session->lock);
}

/* Leaves the sink with pages that nothing is in, for the next section. */
static void vfio_mig_append_payload(struct vfio_mig_save *save, bool initial)
{
	struct vfio_mig_sink *sink = &save->sink;
	size_t left = sink->length;
	unsigned int i;

	for (i = 0; left; i++) {
		struct vfio_mig_chunk chunk = {
			.page = sink->pages[i],
			.length = min_t(size_t, left, PAGE_SIZE),
			.payload = true,
			.donated = test_bit(i, &sink->donated),
			.initial = initial,
		};

		vfio_mig_append(save, &chunk);
		left -= chunk.length;
	}
	memmove(sink->pages, sink->pages + i,
		(sink->nr - i) * sizeof(*sink->pages));
	sink->nr -= i;
	sink->donated >>= i;
}

/**
 * vfio_mig_sink_queue - make the section part of the stream
 * @session: saving session, whose worker the caller is
 * @turn: the call of save() that filled it
 *
 * An empty section is not sent.
 */
void vfio_mig_sink_queue(struct vfio_mig_session *session,
			 const struct vfio_mig_turn *turn)
{
	struct vfio_mig_chunk chunk = {};
	struct vfio_mig_save *save = &session->save;
	struct vfio_mig_sink *sink = &save->sink;
	struct vfio_mig_section_header *header;

	if (!sink->length)
		return;
	vfio_mig_queue_stream_header(session);
	header = vfio_mig_header_space(save, &chunk, sizeof(*header));
	memset(header, 0, sizeof(*header));
	header->type = cpu_to_le32(sink->type);
	header->length = cpu_to_le32(sink->length);
	header->sequence = cpu_to_le64(save->sections);
	header->stream_id = cpu_to_le64(save->stream_id);
	header->object = cpu_to_le64(sink->object);
	header->payload_sum = cpu_to_le64(vfio_mig_sum_pages(sink->pages,
							     sink->length));
	vfio_mig_fill_section_header(header);
	save->sections++;
	save->bytes += sink->length;

	spin_lock(&session->lock);
	/* A reinit since then has had its bytes counted as the new pass's. */
	chunk.initial = turn->initial || save->reinits != turn->reinits;
	vfio_mig_append(save, &chunk);
	vfio_mig_append_payload(save, chunk.initial);
	spin_unlock(&session->lock);
}

/**
 * vfio_mig_sink_queue_end - the device's state is complete
 * @session: saving session, whose worker the caller is
 * @turn: the call of save() that said so; nothing happens if the device has gone
 *	back to PRE_COPY since
 */
void vfio_mig_sink_queue_end(struct vfio_mig_session *session,
			     const struct vfio_mig_turn *turn)
{
	struct {
		struct vfio_mig_section_header header;
		struct vfio_mig_section_end end;
	} *last;
	struct vfio_mig_chunk chunk = {};
	bool gone_back;
	struct vfio_mig_save *save = &session->save;

	vfio_mig_queue_stream_header(session);
	last = vfio_mig_header_space(save, &chunk, sizeof(*last));
	memset(last, 0, sizeof(*last));
	last->end.sections = cpu_to_le64(save->sections);
	last->end.bytes = cpu_to_le64(save->bytes);
	last->header.type = cpu_to_le32(VFIO_MIG_SECTION_END);
	last->header.length = cpu_to_le32(sizeof(last->end));
	last->header.sequence = cpu_to_le64(save->sections);
	last->header.stream_id = cpu_to_le64(save->stream_id);
	last->header.payload_sum =
		cpu_to_le64(xxh64(&last->end, sizeof(last->end), 0));
	vfio_mig_fill_section_header(&last->header);

	static_assert(sizeof(*last) == VFIO_MIG_END_LENGTH);
	spin_lock(&session->lock);
	gone_back = save->backs != turn->backs;
	if (!gone_back) {
		save->unread_later += sizeof(*last);
		vfio_mig_append(save, &chunk);
		save->done = true;
	}
	spin_unlock(&session->lock);
	if (gone_back)
		put_page(chunk.page);
}
