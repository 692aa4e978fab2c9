// SPDX-License-Identifier: GPL-2.0-only
/*
 * C1: migsim's interrupts, and VFIO_DEVICE_SET_IRQS with everything that can be said
 * by it: what makes sense does what vfio-pci does, the rest is refused.
 */
#include <linux/pci_regs.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

#include <libvfio_migration.h>

#include "migsim_regs.h"

#define INTX		VFIO_PCI_INTX_IRQ_INDEX
#define MSI		VFIO_PCI_MSI_IRQ_INDEX
#define REQ		VFIO_PCI_REQ_IRQ_INDEX

#define NONE		VFIO_IRQ_SET_DATA_NONE
#define BOOL		VFIO_IRQ_SET_DATA_BOOL
#define EVENTFD		VFIO_IRQ_SET_DATA_EVENTFD
#define MASK		VFIO_IRQ_SET_ACTION_MASK
#define UNMASK		VFIO_IRQ_SET_ACTION_UNMASK
#define TRIGGER		VFIO_IRQ_SET_ACTION_TRIGGER

#define irqs		__vfm_set_irqs
#define signalled	vfm_signalled

#define SOFTWARE	MIGSIM_INT_SOFTWARE

FIXTURE(irq) {
	struct vfm_device *dev;
	int event;
};

FIXTURE_SETUP(irq)
{
	VFM_REQUIRE_TYPE(MIGSIM_FULL);
	self->dev = vfm_create(MIGSIM_FULL);
	vfm_attr_set(self->dev, "state_size", 4096);
	vfm_open(self->dev);
	self->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->event);
}

FIXTURE_TEARDOWN(irq)
{
	close(self->event);
	vfm_destroy(self->dev);
}

static void enable(struct vfm_device *dev)
{
	vfm_command_write(dev, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	vfm_reg_write(dev, MIGSIM_REG_INT_ENABLE, MIGSIM_INT_ALL);
}

static void raise_it(struct vfm_device *dev)
{
	vfm_reg_write(dev, MIGSIM_REG_INT_RAISE, SOFTWARE);
}

static void clear_it(struct vfm_device *dev)
{
	vfm_reg_write(dev, MIGSIM_REG_INT_STATUS, SOFTWARE);
}

static struct vfio_irq_info info_of(struct vfm_device *dev, u32 index)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = index };

	VFIO_ASSERT_EQ(ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info), 0);
	return info;
}

TEST_F(irq, info)
{
	struct vfio_device_info device = { .argsz = sizeof(device) };
	struct vfio_irq_info info;

	ASSERT_EQ(0, ioctl(self->dev->fd, VFIO_DEVICE_GET_INFO, &device));
	ASSERT_EQ(VFIO_PCI_NUM_IRQS, device.num_irqs);
	info = info_of(self->dev, INTX);
	ASSERT_EQ(1, info.count);
	ASSERT_EQ(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
		  VFIO_IRQ_INFO_AUTOMASKED, info.flags);
	info = info_of(self->dev, MSI);
	ASSERT_EQ(1, info.count);
	ASSERT_EQ(VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE, info.flags);
	ASSERT_EQ(0, info_of(self->dev, VFIO_PCI_MSIX_IRQ_INDEX).count);
	ASSERT_EQ(1, info_of(self->dev, REQ).count);
	info = (struct vfio_irq_info) {
		.argsz = sizeof(info), .index = VFIO_PCI_NUM_IRQS,
	};
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info));
	ASSERT_EQ(EINVAL, errno);
	/* Not of a conventional PCI function. */
	info.index = VFIO_PCI_ERR_IRQ_INDEX;
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info));
	ASSERT_EQ(EINVAL, errno);
	info = (struct vfio_irq_info) { .argsz = sizeof(info) - 1 };
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info));
	ASSERT_EQ(EINVAL, errno);
}

