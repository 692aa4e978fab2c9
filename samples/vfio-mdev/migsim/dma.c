// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: the DMA engine
 *
 * A write to the command register queues a copy between the guest's memory and the
 * device's. A thread of the device carries the commands out, a page at a time: that
 * is what is under way when the device quiesces. Arcs wait for it; what is left of
 * the queue, to the byte, is part of the device's state and goes on at the other end.
 *
 * The guest's memory belongs to user space, which may have a page fault of it take
 * for ever. So it is touched with no lock held, but VFIO and iommufd hold theirs, for
 * which others wait that nothing can interrupt: whoever changes mappings, and peers
 * with the same memory. Therefore no step takes long: the thread, which is one because
 * of that, is interrupted, and makes the step once more. That is what arcs wait for;
 * reset and close interrupt it at once, and drop what it did not have in hand yet.
 */
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "migsim.h"

/* Instead of an errno: the step is to be made once more. */
#define MIGSIM_DMA_AGAIN	1

/* A step that takes longer is interrupted after as much again at most. */
#define MIGSIM_DMA_PATIENCE_MS	500

/**
 * struct migsim_dma_step - what is carried out at once
 * @command: MIGSIM_DMA_*
 * @iova: in the guest's memory
 * @offset: in the device memory
 * @length: bytes, all in one page at either end
 * @epoch: &migsim_dma.epoch when it began
 */
struct migsim_dma_step {
	u64 command;
	u64 iova;
	u64 offset;
	size_t length;
	unsigned int epoch;
};

static struct migsim_dma_command *migsim_dma_head(struct migsim_dma *dma)
{
	return &dma->queue[dma->head % MIGSIM_DMA_DEPTH];
}

static void migsim_dma_fail(struct migsim_dev *sim, int err)
{
	sim->dma.failed++;
	sim->dma.error = err;
	migsim_irq_raise(sim, MIGSIM_INT_DMA_FAILED);
}

static bool migsim_dma_may_go(struct migsim_dev *sim)
{
	const struct migsim_dma *dma = &sim->dma;

	return dma->worker && dma->active && dma->nr && sim->memory.running &&
	       !sim->memory.draining &&
	       migsim_config_command(sim) & PCI_COMMAND_MASTER;
}

/**
 * migsim_dma_go - carry out what is queued, if that is possible now
 * @sim: device; memory_lock is held
 */
void migsim_dma_go(struct migsim_dev *sim)
{
	lockdep_assert_held(&sim->memory_lock);
	if (migsim_dma_may_go(sim))
		kthread_queue_work(sim->dma.worker, &sim->dma.work);
}

static bool migsim_dma_valid(const struct migsim_dma_command *command)
{
	return (command->command == MIGSIM_DMA_READ ||
		command->command == MIGSIM_DMA_WRITE) &&
	       command->length && command->length <= MIGSIM_DMA_MAX &&
	       command->iova + command->length > command->iova &&
	       command->offset + command->length > command->offset;
}

/**
 * migsim_dma_queue - the command register was written
 * @sim: device that runs; memory_lock is held
 * @value: what was written
 */
void migsim_dma_queue(struct migsim_dev *sim, u64 value)
{
	struct migsim_dma *dma = &sim->dma;
	struct migsim_dma_command command = dma->next;

	lockdep_assert_held(&sim->memory_lock);
	command.command = value;
	if (!migsim_dma_valid(&command)) {
		migsim_dma_fail(sim, EINVAL);
	} else if (dma->nr == MIGSIM_DMA_DEPTH) {
		migsim_dma_fail(sim, EBUSY);
	} else {
		dma->queue[(dma->head + dma->nr++) % MIGSIM_DMA_DEPTH] = command;
		migsim_dma_go(sim);
	}
}

/* The next page of the first command. */
static void migsim_dma_take(struct migsim_dma *dma, struct migsim_dma_step *step)
{
	const struct migsim_dma_command *command = migsim_dma_head(dma);

	step->command = command->command;
	step->iova = command->iova;
	step->offset = command->offset;
	step->length = min3((u64)(PAGE_SIZE - offset_in_page(command->iova)),
			    (u64)(PAGE_SIZE - offset_in_page(command->offset)),
			    command->length);
	step->epoch = dma->epoch;
}

