// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who holds a VFIO device open, found without opening it: every process's
 * open files are looked through for the device's own node, for the node of
 * its group, and for device fds, of which newer kernels tell the device.
 * A process that we may not look into makes every "no" an "unknown". So does
 * a device fd that tells nothing, if neither its holder nor another one of the
 * same open file has the node of a group open, which would tell.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "migrate.h"

struct holder {
	struct holder *next;
	struct user user;
	bool sysfs;		/* what is a path in sysfs, not a node */
	char what[];
};

/* A device fd that tells nothing. */
struct nameless {
	struct nameless *next;
	int pid;
	int fd;
	bool explained;		/* its holder has a group open */
};

static struct holder *holders;
static struct nameless *nameless;
static bool incomplete;		/* some process could not be looked into */

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

static void add_nameless(int pid, int fd)
{
	struct nameless *n = xcalloc(1, sizeof(*n));

	n->pid = pid;
	n->fd = fd;
	n->next = nameless;
	nameless = n;
}

/* Returns whether it is the node of a group. */
static bool look_at_fd(int pid, const char *fd)
{
	char path[300], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	if (!strncmp(target, "/dev/vfio/", 10) &&
	    strcmp(target, "/dev/vfio/vfio")) {
		add_holder(pid, target, false);
		return strncmp(target, "/dev/vfio/devices/", 18);
	}
	if (!strcmp(target, "anon_inode:[vfio-device]") &&
	    !look_at_fdinfo(pid, fd))
		add_nameless(pid, atoi(fd));
	return false;
}

static void look_at_process(int pid)
{
	struct nameless *before = nameless, *n;
	bool group = false;
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
			group |= look_at_fd(pid, ent->d_name);
	}
	closedir(d);
	for (n = nameless; n != before; n = n->next)
		n->explained = group;
}

static bool explained(const struct nameless *n)
{
	const struct nameless *o;

	for (o = nameless; o && !n->explained; o = o->next) {
		if (o->explained &&
		    !syscall(SYS_kcmp, n->pid, o->pid, KCMP_FILE, n->fd, o->fd))
			return true;
	}
	return n->explained;
}

static bool any_unexplained(void)
{
	const struct nameless *n;

	for (n = nameless; n; n = n->next) {
		if (!explained(n))
			return true;
	}
	return false;
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
	if (incomplete || (path->group >= 0 && any_unexplained()))
		return USE_UNKNOWN;
	return USE_NO;
}

void inuse_free(void)
{
	struct nameless *n;
	struct holder *h;

	while ((h = holders)) {
		holders = h->next;
		free(h);
	}
	while ((n = nameless)) {
		nameless = n->next;
		free(n);
	}
}
