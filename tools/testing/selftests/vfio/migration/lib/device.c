// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening a device by its name on the PCI or the mdev bus: as a cdev that is bound
 * to an iommufd, or through its group and a container.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include <libvfio/migration.h>

bool vfm_has_cdev(void)
{
	return !access("/dev/vfio/devices", F_OK) && !access("/dev/iommu", F_OK);
}

bool vfm_has_group(void)
{
	return !access("/dev/vfio/vfio", F_OK) || !access("/dev/iommu", F_OK);
}

bool vfm_is_bdf(const char *name)
{
	unsigned int s, b, d, f;
	int len = 0;

	return sscanf(name, "%4x:%2x:%2x.%1x%n", &s, &b, &d, &f, &len) == 4 &&
	       !name[len];
}

/* What is @file in its folder in sysfs. */
void vfm_sysfs_path(struct vfm_device *dev, const char *file, char *path,
		    size_t size)
{
	snprintf_assert(path, size, "/sys/bus/%s/devices/%s/%s",
			vfm_is_bdf(dev->uuid) ? "pci" : "mdev", dev->uuid, file);
}

static int vfm_open_path(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A fresh device's node may be a moment behind its sysfs folder. */
static int vfm_cdev_path(struct vfm_device *dev, char *path, size_t size)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	int ret = -ENODEV;
	DIR *dir;

	vfm_sysfs_path(dev, "vfio-dev", folder, sizeof(folder));
	dir = opendir(folder);
	if (!dir)
		return -errno;

	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vfio", 4))
			continue;
		snprintf_assert(path, size, "/dev/vfio/devices/%s",
				entry->d_name);
		ret = 0;
		break;
	}
	closedir(dir);
	return ret;
}

static int vfm_cdev_open(struct vfm_device *dev)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	char path[PATH_MAX];
	int ret;

	ret = vfm_cdev_path(dev, path, sizeof(path));
	if (ret)
		return ret;

	ret = vfm_open_path("/dev/iommu");
	if (ret < 0)
		return ret;
	dev->container = ret;

	ret = vfm_open_path(path);
	if (ret < 0)
		return ret;
	dev->fd = ret;

	bind.iommufd = dev->container;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return -errno;
	return 0;
}

static int vfm_group_path(struct vfm_device *dev, char *path, size_t size)
{
	char link[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	vfm_sysfs_path(dev, "iommu_group", link, sizeof(link));
	len = readlink(link, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = 0;
	snprintf_assert(path, size, "/dev/vfio/%s", strrchr(target, '/') + 1);
	return 0;
}

/* Without type1 an iommufd is the container, and behaves as one. */
static int vfm_container_open(void)
{
	int fd = vfm_open_path("/dev/vfio/vfio");

	if (fd >= 0 && ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0) {
		close(fd);
		fd = -ENODEV;
	}
	return fd < 0 ? vfm_open_path("/dev/iommu") : fd;
}

static int vfm_group_open(struct vfm_device *dev)
{
	char path[PATH_MAX];
	int ret;

	ret = vfm_group_path(dev, path, sizeof(path));
	if (ret)
		return ret;

	ret = vfm_container_open();
	if (ret < 0)
		return ret;
	dev->container = ret;

	ret = vfm_open_path(path);
	if (ret < 0)
		return ret;
	dev->group = ret;

	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->container) ||
	    ioctl(dev->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return -errno;

	ret = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, dev->uuid);
	if (ret < 0)
		return -errno;
	dev->fd = ret;
	return 0;
}

static int vfm_learn_region(struct vfm_device *dev, u32 index,
			    struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) {
		.argsz = sizeof(*info),
		.index = index,
	};
	return ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

static int vfm_learn(struct vfm_device *dev)
{
	int i, ret;

	for (i = 0; i < VFM_NR_BARS; i++) {
		ret = vfm_learn_region(dev, VFIO_PCI_BAR0_REGION_INDEX + i,
				       &dev->bar[i]);
		if (ret)
			return ret;
	}
	ret = vfm_learn_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &dev->config);
	if (ret)
		return ret;
	return __vfm_migration_flags(dev, &dev->flags);
}

static bool vfm_wants_cdev(struct vfm_device *dev)
{
	return dev->via == VFM_VIA_CDEV ||
	       (dev->via == VFM_VIA_AUTO && vfm_has_cdev());
}

int __vfm_open(struct vfm_device *dev)
{
	int ret;

	VFIO_ASSERT_EQ(dev->fd, -1, "opened twice");
	ret = vfm_wants_cdev(dev) ? vfm_cdev_open(dev) : vfm_group_open(dev);
	if (!ret)
		ret = vfm_learn(dev);
	if (ret)
		vfm_close(dev);
	return ret;
}

void vfm_open(struct vfm_device *dev)
{
	int ret = __vfm_open(dev);

	VFIO_ASSERT_EQ(ret, 0, "opening %s: %s", dev->uuid, strerror(-ret));
}

static void vfm_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vfm_close(struct vfm_device *dev)
{
	vfm_close_fd(&dev->fd);
	vfm_close_fd(&dev->group);
	vfm_close_fd(&dev->container);
	dev->ioas = 0;
}

static struct vfio_region_info *vfm_bar(struct vfm_device *dev, int bar)
{
	VFIO_ASSERT_TRUE(bar >= 0 && bar < VFM_NR_BARS);
	return &dev->bar[bar];
}

ssize_t __vfm_bar_read(struct vfm_device *dev, int bar, u64 off, void *buf,
		       size_t len)
{
	ssize_t ret = pread(dev->fd, buf, len, vfm_bar(dev, bar)->offset + off);

	return ret < 0 ? -errno : ret;
}

ssize_t __vfm_bar_write(struct vfm_device *dev, int bar, u64 off,
			const void *buf, size_t len)
{
	ssize_t ret = pwrite(dev->fd, buf, len, vfm_bar(dev, bar)->offset + off);

	return ret < 0 ? -errno : ret;
}

void vfm_bar_read(struct vfm_device *dev, int bar, u64 off, void *buf,
		  size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = __vfm_bar_read(dev, bar, off + done,
					   (char *)buf + done, len - done);

		VFIO_ASSERT_GT(n, 0, "BAR %d read at %#llx: %zd", bar,
			       (unsigned long long)(off + done), n);
		done += n;
	}
}

void vfm_bar_write(struct vfm_device *dev, int bar, u64 off,
		   const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = __vfm_bar_write(dev, bar, off + done,
					    (const char *)buf + done,
					    len - done);

		VFIO_ASSERT_GT(n, 0, "BAR %d write at %#llx: %zd", bar,
			       (unsigned long long)(off + done), n);
		done += n;
	}
}

void vfm_config_read(struct vfm_device *dev, u64 off, void *buf, size_t len)
{
	size_t done;
	ssize_t n;

	for (done = 0; done < len; done += n) {
		n = pread(dev->fd, (char *)buf + done, len - done,
			  dev->config.offset + off + done);
		VFIO_ASSERT_GT(n, 0, "config space at %zu: %s", done,
			       strerror(errno));
	}
}

void vfm_config_write(struct vfm_device *dev, u64 off, const void *buf, size_t len)
{
	ssize_t n = pwrite(dev->fd, buf, len, dev->config.offset + off);

	VFIO_ASSERT_EQ(n, len, "config space: %s", strerror(errno));
}
