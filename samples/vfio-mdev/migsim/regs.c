// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: the registers in BAR0, and how they travel
 *
 * A register has 64 bits, and is accessed as a whole or by halves. Writes have their
 * effect when the half, or the whole, is written.
 */
#include <linux/build_bug.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "migsim.h"

static_assert(offsetof(struct migsim_section_regs, dma.queue) == MIGSIM_REGS_PAYLOAD);

/* Registers of device memory, workload and interrupts. */
static u64 migsim_reg_read_own(const struct migsim_dev *sim, u64 reg)
{
	const struct migsim_memory *memory = &sim->memory;
	u64 scratch = (reg - MIGSIM_REG_SCRATCH) / sizeof(u64);

	switch (reg) {
	case MIGSIM_REG_MAGIC:
		return MIGSIM_MAGIC | (u64)MIGSIM_VERSION << 32;
	case MIGSIM_REG_STATE_SIZE:
		return (u64)memory->nr_pages << PAGE_SHIFT;
	case MIGSIM_REG_SEED:
		return memory->seed;
	case MIGSIM_REG_TICKS:
		return memory->ticks;
	case MIGSIM_REG_INT_STATUS:
		return memory->int_status;
	case MIGSIM_REG_INT_ENABLE:
		return memory->int_enable;
	default:
		return scratch < MIGSIM_NR_SCRATCH ? memory->scratch[scratch] : 0;
	}
}

static u64 migsim_ring_reg_read(struct migsim_dev *sim, u64 reg)
{
	struct migsim_ring_state ring;

	migsim_ring_get(sim, &ring);
	switch (reg) {
	case MIGSIM_REG_TOKENS:
		return ring.tokens;
	case MIGSIM_REG_TOKENS_LOST:
		return ring.lost;
	default:
		return ring.position;
	}
}

static u64 migsim_reg_read(struct migsim_dev *sim, u64 reg)
{
	if (reg >= MIGSIM_REG_DMA_IOVA && reg <= MIGSIM_REG_DMA_ERROR)
		return migsim_dma_reg_read(sim, reg);
	if (reg >= MIGSIM_REG_TOKENS && reg <= MIGSIM_REG_POSITION)
		return migsim_ring_reg_read(sim, reg);

	return migsim_reg_read_own(sim, reg);
}

/* Where a register is kept that is no more than what was written to it. */
static u64 *migsim_reg_plain(struct migsim_dev *sim, u64 reg)
{
	u64 scratch = (reg - MIGSIM_REG_SCRATCH) / sizeof(u64);

	return scratch < MIGSIM_NR_SCRATCH ? &sim->memory.scratch[scratch] :
					     migsim_dma_reg(sim, reg);
}

/* @value has what was written at the place where it was written, and else zeroes. */
static void migsim_reg_act(struct migsim_dev *sim, u64 reg, u64 value)
{
	struct migsim_memory *memory = &sim->memory;

	switch (reg) {
	case MIGSIM_REG_RECONFIG:
		memory->reconfigured = true;
		break;
	case MIGSIM_REG_INT_STATUS:
		memory->int_status &= ~value;
		migsim_irq_update(sim);
		break;
	case MIGSIM_REG_INT_ENABLE:
		memory->int_enable = value & MIGSIM_INT_ALL;
		migsim_irq_update(sim);
		break;
	case MIGSIM_REG_INT_RAISE:
		migsim_irq_raise(sim, value & MIGSIM_INT_ALL);
		break;
	case MIGSIM_REG_DMA_COMMAND:
		migsim_dma_queue(sim, value);
		break;
	}
}

static void migsim_reg_write(struct migsim_dev *sim, u64 pos, const void *from,
			     size_t len)
{
	u64 reg = round_down(pos, sizeof(u64)), value = 0;
	u64 *plain = migsim_reg_plain(sim, reg);

	if (!sim->memory.running)
		return;
	if (plain) {
		memcpy((u8 *)plain + pos % sizeof(u64), from, len);
		return;
	}
	/* The upper halves of the others mean nothing. */
	if (pos != reg)
		return;
	memcpy(&value, from, len);
	migsim_reg_act(sim, reg, value);
}

