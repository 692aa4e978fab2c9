// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO migration core, KUnit tests: a data fd and user memory
 *
 * Reads and writes that run into the end of a process's memory, which must neither
 * lose nor repeat a byte; and the ioctls that tell how much there is to read (B8).
 */
#include <asm/ioctls.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "fake.h"
#include "image.h"

static ssize_t migt_user_io(struct file *file, void __user *buf, size_t length)
{
	struct iov_iter iter;
	struct kiocb iocb;

	init_sync_kiocb(&iocb, file);
	iocb.ki_flags |= IOCB_NOWAIT;
	if (file->f_mode & FMODE_READ) {
		iov_iter_ubuf(&iter, ITER_DEST, buf, length);
		return file->f_op->read_iter(&iocb, &iter);
	}
	iov_iter_ubuf(&iter, ITER_SOURCE, buf, length);

	return file->f_op->write_iter(&iocb, &iter);
}

static const struct migt_section migt_sections[] = {
	{ 0, 0, 1, 5000 }, { 1, 0, 2, 1 }, { 0, 0, 3, 3000 },
};

/* As many bytes as fit are given; none is lost with those that do not. */
static void migt_user_read_fault(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	void *got = kunit_kzalloc(test, SZ_16K, GFP_KERNEL);
	ssize_t length = 0, step;

	KUNIT_ASSERT_NOT_NULL(test, got);
	fake->sections = migt_sections;
	fake->nr_sections = ARRAY_SIZE(migt_sections);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	for (step = 1; step < 4000; step = 3 * step + 1) {
		void __user *to = page + PAGE_SIZE - step;

		KUNIT_EXPECT_EQ(test, -EFAULT,
				migt_user_io(fake->file, page + PAGE_SIZE, 9));
		KUNIT_EXPECT_EQ(test, step,
				migt_user_io(fake->file, to, step + 500));
		KUNIT_EXPECT_EQ(test, 0, copy_from_user(got + length, to, step));
		length += step;
	}
	length += migt_read_all(fake, got + length, SZ_16K - length);
	migt_expect_stream(fake, migt_sections, 3, got, length);
}

static void migt_user_write_fault(struct kunit *test)
{
	struct migt_image *image = migt_image_make(test, 1, migt_sections, 3);
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	ssize_t length = 0, step;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_RESUMING), 1);
	for (step = 1; step < 4000; step = 3 * step + 1) {
		void __user *from = page + PAGE_SIZE - step;

		KUNIT_EXPECT_EQ(test, 0, copy_to_user(from, image->data + length,
						      step));
		KUNIT_EXPECT_EQ(test, -EFAULT,
				migt_user_io(fake->file, page + PAGE_SIZE, 9));
		KUNIT_EXPECT_EQ(test, step,
				migt_user_io(fake->file, from, step + 500));
		length += step;
	}
	KUNIT_EXPECT_EQ(test, image->length - length,
			migt_write(fake->file, image->data + length,
				   image->length - length));
	KUNIT_EXPECT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	migt_expect_loaded(fake, migt_sections, 3, "in pieces");
}

static int migt_ioctl(struct migt_fake *fake, unsigned int cmd,
		      void __user *page)
{
	return fake->file->f_op->unlocked_ioctl(fake->file, cmd,
						(unsigned long)page);
}

/* VFIO_MIG_GET_PRECOPY_INFO. Return: 0 or a negative errno. */
static int migt_info(struct migt_fake *fake, void __user *page,
		     struct vfio_precopy_info *info)
{
	struct kunit *test = fake->test;
	int ret;

	memset(info, 0xff, sizeof(*info));
	info->argsz = sizeof(*info);
	KUNIT_EXPECT_EQ(test, 0, copy_to_user(page, info, sizeof(*info)));
	ret = migt_ioctl(fake, VFIO_MIG_GET_PRECOPY_INFO, page);
	KUNIT_EXPECT_EQ(test, 0, copy_from_user(info, page, sizeof(*info)));

	return ret;
}

static void migt_expect_info(struct migt_fake *fake, void __user *page,
			     u64 initial, u64 dirty, u32 flags)
{
	struct kunit *test = fake->test;
	struct vfio_precopy_info info;

	KUNIT_EXPECT_EQ(test, migt_info(fake, page, &info), 0);
	KUNIT_EXPECT_EQ(test, info.initial_bytes, initial);
	KUNIT_EXPECT_EQ(test, info.dirty_bytes, dirty);
	KUNIT_EXPECT_EQ(test, info.flags, flags);
}

