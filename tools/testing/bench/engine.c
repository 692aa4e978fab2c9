// SPDX-License-Identifier: GPL-2.0-only
/*
 * One io_uring that reads many data fds to their ends, one read of each at a time
 *
 * No fd is ever polled by hand: io_uring waits without a thread where the file can
 * poll. No more reads are under way than the ring has entries: the next source's turn
 * comes when one is at its end.
 */
#include <liburing.h>

#include "bench.h"

/* Completions are only looked at in io_uring_enter(): nobody is interrupted. */
#define ENGINE_FLAGS	(IORING_SETUP_CLAMP | IORING_SETUP_SINGLE_ISSUER | \
			 IORING_SETUP_DEFER_TASKRUN)

void engine_init(struct io_uring *ring, unsigned int nr)
{
	int ret = io_uring_queue_init(nr < 8 ? 8 : nr, ring, ENGINE_FLAGS);

	if (ret == -EINVAL)
		ret = io_uring_queue_init(nr < 8 ? 8 : nr, ring,
					  IORING_SETUP_CLAMP);
	VFIO_ASSERT_EQ(ret, 0, "io_uring: %s", strerror(-ret));
}

static void engine_read(struct io_uring *ring, struct engine_source *source)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	VFIO_ASSERT_TRUE(sqe);
	io_uring_prep_read(sqe, source->fd, source->buffer, source->chunk, -1);
	io_uring_sqe_set_data(sqe, source);
}

/* Return: whether it was the source's last. */
static bool engine_done(struct io_uring *ring, struct io_uring_cqe *cqe)
{
	struct engine_source *source = io_uring_cqe_get_data(cqe);

	if (!cqe->res)
		return true;
	if (cqe->res > 0)
		source->bytes += cqe->res;
	else
		VFIO_ASSERT_TRUE(cqe->res == -EAGAIN || cqe->res == -EINTR,
				 "read: %s", strerror(-cqe->res));
	engine_read(ring, source);
	return false;
}

static unsigned int engine_begin(struct io_uring *ring,
				 struct engine_source *sources, unsigned int nr)
{
	const unsigned int most = ring->sq.ring_entries;
	unsigned int i, under_way = nr < most ? nr : most;

	for (i = 0; i < nr; i++)
		sources[i].bytes = 0;
	for (i = 0; i < under_way; i++)
		engine_read(ring, &sources[i]);
	return under_way;
}

/* Calls @watch, if there is one, now and then. Return: system calls. */
uint64_t engine_drain(struct io_uring *ring, struct engine_source *sources,
		      unsigned int nr, void (*watch)(void *context),
		      void *context)
{
	unsigned int next = engine_begin(ring, sources, nr), under_way = next;
	struct io_uring_cqe *cqe;
	unsigned int head, n;
	uint64_t calls = 0;

	while (under_way) {
		/* With many, it pays to wait for a few at once; all will come. */
		io_uring_submit_and_wait(ring, (under_way + 7) / 8);
		calls++;
		n = 0;
		io_uring_for_each_cqe(ring, head, cqe) {
			n++;
			if (!engine_done(ring, cqe))
				continue;
			if (next < nr)
				engine_read(ring, &sources[next++]);
			else
				under_way--;
		}
		io_uring_cq_advance(ring, n);
		if (watch && calls % 16 == 1)
			watch(context);
	}
	return calls;
}
