// SPDX-License-Identifier: GPL-2.0-only
/*
 * liburing's test of that name, with reads for its receives, which are for sockets
 * alone; fewer rounds, as each makes a device.
 */
#include "liburing.h"

#define io_uring_prep_recv(_sqe, _fd, _buf, _len, _flags) \
	io_uring_prep_read(_sqe, _fd, _buf, _len, -1)
#define io_uring_prep_recv_multishot(_sqe, _fd, _buf, _len, _flags) \
	io_uring_prep_read_multishot(_sqe, _fd, 0, -1, 1)
#define main liburing_main
#include "test/poll-race-mshot.c"
#undef main

#include "kselftest_harness.h"

#define ROUNDS	100

static int rounds(int (*fn)(struct io_uring *ring, struct data *d))
{
	struct io_uring ring;
	struct data d;
	int i, ret = 0;

	pthread_barrier_init(&d.barrier, NULL, 2);
	for (i = 0; i < ROUNDS && !ret; i++) {
		io_uring_queue_init(NREQS, &ring, 0);
		ret = fn(&ring, &d);
		io_uring_queue_exit(&ring);
	}
	return ret;
}

TEST(single) { ASSERT_EQ(0, rounds(test)); }
TEST(mshot) { ASSERT_EQ(0, rounds(test_mshot)); }

TEST_HARNESS_MAIN
