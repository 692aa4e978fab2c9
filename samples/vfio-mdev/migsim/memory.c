// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: device memory
 *
 * A page that was never written has a pattern made from the seed and its index,
 * and takes no memory, so that big devices are cheap. Written pages are in an
 * xarray. A page is dirty if it was sent and written since; pages that the first
 * pass has not come to yet are not, as it will send them anyway.
 *
 * Written pages are donated to the stream, and loaded ones come out of it. Somebody
 * may therefore still hold a reference to a page, in a pipe for example: such a page
 * is not written to but replaced by a copy.
 *
 * New pages come out of blocks, as a device's memory is in one piece: whoever copies
 * it goes through it in order, which CPUs are best at.
 *
 * state_hash is the sum over the written pages that differ from the pattern,
 * which does not depend on the order or history of writes, plus a hash of the
 * small state.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xxhash.h>

#include "migsim.h"

#define MIGSIM_WORDS	(PAGE_SIZE / sizeof(u64))

/* A failed allocation is the caller's ENOMEM, without a splat or a kill. */
#define MIGSIM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* Pages in a block, as a power of two; none is worth much trouble. */
#define MIGSIM_BLOCK_ORDER	4
#define MIGSIM_BLOCK_GFP	((GFP_KERNEL_ACCOUNT & ~__GFP_RECLAIM) | \
				 __GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)

/**
 * migsim_mix - a number that looks random, made from another one
 * @value: any
 *
 * Return: the same for the same @value.
 */
u64 migsim_mix(u64 value)
{
	value += 0x9e3779b97f4a7c15ULL;
	value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93ULL;
	value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93ULL;

	return value ^ (value >> 32);
}

static u64 migsim_pattern_start(u64 seed, unsigned long index)
{
	return migsim_mix(seed ^ migsim_mix(index));
}

static void migsim_pattern_fill(u64 seed, unsigned long index, u64 *page)
{
	u64 word = migsim_pattern_start(seed, index);
	u64 step = word | 1;
	unsigned int i;

	for (i = 0; i < MIGSIM_WORDS; i++, word += step)
		page[i] = word;
}

static bool migsim_pattern_equal(u64 seed, unsigned long index, const u64 *page)
{
	u64 word = migsim_pattern_start(seed, index);
	u64 step = word | 1;
	unsigned int i;

	for (i = 0; i < MIGSIM_WORDS; i++, word += step)
		if (page[i] != word)
			return false;

	return true;
}

/**
 * migsim_memory_init - a device with no page written
 * @sim: new device
 */
void migsim_memory_init(struct migsim_dev *sim)
{
	xa_init_flags(&sim->memory.pages, XA_FLAGS_ACCOUNT);
	sim->memory.nr_pages = sim->config.state_size >> PAGE_SHIFT;
	sim->memory.seed = sim->config.seed;
}

static bool migsim_block_make(struct migsim_memory *memory)
{
	struct page *block = alloc_pages(MIGSIM_BLOCK_GFP, MIGSIM_BLOCK_ORDER);

	if (!block)
		return false;
	split_page(block, MIGSIM_BLOCK_ORDER);
	memory->block = block;
	memory->nr_block = 1 << MIGSIM_BLOCK_ORDER;

	return true;
}

static void *migsim_page_new(struct migsim_memory *memory)
{
	if (!memory->nr_block && !migsim_block_make(memory))
		return (void *)__get_free_page(MIGSIM_GFP);
	memory->nr_block--;

	return page_address(memory->block++);
}

static void migsim_block_drop(struct migsim_memory *memory)
{
	while (memory->nr_block) {
		memory->nr_block--;
		put_page(memory->block++);
	}
}

/**
 * migsim_memory_drop - forget all writes
 * @sim: device; memory_lock is held, or nobody else knows it
 */
void migsim_memory_drop(struct migsim_dev *sim)
{
	unsigned long index;
	void *page;

	migsim_unmap_all(sim);
	xa_for_each(&sim->memory.pages, index, page) {
		put_page(virt_to_page(page));
		cond_resched();
	}
	xa_destroy(&sim->memory.pages);
	migsim_block_drop(&sim->memory);
	sim->memory.nr_dirty = 0;
}

/**
 * migsim_memory_reset - memory and registers as after power on
 * @sim: device
 */
