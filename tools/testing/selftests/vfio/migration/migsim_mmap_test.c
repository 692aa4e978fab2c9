// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: migsim's device memory in this process's address space. What is written there
 * is noticed like any other write, in every round of PRE_COPY, and what was sent
 * before does not change by it.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define PAGE		4096
#define NR_PAGES	64
#define STATE_SIZE	(NR_PAGES * PAGE)
#define IOVA		0x100000

FIXTURE(map) {
	struct vfm_device *dev;
	struct vfm_device *dst;
	struct vfm_buf got;
	uint8_t *memory;
};

static uint8_t *map(struct vfm_device *dev, size_t len, int prot, int flags)
{
	return mmap(NULL, len, prot, flags, dev->fd,
		    dev->bar[MIGSIM_BAR_MEM].offset);
}

static struct vfm_device *device(uint64_t size, uint64_t seed)
{
	struct vfm_device *dev = vfm_create(MIGSIM_FULL);

	vfm_attr_set(dev, "state_size", size);
	vfm_attr_set(dev, "seed", seed);
	vfm_open(dev);
	return dev;
}

FIXTURE_SETUP(map)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = device(STATE_SIZE, 5);
	if (!(self->dev->bar[MIGSIM_BAR_MEM].flags & VFIO_REGION_INFO_FLAG_MMAP)) {
		vfm_destroy(self->dev);
		SKIP(return, "the memory is not for mapping here");
	}
	self->dst = device(STATE_SIZE, 6);
	self->memory = map(self->dev, STATE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED);
	ASSERT_NE(MAP_FAILED, self->memory);
}

FIXTURE_TEARDOWN(map)
{
	vfm_buf_free(&self->got);
	munmap(self->memory, STATE_SIZE);
	vfm_destroy(self->dst);
	vfm_destroy(self->dev);
}

static sigjmp_buf bus_error;

static void on_bus_error(int signal)
{
	siglongjmp(bus_error, 1);
}

/* Return: whether the access went through. */
static bool access_page(volatile uint8_t *at, bool write)
{
	struct sigaction action = { .sa_handler = on_bus_error }, old;
	volatile bool done = false;

	sigaction(SIGBUS, &action, &old);
	if (!sigsetjmp(bus_error, 1)) {
		if (write)
			*at = 1;
		else
			(void)*at;
		done = true;
	}
	sigaction(SIGBUS, &old, NULL);
	return done;
}

static void check_same(FIXTURE_DATA(map) *self, size_t at, size_t len)
{
	uint8_t buf[2 * PAGE];

	vfm_bar_read(self->dev, MIGSIM_BAR_MEM, at, buf, len);
	VFIO_ASSERT_EQ(memcmp(buf, self->memory + at, len), 0);
}

/* Both ways in see the same memory, whoever came first. */
TEST_F(map, coherent)
{
	unsigned int i;

	for (i = 0; i < NR_PAGES; i++)
		check_same(self, i * PAGE, PAGE);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, PAGE + 3, "by fd", 5);
	ASSERT_EQ(0, memcmp(self->memory + PAGE + 3, "by fd", 5));
	memcpy(self->memory + 2 * PAGE - 2, "by map", 6);
	check_same(self, PAGE, 2 * PAGE);
	vfm_bar_write(self->dev, MIGSIM_BAR_MEM, 9 * PAGE, "first by fd", 11);
	ASSERT_EQ(0, memcmp(self->memory + 9 * PAGE, "first by fd", 11));
	vfm_reset(self->dev);
	check_same(self, PAGE, PAGE);
	ASSERT_NE(0, memcmp(self->memory + PAGE + 3, "by fd", 5));
}

/* Every page again and again, as it comes: each write has to be noticed. */
TEST_F(map, every_round)
{
	unsigned int round, i;
	int fd;

	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < NR_PAGES; i += 1 + round)
			self->memory[i * PAGE + round] = 'a' + round + i;
		vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	}
	/* The last word is spoken while it stops. */
	for (i = 0; i < NR_PAGES; i += 3)
		self->memory[i * PAGE + 100] = i;
	vfm_set_state_nofd(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &self->got, NULL);
	close(fd);
	vfm_restore(self->dst, &self->got, NULL);
	ASSERT_EQ(vfm_state_hash(self->dev), vfm_state_hash(self->dst));
}

/* A write after a page was sent is sent too, though the page was mapped before. */
TEST_F(map, dirty_again)
{
	size_t before;
	int fd;

	self->memory[0] = 1;
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	before = self->got.len;
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	ASSERT_EQ(before, self->got.len);
	self->memory[0] = 2;
	vfm_drain_err(fd, &self->got, NULL, ENOMSG);
	ASSERT_LT(before + PAGE, self->got.len + 1);
	close(fd);
}

