// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compare the device memory of two VFIO devices, byte by byte, as any user
 * would see it: by reading BAR2 through the device fds.
 *
 *	barcmp UUID UUID	exit 0: the same, 1: not, 2: could not tell
 *	barcmp --flip OFFSET UUID	change one byte of it
 *
 * Shares no code with the programs that it checks.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/vfio.h>

#define CHUNK	(1 << 20)
#define DEVICES	"/sys/bus/mdev/devices"

struct bar {
	const char *uuid;
	int fd;
	uint64_t offset;
	uint64_t size;
};

static void __attribute__((noreturn)) die(const char *uuid, const char *what)
{
	fprintf(stderr, "barcmp: %s: %s: %s\n", uuid, what, strerror(errno));
	exit(2);
}

/* If the device has a character device of its own: cdev and iommufd. */
static int open_cdev(const char *uuid)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind) };
	char path[PATH_MAX];
	glob_t found;
	int fd;

	snprintf(path, sizeof(path), DEVICES "/%s/vfio-dev/vfio*/dev", uuid);
	if (glob(path, 0, NULL, &found))
		return -1;
	snprintf(path, sizeof(path), "/dev/vfio/devices/%s",
		 basename(dirname(found.gl_pathv[0])));
	globfree(&found);

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(uuid, path);
	bind.iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (bind.iommufd < 0 || ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		die(uuid, "iommufd");
	return fd;
}

static int open_group(const char *uuid)
{
	char path[PATH_MAX], link[PATH_MAX];
	int container, group, fd;
	ssize_t len;

	snprintf(path, sizeof(path), DEVICES "/%s/iommu_group", uuid);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		die(uuid, "no such device");
	link[len] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(link));

	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	group = open(path, O_RDWR | O_CLOEXEC);
	if (container < 0 || group < 0)
		die(uuid, path);
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		die(uuid, "container");
	fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, uuid);
	if (fd < 0)
		die(uuid, "device");
	return fd;
}

static struct bar bar_open(const char *uuid)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info),
		.index = VFIO_PCI_BAR2_REGION_INDEX,
	};
	struct bar bar = { .uuid = uuid };

	bar.fd = open_cdev(uuid);
	if (bar.fd < 0)
		bar.fd = open_group(uuid);
	if (ioctl(bar.fd, VFIO_DEVICE_GET_REGION_INFO, &info))
		die(uuid, "region");
	bar.offset = info.offset;
	bar.size = info.size;
	return bar;
}

static void bar_read(const struct bar *bar, void *buf, uint64_t at, size_t len)
{
	ssize_t n;

	for (; len; buf = (char *)buf + n, at += n, len -= n) {
		n = pread(bar->fd, buf, len, bar->offset + at);
		if (n <= 0)
			die(bar->uuid, "read");
	}
}

static int compare(const char *first, const char *second)
{
	struct bar a = bar_open(first), b = bar_open(second);
	char *left = malloc(CHUNK), *right = malloc(CHUNK);
	uint64_t at, i, different = 0, where = 0;
	size_t len;

	if (!left || !right)
		die(first, "memory");
	if (a.size != b.size || !a.size) {
		printf("sizes %" PRIu64 " and %" PRIu64 "\n", a.size, b.size);
		return 1;
	}
	for (at = 0; at < a.size; at += len) {
		len = a.size - at < CHUNK ? a.size - at : CHUNK;
		bar_read(&a, left, at, len);
		bar_read(&b, right, at, len);
		if (!memcmp(left, right, len))
			continue;
		for (i = 0; i < len; i++) {
			if (left[i] == right[i])
				continue;
			if (!different++)
				where = at + i;
		}
	}
	if (!different) {
		printf("%" PRIu64 " bytes are the same\n", a.size);
		return 0;
	}
	printf("%" PRIu64 " of %" PRIu64 " bytes differ, the first at %#" PRIx64 "\n",
	       different, a.size, where);
	return 1;
}

static int flip(uint64_t at, const char *uuid)
{
	struct bar bar = bar_open(uuid);
	unsigned char byte, now;

	bar_read(&bar, &byte, at, 1);
	byte ^= 0xff;
	if (pwrite(bar.fd, &byte, 1, bar.offset + at) != 1)
		die(uuid, "write");
	bar_read(&bar, &now, at, 1);
	if (now != byte) {
		printf("the byte at %#" PRIx64 " did not change\n", at);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return compare(argv[1], argv[2]);
	if (argc == 4 && !strcmp(argv[1], "--flip"))
		return flip(strtoull(argv[2], NULL, 0), argv[3]);
	fprintf(stderr, "usage: barcmp UUID UUID | barcmp --flip OFFSET UUID\n");
	return 2;
}
