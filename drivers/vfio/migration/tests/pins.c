// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: who holds which pages
 *
 * A test takes a reference of its own to pages that the core has, does something
 * about the core, and sees that its own are the only ones left.
 */
#include <linux/mm.h>

#include "fake.h"

/**
 * migt_pin - take a reference to a page
 * @fake: device
 * @pins: gets it
 * @page: the page
 */
void migt_pin(struct migt_fake *fake, struct migt_pins *pins, struct page *page)
{
	if (pins->nr == MIGT_PINS) {
		KUNIT_FAIL(fake->test, "too many pages");
		return;
	}
	get_page(page);
	pins->page[pins->nr++] = page;
}

static void migt_pin_saving(struct migt_fake *fake, struct migt_pins *pins)
{
	struct vfio_mig_save *save = &migt_session(fake->file)->save;
	unsigned long i;
	struct page *page;

	for (i = save->head; i != save->tail; i++)
		migt_pin(fake, pins, vfio_mig_chunk_at(save, i)->page);
	list_for_each_entry(page, &save->spare, lru)
		migt_pin(fake, pins, page);
	if (save->header_page)
		migt_pin(fake, pins, save->header_page);
}

static void migt_pin_section(struct migt_fake *fake, struct migt_pins *pins,
			     const struct vfio_mig_section *section)
{
	unsigned int i;

	for (i = 0; i < VFIO_MIG_SECTION_PAGES; i++)
		if (section->pages[i])
			migt_pin(fake, pins, section->pages[i]);
}

static void migt_pin_resuming(struct migt_fake *fake, struct migt_pins *pins)
{
	struct vfio_mig_load *load = &migt_session(fake->file)->load;
	struct vfio_mig_section *section;

	list_for_each_entry(section, &load->sections, node)
		migt_pin_section(fake, pins, section);
	if (load->section)
		migt_pin_section(fake, pins, load->section);
}

/**
 * migt_pin_session - take references to all pages of a session
 * @fake: device, whose session has neither a worker nor a reader or writer now
 * @pins: gets them
 */
void migt_pin_session(struct migt_fake *fake, struct migt_pins *pins)
{
	if (migt_session(fake->file)->saving)
		migt_pin_saving(fake, pins);
	else
		migt_pin_resuming(fake, pins);
}

static unsigned int migt_count_pins(const struct migt_pins *pins,
				    const struct page *page)
{
	unsigned int i, n = 0;

	for (i = 0; i < pins->nr; i++)
		n += pins->page[i] == page;

	return n;
}

/**
 * migt_expect_only_pins - see that nobody else has the pages any more
 * @fake: device
 * @pins: given up, all of them
 */
void migt_expect_only_pins(struct migt_fake *fake, struct migt_pins *pins)
{
	unsigned int i;

	for (i = 0; i < pins->nr; i++)
		KUNIT_EXPECT_EQ_MSG(fake->test, page_count(pins->page[i]),
				    migt_count_pins(pins, pins->page[i]),
				    "page %u of %u", i, pins->nr);
	while (pins->nr)
		put_page(pins->page[--pins->nr]);
}
