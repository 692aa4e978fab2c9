// SPDX-License-Identifier: GPL-2.0-only
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <libvfio/thread.h>

int vfm_deadline_ms(void)
{
	return getenv("KSFT_MACHINE_SLOW") ? 40000 : 15000;
}

struct timespec vfm_deadline(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += vfm_deadline_ms() / 1000;
	return t;
}

bool vfm_expired(const struct timespec *deadline)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec > deadline->tv_sec ||
	       (t.tv_sec == deadline->tv_sec &&
		t.tv_nsec > deadline->tv_nsec);
}

static void vfm_noop(int sig)
{
	(void)sig;
}

static void *vfm_thread_main(void *arg)
{
	struct vfm_thread *t = arg;

	atomic_store(&t->tid, (int)syscall(SYS_gettid));
	t->ret = t->fn(t->arg);
	atomic_store(&t->done, true);
	return NULL;
}

void vfm_thread_start(struct vfm_thread *t, long (*fn)(void *arg), void *arg)
{
	struct sigaction action = { .sa_handler = vfm_noop };

	sigaction(SIGUSR1, &action, NULL);
	*t = (struct vfm_thread) { .fn = fn, .arg = arg };
	VFIO_ASSERT_EQ(pthread_create(&t->thread, NULL, vfm_thread_main, t), 0);
}

static FILE *vfm_thread_file(int tid, const char *name)
{
	char path[64];

	snprintf_assert(path, sizeof(path), "/proc/%d/%s", tid, name);
	return fopen(path, "r");
}

/* Outside of a system call, as in a page fault: not all kernels tell. */
static bool vfm_thread_outside(int tid)
{
	FILE *file = vfm_thread_file(tid, "syscall");
	int nr = 0;
	bool told;

	if (!file)
		return false;
	told = fscanf(file, "%d", &nr) == 1;
	fclose(file);
	return !told || nr < 0;
}

/* How often @tid has gone to sleep, or -1 if it is not asleep now. */
static long vfm_thread_sleeps(int tid)
{
	FILE *file = vfm_thread_file(tid, "status");
	long sleeps = -1, n;
	bool asleep = false;
	char line[128];
	char state;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "State: %c", &state) == 1)
			asleep = state == 'S' || state == 'D';
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
			sleeps = n;
	}
	fclose(file);
	return asleep ? sleeps : -1;
}

bool vfm_task_stuck(int tid)
{
	long sleeps = vfm_thread_sleeps(tid);
	int i;

	if (vfm_thread_outside(tid))
		return false;
	for (i = 0; i < 5 && sleeps >= 0; i++) {
		usleep(500);
		if (vfm_thread_sleeps(tid) != sleeps)
			return false;
	}
	return sleeps >= 0;
}

bool vfm_thread_asleep(struct vfm_thread *t)
{
	VFM_WAIT(atomic_load(&t->tid));
	VFM_WAIT(atomic_load(&t->done) || vfm_thread_sleeps(t->tid) >= 0);
	return !atomic_load(&t->done);
}

bool vfm_thread_blocked(struct vfm_thread *t)
{
	VFM_WAIT(atomic_load(&t->tid));
	VFM_WAIT(atomic_load(&t->done) || vfm_task_stuck(t->tid));
	return !atomic_load(&t->done);
}

long vfm_thread_join(struct vfm_thread *t)
{
	struct timespec deadline = vfm_deadline();
	int ret;

	ret = pthread_timedjoin_np(t->thread, NULL, &deadline);
	VFIO_ASSERT_EQ(ret, 0, "thread %d hangs: %s", atomic_load(&t->tid),
		       strerror(ret));
	t->joined = true;
	return t->ret;
}

void vfm_thread_signal(struct vfm_thread *t)
{
	VFIO_ASSERT_EQ(pthread_kill(t->thread, SIGUSR1), 0);
}

long vfm_thread_read(void *arg)
{
	struct vfm_io *io = arg;

	return vfm_read(io->fd, io->buf, io->len);
}

long vfm_thread_write(void *arg)
{
	struct vfm_io *io = arg;

	return vfm_write(io->fd, io->buf, io->len);
}

long vfm_thread_poll(void *arg)
{
	struct vfm_io *io = arg;

	return vfm_poll(io->fd, io->len, -1);
}

long vfm_thread_set_state(void *arg)
{
	struct vfm_set *set = arg;

	return __vfm_set_state(set->dev, set->state, &set->data_fd);
}

int __vfm_set_state_signalled(struct vfm_device *dev, u32 state)
{
	const struct itimerval on = {
		.it_value.tv_usec = 2000,
		.it_interval.tv_usec = 2000,
	};
	const struct itimerval off = { 0 };
	struct sigaction action = { .sa_handler = vfm_noop }, old;
	int fd, ret;

	VFIO_ASSERT_EQ(sigaction(SIGALRM, &action, &old), 0);
	VFIO_ASSERT_EQ(setitimer(ITIMER_REAL, &on, NULL), 0);
	ret = __vfm_set_state(dev, state, &fd);
	VFIO_ASSERT_EQ(setitimer(ITIMER_REAL, &off, NULL), 0);
	VFIO_ASSERT_EQ(sigaction(SIGALRM, &old, NULL), 0);
	if (fd >= 0)
		close(fd);
	return ret;
}

long vfm_thread_get_state(void *arg)
{
	u32 state;
	int ret;

	ret = __vfm_get_state(arg, &state);
	return ret ? ret : (long)state;
}

long vfm_thread_reset(void *arg)
{
	return __vfm_reset(arg);
}
