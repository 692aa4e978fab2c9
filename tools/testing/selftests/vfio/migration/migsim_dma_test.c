// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: migsim's DMA engine copies between this process's memory and the device's,
 * through a container or an iommufd; it is frozen in P2P states and in STOP, and
 * goes on at the other end of a migration.
 */
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
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

/* One command as long as there can be, at no page's beginning at either end. */
#define IN_GUEST	1003
#define IN_DEVICE	517
#define ROOM		(MIGSIM_DMA_MAX + 64 * 1024)

/* So often the arc has to come in the midst of it, in so many rounds at most. */
#define CAUGHT		3
#define ROUNDS		300

struct end {
	struct vfm_device *dev;
	u8 *memory;		/* the guest's */
};

FIXTURE(in_flight) {
	struct end src;
	struct end dst;
	u8 *pattern;		/* of the source's device memory */
	u8 *seen;
	int fd;
	struct vfm_buf got;
	struct vfm_rng rng;
};

FIXTURE_VARIANT(in_flight) {
	const char *type;
	u32 from;
	u32 to;
};

FIXTURE_VARIANT_ADD(in_flight, p2p) {
	.type = MIGSIM_FULL, .from = VFM_RUNNING, .to = VFM_RUNNING_P2P,
};

FIXTURE_VARIANT_ADD(in_flight, precopy_p2p) {
	.type = MIGSIM_FULL, .from = VFM_PRE_COPY, .to = VFM_PRE_COPY_P2P,
};

FIXTURE_VARIANT_ADD(in_flight, stop) {
	.type = MIGSIM_FULL, .from = VFM_RUNNING, .to = VFM_STOP,
};

FIXTURE_VARIANT_ADD(in_flight, basic_stop) {
	.type = MIGSIM_BASIC, .from = VFM_RUNNING, .to = VFM_STOP,
};

FIXTURE_VARIANT_ADD(in_flight, precopy_stop) {
	.type = MIGSIM_PRECOPY, .from = VFM_PRE_COPY, .to = VFM_STOP_COPY,
};

static u8 *map_room(void)
{
	void *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_TRUE(room != MAP_FAILED);
	return room;
}

static struct end make_end(const char *type, u64 seed)
{
	struct end end = { .dev = vfm_create(type), .memory = map_room() };

	vfm_attr_set(end.dev, "state_size", ROOM);
	vfm_attr_set(end.dev, "seed", seed);
	vfm_attr_set(end.dev, "verify", 1);
	vfm_open(end.dev);
	vfm_dma_map(end.dev, IOVA, end.memory, ROOM);
	vfm_command_write(end.dev, RUNNING);
	return end;
}

FIXTURE_SETUP(in_flight)
{
	VFM_REQUIRE_TYPE(variant->type);
	self->src = make_end(variant->type, 1);
	self->dst = make_end(variant->type, 2);
	self->pattern = map_room();
	self->seen = map_room();
	self->rng = vfm_rng(1);
	vfm_bar_read(self->src.dev, MIGSIM_BAR_MEM, 0, self->pattern, ROOM);
}

FIXTURE_TEARDOWN(in_flight)
{
	vfm_buf_free(&self->got);
	vfm_destroy(self->dst.dev);
	vfm_destroy(self->src.dev);
	munmap(self->src.memory, ROOM);
	munmap(self->dst.memory, ROOM);
	munmap(self->pattern, ROOM);
	munmap(self->seen, ROOM);
}

/*
 * The guests' memories have, in the place that is copied from or to, no byte that the
 * device's has there, nor each other's: whose a byte is can always be told.
 */
#define SOURCES		0xff
#define DESTINATIONS	0x0f

static void change(u8 *to, const u8 *from, u8 mask, size_t len)
{
	const u64 masks = mask * 0x0101010101010101ULL;
	size_t i;

	for (i = 0; i < len / sizeof(u64); i++)
		((u64 *)to)[i] = ((const u64 *)from)[i] ^ masks;
	for (i *= sizeof(u64); i < len; i++)
		to[i] = from[i] ^ mask;
}

/* Return: how many of the first bytes are those of @from, changed by @mask. */
static size_t changed(const u8 *to, const u8 *from, u8 mask, size_t len)
{
	size_t i;

	for (i = 0; i < len && to[i] == (from[i] ^ mask); i++)
		;
	return i;
}

static void begin_round(FIXTURE_DATA(in_flight) *self, u32 from)
{
	const u8 *pattern = self->pattern + IN_DEVICE;
	const size_t len = ROOM - IN_GUEST;

	vfm_reset(self->src.dev);
	vfm_reset(self->dst.dev);
	change(self->src.memory + IN_GUEST, pattern, SOURCES, len);
	change(self->dst.memory + IN_GUEST, pattern, DESTINATIONS, len);
	self->got.len = 0;
	self->fd = from == VFM_RUNNING ? -1 : vfm_enter(self->src.dev, from);
	if (self->fd >= 0)
		vfm_drain_err(self->fd, &self->got, NULL, ENOMSG);
}

