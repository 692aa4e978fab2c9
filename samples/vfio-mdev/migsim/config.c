// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: config space
 *
 * A conventional PCI function with two memory BARs, an interrupt pin and the MSI
 * capability. It answers in every state of migration: a VMM moves config space by
 * itself and writes it to the destination while the device is stopped there.
 */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pci_ids.h>
#include <linux/unaligned.h>

#include "migsim.h"

/* The one capability: MSI with a 64-bit address and one vector. */
#define MIGSIM_CAP_MSI		0x40

/**
 * migsim_memory_bar_size - size of the BAR that the device memory is in
 * @sim: device
 *
 * Return: a power of two, or 0.
 */
u64 migsim_memory_bar_size(const struct migsim_dev *sim)
{
	u64 size = sim->config.state_size;

	return size ? roundup_pow_of_two(size) : 0;
}

static void migsim_config_fill(struct migsim_dev *sim, u8 *config)
{
	put_unaligned_le16(MIGSIM_PCI_VENDOR, config + PCI_VENDOR_ID);
	put_unaligned_le16(MIGSIM_PCI_DEVICE, config + PCI_DEVICE_ID);
	put_unaligned_le16(MIGSIM_PCI_VENDOR, config + PCI_SUBSYSTEM_VENDOR_ID);
	put_unaligned_le16(MIGSIM_PCI_DEVICE, config + PCI_SUBSYSTEM_ID);
	put_unaligned_le16(PCI_CLASS_SYSTEM_OTHER, config + PCI_CLASS_DEVICE);
	config[PCI_REVISION_ID] = MIGSIM_VERSION;
	put_unaligned_le16(PCI_STATUS_CAP_LIST, config + PCI_STATUS);
	config[PCI_CAPABILITY_LIST] = MIGSIM_CAP_MSI;
	config[PCI_INTERRUPT_PIN] = 1;
	put_unaligned_le32(PCI_BASE_ADDRESS_SPACE_MEMORY,
			   config + PCI_BASE_ADDRESS_0);
	if (migsim_memory_bar_size(sim))
		put_unaligned_le32(PCI_BASE_ADDRESS_MEM_TYPE_64 |
				   PCI_BASE_ADDRESS_MEM_PREFETCH,
				   config + PCI_BASE_ADDRESS_2);
	config[MIGSIM_CAP_MSI + PCI_CAP_LIST_ID] = PCI_CAP_ID_MSI;
	put_unaligned_le16(PCI_MSI_FLAGS_64BIT,
			   config + MIGSIM_CAP_MSI + PCI_MSI_FLAGS);
}

/**
 * migsim_config_reset - config space as after power on
 * @sim: device that is being opened
 */
void migsim_config_reset(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	memset(sim->pci_config, 0, sizeof(sim->pci_config));
	migsim_config_fill(sim, sim->pci_config);
	mutex_unlock(&sim->memory_lock);
}

/* Bits of a BAR's two halves that can be written. */
static u32 migsim_bar_mask(const struct migsim_dev *sim, unsigned int pos)
{
	u64 size = migsim_memory_bar_size(sim);

	if (pos == PCI_BASE_ADDRESS_0)
		return ~(MIGSIM_REGS_SIZE - 1);
	if (!size)
		return 0;
	/* The low four bits say what the BAR is. */
	size = max_t(u64, size, 16);

	return pos == PCI_BASE_ADDRESS_2 ? (u32)~(size - 1) : ~(size - 1) >> 32;
}

/* Bits that can be written, of the dword at @pos. */
static u32 migsim_config_mask(const struct migsim_dev *sim, unsigned int pos)
{
	switch (pos) {
	case PCI_COMMAND:
		return PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		       PCI_COMMAND_INTX_DISABLE;
	case PCI_BASE_ADDRESS_0:
	case PCI_BASE_ADDRESS_2:
	case PCI_BASE_ADDRESS_3:
		return migsim_bar_mask(sim, pos);
	case PCI_CACHE_LINE_SIZE:
	case PCI_INTERRUPT_LINE:
		return 0xff;
	case MIGSIM_CAP_MSI:
		return PCI_MSI_FLAGS_ENABLE << 16;
	case MIGSIM_CAP_MSI + PCI_MSI_ADDRESS_LO:
		return ~3;
	case MIGSIM_CAP_MSI + PCI_MSI_ADDRESS_HI:
		return ~0;
	case MIGSIM_CAP_MSI + PCI_MSI_DATA_64:
		return 0xffff;
	default:
		return 0;
	}
}

static void migsim_config_write(struct migsim_dev *sim, unsigned int pos,
				const u8 *from, size_t len)
{
	for (; len; len--, pos++, from++) {
		u8 mask = migsim_config_mask(sim, pos & ~3) >> (pos & 3) * 8;
		u8 *to = &sim->pci_config[pos];

		*to = (*to & ~mask) | (*from & mask);
	}
	/* It may have let an interrupt out, or DMA. */
	migsim_irq_update(sim);
	migsim_dma_go(sim);
}

/* The status register shows the interrupt pin. */
static void migsim_config_read(struct migsim_dev *sim, unsigned int pos,
			       u8 *to, size_t len)
{
	u8 *status = &sim->pci_config[PCI_STATUS];

	*status &= ~PCI_STATUS_INTERRUPT;
	if (migsim_irq_asserted(sim))
		*status |= PCI_STATUS_INTERRUPT;
	memcpy(to, sim->pci_config + pos, len);
}

/**
 * migsim_config_access - read or write config space
 * @sim: device; memory_lock is held
 * @pos: where
 * @buf: bytes
 * @len: how many, all in config space
 * @write: from @buf
 *
 * Return: 0.
 */
int migsim_config_access(struct migsim_dev *sim, u64 pos, void *buf, size_t len,
			 bool write)
{
	lockdep_assert_held(&sim->memory_lock);
	if (write)
		migsim_config_write(sim, pos, buf, len);
	else
		migsim_config_read(sim, pos, buf, len);

	return 0;
}

/**
 * migsim_config_command - the command register
 * @sim: device; memory_lock is held
 *
 * Return: PCI_COMMAND_*.
 */
u16 migsim_config_command(const struct migsim_dev *sim)
{
	lockdep_assert_held(&sim->memory_lock);

	return get_unaligned_le16(sim->pci_config + PCI_COMMAND);
}