/* A level: told once, until it is unmasked, and again then if it is still there. */
TEST_F(irq, intx)
{
	u16 status;

	enable(self->dev);
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	raise_it(self->dev);
	ASSERT_EQ(1, signalled(self->event));
	vfm_config_read(self->dev, PCI_STATUS, &status, sizeof(status));
	ASSERT_EQ(PCI_STATUS_INTERRUPT, status & PCI_STATUS_INTERRUPT);
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	ASSERT_EQ(0, irqs(self->dev, INTX, NONE | UNMASK, 0, 1, 0));
	ASSERT_EQ(1, signalled(self->event));
	clear_it(self->dev);
	ASSERT_EQ(0, irqs(self->dev, INTX, BOOL | UNMASK, 0, 1, 1));
	ASSERT_EQ(0, signalled(self->event));
	vfm_config_read(self->dev, PCI_STATUS, &status, sizeof(status));
	ASSERT_EQ(0, status & PCI_STATUS_INTERRUPT);
	ASSERT_EQ(0, irqs(self->dev, INTX, NONE | MASK, 0, 1, 0));
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	/* No is no. */
	ASSERT_EQ(0, irqs(self->dev, INTX, BOOL | UNMASK, 0, 1, 0));
	ASSERT_EQ(0, signalled(self->event));
	ASSERT_EQ(0, irqs(self->dev, INTX, BOOL | UNMASK, 0, 1, 1));
	ASSERT_EQ(1, signalled(self->event));
}

TEST_F(irq, intx_disabled_by_command)
{
	enable(self->dev);
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	vfm_command_write(self->dev, PCI_COMMAND_INTX_DISABLE);
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	vfm_command_write(self->dev, 0);
	ASSERT_EQ(1, signalled(self->event));
}

TEST_F(irq, unmask_by_eventfd)
{
	int unmask = eventfd(0, EFD_CLOEXEC);
	const u64 one = 1;

	enable(self->dev);
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1, unmask));
	raise_it(self->dev);
	ASSERT_EQ(1, signalled(self->event));
	ASSERT_EQ(sizeof(one), write(unmask, &one, sizeof(one)));
	VFM_WAIT(signalled(self->event));
	/* What is refused leaves the one that is there. */
	ASSERT_EQ(-EBADF, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1, 9999));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1,
				self->dev->fd));
	ASSERT_EQ(sizeof(one), write(unmask, &one, sizeof(one)));
	VFM_WAIT(signalled(self->event));
	/* Closed by us, it stays in use until it is taken back. */
	close(unmask);
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1, -1));
	ASSERT_EQ(-EBADF, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1, unmask));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, EVENTFD | UNMASK, 0, 1,
				self->dev->fd));
	ASSERT_EQ(0, irqs(self->dev, INTX, NONE | TRIGGER, 0, 0, 0));
}

/* An edge for each event, as long as the device may write to memory. */
TEST_F(irq, msi)
{
	ASSERT_EQ(0, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, self->event));
	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE, MIGSIM_INT_ALL);
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	vfm_command_write(self->dev, PCI_COMMAND_MASTER);
	ASSERT_EQ(1, signalled(self->event));
	raise_it(self->dev);
	raise_it(self->dev);
	ASSERT_EQ(2, signalled(self->event));
	clear_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	vfm_reg_write(self->dev, MIGSIM_REG_INT_ENABLE, 0);
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
}

TEST_F(irq, one_kind_at_a_time)
{
	ASSERT_EQ(0, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1,
				self->event));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, NONE | TRIGGER, 0, 0, 0));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, NONE | UNMASK, 0, 1, 0));
	ASSERT_EQ(0, irqs(self->dev, MSI, NONE | TRIGGER, 0, 0, 0));
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
}

