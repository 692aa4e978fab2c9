// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: what DMA has written, for VFIO_DEVICE_FEATURE_DMA_LOGGING_*
 *
 * No page that was written is ever missing from a report, whatever happens; one that was
 * not may be in it. There are two sets of what was written:
 *
 * - Pages of the CPU by IOVA, in entries for 32 pages each. They take memory as they are
 *   written, which the opener of the device pays for, MIGSIM_LOG_MAX entries at most.
 * - Chunks, a fixed number, which the logged addresses are divided into. One is marked
 *   for a page that there is no entry for, as there are too many or no memory is to be
 *   had. All pages of it may have been written then. It is only forgotten by a report of
 *   all its pages.
 *
 * A report erases before it tells, so that what is written meanwhile is for the next one.
 * iova_bitmap_set() does not tell whether it could: before anything is erased, the
 * caller's bitmap is made sure to be writable where its bits will be.
 *
 * Kernels without IOMMUFD_DRIVER pretend to have the bitmap but refuse every report: there
 * the device offers no log, and the container's own dirty tracking does the job, as
 * vfio_dma_rw() tells it what was written.
 */
#include <asm/syscall.h>
#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/kconfig.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "migsim.h"

/* As MODULE_IMPORT_NS(), whose argument became a string in 6.13. */
MODULE_INFO(import_ns, "IOMMUFD");

/* 1 GiB at best; in any case less than 5 MiB for the log itself. */
#define MIGSIM_LOG_MAX		8192

/* An entry: it has to fit into the value of an XArray. */
#define MIGSIM_LOG_PAGES	32
#define MIGSIM_LOG_SHIFT	(PAGE_SHIFT + 5)

/* Rather no memory than an OOM kill of who pays, or long reclaim under the lock. */
#define MIGSIM_LOG_GFP		(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)

/**
 * struct migsim_log_reader - a report
 * @log: of the device
 * @dirty: to tell of pages
 * @iova: of the first bit
 * @last: address that is asked for
 * @shift: bytes of a bit, as a power of two
 * @starts: &migsim_dma_log.starts when it began
 * @bitmap: the caller's
 * @writable: page of it that was looked at last
 */
struct migsim_log_reader {
	struct migsim_dma_log *log;
	struct iova_bitmap *dirty;
	unsigned long iova;
	unsigned long last;
	unsigned int shift;
	unsigned long starts;
	unsigned long bitmap;
	unsigned long writable;
};

static unsigned long migsim_log_chunk(const struct migsim_dma_log *log,
				      unsigned long iova)
{
	return (iova >> log->shift) - (log->first >> log->shift);
}

/* Return: -ENOSPC or -ENOMEM if the page is to be noted in another way. */
static int migsim_log_page(struct migsim_dma_log *log, unsigned long iova)
{
	unsigned long index = iova >> MIGSIM_LOG_SHIFT;
	unsigned long bit = (iova >> PAGE_SHIFT) % MIGSIM_LOG_PAGES;
	void *old = xa_load(&log->pages, index);
	unsigned long written = old ? xa_to_value(old) : 0;
	int ret;

	if (!old && log->nr == MIGSIM_LOG_MAX)
		return -ENOSPC;
	ret = xa_err(xa_store(&log->pages, index, xa_mk_value(written | BIT(bit)),
			      MIGSIM_LOG_GFP));
	if (!ret && !old)
		log->nr++;

	return ret;
}

/**
 * migsim_dma_log - DMA may have written to a page
 * @sim: device
 * @iova: address in the page
 *
 * After the write: a report in between would take the page for clean.
 */
void migsim_dma_log(struct migsim_dev *sim, u64 iova)
{
	struct migsim_dma_log *log = &sim->dma_log;

	if (!READ_ONCE(log->on))
		return;
	mutex_lock(&log->lock);
	if (log->on && iova >= log->first && iova <= log->last &&
	    migsim_log_page(log, iova))
		__set_bit(migsim_log_chunk(log, iova), log->chunks);
	mutex_unlock(&log->lock);
}

static void migsim_log_clear(struct migsim_dma_log *log)
{
	lockdep_assert_held(&log->lock);
	xa_destroy(&log->pages);
	log->nr = 0;
	bitmap_zero(log->chunks, MIGSIM_LOG_CHUNKS);
}

/* From the first address to the last one of all ranges. */
static int migsim_log_span(struct migsim_dma_log *log,
			   const struct rb_root_cached *ranges)
{
	log->first = rb_entry(rb_first_cached(ranges),
			      struct interval_tree_node, rb)->start;
	log->last = rb_entry(ranges->rb_root.rb_node,
			     struct interval_tree_node, rb)->__subtree_last;
	log->shift = PAGE_SHIFT;
	if (log->last < log->first)
		return -EINVAL;
	while (migsim_log_chunk(log, log->last) >= MIGSIM_LOG_CHUNKS)
		log->shift++;

	return 0;
}

