// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1, C4: migsim's config space, as a VMM or a guest looks at it: sizes of BARs, the
 * list of capabilities, which bits can be written and which cannot, the same in every
 * state of migration.
 */
#include <linux/pci_regs.h>
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define SIZE		256
#define MSI		0x40

FIXTURE(config) {
	struct vfm_device *dev;
	u64 bar_size;
};

FIXTURE_VARIANT(config) {
	u64 state_size;
	u64 bar_size;
};

FIXTURE_VARIANT_ADD(config, none) { 0, 0 };
FIXTURE_VARIANT_ADD(config, page) { 4096, 4096 };
FIXTURE_VARIANT_ADD(config, odd) { 3 * 4096, 4 * 4096 };
FIXTURE_VARIANT_ADD(config, standard) { 64 << 20, 64 << 20 };
FIXTURE_VARIANT_ADD(config, above_4g) { 5ULL << 30, 8ULL << 30 };
FIXTURE_VARIANT_ADD(config, largest) { 1ULL << 38, 1ULL << 38 };

FIXTURE_SETUP(config)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", variant->state_size);
	vfm_open(self->dev);
	self->bar_size = variant->bar_size;
}

FIXTURE_TEARDOWN(config)
{
	vfm_destroy(self->dev);
}

static u32 get(struct vfm_device *dev, unsigned int pos)
{
	u32 value;

	vfm_config_read(dev, pos, &value, sizeof(value));
	return value;
}

static void put(struct vfm_device *dev, unsigned int pos, u32 value)
{
	vfm_config_write(dev, pos, &value, sizeof(value));
}

static u64 region_size(struct vfm_device *dev, u32 index)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = index };

	VFIO_ASSERT_EQ(ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info), 0);
	return info.size;
}

/* As firmware does it. Return: what is left of all ones. */
static u32 size_up(struct vfm_device *dev, unsigned int pos)
{
	u32 old = get(dev, pos), mask;

	put(dev, pos, ~0U);
	mask = get(dev, pos);
	put(dev, pos, old);
	VFIO_ASSERT_EQ(get(dev, pos), old);
	return mask;
}

static u32 bar_mask(struct vfm_device *dev, unsigned int bar)
{
	return size_up(dev, PCI_BASE_ADDRESS_0 + 4 * bar);
}

TEST_F(config, bars)
{
	const u32 flags = PCI_BASE_ADDRESS_SPACE_MEMORY |
			  PCI_BASE_ADDRESS_MEM_TYPE_64 |
			  PCI_BASE_ADDRESS_MEM_PREFETCH;
	u64 mask;

	ASSERT_EQ(0xfffff000, bar_mask(self->dev, 0));
	ASSERT_EQ(MIGSIM_REGS_SIZE, region_size(self->dev, 0));
	ASSERT_EQ(self->bar_size, region_size(self->dev, 2));
	mask = bar_mask(self->dev, 2) | (u64)bar_mask(self->dev, 3) << 32;
	if (self->bar_size) {
		ASSERT_EQ(flags, mask & ~PCI_BASE_ADDRESS_MEM_MASK);
		ASSERT_EQ(self->bar_size,
			  ~(mask & PCI_BASE_ADDRESS_MEM_MASK) + 1);
	} else {
		ASSERT_EQ(0, mask);
	}
	ASSERT_EQ(0, bar_mask(self->dev, 1));
	ASSERT_EQ(0, bar_mask(self->dev, 4));
	ASSERT_EQ(0, bar_mask(self->dev, 5));
	ASSERT_EQ(0, size_up(self->dev, PCI_ROM_ADDRESS));
	ASSERT_EQ(0, region_size(self->dev, 1));
	ASSERT_EQ(0, region_size(self->dev, 4));
	ASSERT_EQ(0, region_size(self->dev, 5));
	ASSERT_EQ(0, region_size(self->dev, VFIO_PCI_ROM_REGION_INDEX));
	ASSERT_EQ(SIZE, region_size(self->dev, VFIO_PCI_CONFIG_REGION_INDEX));
}

TEST_F(config, header)
{
	u32 want[SIZE / 4] = {
		[PCI_VENDOR_ID / 4] = MIGSIM_PCI_VENDOR | MIGSIM_PCI_DEVICE << 16,
		[PCI_COMMAND / 4] = PCI_STATUS_CAP_LIST << 16,
		[PCI_CLASS_REVISION / 4] = 0x08800000 | MIGSIM_VERSION,
		[PCI_BASE_ADDRESS_2 / 4] = self->bar_size ? 0xc : 0,
		[PCI_SUBSYSTEM_VENDOR_ID / 4] =
			MIGSIM_PCI_VENDOR | MIGSIM_PCI_DEVICE << 16,
		[PCI_CAPABILITY_LIST / 4] = MSI,
		[PCI_INTERRUPT_LINE / 4] = 1 << 8,
		[MSI / 4] = PCI_CAP_ID_MSI | PCI_MSI_FLAGS_64BIT << 16,
	};
	unsigned int i;

	for (i = 0; i < SIZE; i += 4) {
		ASSERT_EQ(want[i / 4], get(self->dev, i)) {
			TH_LOG("at %#x", i);
		}
	}
}