/* Return: whether there is a step; what it writes is in the bounce buffer then. */
static bool migsim_dma_begin(struct migsim_dev *sim,
			     struct migsim_dma_step *step, int *err)
{
	struct migsim_dma *dma = &sim->dma;
	bool go;

	mutex_lock(&sim->memory_lock);
	go = migsim_dma_may_go(sim);
	if (go) {
		dma->steps++;
		queue_delayed_work(migsim_wq, &dma->watch,
				   msecs_to_jiffies(MIGSIM_DMA_PATIENCE_MS));
		migsim_dma_take(dma, step);
		*err = step->command == MIGSIM_DMA_WRITE ?
		       migsim_memory_read(sim, step->offset, dma->bounce,
					  step->length) : 0;
	}
	WRITE_ONCE(dma->busy, go);
	mutex_unlock(&sim->memory_lock);

	return go;
}

/* Return: 0, MIGSIM_DMA_AGAIN, or an errno. */
static int migsim_dma_move(struct migsim_dev *sim,
			   const struct migsim_dma_step *step)
{
	bool write = step->command == MIGSIM_DMA_WRITE;
	int ret;

	ret = migsim_fault_dma(sim);
	if (ret)
		return ret;
	ret = vfio_dma_rw(&sim->vdev, step->iova, sim->dma.bounce, step->length,
			  write);
	/* Other errors come from what is not mapped. */
	if (write && (!ret || ret == -EFAULT))
		migsim_dma_log(sim, step->iova);
	if (!ret)
		return 0;

	return signal_pending(current) ? MIGSIM_DMA_AGAIN : -EFAULT;
}

static void migsim_dma_advance(struct migsim_dev *sim,
			       const struct migsim_dma_step *step, int err)
{
	struct migsim_dma_command *command = migsim_dma_head(&sim->dma);
	struct migsim_dma *dma = &sim->dma;

	if (!err && step->command == MIGSIM_DMA_READ)
		err = migsim_memory_write(sim, step->offset, dma->bounce,
					  step->length);
	command->iova += step->length;
	command->offset += step->length;
	command->length -= step->length;
	if (!err && command->length)
		return;
	dma->head++;
	dma->nr--;
	if (err) {
		migsim_dma_fail(sim, -err);
		return;
	}
	dma->done++;
	migsim_irq_raise(sim, MIGSIM_INT_DMA_DONE);
}

/* Return: whether to go on. */
static bool migsim_dma_end(struct migsim_dev *sim,
			   const struct migsim_dma_step *step, int err)
{
	struct migsim_dma *dma = &sim->dma;
	bool more, dirty;

	mutex_lock(&sim->memory_lock);
	/* After a reset, it is nobody's. */
	if (step->epoch == dma->epoch && err != MIGSIM_DMA_AGAIN)
		migsim_dma_advance(sim, step, err);
	WRITE_ONCE(dma->busy, false);
	/* An interruption was for this step, and has done its work. */
	flush_signals(current);
	more = migsim_dma_may_go(sim);
	dirty = sim->memory.nr_dirty;
	migsim_drain_look(sim);
	mutex_unlock(&sim->memory_lock);
	/* An arc may be waiting. */
	if (!more || dirty)
		vfio_mig_kick(sim->mig);

	return more;
}

static void migsim_dma_interrupt(struct migsim_dma *dma)
{
	if (dma->busy)
		send_sig(SIGKILL, dma->worker->task, 1);
}

/* Runs as long as steps do, and interrupts one that it meets twice. */
static void migsim_dma_watch(struct work_struct *work)
{
	struct migsim_dma *dma = container_of(to_delayed_work(work),
					      struct migsim_dma, watch);
	struct migsim_dev *sim = container_of(dma, struct migsim_dev, dma);

	mutex_lock(&sim->memory_lock);
	if (dma->steps == dma->watched)
		migsim_dma_interrupt(dma);
	if (dma->busy)
		queue_delayed_work(migsim_wq, &dma->watch,
				   msecs_to_jiffies(MIGSIM_DMA_PATIENCE_MS));
	dma->watched = dma->steps;
	mutex_unlock(&sim->memory_lock);
}