/* What is disabled is told nobody, and can be disabled once more. */
TEST_F(irq, disabled)
{
	enable(self->dev);
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(0, irqs(self->dev, INTX, NONE | TRIGGER, 0, 0, 0));
	ASSERT_EQ(0, irqs(self->dev, INTX, NONE | TRIGGER, 0, 0, 0));
	raise_it(self->dev);
	ASSERT_EQ(0, signalled(self->event));
	ASSERT_EQ(-EINVAL, irqs(self->dev, INTX, NONE | TRIGGER, 0, 1, 0));
	/* With what was raised meanwhile, if it is enabled again. */
	ASSERT_EQ(0, irqs(self->dev, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(1, signalled(self->event));
}

TEST_F(irq, loop_back)
{
	ASSERT_EQ(0, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(0, irqs(self->dev, MSI, NONE | TRIGGER, 0, 1, 0));
	ASSERT_EQ(1, signalled(self->event));
	ASSERT_EQ(0, irqs(self->dev, MSI, BOOL | TRIGGER, 0, 1, 0));
	ASSERT_EQ(0, signalled(self->event));
	ASSERT_EQ(0, irqs(self->dev, MSI, BOOL | TRIGGER, 0, 1, 1));
	ASSERT_EQ(1, signalled(self->event));
	/* Without an eventfd it is enabled all the same. */
	ASSERT_EQ(0, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, -1));
	ASSERT_EQ(0, irqs(self->dev, MSI, NONE | TRIGGER, 0, 1, 0));
	ASSERT_EQ(0, signalled(self->event));
}

TEST_F(irq, request)
{
	ASSERT_EQ(0, irqs(self->dev, REQ, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(0, irqs(self->dev, REQ, NONE | TRIGGER, 0, 1, 0));
	ASSERT_EQ(1, signalled(self->event));
	ASSERT_EQ(-ENOTTY, irqs(self->dev, REQ, NONE | MASK, 0, 1, 0));
	ASSERT_EQ(-EINVAL, irqs(self->dev, REQ, EVENTFD | TRIGGER, 0, 0, 0));
	ASSERT_EQ(-EINVAL, irqs(self->dev, REQ, BOOL | TRIGGER, 0, 0, 0));
	ASSERT_EQ(0, irqs(self->dev, REQ, NONE | TRIGGER, 0, 0, 0));
	ASSERT_EQ(0, irqs(self->dev, REQ, NONE | TRIGGER, 0, 1, 0));
	ASSERT_EQ(0, signalled(self->event));
}

/* Reset takes the reason away, and leaves to user space who is told. */
TEST_F(irq, reset)
{
	enable(self->dev);
	ASSERT_EQ(0, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, self->event));
	raise_it(self->dev);
	ASSERT_EQ(1, signalled(self->event));
	vfm_reset(self->dev);
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_STATUS));
	ASSERT_EQ(0, vfm_reg_read(self->dev, MIGSIM_REG_INT_ENABLE));
	enable(self->dev);
	raise_it(self->dev);
	ASSERT_EQ(1, signalled(self->event));
}

/* The reason travels; who is told at the other end is told there. */
TEST_F(irq, migrates)
{
	struct vfm_device *dst = vfm_create(MIGSIM_FULL);
	struct vfm_buf got = {};
	int fd;

	vfm_attr_set(dst, "state_size", 4096);
	vfm_open(dst);
	enable(self->dev);
	raise_it(self->dev);
	fd = vfm_enter(self->dev, VFM_STOP_COPY);
	vfm_drain(fd, &got, NULL);
	close(fd);
	vfm_restore(dst, &got, NULL);
	ASSERT_EQ(SOFTWARE, vfm_reg_read(dst, MIGSIM_REG_INT_STATUS));
	ASSERT_EQ(0, irqs(dst, INTX, EVENTFD | TRIGGER, 0, 1, self->event));
	ASSERT_EQ(0, signalled(self->event));
	vfm_set_state_nofd(dst, VFM_RUNNING);
	ASSERT_EQ(1, signalled(self->event));
	vfm_buf_free(&got);
	vfm_destroy(dst);
}

/* Only one data type and one action make sense, and nothing else does. */
TEST_F(irq, every_set_of_flags)
{
	u32 index, flags, count;

	for (index = 0; index < VFIO_PCI_NUM_IRQS + 2; index++)
	for (flags = 0; flags < 256; flags++)
	for (count = 0; count < 2; count++) {
		if (index < VFIO_PCI_NUM_IRQS && flags < 64 &&
		    __builtin_popcount(flags & 7) == 1 &&
		    __builtin_popcount(flags & 070) == 1)
			continue;
		ASSERT_EQ(-EINVAL, irqs(self->dev, index, flags, 0, count,
					self->event)) {
			TH_LOG("index %u flags %#x count %u", index, flags,
			       count);
		}
	}
}

#define UNUSED		(~0U)

/* What is asked for, while @used is the interrupt in use. */
struct ask {
	u32 used, index, action, type, start, count;
	s32 data;
	int fd_errno;		/* what is wrong with the fd in @data */
};

static int want_request(const struct ask *ask)
{
	if (ask->action != TRIGGER)
		return ENOTTY;
	if (!ask->count)
		return ask->type == NONE ? 0 : EINVAL;
	return ask->type == EVENTFD ? ask->fd_errno : 0;
}

static int want_trigger(const struct ask *ask)
{
	if (ask->used != UNUSED && ask->used != ask->index)
		return EINVAL;
	if (!ask->count)
		return ask->type == NONE ? 0 : EINVAL;
	if (ask->type == EVENTFD)
		return ask->fd_errno;
	return ask->used == ask->index ? 0 : EINVAL;
}

static int want_mask(const struct ask *ask)
{
	if (ask->index != INTX)
		return ENOTTY;
	if (ask->used != INTX || !ask->count)
		return EINVAL;
	if (ask->type == EVENTFD)
		return ask->action == MASK ? ENOTTY : ask->fd_errno;
	return 0;
}

/* As vfio-pci has it, for a function with one INTx, one MSI and neither MSI-X nor ERR. */
static int want(const struct ask *ask)
{
	if (ask->index == VFIO_PCI_MSIX_IRQ_INDEX ||
	    ask->index == VFIO_PCI_ERR_IRQ_INDEX ||
	    ask->start || ask->count > 1)
		return EINVAL;
	if (ask->index == REQ)
		return want_request(ask);
	return ask->action == TRIGGER ? want_trigger(ask) : want_mask(ask);
}

struct events {
	int used, request, other;
};

static void use(struct vfm_device *dev, const struct ask *ask,
		const struct events *events)
{
	if (ask->used != UNUSED)
		VFIO_ASSERT_EQ(irqs(dev, ask->used, EVENTFD | TRIGGER, 0, 1,
				    events->used), 0);
	VFIO_ASSERT_EQ(irqs(dev, REQ, EVENTFD | TRIGGER, 0, 1, events->request), 0);
}

static void use_none(struct vfm_device *dev)
{
	clear_it(dev);
	/* One of them is refused. */
	irqs(dev, INTX, NONE | TRIGGER, 0, 0, 0);
	irqs(dev, MSI, NONE | TRIGGER, 0, 0, 0);
	VFIO_ASSERT_EQ(irqs(dev, REQ, NONE | TRIGGER, 0, 0, 0), 0);
}

#define check(_ask, _have, _want) do {					\
	const struct ask *__ask = (_ask);				\
									\
	VFIO_ASSERT_EQ(_have, _want, "used %d index %u flags %#x start %u count %u data %d", \
		       __ask->used, __ask->index,			\
		       __ask->action | __ask->type, __ask->start,	\
		       __ask->count, __ask->data);			\
} while (0)

