// SPDX-License-Identifier: GPL-2.0-only
/*
 * classic: module, mdev parent and attribute
 *
 * One parent device named classic with one type. Instances have one attribute,
 * classic/state_size.
 */
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/mdev.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "classic.h"

static struct mdev_type classic_type = {
	.sysfs_name = "device",
	.pretty_name = "a device that migrates as mainline's do",
};

static struct mdev_type *classic_types[] = { &classic_type };
static struct mdev_parent classic_parent;
static struct device *classic_parent_dev;

static ssize_t state_size_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct classic_dev *classic = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%llu\n", classic->state_size);
}

static ssize_t state_size_store(struct device *dev,
				struct device_attribute *attr,
				const char *buf, size_t count)
{
	struct classic_dev *classic = dev_get_drvdata(dev);
	u64 value;
	int ret;

	ret = kstrtou64(buf, 0, &value);
	if (ret)
		return ret;
	if (!value || value > SZ_4G || value % PAGE_SIZE)
		return -EINVAL;
	mutex_lock(&classic->state_mutex);
	if (classic->open) {
		ret = -EBUSY;
	} else {
		classic_image_free(&classic->memory);
		classic->state_size = value;
	}
	mutex_unlock(&classic->state_mutex);

	return ret ?: count;
}
static DEVICE_ATTR_RW(state_size);

static struct attribute *classic_attrs[] = {
	&dev_attr_state_size.attr,
	NULL
};

static const struct attribute_group classic_attr_group = {
	.name = "classic",
	.attrs = classic_attrs,
};

const struct attribute_group *classic_attr_groups[] = {
	&classic_attr_group,
	NULL
};

static int classic_probe(struct mdev_device *mdev)
{
	struct classic_dev *classic;
	int ret;

	classic = vfio_alloc_device(classic_dev, vdev, &mdev->dev,
				    &classic_device_ops);
	if (IS_ERR(classic))
		return PTR_ERR(classic);
	ret = vfio_register_emulated_iommu_dev(&classic->vdev);
	if (ret) {
		vfio_put_device(&classic->vdev);
		return ret;
	}
	dev_set_drvdata(&mdev->dev, classic);

	return 0;
}

static void classic_remove(struct mdev_device *mdev)
{
	struct classic_dev *classic = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&classic->vdev);
	vfio_put_device(&classic->vdev);
}

static struct mdev_driver classic_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = 4096,
	.driver = {
		.name = "classic",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = classic_attr_groups,
	},
	.probe = classic_probe,
	.remove = classic_remove,
};

/* The mdev type's name begins with it. */
static struct class classic_class = {
	.name = "classic",
};

static int __init classic_register_parent(void)
{
	classic_parent_dev = device_create(&classic_class, NULL, MKDEV(0, 0),
					   NULL, "classic");
	if (IS_ERR(classic_parent_dev))
		return PTR_ERR(classic_parent_dev);

	return mdev_register_parent(&classic_parent, classic_parent_dev,
				    &classic_driver, classic_types,
				    ARRAY_SIZE(classic_types));
}

static int __init classic_init(void)
{
	int ret;

	ret = class_register(&classic_class);
	if (ret)
		return ret;
	ret = mdev_register_driver(&classic_driver);
	if (ret)
		goto err_class;
	ret = classic_register_parent();
	if (ret)
		goto err_driver;

	return 0;

err_driver:
	if (!IS_ERR_OR_NULL(classic_parent_dev))
		device_unregister(classic_parent_dev);
	mdev_unregister_driver(&classic_driver);
err_class:
	class_unregister(&classic_class);

	return ret;
}

static void __exit classic_exit(void)
{
	mdev_unregister_parent(&classic_parent);
	device_unregister(classic_parent_dev);
	mdev_unregister_driver(&classic_driver);
	class_unregister(&classic_class);
}

module_init(classic_init);
module_exit(classic_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Device that migrates as mainline's drivers do, to compare with");
MODULE_AUTHOR("The VFIO migration core developers");
