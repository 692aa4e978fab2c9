// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a user may call a device: the uuid of an mdev, the address of a PCI
 * function, the path of a VFIO character device, a path in sysfs as QEMU's
 * sysfsdev has it, or fd:N, a device fd that the program was started with.
 * Nothing is opened here.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "migrate.h"

/* '-' and other punctuation stand for themselves, 'x' for a hex digit. */
static bool matches(const char *text, const char *pattern)
{
	for (; *pattern; text++, pattern++) {
		if (*pattern == 'x' ? !isxdigit((unsigned char)*text) :
				      *text != *pattern)
			return false;
	}
	return !*text;
}

static bool is_uuid(const char *name)
{
	return matches(name, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
}

static bool is_pci(const char *name)
{
	return matches(name, "xxxx:xx:xx.x") || matches(name, "xx:xx.x");
}

static bool is_cdev(const char *name)
{
	return !strncmp(name, "/dev/", 5);
}

static bool is_sysfs(const char *name)
{
	return !strncmp(name, "/sys/", 5);
}

/* fd:N; returns N or -1 */
static int fd_number(const char *name)
{
	char *end;
	long fd;

	if (strncmp(name, "fd:", 3) || !isdigit((unsigned char)name[3]))
		return -1;
	fd = strtol(name + 3, &end, 10);
	return *end || fd > INT_MAX ? -1 : (int)fd;
}

bool name_is_valid(const char *name)
{
	return is_uuid(name) || is_pci(name) || is_cdev(name) ||
	       is_sysfs(name) || fd_number(name) >= 0;
}

/* The last part of where a link in sysfs points to. */
int sysfs_link(const char *dir, const char *link, char *buf, size_t size)
{
	char path[PATH_MAX + 64], target[PATH_MAX];
	const char *base;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, link);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return -ENAMETOOLONG;
	strcpy(buf, base);
	return 0;
}

/* vfio-dev/vfioN below a device is its character device, if that exists. */
static void find_cdev(struct dev_path *path)
{
	char dir[PATH_MAX + 16], node[300];
	struct dirent *ent;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/vfio-dev", path->sysfs);
	d = opendir(dir);
	if (!d)
		return;
	while ((ent = readdir(d))) {
		if (strncmp(ent->d_name, "vfio", 4))
			continue;
		snprintf(node, sizeof(node), "/dev/vfio/devices/%s", ent->d_name);
		if (!access(node, F_OK) && strlen(node) < sizeof(path->cdev))
			strcpy(path->cdev, node);
		break;
	}
	closedir(d);
}

static void find_group(struct dev_path *path)
{
	char num[64], node[96];

	if (sysfs_link(path->sysfs, "iommu_group", num, sizeof(num)))
		return;
	path->group = atoi(num);
	snprintf(node, sizeof(node), "/dev/vfio/noiommu-%d", path->group);
	path->group_noiommu = !access(node, F_OK);
}

/* Fills in what follows from path->sysfs. */
void name_from_sysfs(struct dev_path *path)
{
	const char *base = strrchr(path->sysfs, '/');

	if (!base)
		return;
	if (strlen(++base) < sizeof(path->id))
		strcpy(path->id, base);
	find_cdev(path);
	find_group(path);
}

/* @link leads to the device in sysfs. */
static int from_link(const char *name, const char *link, struct dev_path *path,
		     struct failure *fail)
{
	char driver[64];

	if (!realpath(link, path->sysfs))
		return fail_at(fail, name, errno, "open",
			       "%s (no %s; see vfio-migrate list)",
			       strerror(errno), link);
	name_from_sysfs(path);
	if (!path->cdev[0] && path->group < 0 &&
	    sysfs_link(path->sysfs, "driver", driver, sizeof(driver)))
		return fail_at(fail, name, ENODEV, "open",
			       "no driver is bound to it");
	return 0;
}

static int from_bus(const char *name, const char *bus, const char *id,
		    struct dev_path *path, struct failure *fail)
{
	char link[PATH_MAX];

	snprintf(link, sizeof(link), "/sys/bus/%s/devices/%s", bus, id);
	return from_link(name, link, path, fail);
}

