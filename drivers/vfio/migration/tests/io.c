// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the data file
 *
 * Reads, writes and polls as the VFS does on behalf of a process.
 */
#include <linux/uio.h>

#include "fake.h"

static ssize_t migt_io(struct file *file, void *buf, size_t length, int flags)
{
	struct kvec vec = { .iov_base = buf, .iov_len = length };
	struct iov_iter iter;
	struct kiocb iocb;

	init_sync_kiocb(&iocb, file);
	iocb.ki_flags |= flags;
	if (file->f_mode & FMODE_READ) {
		iov_iter_kvec(&iter, ITER_DEST, &vec, 1, length);
		return file->f_op->read_iter(&iocb, &iter);
	}
	iov_iter_kvec(&iter, ITER_SOURCE, &vec, 1, length);

	return file->f_op->write_iter(&iocb, &iter);
}

/**
 * migt_read - a non-blocking read
 * @file: to read
 * @to: where to
 * @length: bytes at most
 *
 * Return: as read(2), with a negative errno.
 */
ssize_t migt_read(struct file *file, void *to, size_t length)
{
	return migt_io(file, to, length, IOCB_NOWAIT);
}

/**
 * migt_read_wait - a read that waits
 * @file: to read
 * @to: where to
 * @length: bytes at most
 *
 * Return: as read(2), with a negative errno.
 */
ssize_t migt_read_wait(struct file *file, void *to, size_t length)
{
	return migt_io(file, to, length, 0);
}

/**
 * migt_write - a non-blocking write
 * @file: to write
 * @from: bytes
 * @length: how many
 *
 * Return: as write(2), with a negative errno.
 */
ssize_t migt_write(struct file *file, const void *from, size_t length)
{
	return migt_io(file, (void *)from, length, IOCB_NOWAIT);
}

/**
 * migt_write_wait - a write that waits
 * @file: to write
 * @from: bytes
 * @length: how many
 *
 * Return: as write(2), with a negative errno.
 */
ssize_t migt_write_wait(struct file *file, const void *from, size_t length)
{
	return migt_io(file, (void *)from, length, 0);
}

/**
 * migt_poll - poll(2) without waiting
 * @file: to poll
 *
 * Return: the events.
 */
__poll_t migt_poll(struct file *file)
{
	return vfs_poll(file, NULL);
}

/**
 * migt_read_all - read until there is nothing more to wait for
 * @fake: device with a session that saves
 * @to: where to
 * @size: of it; the test fails if there is more
 *
 * Return: bytes read.
 */
ssize_t migt_read_all(struct migt_fake *fake, void *to, size_t size)
{
	ssize_t done = 0, ret;

	do {
		migt_settle();
		ret = migt_read(fake->file, to + done, size - done);
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < size);
	KUNIT_EXPECT_LT(fake->test, done, size);

	return done;
}
