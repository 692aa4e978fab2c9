// SPDX-License-Identifier: GPL-2.0-only
/*
 * classic: the migration region that VFIO had before the data fd, as far as saving
 * a stopped device goes
 *
 * The region begins with registers; user space reads how much is pending, then
 * where the next piece is and how long it is, then the piece, over and over. To ask
 * again what is pending says that the piece was read. The piece is read straight
 * from the image, and user space may read all of it at once.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>

#include "classic.h"

/* What was struct vfio_device_migration_info until 5.18. */
struct classic_v1_info {
	__u32 device_state;
	__u32 reserved;
	__u64 pending_bytes;
	__u64 data_offset;
	__u64 data_size;
};

#define CLASSIC_V1_SAVING	2
#define CLASSIC_V1_DATA		SZ_4K
#define CLASSIC_V1_WINDOW	SZ_1M

/**
 * classic_v1_size - length of the region
 *
 * Return: bytes.
 */
u64 classic_v1_size(void)
{
	return CLASSIC_V1_DATA + CLASSIC_V1_WINDOW;
}

/**
 * classic_v1_end - leave the saving state
 * @classic: device, whose state_mutex is held
 */
void classic_v1_end(struct classic_dev *classic)
{
	classic_image_free(&classic->v1.image);
	classic->v1.saving = false;
}

static int classic_v1_begin(struct classic_dev *classic)
{
	struct classic_v1 *v1 = &classic->v1;
	int ret;

	classic_v1_end(classic);
	v1->position = 0;
	v1->chunk = 0;
	ret = classic_image_alloc(&v1->image, classic->memory.length);
	if (!ret)
		ret = classic_snapshot(classic, &v1->image);
	if (ret)
		classic_image_free(&v1->image);
	else
		v1->saving = true;

	return ret;
}

static ssize_t classic_v1_set(struct classic_dev *classic,
			      const char __user *buf, size_t count, u64 pos)
{
	int ret = 0;
	u32 state;

	if (pos || count != sizeof(state))
		return -EINVAL;
	if (copy_from_user(&state, buf, sizeof(state)))
		return -EFAULT;
	if (state == CLASSIC_V1_SAVING)
		ret = classic_v1_begin(classic);
	else
		classic_v1_end(classic);

	return ret ?: count;
}

static u64 classic_v1_pending(struct classic_v1 *v1)
{
	v1->position += v1->chunk;
	v1->chunk = 0;

	return v1->image.length - v1->position;
}

static u64 classic_v1_next(struct classic_v1 *v1)
{
	v1->chunk = min_t(u64, v1->image.length - v1->position,
			  CLASSIC_V1_WINDOW);

	return CLASSIC_V1_DATA;
}

static ssize_t classic_v1_get(struct classic_v1 *v1, char __user *buf,
			      size_t count, u64 pos)
{
	u64 value;

	if (count != sizeof(value))
		return -EINVAL;
	if (pos == offsetof(struct classic_v1_info, pending_bytes))
		value = classic_v1_pending(v1);
	else if (pos == offsetof(struct classic_v1_info, data_offset))
		value = classic_v1_next(v1);
	else if (pos == offsetof(struct classic_v1_info, data_size))
		value = v1->chunk;
	else
		return -EINVAL;

	return copy_to_user(buf, &value, count) ? -EFAULT : count;
}

static ssize_t classic_v1_data(struct classic_v1 *v1, char __user *buf,
			       size_t count, u64 pos)
{
	if (pos >= v1->chunk)
		return -EINVAL;

	return classic_user(&v1->image, v1->position + pos, buf,
			    min_t(u64, count, v1->chunk - pos), false);
}

/**
 * classic_v1_rw - access to the region
 * @classic: device
 * @buf: user memory
 * @count: bytes
 * @pos: in the region
 * @write: to the region
 *
 * Return: bytes, or -EINVAL, -EFAULT, -ENOMEM.
 */
ssize_t classic_v1_rw(struct classic_dev *classic, char __user *buf,
		      size_t count, u64 pos, bool write)
{
	ssize_t ret;

	mutex_lock(&classic->state_mutex);
	if (write)
		ret = classic_v1_set(classic, buf, count, pos);
	else if (!classic->v1.saving)
		ret = -EINVAL;
	else if (pos < CLASSIC_V1_DATA)
		ret = classic_v1_get(&classic->v1, buf, count, pos);
	else
		ret = classic_v1_data(&classic->v1, buf, count,
				      pos - CLASSIC_V1_DATA);
	mutex_unlock(&classic->state_mutex);

	return ret;
}
