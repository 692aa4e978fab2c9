/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * migsim: what user space finds in the device's BARs
 *
 * BAR0 holds registers, BAR2 the device memory. Registers are accessed in 4 or 8
 * bytes, naturally aligned. Writes to a stopped device are dropped.
 * Documentation/driver-api/migsim-registers.rst describes them.
 */
#ifndef _MIGSIM_REGS_H
#define _MIGSIM_REGS_H

#define MIGSIM_BAR_REGS		0
#define MIGSIM_BAR_MEMORY	2

#define MIGSIM_PCI_VENDOR	0x1234
#define MIGSIM_PCI_DEVICE	0x4d53

#define MIGSIM_REGS_SIZE	4096

#define MIGSIM_REG_MAGIC	0x00	/* 32 bits, read-only */
#define MIGSIM_REG_VERSION	0x04	/* 32 bits, read-only */
#define MIGSIM_REG_STATE_SIZE	0x08	/* bytes of device memory, read-only */
#define MIGSIM_REG_SEED		0x10	/* of the memory's pattern, read-only */
#define MIGSIM_REG_TICKS	0x18	/* writes of the workload, read-only */
#define MIGSIM_REG_RECONFIG	0x20	/* write: a new first pass in PRE_COPY */
#define MIGSIM_REG_INT_STATUS	0x28	/* MIGSIM_INT_*; writing 1 clears */
#define MIGSIM_REG_INT_ENABLE	0x30	/* MIGSIM_INT_* that interrupt */
#define MIGSIM_REG_INT_RAISE	0x38	/* write: bits to set in the status */
#define MIGSIM_REG_SCRATCH	0x40	/* MIGSIM_NR_SCRATCH times 64 bits */
#define MIGSIM_REG_DMA_IOVA	0x80	/* where in the guest's memory */
#define MIGSIM_REG_DMA_OFFSET	0x88	/* where in the device memory */
#define MIGSIM_REG_DMA_LENGTH	0x90	/* bytes */
#define MIGSIM_REG_DMA_COMMAND	0x98	/* write: MIGSIM_DMA_*, into the queue */
#define MIGSIM_REG_DMA_QUEUED	0xa0	/* commands that are not over, read-only */
#define MIGSIM_REG_DMA_DONE	0xa8	/* commands done since reset, read-only */
#define MIGSIM_REG_DMA_FAILED	0xb0	/* commands failed, read-only */
#define MIGSIM_REG_DMA_ERROR	0xb8	/* errno of the last failure, read-only */
#define MIGSIM_REG_TOKENS	0xc0	/* held now, read-only */
#define MIGSIM_REG_TOKENS_LOST	0xc8	/* dropped while stopped, read-only */
#define MIGSIM_REG_POSITION	0xd0	/* in the ring, read-only */

#define MIGSIM_MAGIC		0x4d49534d	/* "MSIM" */
#define MIGSIM_VERSION		2
#define MIGSIM_NR_SCRATCH	8

/* Bits of the interrupt registers. */
#define MIGSIM_INT_DMA_DONE	0x1	/* a command is done */
#define MIGSIM_INT_DMA_FAILED	0x2	/* a command failed, or found no room */
#define MIGSIM_INT_SOFTWARE	0x4	/* means nothing, for software to raise */
#define MIGSIM_INT_ALL		0x7

/* Values of MIGSIM_REG_DMA_COMMAND. */
#define MIGSIM_DMA_READ		1	/* from the guest's memory to the device's */
#define MIGSIM_DMA_WRITE	2	/* the other way */

/* Bytes of the section of the stream that carries them, with no command queued. */
#define MIGSIM_REGS_PAYLOAD	184

#define MIGSIM_DMA_DEPTH	16	/* commands in the queue */
#define MIGSIM_DMA_MAX		0x1000000	/* bytes of a command */

#endif /* _MIGSIM_REGS_H */
