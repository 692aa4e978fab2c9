/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that is counted, charged and made to fail. Pages are small, so that short
 * streams have many of them.
 */
#ifndef _FUZZ_SHIM_MEMORY_H
#define _FUZZ_SHIM_MEMORY_H

#include "lock.h"

#define PAGE_SHIFT		8
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define offset_in_page(p)	((unsigned long)(p) & (PAGE_SIZE - 1))

#define GFP_KERNEL_ACCOUNT	1
#define __GFP_RETRY_MAYFAIL	2
#define __GFP_NOWARN		4

/* The data comes last, where the address sanitizer guards its end. */
struct page {
	unsigned int count;
	u8 data[PAGE_SIZE] __attribute__((aligned(16)));
};

struct mem_cgroup {
	unsigned int count;
};

struct shim_memory {
	unsigned int objects;	/* of kzalloc() */
	unsigned int pages;	/* that nobody but the parser has a reference to */
	unsigned int taken;	/* of them, the driver's now */
	unsigned int limit;	/* of @pages less @taken, which may not be exceeded */
	unsigned int fail;	/* which allocation from now on fails, 0 for none */
	bool failed;
	struct mem_cgroup payer;
	struct mem_cgroup *active;
};

extern struct shim_memory shim_memory;

struct page *alloc_page(gfp_t gfp);
void put_page(struct page *page);
void *kzalloc(size_t size, gfp_t gfp);
void kfree(void *p);

#define page_address(page)	((void *)(page)->data)
#define kmap_local_page(page)	page_address(page)
#define kunmap_local(p)		((void)(p))

struct shim_task {
	void *mm;
	unsigned int flags;
};

#define PF_IO_WORKER		1
#define fatal_signal_pending(task)	((void)(task), false)

extern struct shim_task *current;

static inline struct mem_cgroup *set_active_memcg(struct mem_cgroup *memcg)
{
	return xchg(&shim_memory.active, memcg);
}

static inline struct mem_cgroup *get_mem_cgroup_from_mm(void *mm)
{
	(void)mm;
	shim_memory.payer.count++;
	return &shim_memory.payer;
}

static inline void mem_cgroup_put(struct mem_cgroup *memcg)
{
	memcg->count--;
}

/*
 * User memory: @left bytes, of which the last @bad fault. What was copied from it is
 * overwritten at once, as another thread could do; @good has it for a revert.
 */
struct iov_iter {
	u8 *from;
	const u8 *good;
	size_t left;
	size_t bad;
};

static inline size_t iov_iter_count(const struct iov_iter *i)
{
	return i->left;
}

size_t copy_from_iter(void *to, size_t bytes, struct iov_iter *i);
size_t copy_page_from_iter(struct page *page, size_t at, size_t bytes,
			   struct iov_iter *i);
void iov_iter_revert(struct iov_iter *i, size_t bytes);
/* Anything may happen while user memory is being copied. Provided by the harness. */
void shim_copying(void);

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#define xxh64_state		XXH64_state_s
#define xxh64(from, n, seed)	((u64)XXH64(from, n, seed))
#define xxh64_reset		XXH64_reset
#define xxh64_update		XXH64_update
#define xxh64_digest(state)	((u64)XXH64_digest(state))

#endif
