// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: the data file
 *
 * Reads, writes and polls as the VFS does on behalf of a process.
 */
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/uio.h>

#include "fake.h"

static ssize_t migt_iov(struct file *file, const struct kvec *vec,
			unsigned int nr, size_t length, int flags)
{
	struct iov_iter iter;
	struct kiocb iocb;

	init_sync_kiocb(&iocb, file);
	iocb.ki_flags |= flags;
	if (file->f_mode & FMODE_READ) {
		iov_iter_kvec(&iter, ITER_DEST, vec, nr, length);
		return file->f_op->read_iter(&iocb, &iter);
	}
	iov_iter_kvec(&iter, ITER_SOURCE, vec, nr, length);

	return file->f_op->write_iter(&iocb, &iter);
}

static ssize_t migt_io(struct file *file, void *buf, size_t length, int flags)
{
	struct kvec vec = { .iov_base = buf, .iov_len = length };

	return migt_iov(file, &vec, 1, length, flags);
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

/* Anything from a byte to some pages, in up to three pieces. */
static ssize_t migt_io_split(struct file *file, struct rnd_state *rnd,
			     void *buf, size_t length)
{
	size_t sum = 0, most = prandom_u32_state(rnd) % 4 ? 300 : 3 * PAGE_SIZE;
	struct kvec vec[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vec) && sum < length; i++) {
		vec[i].iov_base = buf + sum;
		vec[i].iov_len = min(1 + prandom_u32_state(rnd) % most,
				     length - sum);
		sum += vec[i].iov_len;
	}

	return migt_iov(file, vec, i, sum, IOCB_NOWAIT);
}

/**
 * migt_read_split - read in pieces until there is nothing more to wait for
 * @fake: device with a session that saves
 * @rnd: makes the pieces
 * @to: where to
 * @size: of it; the test fails if there is more
 *
 * Return: bytes read.
 */
ssize_t migt_read_split(struct migt_fake *fake, struct rnd_state *rnd, void *to,
			size_t size)
{
	ssize_t done = 0, ret;

	do {
		ret = migt_io_split(fake->file, rnd, to + done, size - done);
		if (ret == -EAGAIN) {
			migt_settle();
			ret = migt_io_split(fake->file, rnd, to + done,
					    size - done);
		}
		if (ret > 0)
			done += ret;
	} while (ret > 0 && done < size);
	KUNIT_EXPECT_LT(fake->test, done, size);

	return done;
}

/**
 * migt_write_split - write everything, in pieces
 * @fake: device in RESUMING, which loads all it gets
 * @rnd: makes the pieces
 * @from: bytes
 * @length: how many
 */
void migt_write_split(struct migt_fake *fake, struct rnd_state *rnd,
		      const void *from, size_t length)
{
	ssize_t ret;

	while (length) {
		ret = migt_io_split(fake->file, rnd, (void *)from, length);
		if (ret == -EAGAIN) {
			migt_settle();
			ret = migt_io_split(fake->file, rnd, (void *)from,
					    length);
		}
		KUNIT_ASSERT_GT(fake->test, ret, 0);
		from += ret;
		length -= ret;
	}
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

static int migt_watch_wake(struct wait_queue_entry *entry, unsigned int mode,
			   int flags, void *key)
{
	struct migt_watch *watch =
		container_of(entry, struct migt_watch, entry);
	__poll_t events = key_to_poll(key);

	/* No events mean that it should look. */
	if (!events || events & watch->table._key)
		atomic_inc(&watch->woken);

	return 0;
}

static void migt_watch_queue(struct file *file, struct wait_queue_head *head,
			     struct poll_table_struct *table)
{
	struct migt_watch *watch =
		container_of(table, struct migt_watch, table);

	watch->head = head;
	add_wait_queue(head, &watch->entry);
}

/**
 * migt_watch_begin - poll(2) that waits
 * @watch: waits
 * @file: to poll
 *
 * Return: the events that there are now.
 */
__poll_t migt_watch_begin(struct migt_watch *watch, struct file *file)
{
	init_waitqueue_func_entry(&watch->entry, migt_watch_wake);
	init_poll_funcptr(&watch->table, migt_watch_queue);
	watch->table._key = EPOLLERR | EPOLLHUP |
			    (file->f_mode & FMODE_READ ? EPOLLIN : EPOLLOUT);
	atomic_set(&watch->woken, 0);

	return vfs_poll(file, &watch->table);
}

/**
 * migt_watch_end - wait no more
 * @watch: waits
 */
void migt_watch_end(struct migt_watch *watch)
{
	remove_wait_queue(watch->head, &watch->entry);
}

/**
 * migt_expect_read - see what a reader and a poller would learn now
 * @fake: device with a session that saves
 * @outcome: of a read of up to 64 bytes
 * @events: that poll tells before it
 */
void migt_expect_read(struct migt_fake *fake, ssize_t outcome, __poll_t events)
{
	u8 buf[64];

	KUNIT_EXPECT_EQ(fake->test, migt_poll(fake->file), events);
	KUNIT_EXPECT_EQ(fake->test, migt_read(fake->file, buf, sizeof(buf)),
			outcome);
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

/**
 * migt_user_page - a page of user memory, with nothing behind it
 * @test: whose thread gets it
 *
 * Return: the page.
 */
void __user *migt_user_page(struct kunit *test)
{
	unsigned long addr;

	addr = kunit_vm_mmap(test, NULL, 0, 2 * PAGE_SIZE,
			     PROT_READ | PROT_WRITE,
			     MAP_ANONYMOUS | MAP_PRIVATE, 0);
	KUNIT_ASSERT_NE(test, addr, 0);
	KUNIT_ASSERT_LT(test, addr, TASK_SIZE);
	KUNIT_ASSERT_EQ(test, vm_munmap(addr + PAGE_SIZE, PAGE_SIZE), 0);

	return (void __user *)addr;
}
