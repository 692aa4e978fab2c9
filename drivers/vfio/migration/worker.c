// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: who does the work of the sessions
 *
 * Sessions that have something to do stand in one queue. A few servers, one for each
 * CPU, go through it until it is empty. While they are busy, work for another session
 * costs an entry in a list: a work item of its own would be a wake-up and a switch
 * for each few pages, with hundreds of sessions. After some sections a session goes
 * to the end of the queue if others wait.
 *
 * A server runs from the workqueue's pool that its CPU belongs to. Work goes to the
 * next server that has none to do, rather than to that of the CPU where it came from:
 * a client is running there, which goes on while its session is served. That one is
 * only woken if others wait as well, or if the busy ones do not come in time, though
 * callbacks ought to be short.
 *
 * A session is served by one server at a time. What comes for it meanwhile has it
 * stand in the queue again afterwards. The queue holds a reference to a session.
 */
#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "session.h"

/* How long a session waits for busy servers while another is idle. */
#define VFIO_MIG_OVERDUE_MS	4

/**
 * struct vfio_mig_queue - sessions that have something to do
 * @lock: protects the members, and those of sessions that say so; taken in any
 *	context
 * @sessions: by &vfio_mig_session.node
 * @busy: bits of servers that run or are about to
 * @servers: what they run from, by CPU
 * @overdue: wakes a server for who waits too long
 */
static struct vfio_mig_queue {
	/* who stands in the queue, who serves it */
	spinlock_t lock;
	struct list_head sessions;
	unsigned long *busy;
	struct work_struct *servers;
	struct delayed_work overdue;
} vfio_mig_queue;

struct workqueue_struct *vfio_mig_wq;
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_wq);

/* Under the lock, so that who is marked busy does come. */
static void vfio_mig_wake_server(struct vfio_mig_queue *queue, unsigned int cpu)
{
	lockdep_assert_held(&queue->lock);
	__set_bit(cpu, queue->busy);
	queue_work_on(cpu, vfio_mig_wq, &queue->servers[cpu]);
}

/* Return: the CPU of a server that is idle, @here being the last choice, or nr_cpu_ids. */
static unsigned int vfio_mig_find_idle(const struct vfio_mig_queue *queue,
				       unsigned int here)
{
	unsigned int cpu;

	lockdep_assert_held(&queue->lock);
	for_each_cpu_wrap(cpu, cpu_online_mask, here + 1)
		if (!test_bit(cpu, queue->busy))
			return cpu;

	return nr_cpu_ids;
}

static void vfio_mig_enqueue(struct vfio_mig_queue *queue,
			     struct vfio_mig_session *session)
{
	unsigned int here = raw_smp_processor_id();
	unsigned int cpu = vfio_mig_find_idle(queue, here);
	bool alone = list_empty(&queue->sessions);

	list_add_tail(&session->node, &queue->sessions);
	if (cpu == here && alone && !bitmap_empty(queue->busy, nr_cpu_ids))
		queue_delayed_work(vfio_mig_wq, &queue->overdue,
				   msecs_to_jiffies(VFIO_MIG_OVERDUE_MS));
	else if (cpu < nr_cpu_ids)
		vfio_mig_wake_server(queue, cpu);
}

/**
 * vfio_mig_session_work - have the worker look
 * @session: session, which somebody else keeps alive for the call
 *
 * Context: any.
 */
void vfio_mig_session_work(struct vfio_mig_session *session)
{
	struct vfio_mig_queue *queue = &vfio_mig_queue;
	unsigned long flags;

	if (vfio_mig_ended(session))
		return;
	spin_lock_irqsave(&queue->lock, flags);
	if (!session->waiting) {
		session->waiting = true;
		kref_get(&session->ref);
		if (!session->served)
			vfio_mig_enqueue(queue, session);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
}

/**
 * vfio_mig_session_yield - let others have their turn
 * @session: session whose worker the caller is
 * @turn: sections that it was at work on
 *
 * Return: true if the worker is called again later.
 */
bool vfio_mig_session_yield(struct vfio_mig_session *session, unsigned int turn)
{
	if (turn < VFIO_MIG_TURN || list_empty_careful(&vfio_mig_queue.sessions))
		return false;
	vfio_mig_session_work(session);

	return true;
}

static void vfio_mig_overdue(struct work_struct *work)
{
	struct vfio_mig_queue *queue = &vfio_mig_queue;
	unsigned int cpu;

	spin_lock_irq(&queue->lock);
	cpu = vfio_mig_find_idle(queue, raw_smp_processor_id());
	if (!list_empty(&queue->sessions) && cpu < nr_cpu_ids)
		vfio_mig_wake_server(queue, cpu);
	spin_unlock_irq(&queue->lock);
}

/* If more has come for it, the session stands in the queue again. */
static void vfio_mig_served(struct vfio_mig_queue *queue,
			    struct vfio_mig_session *session)
{
	lockdep_assert_held(&queue->lock);
	session->served = false;
	if (session->waiting)
		list_add_tail(&session->node, &queue->sessions);
}

/*
 * @last is what @server has served, or NULL.
 * Return: the next session, or NULL if @server has nothing to do any more.
 */
static struct vfio_mig_session *vfio_mig_next(struct vfio_mig_queue *queue,
					      unsigned int server,
					      struct vfio_mig_session *last)
{
	struct vfio_mig_session *session;

	spin_lock_irq(&queue->lock);
	if (last)
		vfio_mig_served(queue, last);
	session = list_first_entry_or_null(&queue->sessions,
					   struct vfio_mig_session, node);
	if (session) {
		list_del(&session->node);
		session->waiting = false;
		session->served = true;
	} else {
		__clear_bit(server, queue->busy);
	}
	spin_unlock_irq(&queue->lock);
	if (last)
		vfio_mig_session_put(last);

	return session;
}

static void vfio_mig_server(struct work_struct *work)
{
	struct vfio_mig_queue *queue = &vfio_mig_queue;
	unsigned int server = work - queue->servers;
	struct vfio_mig_session *session = NULL;

	while ((session = vfio_mig_next(queue, server, session))) {
		vfio_mig_session_serve(session);
		cond_resched();
	}
}

/**
 * vfio_mig_workers_init - the module begins
 *
 * Return: 0 or -ENOMEM.
 */
int vfio_mig_workers_init(void)
{
	struct vfio_mig_queue *queue = &vfio_mig_queue;
	unsigned int i;

	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->sessions);
	INIT_DELAYED_WORK(&queue->overdue, vfio_mig_overdue);
	queue->busy = bitmap_zalloc(nr_cpu_ids, GFP_KERNEL);
	queue->servers = kcalloc(nr_cpu_ids, sizeof(*queue->servers), GFP_KERNEL);
	vfio_mig_wq = alloc_workqueue("vfio-migration", WQ_UNBOUND, 0);
	if (!queue->busy || !queue->servers || !vfio_mig_wq) {
		vfio_mig_workers_exit();
		return -ENOMEM;
	}
	for (i = 0; i < nr_cpu_ids; i++)
		INIT_WORK(&queue->servers[i], vfio_mig_server);

	return 0;
}

/**
 * vfio_mig_workers_exit - the module goes away, and no session is left
 */
void vfio_mig_workers_exit(void)
{
	struct vfio_mig_queue *queue = &vfio_mig_queue;

	if (vfio_mig_wq) {
		cancel_delayed_work_sync(&queue->overdue);
		destroy_workqueue(vfio_mig_wq);
	}
	kfree(queue->servers);
	bitmap_free(queue->busy);
}
