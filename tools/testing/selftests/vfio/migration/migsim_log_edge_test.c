// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: what VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT does at its edges: a bitmap that cannot
 * be written, ranges and page sizes of any shape, and more writes than the log has memory
 * for. No page that was written is ever missing, and nothing but its bits is written.
 */
#include <linux/pci_regs.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define PAGE		4096ULL
#define IOVA		0x10000000ULL	/* of MAPPED bytes */
#define MAPPED		(16ULL << 20)
#define LOW		0xc0000ULL	/* of LOW_SIZE bytes, as of a PC's ROMs */
#define LOW_SIZE	0xb000ULL

FIXTURE(edge) {
	struct vfm_device *dev;
	u8 *memory;
	u8 *area;	/* three pages, of which the bitmap is one */
	u64 *bitmap;
};

static int log_start(struct vfm_device *dev, u64 iova, u64 length)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = iova, .length = length,
	};
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = PAGE, .num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_START |
			     VFIO_DEVICE_FEATURE_SET, &control, sizeof(control));
}

static int report(struct vfm_device *dev, u64 iova, u64 length, u64 page_size,
		  void *bitmap)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova, .length = length, .page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT |
			     VFIO_DEVICE_FEATURE_GET, &report, sizeof(report));
}

static bool can_log(struct vfm_device *dev)
{
	return __vfm_feature(dev->fd, VFIO_DEVICE_FEATURE_PROBE |
			     VFIO_DEVICE_FEATURE_SET |
			     VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0) != -ENOTTY;
}

static void *pages(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_NE(at, MAP_FAILED);
	return at;
}

FIXTURE_SETUP(edge)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create_small(MIGSIM_FULL);
	if (!can_log(self->dev)) {
		vfm_destroy(self->dev);
		SKIP(return, "a kernel without IOMMUFD_DRIVER");
	}
	self->memory = pages(MAPPED);
	self->area = pages(3 * PAGE);
	self->bitmap = (u64 *)(self->area + PAGE);
	vfm_dma_map(self->dev, IOVA, self->memory, MAPPED);
	vfm_dma_map(self->dev, LOW, self->memory, LOW_SIZE);
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	ASSERT_EQ(0, log_start(self->dev, 0, 1ULL << 32));
}

FIXTURE_TEARDOWN(edge)
{
	vfm_destroy(self->dev);
	munmap(self->memory, MAPPED);
	munmap(self->area, 3 * PAGE);
}

static void dma_write(struct vfm_device *dev, u64 iova, u64 length)
{
	vfm_dma_queue(dev, MIGSIM_DMA_WRITE, iova, 0, length);
	vfm_dma_wait(dev);
}

/* All that is written for a bit is that bit, wherever the bitmap is in its page. */
static void check_canaries(FIXTURE_DATA(edge) *self, u64 *at, u64 want)
{
	u64 *word;

	VFIO_ASSERT_EQ(*at, want);
	*at = 0;
	for (word = (u64 *)self->area; word < (u64 *)(self->area + 3 * PAGE); word++)
		VFIO_ASSERT_EQ(*word, 0, "%zd words behind the bitmap", word - at);
}

static void expect(FIXTURE_DATA(edge) *self, u64 iova, u64 length, u64 page_size,
		   u64 want)
{
	VFIO_ASSERT_EQ(report(self->dev, iova, length, page_size, self->bitmap), 0);
	check_canaries(self, self->bitmap, want);
}

/* What cannot be told stays in the log. */
TEST_F(edge, no_access)
{
	static const int protections[] = { PROT_NONE, PROT_READ };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(protections); i++) {
		dma_write(self->dev, IOVA + 5 * PAGE, 2 * PAGE);
		ASSERT_EQ(0, mprotect(self->bitmap, PAGE, protections[i]));
		ASSERT_EQ(-EFAULT, report(self->dev, IOVA, 64 * PAGE, PAGE,
					  self->bitmap));
		ASSERT_EQ(0, mprotect(self->bitmap, PAGE, PROT_READ | PROT_WRITE));
		expect(self, IOVA, 64 * PAGE, PAGE, 3 << 5);
		expect(self, IOVA, 64 * PAGE, PAGE, 0);
	}
	ASSERT_EQ(-EFAULT, (dma_write(self->dev, IOVA, 1),
			    report(self->dev, IOVA, PAGE, PAGE, NULL)));
	expect(self, IOVA, PAGE, PAGE, 1);
}

