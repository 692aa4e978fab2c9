// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: the registers of migsim are accessed as the datasheet says, which is
 * Documentation/driver-api/migsim-registers.rst.
 */
#include <linux/pci_regs.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define SEED		0x1122334455667788ULL
#define STATE_SIZE	(4 * 4096ULL)

enum access {
	READ,		/* writes have no effect */
	WRITE,		/* reads as zero */
	BITS,		/* three bits */
	CLEAR,		/* bits, of which those written as 1 are cleared */
	PLAIN,		/* what was written, as a whole or by halves */
};

static const struct reg {
	u64 at;
	enum access access;
	u64 fresh;
} regs[] = {
	{ MIGSIM_REG_MAGIC,	 READ, MIGSIM_MAGIC | (u64)MIGSIM_VERSION << 32 },
	{ MIGSIM_REG_STATE_SIZE, READ, STATE_SIZE },
	{ MIGSIM_REG_SEED,	 READ, SEED },
	{ MIGSIM_REG_TICKS,	 READ, 0 },
	{ MIGSIM_REG_RECONFIG,	 WRITE, 0 },
	{ MIGSIM_REG_INT_STATUS, CLEAR, 0 },
	{ MIGSIM_REG_INT_ENABLE, BITS, 0 },
	{ MIGSIM_REG_INT_RAISE,	 WRITE, 0 },
	{ 0x40,			 PLAIN, 0 },
	{ 0x48,			 PLAIN, 0 },
	{ 0x50,			 PLAIN, 0 },
	{ 0x58,			 PLAIN, 0 },
	{ 0x60,			 PLAIN, 0 },
	{ 0x68,			 PLAIN, 0 },
	{ 0x70,			 PLAIN, 0 },
	{ 0x78,			 PLAIN, 0 },
	{ MIGSIM_REG_DMA_IOVA,	 PLAIN, 0 },
	{ MIGSIM_REG_DMA_OFFSET, PLAIN, 0 },
	{ MIGSIM_REG_DMA_LENGTH, PLAIN, 0 },
	{ MIGSIM_REG_DMA_COMMAND, WRITE, 0 },
	{ MIGSIM_REG_DMA_QUEUED, READ, 0 },
	{ MIGSIM_REG_DMA_DONE,	 READ, 0 },
	{ MIGSIM_REG_DMA_FAILED, READ, 0 },
	{ MIGSIM_REG_DMA_ERROR,	 READ, 0 },
	{ MIGSIM_REG_TOKENS,	 READ, 5 },
	{ MIGSIM_REG_TOKENS_LOST, READ, 0 },
	{ MIGSIM_REG_POSITION,	 READ, 0 },
};

FIXTURE(regs) {
	struct vfm_device *dev;
};

FIXTURE_SETUP(regs)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", STATE_SIZE);
	vfm_attr_set(self->dev, "seed", SEED);
	vfm_attr_set(self->dev, "token_count", 5);
	vfm_open(self->dev);
	vfm_reset(self->dev);
}

FIXTURE_TEARDOWN(regs)
{
	vfm_destroy(self->dev);
}

static const struct reg *reg_at(u64 at)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(regs); i++)
		if (regs[i].at == at)
			return &regs[i];
	return NULL;
}

static u32 half(struct vfm_device *dev, u64 at)
{
	u32 value;

	VFIO_ASSERT_EQ(__vfm_bar_read(dev, MIGSIM_BAR_REGS, at, &value, 4), 4);
	return value;
}

static void write_half(struct vfm_device *dev, u64 at, u32 value)
{
	VFIO_ASSERT_EQ(__vfm_bar_write(dev, MIGSIM_BAR_REGS, at, &value, 4), 4);
}

static void check_fresh(struct vfm_device *dev)
{
	const struct reg *reg;
	u64 at, want;

	for (at = 0; at < MIGSIM_REGS_SIZE; at += 8) {
		reg = reg_at(at);
		want = reg ? reg->fresh : 0;
		VFIO_ASSERT_EQ(vfm_reg_read(dev, at), want, "at %#llx",
			       (unsigned long long)at);
		VFIO_ASSERT_EQ(half(dev, at), (u32)want);
		VFIO_ASSERT_EQ(half(dev, at + 4), want >> 32);
	}
}

/* What is not listed reads as zero, also behind a write. */
TEST_F(regs, fresh)
{
	u64 at;

	check_fresh(self->dev);
	for (at = 0; at < MIGSIM_REGS_SIZE; at += 8)
		if (!reg_at(at))
			vfm_reg_write(self->dev, at, ~0ULL);
	check_fresh(self->dev);
}

TEST_F(regs, read_only)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		if (regs[i].access != READ)
			continue;
		vfm_reg_write(self->dev, regs[i].at, ~0ULL);
		write_half(self->dev, regs[i].at, 0);
		write_half(self->dev, regs[i].at + 4, ~0U);
	}
	check_fresh(self->dev);
}

TEST_F(regs, plain)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(regs); i++) {
		if (regs[i].access != PLAIN)
			continue;
		vfm_reg_write(self->dev, regs[i].at, SEED + i);
		ASSERT_EQ(SEED + i, vfm_reg_read(self->dev, regs[i].at));
		write_half(self->dev, regs[i].at, i);
		ASSERT_EQ((SEED >> 32 << 32) + i,
			  vfm_reg_read(self->dev, regs[i].at));
		write_half(self->dev, regs[i].at + 4, ~i);
		ASSERT_EQ((u64)~i << 32 | i, vfm_reg_read(self->dev, regs[i].at));
	}
	vfm_reset(self->dev);
	check_fresh(self->dev);
}

