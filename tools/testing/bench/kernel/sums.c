// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums compared in the kernel that they would be used in
 *
 * To read xxh64 or crc32c in debugfs, under vfio-mig-sums, runs that checksum over a
 * buffer, in sections of 64 KiB by pages of 4 KiB, as the migration core does, and
 * tells the bytes, the nanoseconds and something that depends on the result.
 */
#include <linux/crc32c.h>
#include <linux/debugfs.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>
#include <linux/xxhash.h>

#define SUMS_BUFFER	SZ_32M
#define SUMS_SECTION	SZ_64K
#define SUMS_PAGE	SZ_4K

static u8 *sums_buffer;
static struct dentry *sums_dir;

static u64 sums_xxh64(const u8 *section)
{
	struct xxh64_state state;
	unsigned int i;

	xxh64_reset(&state, 0);
	for (i = 0; i < SUMS_SECTION; i += SUMS_PAGE)
		xxh64_update(&state, section + i, SUMS_PAGE);

	return xxh64_digest(&state);
}

static u64 sums_crc32c(const u8 *section)
{
	unsigned int i;
	u32 crc = ~0;

	for (i = 0; i < SUMS_SECTION; i += SUMS_PAGE)
		crc = crc32c(crc, section + i, SUMS_PAGE);

	return ~crc;
}

static void sums_run(struct seq_file *m, u64 (*sum)(const u8 *section))
{
	u64 start = ktime_get_ns(), all = 0;
	size_t i;

	for (i = 0; i < SUMS_BUFFER; i += SUMS_SECTION) {
		all += sum(sums_buffer + i);
		cond_resched();
	}
	seq_printf(m, "%u %llu %llx\n", SUMS_BUFFER, ktime_get_ns() - start,
		   all);
}

static int xxh64_show(struct seq_file *m, void *unused)
{
	sums_run(m, sums_xxh64);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(xxh64);

static int crc32c_show(struct seq_file *m, void *unused)
{
	sums_run(m, sums_crc32c);

	return 0;
}
DEFINE_SHOW_ATTRIBUTE(crc32c);

static int __init sums_init(void)
{
	size_t i;

	sums_buffer = vmalloc(SUMS_BUFFER);
	if (!sums_buffer)
		return -ENOMEM;
	for (i = 0; i < SUMS_BUFFER; i++)
		sums_buffer[i] = (i * 0x9e3779b1) >> 13;
	sums_dir = debugfs_create_dir("vfio-mig-sums", NULL);
	debugfs_create_file("xxh64", 0400, sums_dir, NULL, &xxh64_fops);
	debugfs_create_file("crc32c", 0400, sums_dir, NULL, &crc32c_fops);

	return 0;
}

static void __exit sums_exit(void)
{
	debugfs_remove(sums_dir);
	vfree(sums_buffer);
}

module_init(sums_init);
module_exit(sums_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Checksums compared");
MODULE_AUTHOR("The VFIO migration core developers");
