// SPDX-License-Identifier: GPL-2.0-only
/*
 * One thread per device, made before the first device is touched, for the
 * calls that block. A finished job is announced through an eventfd, so that
 * the main thread waits for jobs and for data in one place.
 *
 * A blocked call is interrupted with SIGUSR1, whose handler does nothing. It
 * could come just before the call and be lost, so the main thread repeats it.
 * Before, it says that it does, for other things end a call as well.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "migrate.h"

static void run_job(struct job *job)
{
	job->start_ns = now_ns();
	job->fn(job);
	job->end_ns = now_ns();
}

static void announce(struct pool *pool)
{
	uint64_t one = 1;

	while (write(pool->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pool *pool = w->pool;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!w->job && !pool->quit)
			pthread_cond_wait(&pool->more, &pool->lock);
		if (!w->job)
			break;
		pthread_mutex_unlock(&pool->lock);
		run_job(w->job);
		pthread_mutex_lock(&pool->lock);
		w->job = NULL;
		pool->running--;
		announce(pool);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

int pool_start(struct pool *pool, unsigned int nr, struct failure *fail)
{
	unsigned int i;
	int ret;

	memset(pool, 0, sizeof(*pool));
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	pool->done_fd = eventfd(0, EFD_CLOEXEC);
	if (pool->done_fd < 0)
		return fail_at(fail, "-", errno, "start", "eventfd: %s",
			       strerror(errno));
	pool->workers = xcalloc(nr, sizeof(*pool->workers));
	for (i = 0; i < nr; i++) {
		pool->workers[i].pool = pool;
		ret = pthread_create(&pool->workers[i].thread, NULL,
				     worker_main, &pool->workers[i]);
		if (ret)
			return fail_at(fail, "-", ret, "start",
				       "cannot start thread %u of %u: %s", i + 1,
				       nr, strerror(ret));
		pool->nr++;
	}
	return 0;
}

/* No job may be running. */
void pool_stop(struct pool *pool)
{
	unsigned int i;

	if (!pool->workers)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->quit = true;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	for (i = 0; i < pool->nr; i++)
		pthread_join(pool->workers[i].thread, NULL);
	free(pool->workers);
	pool->workers = NULL;
	close(pool->done_fd);
}

void pool_post(struct pool *pool, unsigned int worker, struct job *job)
{
	pthread_mutex_lock(&pool->lock);
	pool->workers[worker].job = job;
	pool->running++;
	pthread_cond_broadcast(&pool->more);
	pthread_mutex_unlock(&pool->lock);
}

bool pool_busy(struct pool *pool)
{
	bool busy;

	pthread_mutex_lock(&pool->lock);
	busy = pool->running;
	pthread_mutex_unlock(&pool->lock);
	return busy;
}

/* Has this job ended? Then what it wrote may be read. */
bool pool_done(struct pool *pool, struct job *job)
{
	bool done = true;
	unsigned int i;

	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < pool->nr; i++) {
		if (pool->workers[i].job == job)
			done = false;
	}
	pthread_mutex_unlock(&pool->lock);
	return done;
}

void pool_interrupt(struct pool *pool)
{
	unsigned int i;

	pthread_mutex_lock(&pool->lock);
	for (i = 0; i < pool->nr; i++) {
		struct job *job = pool->workers[i].job;

		if (!job)
			continue;
		if (job->dev)
			job->dev->give_up = true;
		pthread_kill(pool->workers[i].thread, SIGUSR1);
	}
	pthread_mutex_unlock(&pool->lock);
}
