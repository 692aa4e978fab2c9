// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core: who does the work of the sessions
 *
 * Sessions that have something to do stand in one queue. A few servers, as many as
 * there are CPUs, go through it until it is empty. While they are busy, work for
 * another session costs an entry in a list: a work item of its own would be a
 * wake-up and a switch for each few pages, with hundreds of sessions.
 *
 * Each server belongs to a CPU, where the scheduler is asked to run it. Work goes to
 * the next CPU that has none to do, rather than to the one that it came from: there
 * a client is running, which goes on while its session is served.
 *
 * A session is served by one server at a time. What comes for it meanwhile has it
 * stand in the queue again afterwards. The queue holds a reference to a session.
 */
#include <kunit/visibility.h>
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/module.h>
#include <linux/smp.h>

#include "session.h"

#define VFIO_MIG_MAX_SERVERS	BITS_PER_LONG

/**
 * struct vfio_mig_queue - sessions that have something to do
 * @lock: protects the members, and those of sessions that say so; taken in any
 *	context
 * @sessions: by &vfio_mig_session.node
 * @busy: servers that run or are about to
 * @nr: servers. Immutable
 * @servers: what they run from
 */
static struct vfio_mig_queue {
	/* who stands in the queue, who serves it */
	spinlock_t lock;
	struct list_head sessions;
	unsigned long busy;
	unsigned int nr;
	struct work_struct servers[VFIO_MIG_MAX_SERVERS];
} vfio_mig_queue;

struct workqueue_struct *vfio_mig_wq;
EXPORT_SYMBOL_IF_KUNIT(vfio_mig_wq);

/*
 * The queue is locked. The CPU that the work comes from has its server woken only if
 * others wait as well: with no other server busy there is always another choice.
 * Return: a server to be woken, or one that there is not.
 */
static unsigned int vfio_mig_choose(const struct vfio_mig_queue *queue)
{
	unsigned int here = raw_smp_processor_id() % queue->nr;
	unsigned int server;

	lockdep_assert_held(&queue->lock);
	server = find_next_zero_bit(&queue->busy, queue->nr, here + 1);
	if (server >= queue->nr)
		server = find_first_zero_bit(&queue->busy, queue->nr);

	return server == here && list_empty(&queue->sessions) ?
	       queue->nr : server;
}

static void vfio_mig_wake_server(struct vfio_mig_queue *queue,
				 unsigned int server)
{
	int cpu = server < nr_cpu_ids && cpu_online(server) ?
		  server : WORK_CPU_UNBOUND;

	queue_work_on(cpu, vfio_mig_wq, &queue->servers[server]);
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
	unsigned int server = queue->nr;
	unsigned long flags;

	if (vfio_mig_ended(session))
		return;
	spin_lock_irqsave(&queue->lock, flags);
	if (!session->waiting) {
		session->waiting = true;
		kref_get(&session->ref);
		if (!session->served) {
			server = vfio_mig_choose(queue);
			list_add_tail(&session->node, &queue->sessions);
		}
		if (server < queue->nr)
			__set_bit(server, &queue->busy);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	if (server < queue->nr)
		vfio_mig_wake_server(queue, server);
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
		__clear_bit(server, &queue->busy);
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
	queue->nr = clamp(nr_cpu_ids, 2u, (unsigned int)VFIO_MIG_MAX_SERVERS);
	for (i = 0; i < queue->nr; i++)
		INIT_WORK(&queue->servers[i], vfio_mig_server);
	vfio_mig_wq = alloc_workqueue("vfio-migration", WQ_UNBOUND, 0);

	return vfio_mig_wq ? 0 : -ENOMEM;
}

/**
 * vfio_mig_workers_exit - the module goes away, and no session is left
 */
void vfio_mig_workers_exit(void)
{
	destroy_workqueue(vfio_mig_wq);
}