/* What is below a device, such as its vfio-dev, has a link to it. */
static int from_sysfs(const char *name, struct dev_path *path,
		      struct failure *fail)
{
	char link[PATH_MAX];

	snprintf(link, sizeof(link), "%s/device", name);
	if (access(link, F_OK))
		snprintf(link, sizeof(link), "%s", name);
	return from_link(name, link, path, fail);
}

static int from_uuid(const char *name, struct dev_path *path,
		     struct failure *fail)
{
	char id[64];
	size_t i;

	for (i = 0; name[i]; i++)
		id[i] = tolower((unsigned char)name[i]);
	id[i] = '\0';
	return from_bus(name, "mdev", id, path, fail);
}

static int from_pci(const char *name, struct dev_path *path,
		    struct failure *fail)
{
	char id[64];
	size_t i;

	snprintf(id, sizeof(id), "%s%s",
		 matches(name, "xx:xx.x") ? "0000:" : "", name);
	for (i = 0; id[i]; i++)
		id[i] = tolower((unsigned char)id[i]);
	return from_bus(name, "pci", id, path, fail);
}

static int from_cdev(const char *name, struct dev_path *path,
		     struct failure *fail)
{
	char link[PATH_MAX];
	struct stat st;

	if (stat(name, &st))
		return fail_at(fail, name, errno, "open", "%s", strerror(errno));
	if (!S_ISCHR(st.st_mode))
		return fail_at(fail, name, ENODEV, "open",
			       "not a character device");
	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/device",
		 major(st.st_rdev), minor(st.st_rdev));
	if (!realpath(link, path->sysfs))
		return fail_at(fail, name, ENODEV, "open",
			       "not the character device of a VFIO device (those are /dev/vfio/devices/vfioN)");
	name_from_sysfs(path);
	if (strlen(name) >= sizeof(path->cdev))
		return fail_at(fail, name, ENAMETOOLONG, "open", "path too long");
	strcpy(path->cdev, name);
	return 0;
}

/* Since v6.17 the kernel tells which device a device fd is of. */
static void sysfs_of_fd(int fd, struct dev_path *path)
{
	static const char key[] = "vfio-device-syspath:";
	char file[64], line[PATH_MAX + 64];
	FILE *f;

	snprintf(file, sizeof(file), "/proc/self/fdinfo/%d", fd);
	f = fopen(file, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, sizeof(key) - 1))
			continue;
		line[strcspn(line, "\n")] = '\0';
		if (realpath(line + sizeof(key) - 1 +
			     strspn(line + sizeof(key) - 1, " \t"),
			     path->sysfs))
			name_from_sysfs(path);
	}
	fclose(f);
}

static int from_fd(const char *name, int fd, struct dev_path *path,
		   struct failure *fail)
{
	if (stdio_missing(fd) || fcntl(fd, F_GETFD) < 0)
		return fail_at(fail, name, EBADF, "open",
			       "no such file descriptor was handed over%s",
			       fd == STDOUT_FILENO || fd == STDERR_FILENO ?
			       " (messages go there: use a number above 2)" : "");
	path->fd = fd;
	sysfs_of_fd(fd, path);
	return 0;
}

int name_resolve(const char *name, struct dev_path *path, struct failure *fail)
{
	int fd = fd_number(name);

	memset(path, 0, sizeof(*path));
	path->fd = -1;
	path->group = -1;
	if (fd >= 0)
		return from_fd(name, fd, path, fail);
	if (is_uuid(name))
		return from_uuid(name, path, fail);
	if (is_pci(name))
		return from_pci(name, path, fail);
	if (is_sysfs(name))
		return from_sysfs(name, path, fail);
	return from_cdev(name, path, fail);
}

static bool same_file(int a, int b)
{
	pid_t self = getpid();

	return a == b || !syscall(SYS_kcmp, self, self, KCMP_FILE, a, b);
}

bool path_same(const struct dev_path *a, const struct dev_path *b)
{
	if (a->fd >= 0 && b->fd >= 0 && same_file(a->fd, b->fd))
		return true;
	return a->sysfs[0] && !strcmp(a->sysfs, b->sysfs);
}
