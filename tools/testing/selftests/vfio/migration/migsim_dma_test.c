// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: migsim's DMA engine copies between this process's memory and the device's,
 * through a container or an iommufd; it is frozen in P2P states and in STOP, and
 * goes on at the other end of a migration.
 */
#include <linux/pci_regs.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define IOVA		0x100000
#define LENGTH		(64 * 4096)
#define RUNNING		(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

FIXTURE(dma) {
	struct vfm_device *dev;
	struct vfm_device *dst;
	struct vfm_buf got;
	u8 *memory;
	u8 *memory2;
};

FIXTURE_VARIANT(dma) {
	const char *type;
};

FIXTURE_VARIANT_ADD(dma, full) { .type = MIGSIM_FULL };
FIXTURE_VARIANT_ADD(dma, basic) { .type = MIGSIM_BASIC };

static struct vfm_device *device(const char *type, u8 **memory)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", LENGTH);
	vfm_attr_set(dev, "drain", 1);
	vfm_open(dev);
	*memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_TRUE(*memory != MAP_FAILED);
	vfm_dma_map(dev, IOVA, *memory, LENGTH);
	return dev;
}

FIXTURE_SETUP(dma)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->dev = device(variant->type, &self->memory);
	self->dst = device(variant->type, &self->memory2);
}

FIXTURE_TEARDOWN(dma)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dst);
	vfm_destroy(self->dev);
	munmap(self->memory, LENGTH);
	munmap(self->memory2, LENGTH);
}

/* There and back, at addresses that are no multiple of anything. */
TEST_F(dma, round_trip)
{
	unsigned int i;

	for (i = 0; i < 20000; i++)
		self->memory[1003 + i] = i * 7 + i / 256;
	vfm_command_write(self->dev, RUNNING);
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA + 1003, 517, 20000);
	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA + 100001, 517, 20000);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(2, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_FAILED));
	ASSERT_EQ(0, memcmp(self->memory + 1003, self->memory + 100001, 20000));
	ASSERT_EQ(0, self->memory[100000]);
	ASSERT_EQ(0, self->memory[120001]);
}

TEST_F(dma, only_as_master)
{
	self->memory[0] = 1;
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 1);
	usleep(20000);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	vfm_command_write(self->dev, RUNNING);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

TEST_F(dma, refused)
{
	static const struct {
		u64 command, iova, offset, length;
	} bad[] = {
		{ 0, IOVA, 0, 1 },
		{ 3, IOVA, 0, 1 },
		{ MIGSIM_DMA_READ, IOVA, 0, 0 },
		{ MIGSIM_DMA_READ, IOVA, 0, MIGSIM_DMA_MAX + 1 },
		{ MIGSIM_DMA_READ, -1ULL, 0, 2 },
		{ MIGSIM_DMA_WRITE, IOVA, -1ULL, 2 },
	};
	unsigned int i;

	vfm_command_write(self->dev, RUNNING);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		vfm_dma_queue(self->dev, bad[i].command, bad[i].iova,
			      bad[i].offset, bad[i].length);
		ASSERT_EQ(i + 1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_FAILED));
		ASSERT_EQ(EINVAL, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
		ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	}
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

