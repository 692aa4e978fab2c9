// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device that is loaded. It compares all that it is given with what the judge has
 * read in the same stream: every section of a known type, once, in order, with just
 * these bytes, however it takes them.
 *
 * A byte of the plan says what it does with a section: how it takes it (3 bits), how
 * often it puts it off before (2 bits); from FUZZ_REFUSES on it fails instead.
 */
#include <shim/file.h>

#include "session.h"
#include "fuzz.h"

#define FUZZ_REFUSES	0xe0
/* Puts it off after it took a page of it, which a driver may not. */
#define FUZZ_TWICE	0xff

struct fuzz_driver fuzz_driver;

static u8 fuzz_manner(const struct fuzz_plan *plan, unsigned int nth)
{
	/* Not the same for ever, or long streams would all be refused. */
	if (nth >= 2 * sizeof(plan->driver))
		return nth & 0x1f;
	return plan->driver[nth % sizeof(plan->driver)];
}

int fuzz_driver_errno(const struct fuzz_plan *plan, unsigned int nth,
		      size_t length)
{
	u8 manner = fuzz_manner(plan, nth);

	if (manner == FUZZ_TWICE)
		return length >= PAGE_SIZE ? -EIO : 0;
	if (manner < FUZZ_REFUSES)
		return 0;
	switch (manner & 3) {
	case 0:
		return -EINVAL;
	case 1:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

/* What load() says then. What is not its to say becomes EIO. */
static int fuzz_refuse(struct vfio_mig *mig, u8 manner)
{
	static const int said[4] = { -EINVAL, -ENOMEM, -EIO, -EAGAIN };

	return vfio_mig_fail(mig, said[manner & 3], "the plan wants it, %d",
			     manner);
}

static const struct fuzz_section *fuzz_due(void)
{
	const struct fuzz_verdict *verdict = fuzz_driver.verdict;
	unsigned int i = fuzz_driver.next;

	while (i < verdict->nr && !verdict->sections[i].for_driver)
		i++;
	if (i == verdict->nr)
		shim_die("the driver is given more than there is");
	return &verdict->sections[i];
}

static void fuzz_same(const struct fuzz_section *due, const void *got, size_t at,
		      size_t n)
{
	if (memcmp(got, due->payload + at, n))
		shim_die("wrong bytes at %zu of the section at %llu", at,
			 due->offset);
}

static void fuzz_take_bytes(struct vfio_mig_source *source,
			    const struct fuzz_section *due, size_t n)
{
	size_t at = due->length - vfio_mig_source_left(source);
	u8 *got = malloc(n + 1);

	if (vfio_mig_source_bytes(source, got, n))
		shim_die("%zu bytes are not there", n);
	fuzz_same(due, got, at, n);
	free(got);
}

static bool fuzz_take_page(struct vfio_mig_source *source,
			   const struct fuzz_section *due)
{
	size_t left = vfio_mig_source_left(source);
	size_t at = due->length - left;
	struct page *page = vfio_mig_source_take_page(source);

	if (!page && !(at % PAGE_SIZE) && left >= PAGE_SIZE)
		shim_die("no page at %zu", at);
	if (!page)
		return false;
	fuzz_same(due, page->data, at, PAGE_SIZE);
	/* It is the driver's alone. */
	if (page->count != 1)
		shim_die("%u hold a page that was taken", page->count);
	memset(page->data, 0xdd, PAGE_SIZE);
	fuzz_driver.taken[fuzz_driver.nr_taken++] = page;
	shim_memory.pages--;
	return true;
}

/* One byte too many is refused, with nothing taken. */
static void fuzz_take_too_many(struct vfio_mig_source *source)
{
	size_t left = vfio_mig_source_left(source);
	u8 *got = malloc(left + 1);

	if (vfio_mig_source_bytes(source, got, left + 1) != -EINVAL ||
	    vfio_mig_source_left(source) != left)
		shim_die("%zu bytes of %zu were taken", left + 1, left);
	free(got);
}

static void fuzz_consume(struct vfio_mig_source *source,
			 const struct fuzz_section *due, u8 manner)
{
	size_t left;

	if ((manner & 7) == 6)
		fuzz_take_too_many(source);
	while ((left = vfio_mig_source_left(source))) {
		switch (manner & 7) {
		case 1:
			fuzz_take_bytes(source, due, min_t(size_t, left, 13));
			break;
		case 2:
			if (!fuzz_take_page(source, due))
				fuzz_take_bytes(source, due, left);
			break;
		case 3:
			fuzz_take_page(source, due);
			left = vfio_mig_source_left(source);
			fuzz_take_bytes(source, due, min_t(size_t, left, PAGE_SIZE));
			break;
		case 4:
			fuzz_take_bytes(source, due, left / 2);
			return;
		case 5:
			return;
		default:
			fuzz_take_bytes(source, due, left);
			break;
		}
	}
}

static void fuzz_compare(const struct vfio_mig_source *source,
			 const struct fuzz_section *due)
{
	if (vfio_mig_source_type(source) != le32toh(due->header->type) ||
	    vfio_mig_source_object(source) != le64toh(due->header->object) ||
	    vfio_mig_source_left(source) != due->length)
		shim_die("another section than that at %llu", due->offset);
}

static int fuzz_later(void)
{
	fuzz_driver.idled++;
	fuzz_driver.wants_kick = true;
	return VFIO_MIG_IDLE;
}

int fuzz_load(struct vfio_mig *mig, struct vfio_mig_source *source)
{
	const struct fuzz_section *due = fuzz_due();
	u8 manner = fuzz_manner(fuzz_driver.plan, fuzz_driver.consumed);

	if (fuzz_driver.refused)
		shim_die("load() again, after it refused");
	fuzz_compare(source, due);
	if (manner < FUZZ_REFUSES && fuzz_driver.idled < (manner >> 3 & 3)) {
		/* Whatever was read, it comes again. */
		fuzz_take_bytes(source, due, due->length / 3);
		return fuzz_later();
	}
	if (manner == FUZZ_TWICE && fuzz_take_page(source, due)) {
		fuzz_driver.refused = true;
		return fuzz_later();
	}
	if (manner >= FUZZ_REFUSES && manner != FUZZ_TWICE) {
		fuzz_driver.refused = true;
		return fuzz_refuse(mig, manner);
	}
	fuzz_consume(source, due, manner);
	fuzz_driver.next = due - fuzz_driver.verdict->sections + 1;
	fuzz_driver.consumed++;
	fuzz_driver.idled = 0;
	return VFIO_MIG_MORE;
}

void fuzz_driver_free(void)
{
	struct page *page;

	while (fuzz_driver.nr_taken) {
		page = fuzz_driver.taken[--fuzz_driver.nr_taken];
		shim_memory.pages++;
		put_page(page);
	}
}
