// SPDX-License-Identifier: GPL-2.0-only
/* Making, configuring and looking at the software device. */
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <libvfio/migsim.h>

#define VFM_TYPES	"/sys/class/mdev_bus/migsim/mdev_supported_types"
#define VFM_MDEVS	"/sys/bus/mdev/devices"
#define VFM_FAULTS	"/sys/kernel/debug/migsim"

static struct vfm_device *vfm_devices;
static pid_t vfm_owner;

static int vfm_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	ret = n == (ssize_t)strlen(text) ? 0 : n < 0 ? -errno : -EIO;
	close(fd);
	return ret;
}

static int vfm_read_file(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t pos = 0;
	ssize_t n;
	int ret;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buf + pos, len - 1 - pos)) > 0)
		pos += n;
	ret = n < 0 ? -errno : 0;
	close(fd);
	buf[pos] = 0;
	return ret;
}

bool vfm_type_present(const char *type)
{
	char path[PATH_MAX];

	snprintf_assert(path, sizeof(path), VFM_TYPES "/%s/create", type);
	return !access(path, W_OK);
}

/*
 * A failed assertion ends the process from anywhere. Devices that are open can
 * not be removed, so everything is closed first.
 */
static void vfm_cleanup(void)
{
	struct vfm_device *dev;

	if (getpid() != vfm_owner)
		return;
	for (dev = vfm_devices; dev; dev = dev->next)
		if (vfm_have_faults(dev))
			__vfm_fault_write(dev, "clear");
	fflush(NULL);
	syscall(SYS_close_range, 3, ~0U, 0);
	for (dev = vfm_devices; dev; dev = dev->next)
		if (dev->created)
			__vfm_remove(dev);
}

static void vfm_adopt(struct vfm_device *dev)
{
	if (vfm_owner != getpid()) {
		vfm_owner = getpid();
		vfm_devices = NULL;
		atexit(vfm_cleanup);
	}
	dev->next = vfm_devices;
	vfm_devices = dev;
}

static void vfm_forget(struct vfm_device *dev)
{
	struct vfm_device **p;

	for (p = &vfm_devices; *p; p = &(*p)->next) {
		if (*p == dev) {
			*p = dev->next;
			return;
		}
	}
}

int __vfm_create(const char *type, struct vfm_device **out)
{
	struct vfm_device *dev = vfm_zalloc(sizeof(*dev));
	char path[PATH_MAX];
	int ret;

	dev->fd = -1;
	dev->group = -1;
	dev->container = -1;
	ret = vfm_read_file("/proc/sys/kernel/random/uuid", dev->uuid,
			    sizeof(dev->uuid));
	VFIO_ASSERT_EQ(ret, 0);

	snprintf_assert(path, sizeof(path), VFM_TYPES "/%s/create", type);
	ret = vfm_write_file(path, dev->uuid);
	if (ret) {
		free(dev);
		return ret;
	}
	dev->created = true;
	vfm_adopt(dev);
	*out = dev;
	return 0;
}

struct vfm_device *vfm_create(const char *type)
{
	struct vfm_device *dev = NULL;
	int ret = __vfm_create(type, &dev);

	VFIO_ASSERT_EQ(ret, 0, "creating a %s: %s", type, strerror(-ret));
	return dev;
}

struct vfm_device *vfm_create_small(const char *type)
{
	struct vfm_device *dev = vfm_create(type);

	vfm_attr_set(dev, "state_size", VFM_SMALL_STATE);
	vfm_open(dev);
	return dev;
}

int __vfm_remove(struct vfm_device *dev)
{
	char path[PATH_MAX];
	int ret;

	snprintf_assert(path, sizeof(path), VFM_MDEVS "/%s/remove", dev->uuid);
	ret = vfm_write_file(path, "1");
	if (!ret)
		dev->created = false;
	return ret;
}

void vfm_destroy(struct vfm_device *dev)
{
	if (!dev)
		return;
	vfm_close(dev);
	if (dev->created) {
		int ret = __vfm_remove(dev);

		VFIO_ASSERT_EQ(ret, 0, "removing %s: %s", dev->uuid,
			       strerror(-ret));
	}
	vfm_forget(dev);
	free(dev);
}

static void vfm_attr_path(struct vfm_device *dev, const char *name, char *path)
{
	snprintf_assert(path, PATH_MAX, VFM_MDEVS "/%s/migsim/%s", dev->uuid,
			name);
}