static void migt_skip(struct migt_fake *fake, size_t length)
{
	void *buf = kunit_kzalloc(fake->test, length, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(fake->test, buf);
	KUNIT_EXPECT_EQ(fake->test, length, migt_read(fake->file, buf, length));
}

/* What the format may add to less than a page: headers of eight small sections. */
#define MIGT_FRAMING	(8 * 56)

/* A first pass of 5001 bytes, of which 5000 are produced, and then more. */
static int migt_save_passes(struct migt_fake *fake, struct vfio_mig_sink *sink)
{
	int ret = migt_save_section(fake, sink);

	if (fake->initial)
		fake->initial -= fake->next == 1 ? 5000 : 1;
	else
		fake->dirty = 0;

	return ret == VFIO_MIG_MORE ? VFIO_MIG_IDLE : ret;
}

/* What is unread is counted for the pass that it is of (B8). */
static void migt_user_precopy_info(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	u8 byte;

	fake->save = migt_save_passes;
	fake->sections = migt_sections;
	fake->nr_sections = ARRAY_SIZE(migt_sections);
	fake->initial = 5001;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	/* Asking makes the device look, as there is something. */
	migt_expect_info(fake, page, 128 + 56 + 5000 + 1 + MIGT_FRAMING, 0, 0);
	migt_settle();
	migt_expect_info(fake, page, 128 + 56 + 5000 + 56 + 1, 0, 0);
	migt_skip(fake, 128 + 56 + 5000 + 56);
	migt_expect_info(fake, page, 1, 0, 0);
	migt_skip(fake, 1);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, &byte, 1), -ENOMSG);
	migt_expect_info(fake, page, 0, 0, 0);

	fake->dirty = 3000;
	migt_expect_info(fake, page, 0, 3000 + MIGT_FRAMING, 0);
	migt_settle();
	migt_expect_info(fake, page, 0, 56 + 3000, 0);
	migt_skip(fake, 3000);
	migt_expect_info(fake, page, 0, 56, 0);
	migt_skip(fake, 56);
	KUNIT_EXPECT_EQ(test, migt_read(fake->file, &byte, 1), -ENOMSG);
	migt_expect_info(fake, page, 0, 0, 0);
}

/* What is unread of the two sections before the new pass, and of its own. */
#define MIGT_OLD	(56 + 5000 + 56 + 1)
#define MIGT_NEW	(56 + 3000)

/* Two sections, which are not of a first pass, and a new first pass. */
static struct migt_fake *migt_reinited(struct kunit *test, void __user *page,
				       bool told)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);

	WRITE_ONCE(fake->mig->precopy_info_v2, told);
	fake->sections = migt_sections;
	fake->nr_sections = 2;
	fake->dirty = 1;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	fake->dirty = 0;
	migt_expect_info(fake, page, 128, MIGT_OLD, 0);
	fake->initial = 3000;
	vfio_mig_reinit(fake->mig);
	migt_settle();

	return fake;
}

/* The new pass is produced and read: all counts are 0 again. */
static void migt_expect_even(struct migt_fake *fake)
{
	struct vfio_mig_save *save = &migt_session(fake->file)->save;

	migt_skip(fake, 128 + MIGT_OLD + MIGT_NEW);
	KUNIT_EXPECT_EQ(fake->test, save->unread_initial, 0);
	KUNIT_EXPECT_EQ(fake->test, save->unread_later, 0);
}

static void migt_produce_new(struct migt_fake *fake)
{
	fake->nr_sections = 3;
	vfio_mig_kick(fake->mig);
	migt_settle();
	fake->initial = 0;
}

/* A client that asked for it is told once, and all that is unread is initial. */
static void migt_user_reinit_told(struct kunit *test)
{
	void __user *page = migt_user_page(test);
	struct migt_fake *fake = migt_reinited(test, page, true);

	migt_expect_info(fake, page, 128 + MIGT_OLD + 3000 + MIGT_FRAMING, 0,
			 VFIO_PRECOPY_INFO_REINIT);
	migt_produce_new(fake);
	migt_expect_info(fake, page, 128 + MIGT_OLD + MIGT_NEW, 0, 0);
	migt_expect_even(fake);
}

/* To others, it is just more of what changed. */
static void migt_user_reinit_not_told(struct kunit *test)
{
	void __user *page = migt_user_page(test);
	struct migt_fake *fake = migt_reinited(test, page, false);

	migt_expect_info(fake, page, 128, MIGT_OLD + 3000 + MIGT_FRAMING, 0);
	migt_produce_new(fake);
	migt_expect_info(fake, page, 128, MIGT_OLD + MIGT_NEW, 0);
	migt_expect_even(fake);
}