/* Its bits are told in the first page or later, also if they are of one write. */
TEST_F(edge, partly_no_access)
{
	u64 *last = (u64 *)(self->area + 2 * PAGE) - 1;
	u64 first;

	dma_write(self->dev, IOVA + 60 * PAGE, 8 * PAGE);
	ASSERT_EQ(0, mprotect(self->area + 2 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(-EFAULT, report(self->dev, IOVA, 128 * PAGE, PAGE, last));
	ASSERT_EQ(0, mprotect(self->area + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	first = *last;
	*last = 0;
	ASSERT_EQ(0, report(self->dev, IOVA, 128 * PAGE, PAGE, last));
	ASSERT_EQ(0xfULL << 60, first | last[0]);
	ASSERT_EQ(0xf, last[1]);
}

TEST_F(edge, no_range)
{
	static const u64 sizes[] = { PAGE, 1ULL << 32, 1ULL << 63 };
	unsigned int i;

	dma_write(self->dev, IOVA, 1);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(-EINVAL, report(self->dev, 0, 0, sizes[i], self->bitmap));
		ASSERT_EQ(-EINVAL, report(self->dev, IOVA, 0, sizes[i],
					  self->bitmap));
		check_canaries(self, self->bitmap, 0);
	}
	ASSERT_EQ(-EOVERFLOW, report(self->dev, -PAGE, 2 * PAGE, PAGE, self->bitmap));
	check_canaries(self, self->bitmap, 0);
	/* The rest of a page would be lost. */
	ASSERT_EQ(-EINVAL, report(self->dev, IOVA, 1, PAGE, self->bitmap));
	ASSERT_EQ(-EINVAL, report(self->dev, IOVA + 2048, PAGE, PAGE, self->bitmap));
	check_canaries(self, self->bitmap, 0);
	expect(self, IOVA, PAGE, PAGE, 1);
}

TEST_F(edge, page_sizes)
{
	static const u64 sizes[] = {
		1 << 16, 2 << 20, 1ULL << 32, 1ULL << 62, 1ULL << 63,
	};
	const u64 last = MAPPED - PAGE;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		dma_write(self->dev, IOVA, PAGE);
		dma_write(self->dev, IOVA + (1 << 20) - PAGE, 1);
		expect(self, IOVA, 1 << 20, sizes[i],
		       1 | 1ULL << ((1 << 20) - PAGE) / sizes[i]);
		if (sizes[i] == 1 << 16)
			continue;
		dma_write(self->dev, IOVA + last, 1);
		expect(self, IOVA, MAPPED, sizes[i], 1ULL << last / sizes[i]);
	}
}

TEST_F(edge, shapes)
{
	static const u64 at[] = { 1, 3, 63, 64, 65, 127, 2047 };
	unsigned int i;

	dma_write(self->dev, LOW, LOW_SIZE);
	expect(self, LOW, LOW_SIZE, PAGE, 0x7ff);
	dma_write(self->dev, LOW + LOW_SIZE - PAGE, 1);
	expect(self, LOW, LOW_SIZE, PAGE, 0x400);
	/* Bits count from the start of what is asked for, be it aligned or not. */
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		dma_write(self->dev, IOVA + (at[i] + 62) * PAGE, 3 * PAGE);
		expect(self, IOVA + at[i] * PAGE, 64 * PAGE, PAGE, 3ULL << 62);
		expect(self, IOVA + (at[i] + 64) * PAGE, 64 * PAGE, PAGE, 1);
		expect(self, IOVA, 64 * PAGE, PAGE, 0);
		dma_write(self->dev, IOVA + (at[i] + 15) * PAGE, 2 * PAGE);
		expect(self, IOVA + at[i] * PAGE, 64 * PAGE, 1 << 16, 3);
	}
}

/* One page at many addresses, of which no two are close to each other. */
#define SPARSE_IOVA	(1ULL << 32)
#define SPARSE_STEP	(8ULL << 20)
#define SPARSE		10000

FIXTURE(bound) {
	struct vfm_device *dev;
	u8 *memory;
	u64 *bitmap;
	char cgroup[128];
};

FIXTURE_VARIANT(bound) {
	u64 room;	/* for the cgroup to grow */
	bool stay;	/* in the cgroup: out of memory, it would be killed */
};

/* More than the log ever takes, but not by much; and less than it would. */
FIXTURE_VARIANT_ADD(bound, own) { .room = 6 << 20, .stay = true };
FIXTURE_VARIANT_ADD(bound, cgroup) { .room = 1 << 20, .stay = false };

static void sparse_map(struct vfm_device *dev, void *memory)
{
	unsigned int i;

	for (i = 0; i < SPARSE; i++)
		vfm_dma_map(dev, SPARSE_IOVA + i * SPARSE_STEP, memory, PAGE);
}

FIXTURE_SETUP(bound)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	if (!vfm_cgroup_make(self->cgroup, sizeof(self->cgroup)))
		SKIP(return, "no cgroup2 with the memory controller");
	/* Who opens the device pays for it. */
	ASSERT_EQ(0, vfm_cgroup_write(self->cgroup, "cgroup.procs", "0"));
	self->dev = vfm_create_small(MIGSIM_FULL);
	if (!can_log(self->dev)) {
		vfm_destroy(self->dev);
		vfm_cgroup_remove(self->cgroup);
		SKIP(return, "a kernel without IOMMUFD_DRIVER");
	}
	self->memory = pages(PAGE);
	self->bitmap = pages(SPARSE * SPARSE_STEP / PAGE / 8);
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	sparse_map(self->dev, self->memory);
	ASSERT_EQ(0, log_start(self->dev, SPARSE_IOVA, SPARSE * SPARSE_STEP));
}

