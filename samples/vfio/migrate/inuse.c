// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a VFIO device open, found without opening it: every process's
 * open files are looked through for the device's own node, for the node of
 * its group, and for device fds, of which newer kernels tell the device.
 * A process that we may not look into makes every "no" an "unknown", and so
 * does a device fd of a group that its holder has closed the group's node of.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migrate.h"

struct holder {
	struct holder *next;
	struct user user;
	bool sysfs;		/* what is a path in sysfs, not a node */
	char what[];
};

static struct holder *holders;
static bool incomplete;		/* some process could not be looked into */
static bool nameless;		/* a device fd that tells nothing */

static void read_comm(int pid, char *comm, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	comm[0] = '\0';
	if (!f)
		return;
	if (fgets(comm, size, f))
		comm[strcspn(comm, "\n")] = '\0';
	fclose(f);
}

static void add_holder(int pid, const char *what, bool sysfs)
{
	struct holder *h = xcalloc(1, sizeof(*h) + strlen(what) + 1);

	h->user.pid = pid;
	read_comm(pid, h->user.comm, sizeof(h->user.comm));
	h->sysfs = sysfs;
	strcpy(h->what, what);
	h->next = holders;
	holders = h;
}

/* Returns whether the kernel told which device it is. */
static bool look_at_fdinfo(int pid, const char *fd)
{
	static const char key[] = "vfio-device-syspath:";
	char path[300], line[PATH_MAX + 64], real[PATH_MAX];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		char *p = line + sizeof(key) - 1;

		if (strncmp(line, key, sizeof(key) - 1))
			continue;
		p[strcspn(p, "\n")] = '\0';
		if (realpath(p + strspn(p, " \t"), real)) {
			add_holder(pid, real, true);
			found = true;
		}
	}
	fclose(f);
	return found;
}

static void look_at_fd(int pid, const char *fd, bool *group, bool *device)
{
	char path[300], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	if (!strncmp(target, "/dev/vfio/", 10) &&
	    strcmp(target, "/dev/vfio/vfio")) {
		add_holder(pid, target, false);
		if (strncmp(target, "/dev/vfio/devices/", 18))
			*group = true;
	} else if (!strcmp(target, "anon_inode:[vfio-device]") &&
		   !look_at_fdinfo(pid, fd)) {
		*device = true;
	}
}

static void look_at_process(int pid)
{
	bool group = false, device = false;
	struct dirent *ent;
	char path[64];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d) {
		snprintf(path, sizeof(path), "/proc/%d", pid);
		if (!access(path, F_OK))
			incomplete = true;
		return;
	}
	while ((ent = readdir(d))) {
		if (isdigit((unsigned char)ent->d_name[0]))
			look_at_fd(pid, ent->d_name, &group, &device);
	}
	closedir(d);
	if (device && !group)
		nameless = true;
}

int inuse_scan(void)
{
	struct dirent *ent;
	DIR *d = opendir("/proc");

	if (!d) {
		incomplete = true;
		return 0;
	}
	while ((ent = readdir(d))) {
		if (isdigit((unsigned char)ent->d_name[0]))
			look_at_process(atoi(ent->d_name));
	}
	closedir(d);
	return 0;
}

static bool holds(const struct holder *h, const struct dev_path *path,
		  const char *group)
{
	if (h->sysfs)
		return !strcmp(h->what, path->sysfs);
	return (path->cdev[0] && !strcmp(h->what, path->cdev)) ||
	       (path->group >= 0 && !strcmp(h->what, group));
}

enum use inuse_find(const struct dev_path *path, struct user *user)
{
	const struct holder *h;
	char group[64];

	memset(user, 0, sizeof(*user));
	snprintf(group, sizeof(group), "/dev/vfio/%s%d",
		 path->group_noiommu ? "noiommu-" : "", path->group);
	for (h = holders; h; h = h->next) {
		if (!holds(h, path, group))
			continue;
		/* what we were handed over is rather its owner's */
		if (!user->pid || user->pid == getpid())
			*user = h->user;
	}
	if (user->pid)
		return USE_YES;
	if (incomplete || (nameless && path->group >= 0))
		return USE_UNKNOWN;
	return USE_NO;
}

void inuse_free(void)
{
	struct holder *h;

	while ((h = holders)) {
		holders = h->next;
		free(h);
	}
}