/* Memory that nobody gave it. */
TEST_F(dma, unmapped)
{
	vfm_command_write(self->dev, RUNNING);
	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA + LENGTH - 1, 0, 2);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_FAILED));
	ASSERT_EQ(EFAULT, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
	ASSERT_EQ(MIGSIM_INT_DMA_FAILED,
		  vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
}

TEST_F(dma, full_queue)
{
	unsigned int i;

	for (i = 0; i < MIGSIM_DMA_DEPTH + 1; i++)
		vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 8);
	ASSERT_EQ(MIGSIM_DMA_DEPTH,
		  vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	ASSERT_EQ(EBUSY, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
	vfm_command_write(self->dev, RUNNING);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(MIGSIM_DMA_DEPTH,
		  vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

TEST_F(dma, fault_rule)
{
	vfm_command_write(self->dev, RUNNING);
	ASSERT_EQ(0, __vfm_fault_write(self->dev, "dma_fail - 2 1 5"));
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 3 * 4096);
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 4096);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_FAILED));
	ASSERT_EQ(EIO, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

/* Frozen where it does not run towards others, and goes on where it does. */
TEST_F(dma, quiesced)
{
	const u32 state = vfm_supports(self->dev, VFM_RUNNING_P2P) ?
			  VFM_RUNNING_P2P : VFM_STOP;

	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA, 0, LENGTH);
	vfm_set_state_nofd(self->dev, state);
	vfm_command_write(self->dev, RUNNING);
	usleep(20000);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	ASSERT_EQ(0, self->memory[0]);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

/* What is in the queue is carried out at the other end, in the memory there. */
TEST_F(dma, migrates)
{
	unsigned int i;
	int fd;

	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 0, "travelled", 9);
	for (i = 0; i < 3; i++)
		vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA + 4096 * i, 0, 9);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, NULL);
	close(fd);
	vfm_restore(self->dst, &self->got, NULL);
	vfm_set_state_nofd(self->dst, VFM_RUNNING);
	ASSERT_EQ(3, vfm_reg_read(self->dst, MIGSIM_REG_DMA_QUEUED));
	vfm_command_write(self->dst, RUNNING);
	vfm_dma_wait(self->dst);
	ASSERT_EQ(3, vfm_reg_read(self->dst, MIGSIM_REG_DMA_DONE));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, memcmp(self->memory2 + 4096 * i, "travelled", 9));
	ASSERT_EQ(0, self->memory[0]);
}

/* The next owner's memory is not for what the last one wanted. */
TEST_F(dma, forgotten_at_close)
{
	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA, 0, 4096);
	vfm_close(self->dev);
	vfm_open(self->dev);
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
}

/* A drain lets no more of the queue out, and its end lets it go on. */
TEST_F(dma, drained)
{
	int fd;

	fd = vfm_begin_drain(self->dev);
	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA, 0, 4096);
	vfm_command_write(self->dev, RUNNING);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	usleep(20000);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	ASSERT_EQ(0, self->memory[0]);
	close(fd);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

FIXTURE(stuck) {
	struct vfm_device *dev;
	struct vfm_uffd uffd;
	u8 *memory;
};

/* The device is in the midst of a copy from a page that nobody brings. */
FIXTURE_SETUP(stuck)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	VFM_REQUIRE_UFFD(&self->uffd);
	self->dev = device(MIGSIM_FULL, &self->memory);
	vfm_dma_map(self->dev, 2 * IOVA, self->uffd.page, 4096);
	vfm_command_write(self->dev, RUNNING);
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, 2 * IOVA, 0, 8);
	vfm_uffd_wait(&self->uffd);
}

FIXTURE_TEARDOWN(stuck)
{
	vfm_uffd_exit(&self->uffd);
	vfm_destroy(self->dev);
	munmap(self->memory, LENGTH);
}

/* Also with the fault, an arc comes to its end, and the copy goes on later. */
TEST_F(stuck, arc)
{
	char content[4096] = "brought";
	char got[8];

	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	vfm_uffd_wait(&self->uffd);
	vfm_uffd_release(&self->uffd, content);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
	vfm_bar_read(self->dev, MIGSIM_BAR_MEM, 0, got, sizeof(got));
	ASSERT_STREQ("brought", got);
}

/* A drain is done when the copy stands still, which then it does. */
TEST_F(stuck, drain)
{
	char content[4096] = "";
	int fd;

	fd = vfm_begin_drain(self->dev);
	ASSERT_EQ(POLLIN, vfm_poll(fd, POLLIN, vfm_deadline_ms()));
	vfm_uffd_release(&self->uffd, content);
	usleep(50000);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	close(fd);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

/* Whoever changes mappings waits for a lock that the fault is taken with. */
TEST_F(stuck, unmap)
{
	vfm_dma_unmap(self->dev, 2 * IOVA, 4096);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(EFAULT, vfm_reg_read(self->dev, MIGSIM_REG_DMA_ERROR));
}

TEST_F(stuck, reset)
{
	vfm_reset(self->dev);
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_DMA_QUEUED));
	/* It is as good as new. */
	vfm_dma_queue(self->dev, MIGSIM_DMA_READ, IOVA, 0, 8);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(1, vfm_reg_read(self->dev, MIGSIM_REG_DMA_DONE));
}

TEST_F(stuck, close)
{
	vfm_close(self->dev);
}

TEST_HARNESS_MAIN
