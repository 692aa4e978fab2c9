// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: module, mdev parent and types
 *
 * One parent device named migsim; an instance is made by writing a uuid to
 * /sys/class/mdev_bus/migsim/mdev_supported_types/migsim-TYPE/create.
 */
#include <linux/device.h>
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/vfio.h>

#include "migsim.h"

/* Workloads and wake-ups. */
struct workqueue_struct *migsim_wq;

/* The four classes of the field. */
static const struct migsim_type migsim_types[] = {
	{ "full", "stop-copy, P2P and pre-copy",
	  VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
	  VFIO_MIGRATION_PRE_COPY },
	{ "snapshot", "stop-copy and P2P",
	  VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P },
	{ "precopy", "stop-copy and pre-copy",
	  VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_PRE_COPY },
	{ "basic", "stop-copy", VFIO_MIGRATION_STOP_COPY },
};

#define MIGSIM_NR_TYPES		ARRAY_SIZE(migsim_types)
#define MIGSIM_MAX_INSTANCES	4096

static struct mdev_type migsim_mdev_types[MIGSIM_NR_TYPES];
static struct mdev_type *migsim_mdev_type_list[MIGSIM_NR_TYPES];
static struct mdev_parent migsim_parent;
static struct device *migsim_parent_dev;

/**
 * migsim_type_of - class of an mdev
 * @mdev: of this driver
 *
 * Return: immutable.
 */
const struct migsim_type *migsim_type_of(struct mdev_device *mdev)
{
	return &migsim_types[mdev->type - migsim_mdev_types];
}

static int migsim_probe(struct mdev_device *mdev)
{
	struct migsim_dev *sim;
	int ret;

	sim = vfio_alloc_device(migsim_dev, vdev, &mdev->dev,
				&migsim_device_ops);
	if (IS_ERR(sim))
		return PTR_ERR(sim);
	ret = vfio_register_emulated_iommu_dev(&sim->vdev);
	if (ret) {
		vfio_put_device(&sim->vdev);
		return ret;
	}
	dev_set_drvdata(&mdev->dev, sim);
	migsim_fault_init(sim, dev_name(&mdev->dev));

	return 0;
}

static void migsim_remove(struct mdev_device *mdev)
{
	struct migsim_dev *sim = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&sim->vdev);
	migsim_ring_exit(sim);
	migsim_fault_free(sim);
	vfio_put_device(&sim->vdev);
}

static ssize_t migsim_show_description(struct mdev_type *mtype, char *buf)
{
	const struct migsim_type *type =
		&migsim_types[mtype - migsim_mdev_types];

	return sysfs_emit(buf, "software PCI device that migrates with %s\n",
			  type->title);
}

static struct mdev_driver migsim_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = MIGSIM_MAX_INSTANCES,
	.driver = {
		.name = "migsim",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
		.dev_groups = migsim_attr_groups,
	},
	.probe = migsim_probe,
	.remove = migsim_remove,
	.show_description = migsim_show_description,
};

/* A class of our own: the mdev class finds its parents by any device. */
static struct class migsim_class = {
	.name = "migsim",
};

static int __init migsim_register_parent(void)
{
	unsigned int i;

	for (i = 0; i < MIGSIM_NR_TYPES; i++) {
		migsim_mdev_types[i].sysfs_name = migsim_types[i].name;
		migsim_mdev_types[i].pretty_name = migsim_types[i].title;
		migsim_mdev_type_list[i] = &migsim_mdev_types[i];
	}
	migsim_parent_dev = device_create(&migsim_class, NULL, MKDEV(0, 0),
					  NULL, "migsim");
	if (IS_ERR(migsim_parent_dev))
		return PTR_ERR(migsim_parent_dev);

	return mdev_register_parent(&migsim_parent, migsim_parent_dev,
				    &migsim_driver, migsim_mdev_type_list,
				    MIGSIM_NR_TYPES);
}

static int __init migsim_init(void)
{
	int ret;

	migsim_wq = alloc_workqueue("migsim", WQ_UNBOUND, 0);
	if (!migsim_wq)
		return -ENOMEM;
	migsim_fault_module_init();
	ret = class_register(&migsim_class);
	if (ret)
		goto err_wq;
	ret = mdev_register_driver(&migsim_driver);
	if (ret)
		goto err_class;
	ret = migsim_register_parent();
	if (ret)
		goto err_driver;

	return 0;

err_driver:
	if (!IS_ERR_OR_NULL(migsim_parent_dev))
		device_unregister(migsim_parent_dev);
	mdev_unregister_driver(&migsim_driver);
err_class:
	class_unregister(&migsim_class);
err_wq:
	migsim_fault_module_exit();
	destroy_workqueue(migsim_wq);

	return ret;
}

static void __exit migsim_exit(void)
{
	mdev_unregister_parent(&migsim_parent);
	device_unregister(migsim_parent_dev);
	mdev_unregister_driver(&migsim_driver);
	class_unregister(&migsim_class);
	migsim_fault_module_exit();
	destroy_workqueue(migsim_wq);
}

module_init(migsim_init);
module_exit(migsim_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Migratable software PCI device");
MODULE_AUTHOR("The VFIO migration core developers");