static int migsim_log_start(struct vfio_device *vdev,
			    struct rb_root_cached *ranges, u32 nnodes,
			    u64 *page_size)
{
	struct migsim_dma_log *log = &migsim_from_vdev(vdev)->dma_log;
	int ret = -EINVAL;

	mutex_lock(&log->lock);
	if (!log->on)
		ret = migsim_log_span(log, ranges);
	if (!ret) {
		migsim_log_clear(log);
		WRITE_ONCE(log->starts, log->starts + 1);
		WRITE_ONCE(log->on, true);
		*page_size = PAGE_SIZE;
	}
	mutex_unlock(&log->lock);

	return ret;
}

static int migsim_log_stop(struct vfio_device *vdev)
{
	migsim_dma_log_end(migsim_from_vdev(vdev));

	return 0;
}

/*
 * vfio.ko keeps the address of the bitmap to itself, so it is taken from where vfio.ko
 * has it from: the ioctl that the caller is in. A caller that changes it meanwhile only
 * deceives itself.
 */
static int migsim_log_find_bitmap(struct migsim_log_reader *reader, u64 length)
{
	struct vfio_device_feature_dma_logging_report report;
	struct vfio_device_feature __user *arg;
	struct vfio_device_feature head;
	unsigned long args[6];

	syscall_get_arguments(current, task_pt_regs(current), args);
	arg = (void __user *)args[2];
	if (copy_from_user(&head, arg, sizeof(head)) ||
	    copy_from_user(&report, arg->data, sizeof(report)))
		return -EFAULT;
	if ((head.flags & VFIO_DEVICE_FEATURE_MASK) !=
	    VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT ||
	    report.iova != reader->iova || report.length != length ||
	    !is_power_of_2(report.page_size))
		return -EFAULT;
	reader->shift = ilog2(report.page_size);
	reader->bitmap = report.bitmap;

	return 0;
}

static unsigned long migsim_log_byte(const struct migsim_log_reader *reader,
				     unsigned long iova)
{
	return reader->bitmap +
	       ((iova - reader->iova) >> reader->shift) / BITS_PER_BYTE;
}

/* As iova_bitmap_set() will do it. Return: 0, -EFAULT, or -EINTR on a fatal signal. */
static int migsim_log_writable(struct migsim_log_reader *reader,
			       unsigned long iova, unsigned long last)
{
	unsigned long at = migsim_log_byte(reader, iova) & PAGE_MASK;
	unsigned long end = migsim_log_byte(reader, last);
	struct page *page;

	for (; at <= end; at += PAGE_SIZE) {
		if (at == reader->writable)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		if (pin_user_pages_fast(at, 1, FOLL_WRITE, &page) != 1)
			return -EFAULT;
		unpin_user_page(page);
		reader->writable = at;
		cond_resched();
	}

	return 0;
}

/* Which of the pages of an entry are asked for. */
static u32 migsim_log_asked(const struct migsim_log_reader *reader,
			    unsigned long index)
{
	unsigned long page = index * MIGSIM_LOG_PAGES;
	unsigned long from = max(page, reader->iova >> PAGE_SHIFT);
	unsigned long to = min(page + MIGSIM_LOG_PAGES - 1,
			       reader->last >> PAGE_SHIFT);

	return GENMASK(to - page, from - page);
}

/* Return: which of these pages were written, and are told of now. */
static unsigned long migsim_log_take(struct migsim_dma_log *log,
				     unsigned long index, unsigned long asked)
{
	unsigned long written = 0;
	void *entry;

	mutex_lock(&log->lock);
	entry = xa_load(&log->pages, index);
	if (entry)
		written = xa_to_value(entry);
	/* In the place of what is there, which takes no memory. */
	if (written & ~asked)
		xa_store(&log->pages, index, xa_mk_value(written & ~asked),
			 MIGSIM_LOG_GFP);
	else if (entry && xa_erase(&log->pages, index))
		log->nr--;
	mutex_unlock(&log->lock);

	return written & asked;
}

static int migsim_log_tell_entry(struct migsim_log_reader *reader,
				 unsigned long index, unsigned long written)
{
	unsigned long iova = index << MIGSIM_LOG_SHIFT, from, to;
	int ret;

	written &= migsim_log_asked(reader, index);
	if (!written)
		return 0;
	ret = migsim_log_writable(reader, iova + (__ffs(written) << PAGE_SHIFT),
				  iova + (__fls(written) << PAGE_SHIFT));
	if (ret)
		return ret;
	written = migsim_log_take(reader->log, index, written);
	for_each_set_bitrange(from, to, &written, MIGSIM_LOG_PAGES)
		iova_bitmap_set(reader->dirty, iova + (from << PAGE_SHIFT),
				(to - from) << PAGE_SHIFT);

	return 0;
}

