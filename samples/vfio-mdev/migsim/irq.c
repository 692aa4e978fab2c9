// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: interrupts
 *
 * The device interrupts while a bit of the status register is set that is enabled.
 * INTx is a level: user space is told once, whereupon it is masked until user space
 * unmasks it, and told again then if the level is still there. MSI is an edge: user
 * space is told when a bit becomes asserted.
 *
 * As with vfio-pci, one of the two is in use at a time: the one that has got a
 * trigger by VFIO_DEVICE_SET_IRQS, until it is disabled by a count of 0.
 *
 * irq.lock serialises SET_IRQS; what is signalled, and when, is under memory_lock.
 */
#include <linux/bitops.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "migsim.h"

/**
 * struct migsim_unmask - an eventfd that unmasks INTx
 * @sim: device
 * @eventfd: the eventfd, referenced
 * @entry: in its wait queue
 * @table: puts @entry there
 * @work: unmasks
 */
struct migsim_unmask {
	struct migsim_dev *sim;
	struct eventfd_ctx *eventfd;
	wait_queue_entry_t entry;
	poll_table table;
	struct work_struct work;
};

/**
 * migsim_irq_init - no interrupts
 * @sim: new device
 */
void migsim_irq_init(struct migsim_dev *sim)
{
	mutex_init(&sim->irq.lock);
	sim->irq.index = MIGSIM_IRQ_NONE;
}

/**
 * migsim_irq_asserted - has the device reason to interrupt
 * @sim: device; memory_lock is held
 *
 * Return: MIGSIM_INT_* that it has, or 0.
 */
u64 migsim_irq_asserted(const struct migsim_dev *sim)
{
	lockdep_assert_held(&sim->memory_lock);

	return sim->memory.int_status & sim->memory.int_enable;
}

static void migsim_irq_signal(struct eventfd_ctx *trigger)
{
	if (trigger)
		eventfd_signal(trigger);
}

/**
 * migsim_irq_update - tell user space what is new
 * @sim: device; memory_lock is held
 *
 * After any change to the registers, the mask or the command register, and when the
 * device runs again: a stopped one does not interrupt.
 */
void migsim_irq_update(struct migsim_dev *sim)
{
	u64 now = migsim_irq_asserted(sim);
	u16 command = migsim_config_command(sim);
	struct migsim_irq *irq = &sim->irq;

	lockdep_assert_held(&sim->memory_lock);
	irq->told &= now;
	if (!sim->memory.running)
		return;
	if (irq->index == VFIO_PCI_INTX_IRQ_INDEX && now && !irq->masked &&
	    !(command & PCI_COMMAND_INTX_DISABLE)) {
		irq->masked = true;
		migsim_irq_signal(irq->trigger);
	}
	/* A message is a write to memory. */
	if (irq->index == VFIO_PCI_MSI_IRQ_INDEX && now & ~irq->told &&
	    command & PCI_COMMAND_MASTER) {
		irq->told = now;
		migsim_irq_signal(irq->trigger);
	}
}

/**
 * migsim_irq_raise - something happened
 * @sim: device; memory_lock is held
 * @bits: MIGSIM_INT_*
 */
void migsim_irq_raise(struct migsim_dev *sim, u64 bits)
{
	lockdep_assert_held(&sim->memory_lock);
	/* Each time is an edge. */
	sim->irq.told &= ~bits;
	sim->memory.int_status |= bits;
	migsim_irq_update(sim);
}

static void migsim_irq_set_masked(struct migsim_dev *sim, bool masked)
{
	mutex_lock(&sim->memory_lock);
	sim->irq.masked = masked;
	migsim_irq_update(sim);
	mutex_unlock(&sim->memory_lock);
}

static void migsim_unmask_func(struct work_struct *work)
{
	struct migsim_unmask *unmask = container_of(work, struct migsim_unmask,
						    work);

	migsim_irq_set_masked(unmask->sim, false);
}

/* Under the eventfd's own lock, with interrupts off. */
static int migsim_unmask_wake(wait_queue_entry_t *entry, unsigned int mode,
			      int sync, void *key)
{
	struct migsim_unmask *unmask = container_of(entry, struct migsim_unmask,
						    entry);
	u64 count;

	if (key_to_poll(key) & EPOLLIN) {
		eventfd_ctx_do_read(unmask->eventfd, &count);
		queue_work(migsim_wq, &unmask->work);
	}

	return 0;
}

static void migsim_unmask_queue(struct file *file, wait_queue_head_t *head,
				poll_table *table)
{
	struct migsim_unmask *unmask = container_of(table, struct migsim_unmask,
						    table);

	add_wait_queue(head, &unmask->entry);
}