/* Anywhere in its first half: the arc takes its time to come, too. */
static size_t some_moment(FIXTURE_DATA(in_flight) *self)
{
	return vfm_random_below(&self->rng, MIGSIM_DMA_MAX / 2);
}

/* Without a break: a command is done in some milliseconds. */
#define SPIN(_cond) do {						\
	struct timespec __deadline = vfm_deadline();			\
									\
	while (!(_cond))						\
		VFIO_ASSERT_FALSE(vfm_expired(&__deadline));		\
} while (0)

static void begin_copy(FIXTURE_DATA(in_flight) *self, u64 command)
{
	vfm_dma_queue(self->src.dev, command, IOVA + IN_GUEST, IN_DEVICE,
		      MIGSIM_DMA_MAX);
}

static void check_half_done(struct vfm_device *dev)
{
	VFIO_ASSERT_EQ(vfm_reg_read(dev, MIGSIM_REG_DMA_QUEUED), 1);
	VFIO_ASSERT_EQ(vfm_reg_read(dev, MIGSIM_REG_DMA_DONE), 0);
}

/* From wherever the source is frozen, until the destination is done with the copy. */
static void move_and_finish(FIXTURE_DATA(in_flight) *self)
{
	struct vfm_device *dst = self->dst.dev;

	check_half_done(self->src.dev);
	if (self->fd < 0)
		self->fd = vfm_set_state(self->src.dev, VFM_STOP_COPY);
	else
		vfm_set_state_nofd(self->src.dev, VFM_STOP_COPY);
	vfm_drain(self->fd, &self->got, NULL);
	vfm_restore(dst, &self->got, NULL);
	check_half_done(dst);
	vfm_set_state_nofd(dst, VFM_RUNNING);
	vfm_dma_wait(dst);
	VFIO_ASSERT_EQ(vfm_reg_read(dst, MIGSIM_REG_DMA_DONE), 1);
	VFIO_ASSERT_EQ(vfm_reg_read(dst, MIGSIM_REG_DMA_FAILED), 0);
}

/* The first @done bytes were written at one end, the others are at the other one. */
static void check_written(FIXTURE_DATA(in_flight) *self, size_t done)
{
	const u8 *want = self->pattern + IN_DEVICE;
	const u8 *got = self->dst.memory + IN_GUEST;
	const size_t rest = MIGSIM_DMA_MAX - done;

	VFIO_ASSERT_EQ(memcmp(self->src.memory, self->seen, ROOM), 0,
		       "it went on after the arc");
	VFIO_ASSERT_EQ(changed(got, want, DESTINATIONS, done), done);
	VFIO_ASSERT_EQ(changed(got + done, want + done, 0, rest), rest);
	VFIO_ASSERT_EQ(changed(got + MIGSIM_DMA_MAX, want + MIGSIM_DMA_MAX,
			       DESTINATIONS, 4096), 4096);
}

/* Return: whether it was under way as the arc came. */
static bool freeze_write(FIXTURE_DATA(in_flight) *self, u32 to)
{
	const u8 *want = self->pattern + IN_DEVICE, *got = self->seen + IN_GUEST;
	size_t at = some_moment(self), done;
	volatile u8 *byte = self->src.memory + IN_GUEST + at;

	begin_copy(self, MIGSIM_DMA_WRITE);
	SPIN(*byte == want[at]);
	vfm_set_state_nofd(self->src.dev, to);
	memcpy(self->seen, self->src.memory, ROOM);
	done = changed(got, want, 0, MIGSIM_DMA_MAX);
	VFIO_ASSERT_EQ(changed(got + done, want + done, SOURCES,
			       MIGSIM_DMA_MAX - done), MIGSIM_DMA_MAX - done);
	if (done == MIGSIM_DMA_MAX)
		return false;
	move_and_finish(self);
	check_written(self, done);
	return true;
}

/* The device has what was read at one end, and behind it what was at the other one. */
static void check_read(FIXTURE_DATA(in_flight) *self, size_t done)
{
	const u8 *was = self->pattern + IN_DEVICE;
	u8 *got = self->seen + IN_DEVICE;
	const size_t rest = MIGSIM_DMA_MAX - done;

	vfm_bar_read(self->dst.dev, MIGSIM_BAR_MEM, 0, self->seen, ROOM);
	VFIO_ASSERT_EQ(changed(got, was, SOURCES, done), done);
	VFIO_ASSERT_EQ(changed(got + done, was + done, DESTINATIONS, rest), rest);
	change(got, was, 0, MIGSIM_DMA_MAX);
	VFIO_ASSERT_EQ(memcmp(self->seen, self->pattern, ROOM), 0);
}

static u8 device_byte(struct vfm_device *dev, u64 at)
{
	u8 byte;

	vfm_bar_read(dev, MIGSIM_BAR_MEM, at, &byte, sizeof(byte));
	return byte;
}

