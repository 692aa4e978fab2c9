// SPDX-License-Identifier: GPL-2.0-only
/*
 * migsim: what VFIO calls
 *
 * First open makes the device run, last close freezes it with its state, reset
 * brings it back to the pattern of its configured seed.
 */
#include <linux/mdev.h>
#include <linux/memcontrol.h>
#include <linux/uaccess.h>

#include "migsim.h"

static int migsim_init_dev(struct vfio_device *vdev)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);
	int ret;

	mutex_init(&sim->config_lock);
	mutex_init(&sim->memory_lock);
	sim->type = migsim_type_of(to_mdev_device(vdev->dev));
	sim->config.state_size = MIGSIM_STATE_DEFAULT;
	sim->config.window = SZ_4M;
	sim->config.donate = 1;
	sim->config.poll = 1;
	sim->config.nowait = 1;
	migsim_memory_init(sim);
	migsim_workload_init(sim);
	migsim_irq_init(sim);
	migsim_dma_log_init(sim);
	mutex_init(&sim->faults.lock);
	INIT_LIST_HEAD(&sim->faults.rules);
	ret = migsim_migration_init(sim);
	/* Others know it from then on, until it is removed. */
	if (!ret)
		migsim_ring_init(sim);

	return ret;
}

static void migsim_release_dev(struct vfio_device *vdev)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	migsim_ring_exit(sim);
	vfio_mig_free(sim->mig);
	mutex_lock(&sim->memory_lock);
	migsim_memory_drop(sim);
	mutex_unlock(&sim->memory_lock);
	mutex_destroy(&sim->dma_log.lock);
	mutex_destroy(&sim->irq.lock);
	mutex_destroy(&sim->memory_lock);
	mutex_destroy(&sim->config_lock);
}

/**
 * migsim_run - run, without initiating anything towards others
 * @sim: device
 */
void migsim_run(struct migsim_dev *sim)
{
	migsim_workload_start(sim);
	migsim_ring_accept(sim, true);
}

/**
 * migsim_activate - initiate whatever it likes
 * @sim: device that runs
 */
void migsim_activate(struct migsim_dev *sim)
{
	migsim_dma_start(sim);
	migsim_ring_start(sim);
}

/**
 * migsim_clear_state - all that migrates, as after power on
 * @sim: device that does nothing
 */
void migsim_clear_state(struct migsim_dev *sim)
{
	migsim_dma_reset(sim);
	migsim_memory_reset(sim);
	migsim_ring_reset(sim);
}

/**
 * migsim_reset - as after power on
 * @sim: open device
 *
 * What it had begun has no effect any more. It runs afterwards. Its config space stays
 * as it is, as that of a physical function does, which the PCI core saves and restores.
 */
void migsim_reset(struct migsim_dev *sim)
{
	/* As long as its memory is there, which the copy may be into. */
	migsim_dma_abort(sim);
	mutex_lock(&sim->memory_lock);
	sim->memory.resetting = true;
	mutex_unlock(&sim->memory_lock);
	migsim_ring_stop(sim);
	migsim_workload_stop(sim);
	migsim_drain_stop(sim);
	migsim_clear_state(sim);
	migsim_run(sim);
	migsim_activate(sim);
}

static int migsim_open(struct vfio_device *vdev)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);
	int ret;

	ret = migsim_dma_open(sim);
	if (ret)
		return ret;
	mutex_lock(&sim->config_lock);
	ret = migsim_migration_open(sim);
	if (!ret) {
		sim->open = true;
		sim->memcg = get_mem_cgroup_from_mm(current->mm);
	}
	mutex_unlock(&sim->config_lock);
	if (ret) {
		migsim_dma_close(sim);
		return ret;
	}

	migsim_config_reset(sim);
	migsim_run(sim);
	migsim_activate(sim);

	return 0;
}

static void migsim_close(struct vfio_device *vdev)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	migsim_migration_close(sim);
	migsim_ring_stop(sim);
	migsim_ring_accept(sim, false);
	migsim_dma_close(sim);
	migsim_workload_stop(sim);
	migsim_irq_close(sim);
	migsim_dma_log_end(sim);
	mutex_lock(&sim->config_lock);
	mem_cgroup_put(sim->memcg);
	sim->memcg = NULL;
	sim->open = false;
	mutex_unlock(&sim->config_lock);
}

static int migsim_get_info(struct vfio_device_info __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;

	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long migsim_ioctl(struct vfio_device *vdev, unsigned int cmd,
			 unsigned long arg)
{
	struct migsim_dev *sim = migsim_from_vdev(vdev);

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return migsim_get_info((void __user *)arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return migsim_irq_get_info((void __user *)arg);
	case VFIO_DEVICE_SET_IRQS:
		return migsim_irq_set_irqs(sim, (void __user *)arg);
	case VFIO_DEVICE_RESET:
		return vfio_mig_reset(sim->mig);
	default:
		return vfio_region_info_ioctl(vdev, cmd, arg,
					      migsim_region_info);
	}
}

static int migsim_device_feature(struct vfio_device *vdev, u32 flags,
				 void __user *arg, size_t argsz)
{
	return vfio_mig_device_feature(migsim_from_vdev(vdev)->mig, flags, arg,
				       argsz);
}

const struct vfio_device_ops migsim_device_ops = {
	.name = "vfio-migsim",
	.init = migsim_init_dev,
	.release = migsim_release_dev,
	.open_device = migsim_open,
	.close_device = migsim_close,
	.read = migsim_read,
	.write = migsim_write,
	.mmap = migsim_mmap,
	.request = migsim_irq_request,
	.ioctl = migsim_ioctl,
	.device_feature = migsim_device_feature,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
	VFIO_REGION_INFO_OPS(migsim_region_info),
};
