/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that block on purpose, and deadlines. Nothing here measures time: a
 * deadline only turns a hang into a failure, and scales with KSFT_MACHINE_SLOW.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_THREAD_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include <libvfio/migration.h>

struct timespec vfm_deadline(void);
bool vfm_expired(const struct timespec *deadline);
int vfm_deadline_ms(void);

/* Looks at readable state until it is as wanted. */
#define VFM_WAIT(_cond) do {						\
	struct timespec __deadline = vfm_deadline();			\
									\
	while (!(_cond)) {						\
		if (vfm_expired(&__deadline))				\
			VFIO_FAIL("gave up waiting for: %s", #_cond);	\
		usleep(500);						\
	}								\
} while (0)

struct vfm_thread {
	pthread_t thread;
	atomic_int tid;
	atomic_bool done;
	bool joined;
	long ret;
	long (*fn)(void *arg);
	void *arg;
};

void vfm_thread_start(struct vfm_thread *t, long (*fn)(void *arg), void *arg);
/* Until it sleeps, be it for a moment; false if it has returned instead. */
bool vfm_thread_asleep(struct vfm_thread *t);
/* Until it sleeps in a call, and goes on doing so; false as above. */
bool vfm_thread_blocked(struct vfm_thread *t);
/* Its return value; a thread that does not end by the deadline is a failure. */
long vfm_thread_join(struct vfm_thread *t);
/*
 * Does a thread, of whatever process, sleep in a call, and in one and the same sleep:
 * it also sleeps for a moment to get a page.
 */
bool vfm_task_stuck(int tid);
/* A signal whose handler does nothing and restarts nothing. */
void vfm_thread_signal(struct vfm_thread *t);

#define vfm_assert_blocked(_t) \
	VFIO_ASSERT_TRUE(vfm_thread_blocked(_t), "returned %ld", (_t)->ret)

/*
 * A SET with signals coming all the time, none of which restarts it: one that has
 * to sleep ends with EINTR, one that has nothing to wait for does not notice them.
 */
int __vfm_set_state_signalled(struct vfm_device *dev, u32 state);

/* Bodies for the above. */
struct vfm_io {
	int fd;
	void *buf;
	size_t len;
};

struct vfm_set {
	struct vfm_device *dev;
	u32 state;
	int data_fd;		/* out */
};

long vfm_thread_read(void *io);
long vfm_thread_write(void *io);
/* poll() without end for the events in @len; returns revents. */
long vfm_thread_poll(void *io);
long vfm_thread_set_state(void *set);
long vfm_thread_get_state(void *dev);
long vfm_thread_reset(void *dev);

#endif
