// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices to measure on, and memory to measure against
 *
 * All device memory is written once, through BAR2, with content that does not equal
 * migsim's pattern, so that every page is there and none can be left out.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

#define CLASSIC	"/sys/class/mdev_bus/classic/mdev_supported_types/classic-device/create"

struct vfm_device *device_new(const char *type, uint64_t size, uint64_t window)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", size);
	vfm_attr_set(dev, "window", window);
	vfm_open(dev);
	device_fill(dev, size, 0);
	return dev;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	VFIO_ASSERT_GE(fd, 0, "%s: %s", path, strerror(errno));
	VFIO_ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text),
		       "%s: %s", path, strerror(errno));
	close(fd);
}

static void read_uuid(char uuid[static 37])
{
	int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY | O_CLOEXEC);

	VFIO_ASSERT_EQ(read(fd, uuid, 36), 36);
	uuid[36] = 0;
	close(fd);
}

/* Of the comparison module, which the library knows nothing of. */
struct vfm_device *device_classic(uint64_t size)
{
	struct vfm_device *dev = vfm_zalloc(sizeof(*dev));
	char path[PATH_MAX], text[32];

	dev->fd = -1;
	dev->group = -1;
	dev->container = -1;
	read_uuid(dev->uuid);
	write_file(CLASSIC, dev->uuid);
	snprintf_assert(path, sizeof(path),
			"/sys/bus/mdev/devices/%s/classic/state_size",
			dev->uuid);
	snprintf_assert(text, sizeof(text), "%llu", (unsigned long long)size);
	write_file(path, text);
	vfm_open(dev);
	device_fill(dev, size, 0);
	return dev;
}

void device_free(struct vfm_device *dev)
{
	char path[PATH_MAX];

	if (dev->created) {
		vfm_destroy(dev);
		return;
	}
	vfm_close(dev);
	snprintf_assert(path, sizeof(path), "/sys/bus/mdev/devices/%s/remove",
			dev->uuid);
	write_file(path, "1");
	free(dev);
}

static void fill(uint64_t *words, size_t len, uint64_t salt)
{
	size_t i;

	for (i = 0; i < len / sizeof(*words); i++) {
		salt = salt * 6364136223846793005ull + 1442695040888963407ull;
		words[i] = salt;
	}
}

void device_fill(struct vfm_device *dev, uint64_t size, uint64_t salt)
{
	uint64_t pos, n;
	void *buffer;

	buffer = buffer_new(BUFFER_SIZE);
	for (pos = 0; pos < size; pos += n) {
		n = size - pos < BUFFER_SIZE ? size - pos : BUFFER_SIZE;
		fill(buffer, n, salt + pos);
		vfm_bar_write(dev, MIGSIM_BAR_MEM, pos, buffer, n);
	}
	munmap(buffer, BUFFER_SIZE);
}

/* Of the device's memory, to tell whether two devices have the same. */
uint64_t device_sum(struct vfm_device *dev, uint64_t size)
{
	uint64_t pos, n, sum = 0, *buffer;
	size_t i;

	buffer = buffer_new(BUFFER_SIZE);
	for (pos = 0; pos < size; pos += n) {
		n = size - pos < BUFFER_SIZE ? size - pos : BUFFER_SIZE;
		vfm_bar_read(dev, MIGSIM_BAR_MEM, pos, buffer, n);
		for (i = 0; i < n / sizeof(*buffer); i++)
			sum = (sum ^ buffer[i]) * 0x9e3779b97f4a7c15ull;
	}
	munmap(buffer, BUFFER_SIZE);
	return sum;
}

/* Touched, so that no page fault is measured. */
void *buffer_new(size_t size)
{
	void *buffer = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_TRUE(buffer != MAP_FAILED);
	memset(buffer, 0x5a, size);
	return buffer;
}

/* What is visible in the children too. */
void *shared_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	VFIO_ASSERT_TRUE(memory != MAP_FAILED);
	memset(memory, 0, size);
	return memory;
}

/* All of it written, as the devices' memory is. */
int memfd_new(uint64_t size)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	uint64_t pos, n;
	void *buffer;

	VFIO_ASSERT_GE(fd, 0);
	buffer = buffer_new(BUFFER_SIZE);
	for (pos = 0; pos < size; pos += n) {
		n = size - pos < BUFFER_SIZE ? size - pos : BUFFER_SIZE;
		fill(buffer, n, pos);
		VFIO_ASSERT_EQ(pwrite(fd, buffer, n, pos), (ssize_t)n);
	}
	munmap(buffer, BUFFER_SIZE);
	return fd;
}