/**
 * migsim_regs_access - read or write registers
 * @sim: device; memory_lock is held
 * @pos: where
 * @buf: bytes
 * @len: how many
 * @write: from @buf
 *
 * Return: 0, or -EINVAL if that is not a register or half of one.
 */
int migsim_regs_access(struct migsim_dev *sim, u64 pos, void *buf, size_t len,
		       bool write)
{
	u64 value;

	lockdep_assert_held(&sim->memory_lock);
	if ((len != 4 && len != 8) || pos % len)
		return -EINVAL;
	if (write) {
		migsim_reg_write(sim, pos, buf, len);
		return 0;
	}
	value = migsim_reg_read(sim, round_down(pos, sizeof(u64)));
	memcpy(buf, (u8 *)&value + pos % sizeof(u64), len);

	return 0;
}

/**
 * migsim_regs_length - how much of the registers is payload
 * @regs: registers, untrusted but for that they end with zeroes
 *
 * Return: bytes, or 0 if there can be no such registers.
 */
size_t migsim_regs_length(const struct migsim_section_regs *regs)
{
	u64 nr = le64_to_cpu(regs->dma.nr);

	return nr <= MIGSIM_DMA_DEPTH ?
	       MIGSIM_REGS_PAYLOAD + nr * sizeof(regs->dma.queue[0]) : 0;
}

/**
 * migsim_regs_save - all registers, and what is behind them
 * @sim: device; memory_lock is held
 * @regs: filled in
 */
void migsim_regs_save(struct migsim_dev *sim, struct migsim_section_regs *regs)
{
	const struct migsim_memory *memory = &sim->memory;
	struct migsim_ring_state ring;
	unsigned int i;

	lockdep_assert_held(&sim->memory_lock);
	memset(regs, 0, sizeof(*regs));
	regs->ticks = cpu_to_le64(memory->ticks);
	regs->int_status = cpu_to_le64(memory->int_status);
	regs->int_enable = cpu_to_le64(memory->int_enable);
	for (i = 0; i < MIGSIM_NR_SCRATCH; i++)
		regs->scratch[i] = cpu_to_le64(memory->scratch[i]);
	migsim_ring_get(sim, &ring);
	regs->tokens = cpu_to_le64(ring.tokens);
	regs->tokens_lost = cpu_to_le64(ring.lost);
	regs->position = cpu_to_le64(ring.position);
	migsim_dma_save(sim, &regs->dma);
}

/**
 * migsim_regs_load - the other way
 * @sim: stopped device; memory_lock is held
 * @regs: untrusted
 *
 * Return: 0, or -EINVAL if no device can have such registers.
 */
int migsim_regs_load(struct migsim_dev *sim,
		     const struct migsim_section_regs *regs)
{
	struct migsim_memory *memory = &sim->memory;
	struct migsim_ring_state ring = {
		.tokens = le64_to_cpu(regs->tokens),
		.lost = le64_to_cpu(regs->tokens_lost),
		.position = le64_to_cpu(regs->position),
	};
	unsigned int i;
	int ret;

	lockdep_assert_held(&sim->memory_lock);
	if (le64_to_cpu(regs->int_status) & ~MIGSIM_INT_ALL ||
	    le64_to_cpu(regs->int_enable) & ~MIGSIM_INT_ALL ||
	    le64_to_cpu(regs->verify) > 1)
		return -EINVAL;
	ret = migsim_dma_load(sim, &regs->dma);
	if (ret)
		return ret;
	memory->ticks = le64_to_cpu(regs->ticks);
	memory->int_status = le64_to_cpu(regs->int_status);
	memory->int_enable = le64_to_cpu(regs->int_enable);
	for (i = 0; i < MIGSIM_NR_SCRATCH; i++)
		memory->scratch[i] = le64_to_cpu(regs->scratch[i]);
	migsim_ring_set(sim, &ring);

	return 0;
}