/* User memory is touched with no lock held. */
static int migsim_log_tell_pages(struct migsim_log_reader *reader)
{
	unsigned long last = reader->last >> MIGSIM_LOG_SHIFT, index;
	void *entry;
	int ret;

	xa_for_each_range(&reader->log->pages, index, entry,
			  reader->iova >> MIGSIM_LOG_SHIFT, last) {
		ret = migsim_log_tell_entry(reader, index, xa_to_value(entry));
		if (ret)
			return ret;
		cond_resched();
	}

	return 0;
}

/**
 * struct migsim_log_range - a chunk that is marked
 * @chunk: its number
 * @from: address in it that is asked for
 * @to: the last one
 * @whole: all of the chunk is asked for
 */
struct migsim_log_range {
	unsigned long chunk;
	unsigned long from;
	unsigned long to;
	bool whole;
};

/* From @range->chunk on. Return: whether there is one. */
static bool migsim_log_next_chunk(const struct migsim_log_reader *reader,
				  struct migsim_log_range *range)
{
	struct migsim_dma_log *log = reader->log;
	unsigned long first, last;
	bool found = false;

	mutex_lock(&log->lock);
	range->chunk = find_next_bit(log->chunks, MIGSIM_LOG_CHUNKS, range->chunk);
	if (log->on && range->chunk < MIGSIM_LOG_CHUNKS) {
		first = (range->chunk + (log->first >> log->shift)) << log->shift;
		last = first + (1UL << log->shift) - 1;
		range->from = max3(first, log->first, reader->iova);
		range->to = min3(last, log->last, reader->last);
		range->whole = range->from == max(first, log->first) &&
			       range->to == min(last, log->last);
		found = true;
	}
	mutex_unlock(&log->lock);

	return found;
}

/* The chunk is the present log's: another one begun meanwhile has others. */
static bool migsim_log_forget_chunk(struct migsim_log_reader *reader,
				    const struct migsim_log_range *range)
{
	struct migsim_dma_log *log = reader->log;
	bool same;

	mutex_lock(&log->lock);
	same = log->starts == reader->starts;
	if (same && range->whole)
		__clear_bit(range->chunk, log->chunks);
	mutex_unlock(&log->lock);

	return same;
}

static int migsim_log_tell_chunks(struct migsim_log_reader *reader)
{
	struct migsim_log_range range = {};
	int ret;

	for (; migsim_log_next_chunk(reader, &range); range.chunk++) {
		if (range.from > range.to)
			continue;
		ret = migsim_log_writable(reader, range.from, range.to);
		if (ret)
			return ret;
		if (!migsim_log_forget_chunk(reader, &range))
			return -EINVAL;
		iova_bitmap_set(reader->dirty, range.from,
				range.to - range.from + 1);
		cond_resched();
	}

	return 0;
}

/* Of a page that is asked for in part, the rest would be forgotten. */
static int migsim_log_read_and_clear(struct vfio_device *vdev,
				     unsigned long iova, unsigned long length,
				     struct iova_bitmap *dirty)
{
	struct migsim_log_reader reader = {
		.log = &migsim_from_vdev(vdev)->dma_log,
		.dirty = dirty,
		.iova = iova,
		.last = iova + length - 1,
		.writable = ULONG_MAX,
	};
	int ret;

	reader.starts = READ_ONCE(reader.log->starts);
	if (!READ_ONCE(reader.log->on) || !length ||
	    offset_in_page(iova) || offset_in_page(length))
		return -EINVAL;
	ret = migsim_log_find_bitmap(&reader, length);
	if (ret)
		return ret;

	return migsim_log_tell_pages(&reader) ?: migsim_log_tell_chunks(&reader);
}

static const struct vfio_log_ops migsim_log_ops = {
	.log_start = migsim_log_start,
	.log_stop = migsim_log_stop,
	.log_read_and_clear = migsim_log_read_and_clear,
};

/**
 * migsim_dma_log_init - offer a log where the kernel can report it
 * @sim: new device
 */
void migsim_dma_log_init(struct migsim_dev *sim)
{
	mutex_init(&sim->dma_log.lock);
	xa_init_flags(&sim->dma_log.pages, XA_FLAGS_ACCOUNT);
	if (IS_ENABLED(CONFIG_IOMMUFD_DRIVER))
		sim->vdev.log_ops = &migsim_log_ops;
}

/**
 * migsim_dma_log_end - what was written is of no interest any more
 * @sim: device
 */
void migsim_dma_log_end(struct migsim_dev *sim)
{
	struct migsim_dma_log *log = &sim->dma_log;

	mutex_lock(&log->lock);
	WRITE_ONCE(log->on, false);
	migsim_log_clear(log);
	mutex_unlock(&log->lock);
}
