// SPDX-License-Identifier: GPL-2.0-only
/*
 * classic: the migration protocol, as drivers have it today
 *
 * Modelled on mlx5, virtio and pds: the loop over vfio_mig_get_next_state(), a file
 * per session that the driver holds a reference to, pages allocated in bulk.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "classic.h"

/**
 * classic_image_alloc - an image with no pages yet
 * @image: empty
 * @limit: bytes that it may have
 *
 * Return: 0 or -ENOMEM.
 */
int classic_image_alloc(struct classic_image *image, u64 limit)
{
	image->nr = 0;
	image->length = 0;
	image->pages = kvcalloc(DIV_ROUND_UP(limit, PAGE_SIZE),
				sizeof(*image->pages), GFP_KERNEL_ACCOUNT);

	return image->pages ? 0 : -ENOMEM;
}

/**
 * classic_image_grow - have pages for more
 * @image: image
 * @length: bytes that there must be pages for, within its limit
 *
 * Return: 0 or -ENOMEM.
 */
int classic_image_grow(struct classic_image *image, u64 length)
{
	unsigned long want = DIV_ROUND_UP(length, PAGE_SIZE);
	unsigned long got;

	while (image->nr < want) {
		got = alloc_pages_bulk(GFP_KERNEL_ACCOUNT, want - image->nr,
				       image->pages + image->nr);
		if (!got)
			return -ENOMEM;
		image->nr += got;
	}

	return 0;
}

/**
 * classic_image_free - free the pages
 * @image: image, which may be empty
 */
void classic_image_free(struct classic_image *image)
{
	unsigned long i;

	for (i = 0; i < image->nr; i++) {
		__free_page(image->pages[i]);
		if (!(i % 1024))
			cond_resched();
	}
	kvfree(image->pages);
	memset(image, 0, sizeof(*image));
}

/**
 * classic_snapshot - copy the device's memory
 * @classic: device
 * @image: without pages; the caller frees it, also on failure
 *
 * Return: 0 or -ENOMEM.
 */
int classic_snapshot(struct classic_dev *classic, struct classic_image *image)
{
	unsigned long i;
	int ret;

	ret = classic_image_grow(image, classic->memory.length);
	if (ret)
		return ret;
	mutex_lock(&classic->memory_lock);
	for (i = 0; i < image->nr; i++) {
		copy_page(page_address(image->pages[i]),
			  page_address(classic->memory.pages[i]));
		if (!(i % 1024))
			cond_resched();
	}
	mutex_unlock(&classic->memory_lock);
	image->length = classic->memory.length;

	return 0;
}

static int classic_apply(struct classic_dev *classic,
			 const struct classic_image *image)
{
	unsigned long i;

	if (image->length != classic->memory.length)
		return -EINVAL;
	mutex_lock(&classic->memory_lock);
	for (i = 0; i < image->nr; i++) {
		copy_page(page_address(classic->memory.pages[i]),
			  page_address(image->pages[i]));
		if (!(i % 1024))
			cond_resched();
	}
	mutex_unlock(&classic->memory_lock);

	return 0;
}

static void classic_file_disable(struct classic_file *file)
{
	mutex_lock(&file->lock);
	file->disabled = true;
	classic_image_free(&file->image);
	file->filp->f_pos = 0;
	mutex_unlock(&file->lock);
}

static int classic_file_release(struct inode *inode, struct file *filp)
{
	struct classic_file *file = filp->private_data;

	classic_file_disable(file);
	mutex_destroy(&file->lock);
	kfree(file);

	return 0;
}

static ssize_t classic_file_read(struct file *filp, char __user *buf,
				 size_t len, loff_t *pos)
{
	struct classic_file *file = filp->private_data;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	pos = &filp->f_pos;

	mutex_lock(&file->lock);
	if (file->disabled) {
		ret = -ENODEV;
	} else {
		len = min_t(u64, len, file->image.length - *pos);
		ret = classic_user(&file->image, *pos, buf, len, false);
	}
	if (ret > 0)
		*pos += ret;
	mutex_unlock(&file->lock);

	return ret;
}

static ssize_t classic_file_write(struct file *filp, const char __user *buf,
				  size_t len, loff_t *pos)
{
	struct classic_file *file = filp->private_data;
	loff_t end;
	ssize_t ret;

	if (pos)
		return -ESPIPE;
	pos = &filp->f_pos;

	mutex_lock(&file->lock);
	if (file->disabled)
		ret = -ENODEV;
	else if (check_add_overflow((loff_t)len, *pos, &end) ||
		 end > file->limit)
		ret = -EINVAL;
	else
		ret = classic_image_grow(&file->image, end);
	if (!ret)
		ret = classic_user(&file->image, *pos, (char __user *)buf, len,
				   true);
	if (ret > 0) {
		*pos += ret;
		file->image.length = *pos;
	}
	mutex_unlock(&file->lock);

	return ret;
}

