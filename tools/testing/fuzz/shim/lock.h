/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Locks that complain, and sleeping. There is one thread: to sleep is to let the
 * rest of the world run until somebody wakes this queue, and if nobody will, the
 * wake-up was lost.
 */
#ifndef _FUZZ_SHIM_LOCK_H
#define _FUZZ_SHIM_LOCK_H

#include "base.h"

typedef struct {
	bool held;
} spinlock_t;

struct mutex {
	bool held;
};

/* Spinlocks held now: nobody sleeps or is called back under one. */
extern unsigned int shim_spinning;

#define spin_lock_init(lock)	((lock)->held = false)
void shim_spin_lock(spinlock_t *lock);
void shim_spin_unlock(spinlock_t *lock);
#define spin_lock		shim_spin_lock
#define spin_unlock		shim_spin_unlock
#define spin_lock_irq		shim_spin_lock
#define spin_unlock_irq		shim_spin_unlock
#define spin_lock_irqsave(lock, flags) do {				\
	(flags) = 1;							\
	shim_spin_lock(lock);						\
} while (0)
#define spin_unlock_irqrestore(lock, flags) do {			\
	(void)(flags);							\
	shim_spin_unlock(lock);						\
} while (0)

bool mutex_trylock(struct mutex *lock);
void mutex_lock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
#define mutex_lock_killable(lock)	(mutex_lock(lock), 0)

#define lockdep_assert_held(lock) do {					\
	if (!(lock)->held)						\
		shim_die("%s: %s is not held", __func__, #lock);	\
} while (0)

typedef struct {
	unsigned int sleepers;
	unsigned long woken;
} wait_queue_head_t;

#define TASK_NORMAL		3
#define init_waitqueue_head(wait)	memset(wait, 0, sizeof(*(wait)))

static inline bool wq_has_sleeper(const wait_queue_head_t *wait)
{
	return wait->sleepers;
}

static inline void wake_up_all(wait_queue_head_t *wait)
{
	wait->woken++;
}

#define __wake_up(wait, mode, nr, key)	((void)(key), wake_up_all(wait))

/* False if a signal came. The harness has the rest of the world in it. */
bool shim_sleep(wait_queue_head_t *wait);

#define wait_event_interruptible(wait, cond) ({				\
	int __ret = 0;							\
									\
	(wait).sleepers++;						\
	while (!__ret && !(cond))					\
		if (!shim_sleep(&(wait)))				\
			__ret = -ERESTARTSYS;				\
	(wait).sleepers--;						\
	__ret;								\
})

/* Nobody kills the one thread. */
#define wait_event_killable	wait_event_interruptible

#define cond_resched()		shim_might_sleep(__func__)
void shim_might_sleep(const char *who);

struct workqueue_struct;

/* Work that has been queued is done at once: its caller holds no lock that matters. */
struct work_struct {
	void (*func)(struct work_struct *work);
};

#define INIT_WORK(work, function)	((work)->func = (function))

static inline bool queue_work(struct workqueue_struct *wq,
			      struct work_struct *work)
{
	(void)wq;
	work->func(work);
	return true;
}

#endif
