// SPDX-License-Identifier: GPL-2.0-only
/*
 * Workers that all begin a step at once: threads, or processes
 *
 * User Mode Linux runs the threads of one process one at a time, so what is about
 * threads is measured with processes there. They share the memory of shared_new()
 * and the fds that were open when they began.
 *
 * A barrier is before each step, and one after it.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define CREW_QUIT	UINT32_MAX

struct crew_worker {
	struct crew *crew;
	unsigned int index;
	pthread_t thread;
	pid_t pid;
	uint64_t cpu;		/* of a process, in the last step */
	uint64_t switches;	/* likewise */
};

struct crew {
	unsigned int nr;
	bool processes;
	crew_fn fn;
	void *context;
	pthread_barrier_t begin;
	pthread_barrier_t end;
	unsigned int step;
	size_t size;
	struct crew_worker worker[];
};

static uint64_t thread_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void *crew_work(void *arg)
{
	struct crew_worker *worker = arg;
	struct crew *crew = worker->crew;
	uint64_t cpu, switches;

	for (;;) {
		pthread_barrier_wait(&crew->begin);
		if (crew->step == CREW_QUIT)
			break;
		cpu = thread_cpu();
		switches = switches_now();
		crew->fn(crew->context, worker->index, crew->step);
		worker->cpu = thread_cpu() - cpu;
		worker->switches = switches_now() - switches;
		pthread_barrier_wait(&crew->end);
	}
	return NULL;
}

static void crew_start(struct crew_worker *worker)
{
	pid_t pid;

	if (!worker->crew->processes) {
		VFIO_ASSERT_EQ(pthread_create(&worker->thread, NULL, crew_work,
					      worker), 0);
		return;
	}
	pid = fork();
	VFIO_ASSERT_GE(pid, 0);
	if (!pid) {
		crew_work(worker);
		_exit(0);
	}
	worker->pid = pid;
}

struct crew *crew_new(unsigned int nr, bool processes, crew_fn fn,
		      void *context)
{
	size_t size = sizeof(struct crew) + nr * sizeof(struct crew_worker);
	struct crew *crew = shared_new(size);
	pthread_barrierattr_t shared;
	unsigned int i;

	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	VFIO_ASSERT_EQ(pthread_barrier_init(&crew->begin, &shared, nr + 1), 0);
	VFIO_ASSERT_EQ(pthread_barrier_init(&crew->end, &shared, nr + 1), 0);
	crew->nr = nr;
	crew->processes = processes;
	crew->fn = fn;
	crew->context = context;
	crew->size = size;
	for (i = 0; i < nr; i++) {
		crew->worker[i].crew = crew;
		crew->worker[i].index = i;
		crew_start(&crew->worker[i]);
	}
	return crew;
}

void crew_step(struct crew *crew, unsigned int step)
{
	crew->step = step;
	pthread_barrier_wait(&crew->begin);
	pthread_barrier_wait(&crew->end);
}

/* What is not in this process's own figures. */
uint64_t crew_cpu(const struct crew *crew)
{
	uint64_t cpu = 0;
	unsigned int i;

	for (i = 0; crew->processes && i < crew->nr; i++)
		cpu += crew->worker[i].cpu;
	return cpu;
}

uint64_t crew_switches(const struct crew *crew)
{
	uint64_t switches = 0;
	unsigned int i;

	for (i = 0; crew->processes && i < crew->nr; i++)
		switches += crew->worker[i].switches;
	return switches;
}

void crew_free(struct crew *crew)
{
	unsigned int i;
	int status;

	crew->step = CREW_QUIT;
	pthread_barrier_wait(&crew->begin);
	for (i = 0; i < crew->nr; i++) {
		if (!crew->processes) {
			pthread_join(crew->worker[i].thread, NULL);
			continue;
		}
		VFIO_ASSERT_EQ(waitpid(crew->worker[i].pid, &status, 0),
			       crew->worker[i].pid);
		VFIO_ASSERT_EQ(status, 0);
	}
	munmap(crew, crew->size);
}