static const struct file_operations classic_save_fops = {
	.owner = THIS_MODULE,
	.read = classic_file_read,
	.release = classic_file_release,
};

static const struct file_operations classic_resume_fops = {
	.owner = THIS_MODULE,
	.write = classic_file_write,
	.release = classic_file_release,
};

static struct classic_file *
classic_file_new(struct classic_dev *classic,
		 const struct file_operations *fops, int flags)
{
	struct classic_file *file;
	int ret;

	file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	if (!file)
		return ERR_PTR(-ENOMEM);
	file->limit = classic->memory.length;
	mutex_init(&file->lock);
	ret = classic_image_alloc(&file->image, file->limit);
	if (ret)
		goto err_free;
	file->filp = anon_inode_getfile("vfio-mig-classic", fops, file, flags);
	if (IS_ERR(file->filp)) {
		ret = PTR_ERR(file->filp);
		goto err_image;
	}
	stream_open(file->filp->f_inode, file->filp);

	return file;

err_image:
	classic_image_free(&file->image);
err_free:
	kfree(file);

	return ERR_PTR(ret);
}

static struct file *classic_stop_copy(struct classic_dev *classic)
{
	struct classic_file *file;
	int ret;

	file = classic_file_new(classic, &classic_save_fops, O_RDONLY);
	if (IS_ERR(file))
		return ERR_CAST(file);
	ret = classic_snapshot(classic, &file->image);
	if (ret) {
		fput(file->filp);
		return ERR_PTR(ret);
	}
	get_file(file->filp);
	classic->saving = file;

	return file->filp;
}

static struct file *classic_resuming(struct classic_dev *classic)
{
	struct classic_file *file;

	file = classic_file_new(classic, &classic_resume_fops, O_WRONLY);
	if (IS_ERR(file))
		return ERR_CAST(file);
	get_file(file->filp);
	classic->resuming = file;

	return file->filp;
}

/**
 * classic_disable - end the sessions
 * @classic: device, whose state_mutex is held
 */
void classic_disable(struct classic_dev *classic)
{
	struct classic_file **file, *files[] = {
		classic->saving, classic->resuming
	};

	for (file = files; file < files + ARRAY_SIZE(files); file++) {
		if (!*file)
			continue;
		classic_file_disable(*file);
		fput((*file)->filp);
	}
	classic->saving = NULL;
	classic->resuming = NULL;
}

static struct file *classic_loaded(struct classic_dev *classic)
{
	struct classic_file *file = classic->resuming;
	int ret;

	mutex_lock(&file->lock);
	ret = classic_apply(classic, &file->image);
	mutex_unlock(&file->lock);
	if (ret)
		return ERR_PTR(ret);
	classic_disable(classic);

	return NULL;
}

/* One arc. Those between the running states and STOP are nothing to it. */
static struct file *classic_step(struct classic_dev *classic,
				 enum vfio_device_mig_state to)
{
	enum vfio_device_mig_state from = classic->state;

	if (to == VFIO_DEVICE_STATE_STOP_COPY)
		return classic_stop_copy(classic);
	if (to == VFIO_DEVICE_STATE_RESUMING)
		return classic_resuming(classic);
	if (from == VFIO_DEVICE_STATE_RESUMING)
		return classic_loaded(classic);
	if (from == VFIO_DEVICE_STATE_STOP_COPY)
		classic_disable(classic);

	return NULL;
}

static struct file *classic_set_state(struct vfio_device *vdev,
				      enum vfio_device_mig_state target)
{
	struct classic_dev *classic = classic_from_vdev(vdev);
	enum vfio_device_mig_state next;
	struct file *res = NULL;
	int ret;

	mutex_lock(&classic->state_mutex);
	while (target != classic->state) {
		ret = vfio_mig_get_next_state(vdev, classic->state, target,
					      &next);
		if (ret) {
			res = ERR_PTR(ret);
			break;
		}
		res = classic_step(classic, next);
		if (IS_ERR(res))
			break;
		classic->state = next;
		if (WARN_ON(res && target != classic->state)) {
			fput(res);
			res = ERR_PTR(-EINVAL);
			break;
		}
	}
	mutex_unlock(&classic->state_mutex);

	return res;
}

static int classic_get_state(struct vfio_device *vdev,
			     enum vfio_device_mig_state *state)
{
	struct classic_dev *classic = classic_from_vdev(vdev);

	mutex_lock(&classic->state_mutex);
	*state = classic->state;
	mutex_unlock(&classic->state_mutex);

	return 0;
}

static int classic_get_data_size(struct vfio_device *vdev,
				 unsigned long *stop_copy_length)
{
	*stop_copy_length = classic_from_vdev(vdev)->state_size;

	return 0;
}

const struct vfio_migration_ops classic_mig_ops = {
	.migration_set_state = classic_set_state,
	.migration_get_state = classic_get_state,
	.migration_get_data_size = classic_get_data_size,
};