/* In PRE_COPY the pages were sent already, and have to be once more. */
static bool freeze_read(FIXTURE_DATA(in_flight) *self, u32 to)
{
	const u8 *was = self->pattern + IN_DEVICE, *got = self->seen + IN_DEVICE;
	size_t at = some_moment(self), done;

	begin_copy(self, MIGSIM_DMA_READ);
	SPIN(device_byte(self->src.dev, IN_DEVICE + at) == (was[at] ^ SOURCES));
	vfm_set_state_nofd(self->src.dev, to);
	vfm_bar_read(self->src.dev, MIGSIM_BAR_MEM, 0, self->seen, ROOM);
	done = changed(got, was, SOURCES, MIGSIM_DMA_MAX);
	VFIO_ASSERT_EQ(changed(got + done, was + done, 0,
			       MIGSIM_DMA_MAX - done), MIGSIM_DMA_MAX - done);
	if (done == MIGSIM_DMA_MAX)
		return false;
	move_and_finish(self);
	check_read(self, done);
	return true;
}

static void catch_it(FIXTURE_DATA(in_flight) *self, u32 from, u32 to,
		     bool (*freeze)(FIXTURE_DATA(in_flight) *self, u32 to))
{
	unsigned int caught = 0, i;

	for (i = 0; i < ROUNDS && caught < CAUGHT; i++) {
		begin_round(self, from);
		caught += freeze(self, to);
		if (self->fd >= 0)
			close(self->fd);
	}
	printf("# caught %u of %u\n", caught, i);
	VFIO_ASSERT_EQ(caught, CAUGHT);
}

/* A prefix of it is at one end, and exactly the rest at the other. */
TEST_F_TIMEOUT(in_flight, write, 600)
{
	catch_it(self, variant->from, variant->to, freeze_write);
}

TEST_F_TIMEOUT(in_flight, read, 600)
{
	catch_it(self, variant->from, variant->to, freeze_read);
}

FIXTURE(completion) {
	struct vfm_device *dev;
	u8 *memory;
	int event;
};

FIXTURE_VARIANT(completion) {
	u32 index;
	u64 length;		/* of a copy that ends in */
	u64 bit;
};

FIXTURE_VARIANT_ADD(completion, intx_done) {
	VFIO_PCI_INTX_IRQ_INDEX, LENGTH, MIGSIM_INT_DMA_DONE,
};

FIXTURE_VARIANT_ADD(completion, msi_done) {
	VFIO_PCI_MSI_IRQ_INDEX, LENGTH, MIGSIM_INT_DMA_DONE,
};

FIXTURE_VARIANT_ADD(completion, intx_failed) {
	VFIO_PCI_INTX_IRQ_INDEX, LENGTH + 1, MIGSIM_INT_DMA_FAILED,
};

FIXTURE_VARIANT_ADD(completion, msi_failed) {
	VFIO_PCI_MSI_IRQ_INDEX, LENGTH + 1, MIGSIM_INT_DMA_FAILED,
};

FIXTURE_SETUP(completion)
{
	const u32 flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;

	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = device(MIGSIM_FULL, &self->memory);
	self->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->event);
	ASSERT_EQ(0, __vfm_set_irqs(self->dev, variant->index, flags, 0, 1,
				    self->event));
	vfm_command_write(self->dev, RUNNING);
}

FIXTURE_TEARDOWN(completion)
{
	vfm_destroy(self->dev);
	munmap(self->memory, LENGTH);
	close(self->event);
}

static void copy_and_wait(struct vfm_device *dev, u64 length, int event)
{
	vfm_dma_queue(dev, MIGSIM_DMA_WRITE, IOVA, 0, length);
	VFIO_ASSERT_EQ(vfm_poll(event, POLLIN, vfm_deadline_ms()), POLLIN);
	VFIO_ASSERT_EQ(vfm_signalled(event), 1);
}

/* As a driver does: it sleeps until it is told, asks why, and acknowledges that. */
TEST_F(completion, interrupts)
{
	const u32 unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
	unsigned int i;

	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE, variant->bit);
	for (i = 0; i < 3; i++) {
		copy_and_wait(self->dev, variant->length, self->event);
		ASSERT_EQ(variant->bit,
			  vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
		/* Only what is named is cleared. */
		vfm_reg_write(self->dev, MIGSIM_REG_INT_STATUS, ~variant->bit);
		ASSERT_EQ(variant->bit,
			  vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
		vfm_reg_write(self->dev, MIGSIM_REG_INT_STATUS, variant->bit);
		ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
		if (variant->index == VFIO_PCI_INTX_IRQ_INDEX)
			ASSERT_EQ(0, __vfm_set_irqs(self->dev, variant->index,
						    unmask, 0, 1, 0));
		ASSERT_EQ(0, vfm_signalled(self->event));
	}
}

/* A reason that is not enabled is there, and nobody is told. */
TEST_F(completion, not_enabled)
{
	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE,
		      MIGSIM_INT_ALL & ~variant->bit);
	vfm_dma_queue(self->dev, MIGSIM_DMA_WRITE, IOVA, 0, variant->length);
	vfm_dma_wait(self->dev);
	ASSERT_EQ(variant->bit, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	ASSERT_EQ(0, vfm_signalled(self->event));
	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE, variant->bit);
	ASSERT_EQ(1, vfm_signalled(self->event));
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