static void migsim_dma_func(struct kthread_work *work)
{
	struct migsim_dev *sim = container_of(work, struct migsim_dev, dma.work);
	struct migsim_dma_step step;
	struct mem_cgroup *old;
	bool more = true;
	int err;

	allow_kernel_signal(SIGKILL);
	old = set_active_memcg(sim->memcg);
	while (more && migsim_dma_begin(sim, &step, &err)) {
		more = migsim_dma_end(sim, &step,
				      err ?: migsim_dma_move(sim, &step));
		cond_resched();
	}
	set_active_memcg(old);
}

/**
 * migsim_dma_start - the device may initiate DMA
 * @sim: device
 */
void migsim_dma_start(struct migsim_dev *sim)
{
	mutex_lock(&sim->memory_lock);
	sim->dma.active = true;
	migsim_dma_go(sim);
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_dma_freeze - no DMA from here on, also none under way
 * @sim: device, in an arc
 *
 * A step that does not end is interrupted, and made at the other end.
 *
 * Return: 0. -EINTR or -ECANCELED with DMA going on.
 */
int migsim_dma_freeze(struct migsim_dev *sim)
{
	int ret;

	mutex_lock(&sim->memory_lock);
	sim->dma.active = false;
	mutex_unlock(&sim->memory_lock);
	ret = vfio_mig_wait_event(sim->mig, !READ_ONCE(sim->dma.busy));
	if (ret)
		migsim_dma_start(sim);

	return ret;
}

/**
 * migsim_dma_abort - nothing that is under way has any effect on the device any more
 * @sim: device. It may initiate DMA again after migsim_dma_start()
 */
void migsim_dma_abort(struct migsim_dev *sim)
{
	struct migsim_dma *dma = &sim->dma;

	mutex_lock(&sim->memory_lock);
	dma->active = false;
	dma->epoch++;
	migsim_dma_interrupt(dma);
	mutex_unlock(&sim->memory_lock);
	if (dma->worker)
		kthread_flush_work(&dma->work);
}

/**
 * migsim_dma_reset - an empty queue, and registers as after power on
 * @sim: device. It may initiate DMA again after migsim_dma_start()
 */
void migsim_dma_reset(struct migsim_dev *sim)
{
	struct migsim_dma *dma = &sim->dma;

	migsim_dma_abort(sim);
	mutex_lock(&sim->memory_lock);
	memset(&dma->next, 0, sizeof(dma->next));
	dma->head = 0;
	dma->nr = 0;
	dma->done = 0;
	dma->failed = 0;
	dma->error = 0;
	mutex_unlock(&sim->memory_lock);
}

/**
 * migsim_dma_open - first open
 * @sim: device
 *
 * Return: 0 or -ENOMEM.
 */
int migsim_dma_open(struct migsim_dev *sim)
{
	struct migsim_dma *dma = &sim->dma;
	struct kthread_worker *worker;

	dma->bounce = (void *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!dma->bounce)
		return -ENOMEM;
	kthread_init_work(&dma->work, migsim_dma_func);
	INIT_DELAYED_WORK(&dma->watch, migsim_dma_watch);
	worker = kthread_run_worker(0, "migsim-dma/%s",
				    dev_name(sim->vdev.dev));
	if (IS_ERR(worker)) {
		free_page((unsigned long)dma->bounce);
		return PTR_ERR(worker);
	}
	mutex_lock(&sim->memory_lock);
	dma->worker = worker;
	/* What the last owner wanted was meant for his memory. */
	dma->nr = 0;
	mutex_unlock(&sim->memory_lock);

	return 0;
}

/**
 * migsim_dma_close - last close: the queue stays as it is
 * @sim: device
 */
void migsim_dma_close(struct migsim_dev *sim)
{
	struct migsim_dma *dma = &sim->dma;
	struct kthread_worker *worker = dma->worker;

	migsim_dma_abort(sim);
	cancel_delayed_work_sync(&dma->watch);
	mutex_lock(&sim->memory_lock);
	dma->worker = NULL;
	mutex_unlock(&sim->memory_lock);
	kthread_destroy_worker(worker);
	free_page((unsigned long)dma->bounce);
}

/**
 * migsim_dma_reg_read - a register of the engine
 * @sim: device; memory_lock is held
 * @reg: MIGSIM_REG_DMA_*
 *
 * Return: its value.
 */
u64 migsim_dma_reg_read(const struct migsim_dev *sim, u64 reg)
{
	const struct migsim_dma *dma = &sim->dma;

	lockdep_assert_held(&sim->memory_lock);
	switch (reg) {
	case MIGSIM_REG_DMA_IOVA:
		return dma->next.iova;
	case MIGSIM_REG_DMA_OFFSET:
		return dma->next.offset;
	case MIGSIM_REG_DMA_LENGTH:
		return dma->next.length;
	case MIGSIM_REG_DMA_QUEUED:
		return dma->nr;
	case MIGSIM_REG_DMA_DONE:
		return dma->done;
	case MIGSIM_REG_DMA_FAILED:
		return dma->failed;
	case MIGSIM_REG_DMA_ERROR:
		return dma->error;
	default:
		return 0;
	}
}

/**
 * migsim_dma_reg - where a register that can be written is kept
 * @sim: device; memory_lock is held
 * @reg: MIGSIM_REG_DMA_*
 *
 * Return: that, or NULL.
 */
u64 *migsim_dma_reg(struct migsim_dev *sim, u64 reg)
{
	lockdep_assert_held(&sim->memory_lock);
	switch (reg) {
	case MIGSIM_REG_DMA_IOVA:
		return &sim->dma.next.iova;
	case MIGSIM_REG_DMA_OFFSET:
		return &sim->dma.next.offset;
	case MIGSIM_REG_DMA_LENGTH:
		return &sim->dma.next.length;
	default:
		return NULL;
	}
}

/**
 * migsim_dma_save - registers and queue
 * @sim: device that does no DMA now; memory_lock is held
 * @to: filled in
 */
void migsim_dma_save(const struct migsim_dev *sim, struct migsim_section_dma *to)
{
	const struct migsim_dma *dma = &sim->dma;
	const struct migsim_dma_command *command;
	unsigned int i;

	lockdep_assert_held(&sim->memory_lock);
	to->iova = cpu_to_le64(dma->next.iova);
	to->offset = cpu_to_le64(dma->next.offset);
	to->length = cpu_to_le64(dma->next.length);
	to->done = cpu_to_le64(dma->done);
	to->failed = cpu_to_le64(dma->failed);
	to->error = cpu_to_le64(dma->error);
	to->nr = cpu_to_le64(dma->nr);
	for (i = 0; i < dma->nr; i++) {
		command = &dma->queue[(dma->head + i) % MIGSIM_DMA_DEPTH];
		to->queue[i].command = cpu_to_le64(command->command);
		to->queue[i].iova = cpu_to_le64(command->iova);
		to->queue[i].offset = cpu_to_le64(command->offset);
		to->queue[i].length = cpu_to_le64(command->length);
	}
}

static int migsim_dma_load_queue(struct migsim_dma *dma,
				 const struct migsim_section_dma *from)
{
	u64 nr = le64_to_cpu(from->nr);
	unsigned int i;

	if (nr > MIGSIM_DMA_DEPTH)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		dma->queue[i].command = le64_to_cpu(from->queue[i].command);
		dma->queue[i].iova = le64_to_cpu(from->queue[i].iova);
		dma->queue[i].offset = le64_to_cpu(from->queue[i].offset);
		dma->queue[i].length = le64_to_cpu(from->queue[i].length);
		if (!migsim_dma_valid(&dma->queue[i]))
			return -EINVAL;
	}
	dma->head = 0;
	dma->nr = nr;

	return 0;
}

/**
 * migsim_dma_load - the other way
 * @sim: stopped device; memory_lock is held
 * @from: untrusted
 *
 * Return: 0, or -EINVAL, after which the queue is empty.
 */
int migsim_dma_load(struct migsim_dev *sim, const struct migsim_section_dma *from)
{
	struct migsim_dma *dma = &sim->dma;

	lockdep_assert_held(&sim->memory_lock);
	dma->nr = 0;
	dma->next.iova = le64_to_cpu(from->iova);
	dma->next.offset = le64_to_cpu(from->offset);
	dma->next.length = le64_to_cpu(from->length);
	dma->done = le64_to_cpu(from->done);
	dma->failed = le64_to_cpu(from->failed);
	dma->error = le64_to_cpu(from->error);

	return migsim_dma_load_queue(dma, from);
}