/* By hand, if it is about the one that has an eventfd. */
static bool tells(const struct ask *ask)
{
	return ask->action == TRIGGER && ask->count &&
	       (ask->type == NONE || (ask->type == BOOL && ask->data));
}

/* Who was there before is there still, and was told nothing. */
static void check_refused(struct vfm_device *dev, const struct ask *ask,
			  const struct events *events)
{
	check(ask, signalled(events->used), 0);
	check(ask, signalled(events->request), 0);
	raise_it(dev);
	check(ask, signalled(events->used), ask->used != UNUSED);
	check(ask, irqs(dev, REQ, NONE | TRIGGER, 0, 1, 0), 0);
	check(ask, signalled(events->request), 1);
	check(ask, signalled(events->other), 0);
}

static void check_taken(const struct ask *ask, const struct events *events)
{
	check(ask, signalled(events->used), tells(ask) && ask->index != REQ);
	check(ask, signalled(events->request), tells(ask) && ask->index == REQ);
	check(ask, signalled(events->other), 0);
}

static void try_ask(struct vfm_device *dev, const struct ask *ask,
		    const struct events *events)
{
	int ret;

	use(dev, ask, events);
	ret = irqs(dev, ask->index, ask->action | ask->type, ask->start,
		   ask->count, ask->data);
	check(ask, ret, -want(ask));
	if (ret)
		check_refused(dev, ask, events);
	else
		check_taken(ask, events);
	use_none(dev);
}