FIXTURE_TEARDOWN(bound)
{
	vfm_destroy(self->dev);
	vfm_cgroup_remove(self->cgroup);
}

static void set_limit(FIXTURE_DATA(bound) *self, u64 more)
{
	char text[32];

	snprintf_assert(text, sizeof(text), "%llu", (unsigned long long)
			vfm_cgroup_read(self->cgroup, "memory.current", NULL) + more);
	VFIO_ASSERT_EQ(vfm_cgroup_write(self->cgroup, "memory.max", text), 0);
}

/* Return: bits of the step whose first page was written, which is always among them. */
static unsigned int step_bits(FIXTURE_DATA(bound) *self, unsigned int step)
{
	const u64 words = SPARSE_STEP / PAGE / 64;
	unsigned int bits = 0, i;

	memset(self->bitmap, 0, words * sizeof(u64));
	VFIO_ASSERT_EQ(report(self->dev, SPARSE_IOVA + step * SPARSE_STEP, SPARSE_STEP,
			      PAGE, self->bitmap), 0);
	for (i = 0; i < words; i++)
		bits += __builtin_popcountll(self->bitmap[i]);
	VFIO_ASSERT_EQ(!bits, !(self->bitmap[0] & 1), "step %u", step);
	return bits;
}

TEST_F_TIMEOUT(bound, memory, 600)
{
	unsigned int i, bits, coarse = 0;

	if (!variant->stay)
		vfm_cgroup_leave();
	set_limit(self, variant->room);
	for (i = 0; i < SPARSE; i++)
		dma_write(self->dev, SPARSE_IOVA + i * SPARSE_STEP, 1);
	ASSERT_GE(vfm_cgroup_read(self->cgroup, "memory.max", NULL),
		  vfm_cgroup_read(self->cgroup, "memory.current", NULL));
	ASSERT_EQ(0, vfm_cgroup_read(self->cgroup, "memory.events", "oom_kill"));
	ASSERT_EQ(0, vfm_cgroup_write(self->cgroup, "memory.max", "max"));
	for (i = 0; i < SPARSE; i++) {
		bits = step_bits(self, i);
		ASSERT_NE(0, bits);
		coarse += bits > 1;
	}
	/* It did run out, and not at once. */
	ASSERT_NE(0, coarse);
	ASSERT_NE(SPARSE, coarse);
	/* What is not told page by page is forgotten when all of it was told at once. */
	ASSERT_EQ(0, report(self->dev, SPARSE_IOVA, SPARSE * SPARSE_STEP, PAGE,
			    self->bitmap));
	for (i = 0; i < SPARSE; i += 100)
		ASSERT_EQ(0, step_bits(self, i));
	/* Now there is memory again. */
	dma_write(self->dev, SPARSE_IOVA + (SPARSE - 1) * SPARSE_STEP, 1);
	ASSERT_EQ(1, step_bits(self, SPARSE - 1));
}

TEST_HARNESS_MAIN
