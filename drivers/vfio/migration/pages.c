// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: pages for the data of a section
 *
 * A copy that goes through pages in the order of their addresses is up to three times
 * as fast as one that jumps about, since the CPU fetches ahead. The pages of a section
 * are next to each other wherever that costs nothing, and still pages of their own:
 * each is freed, taken by a driver, or kept by a pipe for itself.
 */
#include <linux/bitops.h>
#include <linux/gfp.h>
#include <linux/mm.h>

#include "session.h"

/* Single pages will do: nothing is reclaimed or compacted for it, no reserve taken. */
#define VFIO_MIG_GFP_BLOCK	((GFP_KERNEL_ACCOUNT & ~__GFP_RECLAIM) | \
				 __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)

/* Return: whether there was a block. */
static bool vfio_mig_alloc_block(struct page **pages, unsigned int order)
{
	struct page *block = alloc_pages(VFIO_MIG_GFP_BLOCK, order);
	unsigned int i;

	if (!block)
		return false;
	split_page(block, order);
	for (i = 0; i < 1u << order; i++)
		pages[i] = block + i;

	return true;
}

/**
 * vfio_mig_alloc_pages - pages, next to each other if possible
 * @pages: filled from its beginning on
 * @nr: how many are of use, at least 1 and at most VFIO_MIG_SECTION_PAGES
 *
 * Only the first is tried hard for: the caller may not need the others, and comes
 * back if it does.
 *
 * Context: process context. They are charged as any that the task allocates.
 * Return: how many there are, each with a reference that is the caller's: at most
 * @nr, 0 for lack of memory.
 */
unsigned int vfio_mig_alloc_pages(struct page **pages, unsigned int nr)
{
	unsigned int order, done;

	for (done = 0; done < nr; done += 1 << order) {
		order = fls(nr - done) - 1;
		if (!order || !vfio_mig_alloc_block(pages + done, order))
			break;
	}
	if (done)
		return done;
	*pages = alloc_page(VFIO_MIG_GFP);

	return *pages ? 1 : 0;
}