static void migt_user_info_refused(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	struct vfio_precopy_info info = { .argsz = sizeof(info) - 1 };

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	KUNIT_EXPECT_EQ(test, migt_info(fake, page, &info), -EINVAL);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP), 0);
	KUNIT_EXPECT_EQ(test, migt_info(fake, page, &info), -EINVAL);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	KUNIT_EXPECT_EQ(test, migt_info(fake, page, &info), 0);
	info.argsz = sizeof(info) - 1;
	KUNIT_EXPECT_EQ(test, 0, copy_to_user(page, &info, sizeof(info)));
	KUNIT_EXPECT_EQ(test, -EINVAL,
			migt_ioctl(fake, VFIO_MIG_GET_PRECOPY_INFO, page));
	KUNIT_EXPECT_EQ(test, -EFAULT,
			migt_ioctl(fake, VFIO_MIG_GET_PRECOPY_INFO,
				   page + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -ENOTTY, migt_ioctl(fake, 0xdead, page));
}

static u64 migt_stop_copy_length(struct migt_fake *fake)
{
	unsigned long length = 0;

	KUNIT_EXPECT_EQ(fake->test, 0,
			fake->vdev.mig_ops->migration_get_data_size(&fake->vdev,
								    &length));
	return length;
}

/* GET_PRECOPY_INFO and MIG_DATA_SIZE of one moment: a part, and the whole. */
static void migt_expect_part(struct migt_fake *fake, void __user *page,
			     u64 initial, u64 dirty)
{
	struct vfio_precopy_info info;

	fake->initial = initial;
	fake->dirty = dirty;
	KUNIT_EXPECT_EQ(fake->test, migt_info(fake, page, &info), 0);
	KUNIT_EXPECT_GE_MSG(fake->test, migt_stop_copy_length(fake),
			    info.initial_bytes + info.dirty_bytes,
			    "%llu initial, %llu dirty", initial, dirty);
	migt_settle();
}

/* Whatever the counts are, and whether or not something is queued (B8). */
static void migt_user_data_size(struct kunit *test)
{
	static const u64 counts[] = {
		0, 1, 56, 4095, 4096, 4097, 8191, 12288, 1000000, 1ULL << 40,
	};
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	unsigned int i, j, queued;

	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_PRE_COPY), 1);
	migt_settle();
	fake->sections = migt_sections;
	for (queued = 0; queued <= ARRAY_SIZE(migt_sections); queued++) {
		fake->nr_sections = queued;
		for (i = 0; i < ARRAY_SIZE(counts); i++)
			for (j = 0; j < ARRAY_SIZE(counts); j++)
				migt_expect_part(fake, page, counts[i],
						 counts[j]);
	}
}

/* A device without any state has a stream all the same. */
static void migt_user_data_size_empty(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	u64 length = migt_stop_copy_length(fake);
	void *buf = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_GE(test, length, migt_read_all(fake, buf, SZ_4K));
}

/* FIONREAD: what a read would give now. */
static void migt_user_fionread(struct kunit *test)
{
	struct migt_fake *fake = migt_new(test, MIGT_ALL, NULL);
	void __user *page = migt_user_page(test);
	int __user *n = page;
	int queued;

	fake->sections = migt_sections;
	fake->nr_sections = 1;
	KUNIT_ASSERT_EQ(test, migt_go(fake, VFIO_DEVICE_STATE_STOP_COPY), 1);
	migt_settle();
	KUNIT_EXPECT_EQ(test, 0, migt_ioctl(fake, FIONREAD, page));
	KUNIT_EXPECT_EQ(test, 0, get_user(queued, n));
	KUNIT_EXPECT_EQ(test, queued, 128 + 56 + 5000 + 88);
	migt_skip(fake, 5000);
	KUNIT_EXPECT_EQ(test, 0, migt_ioctl(fake, FIONREAD, page));
	KUNIT_EXPECT_EQ(test, 0, get_user(queued, n));
	KUNIT_EXPECT_EQ(test, queued, 128 + 56 + 88);
	migt_reset(fake);
	KUNIT_EXPECT_EQ(test, 0, migt_ioctl(fake, FIONREAD, page));
	KUNIT_EXPECT_EQ(test, 0, get_user(queued, n));
	KUNIT_EXPECT_EQ(test, queued, 0);
}

static struct kunit_case migt_user_cases[] = {
	KUNIT_CASE(migt_user_read_fault),
	KUNIT_CASE(migt_user_write_fault),
	KUNIT_CASE(migt_user_precopy_info),
	KUNIT_CASE(migt_user_reinit_told),
	KUNIT_CASE(migt_user_reinit_not_told),
	KUNIT_CASE(migt_user_info_refused),
	KUNIT_CASE(migt_user_data_size),
	KUNIT_CASE(migt_user_data_size_empty),
	KUNIT_CASE(migt_user_fionread),
	{}
};

static struct kunit_suite migt_user_suite = {
	.name = "vfio_migration_user",
	.test_cases = migt_user_cases,
};

kunit_test_suite(migt_user_suite);