int __vfm_attr_write(struct vfm_device *dev, const char *name, const char *val)
{
	char path[PATH_MAX];

	vfm_attr_path(dev, name, path);
	return vfm_write_file(path, val);
}

int __vfm_attr_read(struct vfm_device *dev, const char *name, char *buf,
		    size_t len)
{
	char path[PATH_MAX];
	int ret;

	vfm_attr_path(dev, name, path);
	ret = vfm_read_file(path, buf, len);
	if (!ret)
		buf[strcspn(buf, "\n")] = 0;
	return ret;
}

void vfm_attr_set(struct vfm_device *dev, const char *name, u64 val)
{
	char text[32];
	int ret;

	snprintf_assert(text, sizeof(text), "%llu", (unsigned long long)val);
	ret = __vfm_attr_write(dev, name, text);
	VFIO_ASSERT_EQ(ret, 0, "%s = %s: %s", name, text, strerror(-ret));
}

void vfm_attr_string(struct vfm_device *dev, const char *name, char *buf,
		     size_t len)
{
	int ret = __vfm_attr_read(dev, name, buf, len);

	VFIO_ASSERT_EQ(ret, 0, "reading %s: %s", name, strerror(-ret));
}

u64 vfm_attr_get(struct vfm_device *dev, const char *name)
{
	char text[64];

	vfm_attr_string(dev, name, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

u64 vfm_state_hash(struct vfm_device *dev)
{
	char text[64], *end;
	u64 hash;

	vfm_attr_string(dev, "state_hash", text, sizeof(text));
	hash = strtoull(text, &end, 16);
	VFIO_ASSERT_TRUE(end == text + 16 && !*end, "state_hash is '%s'", text);
	return hash;
}

static void vfm_fault_path(struct vfm_device *dev, char *path)
{
	snprintf_assert(path, PATH_MAX, VFM_FAULTS "/%s/faults", dev->uuid);
}

bool vfm_have_faults(struct vfm_device *dev)
{
	char path[PATH_MAX];

	if (access("/sys/kernel/debug/migsim", F_OK))
		mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	vfm_fault_path(dev, path);
	return !access(path, R_OK | W_OK);
}

int __vfm_fault_write(struct vfm_device *dev, const char *line)
{
	char path[PATH_MAX];

	vfm_fault_path(dev, path);
	return vfm_write_file(path, line);
}

static void vfm_fault_command(struct vfm_device *dev, const char *line)
{
	int ret = __vfm_fault_write(dev, line);

	VFIO_ASSERT_EQ(ret, 0, "fault rule '%s': %s", line, strerror(-ret));
}

void vfm_fault_arc(struct vfm_device *dev, const char *site, u32 from,
		   u32 to, unsigned int nth, unsigned int count, int err)
{
	char line[128];

	snprintf_assert(line, sizeof(line), "%s %s->%s %u %u %d", site,
			vfm_state_name(from), vfm_state_name(to), nth, count,
			err);
	vfm_fault_command(dev, line);
}

void vfm_fault_clear(struct vfm_device *dev)
{
	vfm_fault_command(dev, "clear");
}

void vfm_fault_release(struct vfm_device *dev)
{
	vfm_fault_command(dev, "release");
}

unsigned int vfm_rule_fired(struct vfm_device *dev, const char *rule)
{
	char path[PATH_MAX], text[8192];
	char *line, *save, *fired;
	int ret;

	vfm_fault_path(dev, path);
	ret = vfm_read_file(path, text, sizeof(text));
	VFIO_ASSERT_EQ(ret, 0, "%s: %s", path, strerror(-ret));
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, rule, strlen(rule)))
			continue;
		fired = strstr(line, " fired ");
		VFIO_ASSERT_TRUE(fired, "no count in '%s'", line);
		return strtoul(fired + strlen(" fired "), NULL, 10);
	}
	VFIO_FAIL("no rule '%s'", rule);
}

unsigned int vfm_fault_fired(struct vfm_device *dev, const char *site,
			     u32 from, u32 to)
{
	char rule[64];

	snprintf_assert(rule, sizeof(rule), "%s %s->%s ", site,
			vfm_state_name(from), vfm_state_name(to));
	return vfm_rule_fired(dev, rule);
}