void migsim_memory_reset(struct migsim_dev *sim)
{
	struct migsim_memory *memory = &sim->memory;

	mutex_lock(&sim->memory_lock);
	migsim_memory_drop(sim);
	memory->seed = sim->config.seed;
	memory->nr_pages = sim->config.state_size >> PAGE_SHIFT;
	memory->ticks = 0;
	memory->int_status = 0;
	memory->int_enable = 0;
	memset(memory->scratch, 0, sizeof(memory->scratch));
	memory->tracking = false;
	memory->sent = 0;
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_page_find - a page that was written
 * @sim: device; memory_lock is held
 * @index: of the page
 *
 * Return: the page, without a reference of its own; NULL if it has its pattern.
 */
struct page *migsim_page_find(struct migsim_dev *sim, unsigned long index)
{
	void *page = xa_load(&sim->memory.pages, index);

	lockdep_assert_held(&sim->memory_lock);

	return page ? virt_to_page(page) : NULL;
}

/**
 * migsim_page_read - a whole page
 * @sim: device; memory_lock is held
 * @index: of the page
 * @to: page aligned memory for it
 */
void migsim_page_read(struct migsim_dev *sim, unsigned long index, void *to)
{
	void *page = xa_load(&sim->memory.pages, index);

	lockdep_assert_held(&sim->memory_lock);
	if (page)
		memcpy(to, page, PAGE_SIZE);
	else
		migsim_pattern_fill(sim->memory.seed, index, to);
}

/* Put a page in the place of the one before, whose reference goes. */
static int migsim_page_insert(struct migsim_dev *sim, unsigned long index,
			      void *page)
{
	void *old;

	migsim_unmap_page(sim, index);
	old = xa_store(&sim->memory.pages, index, page, MIGSIM_GFP);

	if (xa_is_err(old))
		return xa_err(old);
	if (old)
		put_page(virt_to_page(old));

	return 0;
}

static void *migsim_page_copy(struct migsim_dev *sim, unsigned long index)
{
	void *copy;

	copy = migsim_page_new(&sim->memory);
	if (!copy)
		return NULL;
	migsim_page_read(sim, index, copy);
	if (migsim_page_insert(sim, index, copy)) {
		free_page((unsigned long)copy);
		return NULL;
	}

	return copy;
}

/* The page, the device's alone, to be written to. Its dirty mark stays. */
static void *migsim_page_own(struct migsim_dev *sim, unsigned long index)
{
	void *page = xa_load(&sim->memory.pages, index);

	lockdep_assert_held(&sim->memory_lock);

	return page && page_count(virt_to_page(page)) == 1 ? page :
	       migsim_page_copy(sim, index);
}

/**
 * migsim_page_make - a page that is there also if it was never written
 * @sim: device; memory_lock is held
 * @index: of the page
 *
 * Return: the page, without a reference of its own, or NULL without memory.
 */
struct page *migsim_page_make(struct migsim_dev *sim, unsigned long index)
{
	void *page = xa_load(&sim->memory.pages, index);

	lockdep_assert_held(&sim->memory_lock);
	page = page ?: migsim_page_copy(sim, index);

	return page ? virt_to_page(page) : NULL;
}

/**
 * migsim_page_adopt - replace a whole page by what was loaded
 * @sim: device; memory_lock is held
 * @index: of the page
 * @page: page that nobody else knows; the reference is taken over
 *
 * A page that equals its pattern is not kept.
 * Return: 0 or -ENOMEM.
 */
int migsim_page_adopt(struct migsim_dev *sim, unsigned long index,
		      struct page *page)
{
	void *old;
	int ret;

	lockdep_assert_held(&sim->memory_lock);
	if (!migsim_pattern_equal(sim->memory.seed, index, page_address(page))) {
		ret = migsim_page_insert(sim, index, page_address(page));
		if (ret)
			put_page(page);
		return ret;
	}
	put_page(page);
	migsim_unmap_page(sim, index);
	old = xa_erase(&sim->memory.pages, index);
	if (old)
		put_page(virt_to_page(old));

	return 0;
}

static void migsim_page_written(struct migsim_dev *sim, unsigned long index)
{
	struct migsim_memory *memory = &sim->memory;

	if (!memory->tracking || index >= memory->sent ||
	    xa_get_mark(&memory->pages, index, MIGSIM_DIRTY))
		return;
	xa_set_mark(&memory->pages, index, MIGSIM_DIRTY);
	memory->nr_dirty++;
}

/**
 * migsim_page_touch - a page is about to be written to
 * @sim: device that runs; memory_lock is held
 * @index: of the page
 *
 * Return: the page, the device's alone, or NULL without memory.
 */
struct page *migsim_page_touch(struct migsim_dev *sim, unsigned long index)
{
	void *page = migsim_page_own(sim, index);

	if (!page)
		return NULL;
	migsim_page_written(sim, index);

	return virt_to_page(page);
}

/**
 * migsim_memory_read - bytes of device memory
 * @sim: device; memory_lock is held
 * @pos: where; beyond the memory there are zeroes
 * @to: where to
 * @len: how many, all in one page
 *
 * Return: 0 or -ENOMEM.
 */
int migsim_memory_read(struct migsim_dev *sim, u64 pos, void *to, size_t len)
{
	unsigned long index = pos >> PAGE_SHIFT;
	void *page;

	lockdep_assert_held(&sim->memory_lock);
	if (index >= sim->memory.nr_pages) {
		memset(to, 0, len);
		return 0;
	}
	page = xa_load(&sim->memory.pages, index);
	if (page) {
		memcpy(to, page + offset_in_page(pos), len);
		return 0;
	}
	page = (void *)__get_free_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	migsim_pattern_fill(sim->memory.seed, index, page);
	memcpy(to, page + offset_in_page(pos), len);
	free_page((unsigned long)page);

	return 0;
}

/**
 * migsim_memory_write - change device memory
 * @sim: device; memory_lock is held
 * @pos: where; beyond the memory nothing happens
 * @from: bytes
 * @len: how many, all in one page
 *
 * Dropped if the device is stopped.
 * Return: 0 or -ENOMEM.
 */
int migsim_memory_write(struct migsim_dev *sim, u64 pos, const void *from,
			size_t len)
{
	unsigned long index = pos >> PAGE_SHIFT;
	struct page *page;

	lockdep_assert_held(&sim->memory_lock);
	if (!sim->memory.running || index >= sim->memory.nr_pages)
		return 0;
	page = migsim_page_touch(sim, index);
	if (!page)
		return -ENOMEM;
	memcpy(page_address(page) + offset_in_page(pos), from, len);

	return 0;
}

static void migsim_track_reset(struct migsim_dev *sim, bool on)
{
	struct migsim_memory *memory = &sim->memory;
	unsigned long index;
	void *page;

	lockdep_assert_held(&sim->memory_lock);
	xa_for_each_marked(&memory->pages, index, page, MIGSIM_DIRTY)
		xa_clear_mark(&memory->pages, index, MIGSIM_DIRTY);
	memory->nr_dirty = 0;
	memory->sent = 0;
	memory->tracking = on;
}

/**
 * migsim_track - begin or end noting what becomes dirty, with no page sent yet
 * @sim: device
 * @on: begin
 */
void migsim_track(struct migsim_dev *sim, bool on)
{
	mutex_lock(&sim->memory_lock);
	migsim_track_reset(sim, on);
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_track_on - note what becomes dirty, with the pages sent so far
 * @sim: device
 */
void migsim_track_on(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	sim->memory.tracking = true;
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_track_again - begin again with no page sent, if anything is noted at all
 * @sim: device
 */
void migsim_track_again(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	if (sim->memory.tracking) {
		migsim_track_reset(sim, true);
		/* Nobody may count the pages before that is known. */
		vfio_mig_reinit(sim->mig);
	}
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_dirty_next - find a dirty page
 * @sim: device; memory_lock is held
 * @from: where to begin; the search wraps around
 *
 * Return: index of a dirty page, or ULONG_MAX.
 */
unsigned long migsim_dirty_next(struct migsim_dev *sim, unsigned long from)
{
	unsigned long index = from;

	lockdep_assert_held(&sim->memory_lock);
	if (!sim->memory.nr_dirty)
		return ULONG_MAX;
	if (xa_find(&sim->memory.pages, &index, ULONG_MAX, MIGSIM_DIRTY))
		return index;
	index = 0;
	if (xa_find(&sim->memory.pages, &index, ULONG_MAX, MIGSIM_DIRTY))
		return index;

	return ULONG_MAX;
}

/**
 * migsim_dirty_clear - a page is about to be sent
 * @sim: device; memory_lock is held
 * @index: of the page
 */
void migsim_dirty_clear(struct migsim_dev *sim, unsigned long index)
{
	struct migsim_memory *memory = &sim->memory;

	lockdep_assert_held(&sim->memory_lock);
	if (!xa_get_mark(&memory->pages, index, MIGSIM_DIRTY))
		return;
	xa_clear_mark(&memory->pages, index, MIGSIM_DIRTY);
	memory->nr_dirty--;
}

/**
 * migsim_small_hash - the part of the hash that is not of the memory
 * @sim: device; memory_lock is held
 *
 * Return: what migsim_memory_sum() is to be added to.
 */
u64 migsim_small_hash(struct migsim_dev *sim)
{
	const struct migsim_memory *memory = &sim->memory;
	struct migsim_section_regs regs;
	u64 where[2] = { memory->seed, memory->nr_pages };

	lockdep_assert_held(&sim->memory_lock);
	migsim_regs_save(sim, &regs);
	/* Others may give tokens to a device that is accepting still. */
	regs.tokens = 0;
	regs.tokens_lost = 0;

	return xxh64(&regs, sizeof(regs), xxh64(where, sizeof(where), 0));
}

/**
 * migsim_memory_sum - the part of the hash that is of the memory
 * @sim: device; memory_lock is held
 *
 * Costs as much as was written.
 * Return: the sum.
 */
u64 migsim_memory_sum(struct migsim_dev *sim)
{
	struct migsim_memory *memory = &sim->memory;
	unsigned long index;
	void *page;
	u64 sum = 0;

	lockdep_assert_held(&sim->memory_lock);
	xa_for_each(&memory->pages, index, page) {
		if (!migsim_pattern_equal(memory->seed, index, page))
			sum += xxh64(page, PAGE_SIZE, index);
		cond_resched();
	}

	return sum;
}

/**
 * migsim_state_hash - equal for devices with equal state, whatever their history
 * @sim: device; memory_lock is held
 *
 * Return: the hash.
 */
u64 migsim_state_hash(struct migsim_dev *sim)
{
	return migsim_small_hash(sim) + migsim_memory_sum(sim);
}