/* What is in a pipe is what was sent, whatever is written to the mapping. */
TEST_F(map, copy_on_write)
{
	struct vfm_buf first = {};
	int pipefd[2], fd;
	ssize_t n;

	memset(self->memory, 'x', STATE_SIZE);
	fd = vfm_set_state(self->dev, VFM_PRE_COPY);
	ASSERT_EQ(0, pipe(pipefd));
	ASSERT_LT(0, fcntl(pipefd[1], F_SETPIPE_SZ, 1 << 20));
	VFM_WAIT(vfm_fionread(fd) > STATE_SIZE);
	while ((n = splice(fd, NULL, pipefd[1], NULL, 1 << 20, 0)) > 0)
		;
	ASSERT_EQ(-1, n);
	ASSERT_EQ(ENOMSG, errno);
	memset(self->memory, 'y', STATE_SIZE);
	close(pipefd[1]);
	do {
		n = read(pipefd[0], vfm_buf_room(&first, 65536), 65536);
		ASSERT_LE(0, n);
		first.len += n;
	} while (n);
	close(pipefd[0]);
	ASSERT_LT(STATE_SIZE, first.len);
	ASSERT_EQ(NULL, memmem(first.data, first.len, "yyyyyyyy", 8));
	ASSERT_NE(NULL, memmem(first.data, first.len, "xxxxxxxx", 8));
	vfm_buf_free(&first);
	close(fd);
}

/* A stopped device can be read, and not written, until it runs again. */
TEST_F(map, stopped)
{
	self->memory[0] = 1;
	vfm_set_state_nofd(self->dev, VFM_RUNNING_P2P);
	self->memory[0] = 2;
	vfm_set_state_nofd(self->dev, VFM_STOP);
	ASSERT_TRUE(access_page(self->memory, false));
	ASSERT_EQ(2, self->memory[0]);
	ASSERT_FALSE(access_page(self->memory, true));
	ASSERT_TRUE(access_page(self->memory + 7 * PAGE, false));
	ASSERT_FALSE(access_page(self->memory + 7 * PAGE, true));
	ASSERT_EQ(2, self->memory[0]);
	vfm_set_state_nofd(self->dev, VFM_RUNNING);
	ASSERT_TRUE(access_page(self->memory, true));
	ASSERT_EQ(1, self->memory[0]);
}

/*
 * The device's own DMA, into memory that a reset takes away. The copy comes to every
 * page for the first time, so it is most likely in a fault; neither waits for ever.
 */
TEST_F(map, reset_under_dma)
{
	struct vfm_device *dev = device(MIGSIM_DMA_MAX, 1);
	uint8_t *memory;
	unsigned int i;

	memory = map(dev, MIGSIM_DMA_MAX, PROT_READ | PROT_WRITE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, memory);
	vfm_dma_map(dev, IOVA, memory, MIGSIM_DMA_MAX);
	vfm_command_write(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	for (i = 0; i < 100; i++) {
		vfm_dma_queue(dev, MIGSIM_DMA_WRITE, IOVA, 0, MIGSIM_DMA_MAX);
		vfm_reset(dev);
	}
	vfm_dma_queue(dev, MIGSIM_DMA_WRITE, IOVA, 0, PAGE);
	vfm_dma_wait(dev);
	ASSERT_EQ(1, vfm_reg_read(dev, MIGSIM_REG_DMA_DONE));
	munmap(memory, MIGSIM_DMA_MAX);
	vfm_destroy(dev);
}

TEST_F(map, refused)
{
	struct vfm_device *odd = device(3 * PAGE, 1);

	ASSERT_EQ(MAP_FAILED, map(self->dev, STATE_SIZE, PROT_READ, MAP_PRIVATE));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(MAP_FAILED, map(self->dev, STATE_SIZE + PAGE, PROT_READ,
				  MAP_SHARED));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(MAP_FAILED, mmap(NULL, PAGE, PROT_READ, MAP_SHARED,
				   self->dev->fd, self->dev->bar[0].offset));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(MAP_FAILED, mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED,
				   self->dev->fd,
				   self->dev->bar[MIGSIM_BAR_MEM].offset +
				   STATE_SIZE - PAGE));
	ASSERT_EQ(EINVAL, errno);
	/* A BAR is bigger than such a memory. */
	ASSERT_EQ(0, odd->bar[MIGSIM_BAR_MEM].flags & VFIO_REGION_INFO_FLAG_MMAP);
	ASSERT_EQ(MAP_FAILED, map(odd, PAGE, PROT_READ, MAP_SHARED));
	vfm_destroy(odd);
}

TEST_HARNESS_MAIN