/* irq.lock is held. */
static void migsim_unmask_drop(struct migsim_dev *sim)
{
	struct migsim_unmask *unmask = sim->irq.unmask;
	u64 count;

	lockdep_assert_held(&sim->irq.lock);
	if (!unmask)
		return;
	sim->irq.unmask = NULL;
	eventfd_ctx_remove_wait_queue(unmask->eventfd, &unmask->entry, &count);
	cancel_work_sync(&unmask->work);
	eventfd_ctx_put(unmask->eventfd);
	kfree(unmask);
}

/* Instead of the one that there is, if it is good. */
static int migsim_unmask_watch(struct migsim_dev *sim, struct file *file)
{
	struct migsim_unmask *unmask;

	unmask = kzalloc(sizeof(*unmask), GFP_KERNEL_ACCOUNT);
	if (!unmask)
		return -ENOMEM;
	unmask->sim = sim;
	unmask->eventfd = eventfd_ctx_fileget(file);
	if (IS_ERR(unmask->eventfd)) {
		int ret = PTR_ERR(unmask->eventfd);

		kfree(unmask);
		return ret;
	}
	migsim_unmask_drop(sim);
	INIT_WORK(&unmask->work, migsim_unmask_func);
	init_waitqueue_func_entry(&unmask->entry, migsim_unmask_wake);
	init_poll_funcptr(&unmask->table, migsim_unmask_queue);
	sim->irq.unmask = unmask;
	/* What was written before counts. */
	if (vfs_poll(file, &unmask->table) & EPOLLIN)
		queue_work(migsim_wq, &unmask->work);

	return 0;
}

/* Unmask by an eventfd, -1 for none. */
static int migsim_unmask_set(struct migsim_dev *sim, int fd)
{
	struct file *file;
	int ret;

	if (fd == -1) {
		migsim_unmask_drop(sim);
		return 0;
	}
	if (fd < 0)
		return -EINVAL;
	file = fget(fd);
	if (!file)
		return -EBADF;
	ret = migsim_unmask_watch(sim, file);
	fput(file);

	return ret;
}

static void migsim_irq_use(struct migsim_dev *sim, int index,
			   struct eventfd_ctx *trigger)
{
	struct migsim_irq *irq = &sim->irq;
	struct eventfd_ctx *old;

	lockdep_assert_held(&irq->lock);
	mutex_lock(&sim->memory_lock);
	old = irq->trigger;
	irq->trigger = trigger;
	if (irq->index != index) {
		irq->index = index;
		irq->masked = false;
		irq->told = 0;
	}
	migsim_irq_update(sim);
	mutex_unlock(&sim->memory_lock);
	if (old)
		eventfd_ctx_put(old);
	if (index != VFIO_PCI_INTX_IRQ_INDEX)
		migsim_unmask_drop(sim);
}

/* Return: the eventfd, NULL for -1, or an ERR_PTR(). */
static struct eventfd_ctx *migsim_irq_eventfd(const void *data)
{
	s32 fd = *(const s32 *)data;

	if (fd == -1)
		return NULL;

	return fd < 0 ? ERR_PTR(-EINVAL) : eventfd_ctx_fdget(fd);
}

/* Have user space told by hand, to try it out. */
static void migsim_irq_loop_back(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	migsim_irq_signal(sim->irq.trigger);
	mutex_unlock(&sim->memory_lock);
}

/* @wanted: by VFIO_IRQ_SET_DATA_NONE or _BOOL */
static bool migsim_irq_wanted(const struct vfio_irq_set *set, const void *data)
{
	return !(set->flags & VFIO_IRQ_SET_DATA_BOOL) || *(const u8 *)data;
}

static int migsim_irq_trigger(struct migsim_dev *sim,
			      const struct vfio_irq_set *set, const void *data)
{
	struct migsim_irq *irq = &sim->irq;
	struct eventfd_ctx *trigger;

	if (irq->index != MIGSIM_IRQ_NONE && irq->index != set->index)
		return -EINVAL;
	if (!set->count) {
		if (!(set->flags & VFIO_IRQ_SET_DATA_NONE))
			return -EINVAL;
		migsim_irq_use(sim, MIGSIM_IRQ_NONE, NULL);
		return 0;
	}
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		trigger = migsim_irq_eventfd(data);
		if (IS_ERR(trigger))
			return PTR_ERR(trigger);
		migsim_irq_use(sim, set->index, trigger);
		return 0;
	}
	if (irq->index != set->index)
		return -EINVAL;
	if (migsim_irq_wanted(set, data))
		migsim_irq_loop_back(sim);

	return 0;
}

static int migsim_irq_mask(struct migsim_dev *sim,
			   const struct vfio_irq_set *set, const void *data)
{
	bool mask = set->flags & VFIO_IRQ_SET_ACTION_MASK;

	if (set->index != VFIO_PCI_INTX_IRQ_INDEX)
		return -ENOTTY;
	if (sim->irq.index != set->index || !set->count)
		return -EINVAL;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return mask ? -ENOTTY :
			      migsim_unmask_set(sim, *(const s32 *)data);
	if (migsim_irq_wanted(set, data))
		migsim_irq_set_masked(sim, mask);

	return 0;
}