/* All that can stand behind the head, which means nothing if there is no such data. */
static void try_data(struct vfm_device *dev, struct ask ask,
		     const struct events *events)
{
	const struct {
		s32 fd;
		int err;
	} fds[] = {
		{ events->other, 0 }, { -1, 0 }, { -2, EINVAL }, { 9999, EBADF },
		{ dev->fd, EINVAL },
	};
	unsigned int i;

	for (i = 0; ask.type == EVENTFD && i < ARRAY_SIZE(fds); i++) {
		ask.data = fds[i].fd;
		ask.fd_errno = fds[i].err;
		try_ask(dev, &ask, events);
	}
	for (i = 0; ask.type != EVENTFD && i < 2; i++) {
		ask.data = i;
		try_ask(dev, &ask, events);
	}
}

/* What is valid by itself, with the errno that it has to have in each situation. */
TEST_F_TIMEOUT(irq, every_combination, 400)
{
	static const u32 uses[] = { UNUSED, INTX, MSI };
	static const u32 actions[] = { MASK, UNMASK, TRIGGER };
	static const u32 types[] = { NONE, BOOL, EVENTFD };
	static const u32 numbers[] = { 0, 1, 2, ~0U };
	const struct events events = {
		.used = self->event,
		.request = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};
	const unsigned int end = 3 * VFIO_PCI_NUM_IRQS * 3 * 3 * 4 * 4;
	unsigned int i, n;

	enable(self->dev);
	for (i = 0; i < end; i++) {
		struct ask ask = { .used = uses[i % 3] };

		n = i / 3;
		ask.index = n % VFIO_PCI_NUM_IRQS;
		n /= VFIO_PCI_NUM_IRQS;
		ask.action = actions[n % 3];
		ask.type = types[n / 3 % 3];
		ask.start = numbers[n / 9 % 4];
		ask.count = numbers[n / 36];
		try_data(self->dev, ask, &events);
	}
	close(events.request);
	close(events.other);
}

TEST_F(irq, short_and_bad_arguments)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set), .flags = EVENTFD | TRIGGER, .count = 1,
	};

	/* No room for the data that it announces. */
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_SET_IRQS, &set));
	ASSERT_EQ(EINVAL, errno);
	set.argsz--;
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_SET_IRQS, &set));
	ASSERT_EQ(EINVAL, errno);
	ASSERT_EQ(-1, ioctl(self->dev->fd, VFIO_DEVICE_SET_IRQS, NULL));
	ASSERT_EQ(EFAULT, errno);
	ASSERT_EQ(-EBADF, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, 9999));
	ASSERT_EQ(-EINVAL, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1, -2));
	ASSERT_EQ(-EINVAL, irqs(self->dev, MSI, EVENTFD | TRIGGER, 0, 1,
				self->dev->fd));
	ASSERT_EQ(-EINVAL, irqs(self->dev, MSI, NONE | TRIGGER, ~0U, ~0U, 0));
}

TEST_HARNESS_MAIN