/* From the status bit to the end of the list, where there is one capability. */
TEST_F(config, capabilities)
{
	u16 status, flags;
	u8 pos, cap[2];

	vfm_config_read(self->dev, PCI_STATUS, &status, sizeof(status));
	ASSERT_EQ(PCI_STATUS_CAP_LIST, status);
	vfm_config_read(self->dev, PCI_CAPABILITY_LIST, &pos, 1);
	ASSERT_LE(0x40, pos);
	ASSERT_EQ(0, pos & 3);
	vfm_config_read(self->dev, pos, cap, sizeof(cap));
	ASSERT_EQ(PCI_CAP_ID_MSI, cap[PCI_CAP_LIST_ID]);
	ASSERT_EQ(0, cap[PCI_CAP_LIST_NEXT]);
	vfm_config_read(self->dev, pos + PCI_MSI_FLAGS, &flags, sizeof(flags));
	/* A 64-bit address, one vector, no mask, not enabled. */
	ASSERT_EQ(PCI_MSI_FLAGS_64BIT, flags);
}

/* What can be written, by the datasheet and the PCI specification. */
static void fill_mask(u8 *mask, u64 bar_size)
{
	u32 *dword = (u32 *)mask;
	const u64 bar = bar_size ? ~(bar_size - 1) & PCI_BASE_ADDRESS_MEM_MASK : 0;

	memset(mask, 0, SIZE);
	dword[PCI_COMMAND / 4] = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
				 PCI_COMMAND_INTX_DISABLE;
	mask[PCI_CACHE_LINE_SIZE] = 0xff;
	dword[PCI_BASE_ADDRESS_0 / 4] = 0xfffff000;
	dword[PCI_BASE_ADDRESS_2 / 4] = bar;
	dword[PCI_BASE_ADDRESS_3 / 4] = bar >> 32;
	mask[PCI_INTERRUPT_LINE] = 0xff;
	mask[MSI + PCI_MSI_FLAGS] = PCI_MSI_FLAGS_ENABLE;
	dword[(MSI + PCI_MSI_ADDRESS_LO) / 4] = ~3U;
	dword[(MSI + PCI_MSI_ADDRESS_HI) / 4] = ~0U;
	mask[MSI + PCI_MSI_DATA_64] = 0xff;
	mask[MSI + PCI_MSI_DATA_64 + 1] = 0xff;
}

/* One access, of which only those bits have an effect, and nothing else has one. */
static void check_write(struct vfm_device *dev, const u8 *mask, unsigned int pos,
			unsigned int width, u32 value)
{
	u8 want[SIZE], have[SIZE], *byte = (u8 *)&value;
	unsigned int i;

	vfm_config_read(dev, 0, want, SIZE);
	for (i = 0; i < width; i++)
		want[pos + i] = (want[pos + i] & ~mask[pos + i]) |
				(byte[i] & mask[pos + i]);
	vfm_config_write(dev, pos, &value, width);
	vfm_config_read(dev, 0, have, SIZE);
	for (i = 0; i < SIZE; i++)
		VFIO_ASSERT_EQ(have[i], want[i], "byte %#x, %#x written in %u bytes at %#x",
			       i, value, width, pos);
}

static void check_all_writes(struct vfm_device *dev, u64 bar_size)
{
	static const u32 values[] = { ~0U, 0, 0xa5a5a5a5, 0x5a5a5a5a, 0 };
	unsigned int pos, width, i;
	u8 mask[SIZE];

	fill_mask(mask, bar_size);
	for (width = 1; width <= 4; width *= 2)
		for (pos = 0; pos < SIZE; pos += width)
			for (i = 0; i < ARRAY_SIZE(values); i++)
				check_write(dev, mask, pos, width, values[i]);
}

TEST_F(config, what_can_be_written)
{
	check_all_writes(self->dev, self->bar_size);
}

/* A VMM writes config space to a destination that has not begun to run. */
TEST_F(config, in_every_state)
{
	u32 state;
	int fd;

	for (state = 0; state < VFM_NR_STATES; state++) {
		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, state);
		check_all_writes(self->dev, self->bar_size);
		vfm_assert_state(self->dev, state);
		if (fd >= 0)
			close(fd);
	}
}

/* Reset leaves it to the VMM, who opens it next begins anew. */
TEST_F(config, reset_and_reopen)
{
	u8 fresh[SIZE], want[SIZE], have[SIZE];
	unsigned int pos;

	vfm_config_read(self->dev, 0, fresh, SIZE);
	for (pos = 0; pos < SIZE; pos += 4)
		put(self->dev, pos, ~0U);
	vfm_config_read(self->dev, 0, want, SIZE);
	ASSERT_NE(0, memcmp(want, fresh, SIZE));
	vfm_reset(self->dev);
	vfm_config_read(self->dev, 0, have, SIZE);
	ASSERT_EQ(0, memcmp(want, have, SIZE));
	vfm_reopen(self->dev);
	vfm_config_read(self->dev, 0, have, SIZE);
	ASSERT_EQ(0, memcmp(fresh, have, SIZE));
}

TEST_F(config, beyond_the_end)
{
	const u64 at = self->dev->config.offset;
	u64 value = 0;

	ASSERT_EQ(4, pread(self->dev->fd, &value, 8, at + SIZE - 4));
	ASSERT_EQ(4, pwrite(self->dev->fd, &value, 8, at + SIZE - 4));
	ASSERT_EQ(-1, pread(self->dev->fd, &value, 4, at + SIZE));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, pwrite(self->dev->fd, &value, 4, at + SIZE));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, pread(self->dev->fd, &value, 4, at + 4096));
	ASSERT_EQ(EINVAL, errno);
}

TEST_HARNESS_MAIN