/* The eventfd by which user space is asked to give the device back. */
static int migsim_irq_request_set(struct migsim_dev *sim,
				  const struct vfio_irq_set *set,
				  const void *data)
{
	struct eventfd_ctx *request = NULL;

	if (!(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return -ENOTTY;
	if (!set->count && !(set->flags & VFIO_IRQ_SET_DATA_NONE))
		return -EINVAL;
	if (set->count && !(set->flags & VFIO_IRQ_SET_DATA_EVENTFD)) {
		if (migsim_irq_wanted(set, data))
			migsim_irq_request(&sim->vdev, 0);
		return 0;
	}
	if (set->count) {
		request = migsim_irq_eventfd(data);
		if (IS_ERR(request))
			return PTR_ERR(request);
	}
	mutex_lock(&sim->memory_lock);
	swap(sim->irq.request, request);
	mutex_unlock(&sim->memory_lock);
	if (request)
		eventfd_ctx_put(request);

	return 0;
}

/**
 * migsim_irq_request - the device is to be removed while it is open
 * @vdev: device
 * @count: how often that was said
 */
void migsim_irq_request(struct vfio_device *vdev, unsigned int count)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	mutex_lock(&sim->memory_lock);
	migsim_irq_signal(sim->irq.request);
	mutex_unlock(&sim->memory_lock);
}

static int migsim_irq_set(struct migsim_dev *sim,
			  const struct vfio_irq_set *set, const void *data)
{
	lockdep_assert_held(&sim->irq.lock);
	if (hweight32(set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != 1)
		return -EINVAL;
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX)
		return migsim_irq_request_set(sim, set, data);

	return set->flags & VFIO_IRQ_SET_ACTION_TRIGGER ?
	       migsim_irq_trigger(sim, set, data) :
	       migsim_irq_mask(sim, set, data);
}

static unsigned int migsim_irq_count(unsigned int index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_REQ_IRQ_INDEX:
		return 1;
	default:
		return 0;
	}
}

/**
 * migsim_irq_get_info - VFIO_DEVICE_GET_IRQ_INFO
 * @arg: struct vfio_irq_info of user space
 *
 * Return: 0, -EFAULT, or -EINVAL if there is no such index.
 */
int migsim_irq_get_info(struct vfio_irq_info __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	/* Errors are told of by PCI Express only. */
	if (info.argsz < minsz || info.index >= VFIO_PCI_NUM_IRQS ||
	    info.index == VFIO_PCI_ERR_IRQ_INDEX)
		return -EINVAL;
	info.count = migsim_irq_count(info.index);
	info.flags = info.count ? VFIO_IRQ_INFO_EVENTFD : 0;
	if (info.index == VFIO_PCI_INTX_IRQ_INDEX)
		info.flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (info.count)
		info.flags |= VFIO_IRQ_INFO_NORESIZE;

	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

/**
 * migsim_irq_set_irqs - VFIO_DEVICE_SET_IRQS
 * @sim: device
 * @arg: struct vfio_irq_set of user space
 *
 * Rule: "one and only one" data type and action.
 * Return: 0. -EINVAL for what makes no sense, -ENOTTY for what an index cannot do,
 * -EFAULT, -ENOMEM, -EBADF.
 */
int migsim_irq_set_irqs(struct migsim_dev *sim, struct vfio_irq_set __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_irq_set, count);
	struct vfio_irq_set set = {};
	void *data = NULL;
	size_t size;
	int ret;

	if (copy_from_user(&set, arg, minsz))
		return -EFAULT;
	ret = vfio_set_irqs_validate_and_prepare(&set,
						 set.index < VFIO_PCI_NUM_IRQS ?
						 migsim_irq_count(set.index) : 0,
						 VFIO_PCI_NUM_IRQS, &size);
	if (ret)
		return ret;
	if (size)
		data = memdup_user((void __user *)arg + minsz, size);
	if (IS_ERR(data))
		return PTR_ERR(data);
	mutex_lock(&sim->irq.lock);
	ret = migsim_irq_set(sim, &set, data);
	mutex_unlock(&sim->irq.lock);
	kfree(data);

	return ret;
}

/**
 * migsim_irq_close - last close: nobody is to be told
 * @sim: device
 */
void migsim_irq_close(struct migsim_dev *sim)
{
	struct eventfd_ctx *request = NULL;

	mutex_lock(&sim->irq.lock);
	migsim_irq_use(sim, MIGSIM_IRQ_NONE, NULL);
	mutex_lock(&sim->memory_lock);
	swap(sim->irq.request, request);
	mutex_unlock(&sim->memory_lock);
	mutex_unlock(&sim->irq.lock);
	if (request)
		eventfd_ctx_put(request);
}
