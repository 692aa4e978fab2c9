// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening devices. A device that has a character device of its own is bound
 * to one iommufd, which all devices share; else its IOMMU group is opened,
 * once however many devices are in it, with a type1 container of its own.
 * A device fd that was handed over is duplicated, so that closing it here
 * leaves the one that the program was started with alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "migrate.h"

struct group {
	struct group *next;
	int number;
	int fd;
	int container;
	unsigned int users;
};

static struct group *groups;
static int iommufd = -1;
static uint32_t ioas_id;

static const char *open_hint(int err)
{
	switch (err) {
	case EACCES:
	case EPERM:
		return " (run as root, or give yourself access to it)";
	case EMFILE:
		return " (raise ulimit -n)";
	default:
		return "";
	}
}

static int in_use(struct device *dev, struct failure *fail, const char *what)
{
	char who[64] = "something else";
	struct user user;

	inuse_scan();
	if (inuse_find(&dev->path, &user) == USE_YES)
		snprintf(who, sizeof(who), "%s, pid %d,", user.comm, user.pid);
	inuse_free();
	return fail_at(fail, dev->name, EBUSY, "open",
		       "%s: %s (%s holds it open: end that, or have it hand over the device fd as fd:N)",
		       what, strerror(EBUSY), who);
}

static int open_failed(struct device *dev, struct failure *fail,
		       const char *what)
{
	int err = errno;

	if (err == EBUSY)
		return in_use(dev, fail, what);
	return fail_at(fail, dev->name, err, "open", "%s: %s%s", what,
		       strerror(err), open_hint(err));
}

static int iommufd_get(struct device *dev, struct failure *fail)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	if (iommufd >= 0)
		return 0;
	iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommufd < 0)
		return open_failed(dev, fail, "/dev/iommu");
	if (ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc)) {
		open_failed(dev, fail, "IOMMU_IOAS_ALLOC");
		close(iommufd);
		iommufd = -1;
		return -fail->err;
	}
	ioas_id = alloc.out_ioas_id;
	return 0;
}

static int open_cdev(struct device *dev, struct failure *fail)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
	};

	if (iommufd_get(dev, fail))
		return -fail->err;
	dev->fd = open(dev->path.cdev, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return open_failed(dev, fail, dev->path.cdev);
	bind.iommufd = iommufd;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind)) {
		/* an open device refuses to be bound again with EINVAL */
		if (errno == EINVAL)
			errno = EBUSY;
		return open_failed(dev, fail, "VFIO_DEVICE_BIND_IOMMUFD");
	}
	attach.pt_id = ioas_id;
	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return open_failed(dev, fail, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	return 0;
}

static void group_put(struct group *g)
{
	struct group **pos;

	if (!g || --g->users)
		return;
	for (pos = &groups; *pos != g; pos = &(*pos)->next)
		;
	*pos = g->next;
	close(g->fd);
	if (g->container >= 0)
		close(g->container);
	free(g);
}

static int group_set_container(struct group *g)
{
	g->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	if (g->container < 0)
		return -1;
	if (ioctl(g->fd, VFIO_GROUP_SET_CONTAINER, &g->container))
		return -1;
	if (!ioctl(g->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return 0;
	return ioctl(g->container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU);
}

static int group_setup(struct device *dev, struct group *g,
		       struct failure *fail)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	char node[64];

	snprintf(node, sizeof(node), "/dev/vfio/%s%d",
		 dev->path.group_noiommu ? "noiommu-" : "", g->number);
	g->fd = open(node, O_RDWR | O_CLOEXEC);
	if (g->fd < 0)
		return open_failed(dev, fail, node);
	if (ioctl(g->fd, VFIO_GROUP_GET_STATUS, &status))
		return open_failed(dev, fail, "VFIO_GROUP_GET_STATUS");
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return fail_at(fail, dev->name, EPERM, "open",
			       "group %d is not viable: bind every device of it to a vfio driver",
			       g->number);
	if (group_set_container(g))
		return open_failed(dev, fail, "type1 container");
	return 0;
}

static struct group *group_get(struct device *dev, struct failure *fail)
{
	struct group *g;

	for (g = groups; g; g = g->next) {
		if (g->number == dev->path.group) {
			g->users++;
			return g;
		}
	}
	g = xcalloc(1, sizeof(*g));
	g->number = dev->path.group;
	g->fd = -1;
	g->container = -1;
	g->users = 1;
	g->next = groups;
	groups = g;
	if (group_setup(dev, g, fail)) {
		group_put(g);
		return NULL;
	}
	return g;
}

static int open_group(struct device *dev, struct failure *fail)
{
	dev->group = group_get(dev, fail);
	if (!dev->group)
		return -fail->err;
	dev->fd = ioctl(dev->group->fd, VFIO_GROUP_GET_DEVICE_FD, dev->path.id);
	if (dev->fd < 0)
		return open_failed(dev, fail, "VFIO_GROUP_GET_DEVICE_FD");
	return 0;
}

static int open_inherited(struct device *dev, struct failure *fail)
{
	dev->fd = fcntl(dev->path.fd, F_DUPFD_CLOEXEC, 0);
	if (dev->fd < 0)
		return open_failed(dev, fail, "dup");
	return 0;
}

/* A device fd is what answers VFIO_DEVICE_GET_INFO. */
static int get_info(struct device *dev, struct failure *fail)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info)) {
		if (dev->path.fd >= 0)
			return fail_at(fail, dev->name, errno, "open",
				       "not the fd of an open VFIO device: %s",
				       strerror(errno));
		return open_failed(dev, fail, "VFIO_DEVICE_GET_INFO");
	}
	dev->info_flags = info.flags;
	dev->num_regions = info.num_regions;
	device_identify(dev);
	return 0;
}

int device_open(struct device *dev, struct failure *fail)
{
	int ret;

	dev->fd = -1;
	dev->data_fd = -1;
	if (dev->path.fd >= 0)
		ret = open_inherited(dev, fail);
	else if (dev->path.cdev[0] && !access("/dev/iommu", F_OK))
		ret = open_cdev(dev, fail);
	else if (dev->path.group >= 0)
		ret = open_group(dev, fail);
	else
		ret = fail_at(fail, dev->name, ENODEV, "open",
			      "it has neither a character device with /dev/iommu nor an IOMMU group (is a vfio driver bound to it?)");
	if (!ret)
		ret = get_info(dev, fail);
	if (ret)
		device_close(dev);
	return ret;
}

void device_close_data(struct device *dev)
{
	if (dev->data_fd >= 0)
		close(dev->data_fd);
	dev->data_fd = -1;
}

/* The last close of a device ends whatever it does. Any thread may call. */
void device_freeze(struct device *dev)
{
	device_close_data(dev);
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

void device_close(struct device *dev)
{
	device_freeze(dev);
	group_put(dev->group);
	dev->group = NULL;
}

void open_cleanup(void)
{
	if (iommufd >= 0)
		close(iommufd);
	iommufd = -1;
}
