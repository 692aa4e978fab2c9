// SPDX-License-Identifier: GPL-2.0-only
/* liburing's test of that name, case by case; a data fd is spliced from, not a file. */
#define main liburing_main
#include "test/splice.c"
#undef main

#include <sys/syscall.h>

#include "kselftest_harness.h"

FIXTURE(splice) {
	struct io_uring ring;
	struct test_ctx ctx;
};

static int real_pipe(int fds[2])
{
	return syscall(SYS_pipe2, fds, 0);
}

FIXTURE_SETUP(splice)
{
	int fds[2];

	ASSERT_EQ(0, io_uring_queue_init(8, &self->ring, 0));
	self->ctx.buf_in = t_calloc(BUF_SIZE, 1);
	self->ctx.buf_out = t_calloc(BUF_SIZE, 1);
	ASSERT_EQ(0, real_pipe(self->ctx.pipe1));
	ASSERT_EQ(0, real_pipe(self->ctx.pipe2));
	/* The substitute. */
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(1, write(fds[1], "w", 1));
	self->ctx.fd_in = fds[0];
	self->ctx.fd_out = fds[1];
	memcpy(self->ctx.real_pipe1, self->ctx.pipe1, sizeof(self->ctx.pipe1));
	memcpy(self->ctx.real_pipe2, self->ctx.pipe2, sizeof(self->ctx.pipe2));
	self->ctx.real_fd_in = self->ctx.fd_in;
	self->ctx.real_fd_out = self->ctx.fd_out;
}

FIXTURE_TEARDOWN(splice)
{
	io_uring_queue_exit(&self->ring);
	close(self->ctx.fd_in);
}

#define CASE(_fn) \
	TEST_F(splice, _fn) { ASSERT_EQ(0, _fn(&self->ring, &self->ctx)); }

CASE(check_zero_splice)
CASE(splice_to_pipe)
CASE(splice_from_pipe)
CASE(splice_pipe_to_pipe)
CASE(fail_splice_pipe_offset)
CASE(fail_tee_nonpipe)
CASE(fail_tee_offset)
CASE(check_tee)
CASE(check_zero_tee)

TEST_HARNESS_MAIN