TEST_F(regs, bits)
{
	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE, ~0ULL);
	ASSERT_EQ(MIGSIM_INT_ALL, vfm_reg_read(self->dev, MIGSIM_REG_INT_ENABLE));
	write_half(self->dev, MIGSIM_REG_INT_ENABLE, 5);
	write_half(self->dev, MIGSIM_REG_INT_ENABLE + 4, 2);
	ASSERT_EQ(5, vfm_reg_read(self->dev, MIGSIM_REG_INT_ENABLE));
	/* Only reasons that there are can be raised, and by the lower half. */
	vfm_reg_write(self->dev, MIGSIM_REG_INT_RAISE, ~0ULL << 3);
	write_half(self->dev, MIGSIM_REG_INT_RAISE + 4, ~0U);
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	vfm_reg_write(self->dev, MIGSIM_REG_INT_RAISE, ~0ULL);
	ASSERT_EQ(MIGSIM_INT_ALL, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_RAISE));
}

TEST_F(regs, one_clears)
{
	vfm_reg_write(self->dev, MIGSIM_REG_INT_RAISE, 7);
	vfm_reg_write(self->dev, MIGSIM_REG_INT_STATUS, 0);
	ASSERT_EQ(7, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	vfm_reg_write(self->dev, MIGSIM_REG_INT_STATUS, 2);
	ASSERT_EQ(5, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	write_half(self->dev, MIGSIM_REG_INT_STATUS + 4, ~0U);
	ASSERT_EQ(5, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	write_half(self->dev, MIGSIM_REG_INT_STATUS, ~0U);
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
}

/* A register or a half of it at a time; several in one call are one after the other. */
TEST_F(regs, widths)
{
	u8 buf[32] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const int bar = MIGSIM_BAR_REGS, at = MIGSIM_REG_SCRATCH;
	unsigned int offset, len;

	for (len = 1; len < 4; len++)
		for (offset = 0; offset < 8; offset++) {
			ASSERT_EQ(-EINVAL, __vfm_bar_read(self->dev, bar,
							  at + offset, buf, len));
			ASSERT_EQ(-EINVAL, __vfm_bar_write(self->dev, bar,
							   at + offset, buf, len));
		}
	for (offset = 1; offset < 8; offset++)
		for (len = 4; len <= 8 && offset != 4; len += 4) {
			ASSERT_EQ(-EINVAL, __vfm_bar_read(self->dev, bar,
							  at + offset, buf, len));
			ASSERT_EQ(-EINVAL, __vfm_bar_write(self->dev, bar,
							   at + offset, buf, len));
		}
	check_fresh(self->dev);
	ASSERT_EQ(32, __vfm_bar_read(self->dev, bar, 0, buf, 32));
	ASSERT_EQ(SEED, ((u64 *)buf)[2]);
	ASSERT_EQ(8, __vfm_bar_read(self->dev, bar, 4, buf, 8));
	ASSERT_EQ(MIGSIM_VERSION, ((u32 *)buf)[0]);
	ASSERT_EQ(STATE_SIZE, ((u32 *)buf)[1]);
	/* The end of a call that cannot be: what came before is done. */
	ASSERT_EQ(12, __vfm_bar_read(self->dev, bar, 0, buf, 14));
	ASSERT_EQ(4, __vfm_bar_read(self->dev, bar, 4092, buf, 8));
	ASSERT_EQ(-EINVAL, __vfm_bar_read(self->dev, bar, 4096, buf, 4));
	ASSERT_EQ(-EINVAL, __vfm_bar_write(self->dev, bar, 4096, buf, 4));
}

static bool runs_in(u32 state)
{
	return state == VFM_RUNNING || state == VFM_RUNNING_P2P ||
	       state == VFM_PRE_COPY || state == VFM_PRE_COPY_P2P;
}

static void write_all(struct vfm_device *dev)
{
	u64 at;

	for (at = 0; at < MIGSIM_REGS_SIZE; at += 8) {
		vfm_reg_write(dev, at, MIGSIM_DMA_READ);
		write_half(dev, at, MIGSIM_DMA_READ);
		write_half(dev, at + 4, ~0U);
	}
}

/* Where it does not run, it answers, and drops what is written. */
TEST_F(regs, stopped)
{
	u32 state;
	int fd;

	for (state = 0; state < VFM_NR_STATES; state++) {
		vfm_reset(self->dev);
		fd = vfm_enter(self->dev, state);
		vfm_reg_write(self->dev, MIGSIM_REG_SCRATCH, 1);
		if (runs_in(state)) {
			ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_SCRATCH));
		} else {
			write_all(self->dev);
			check_fresh(self->dev);
		}
		if (fd >= 0)
			close(fd);
	}
}

/* VFIO leaves decoding to the VMM: here BARs answer, whatever the command says. */
TEST_F(regs, memory_bit)
{
	vfm_command_write(self->dev, 0);
	vfm_reg_write(self->dev, MIGSIM_REG_SCRATCH, 1);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_SCRATCH));
	vfm_command_write(self->dev, PCI_COMMAND_MEMORY);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_SCRATCH));
}

TEST_HARNESS_MAIN
