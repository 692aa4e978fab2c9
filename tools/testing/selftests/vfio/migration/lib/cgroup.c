// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libvfio/assert.h>
#include <libvfio/cgroup.h>

#define CGROUPS		"/sys/fs/cgroup"

int vfm_cgroup_write(const char *folder, const char *name, const char *text)
{
	char path[256];
	int fd, ret;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

u64 vfm_cgroup_read(const char *folder, const char *name, const char *key)
{
	char path[256], line[256];
	u64 val = UINT64_MAX;
	FILE *file;

	snprintf_assert(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r");
	VFIO_ASSERT_TRUE(file, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		size_t len = key ? strlen(key) : 0;

		if (key && (strncmp(line, key, len) || line[len] != ' '))
			continue;
		val = strtoull(line + len, NULL, 10);
		break;
	}
	fclose(file);
	VFIO_ASSERT_NE(val, UINT64_MAX, "no %s in %s", key, path);
	return val;
}

bool vfm_cgroup_make(char *folder, size_t size)
{
	if (access(CGROUPS "/cgroup.controllers", F_OK))
		mount("cgroup2", CGROUPS, "cgroup2", 0, NULL);
	if (vfm_cgroup_write(CGROUPS, "cgroup.subtree_control", "+memory"))
		return false;
	snprintf_assert(folder, size, CGROUPS "/vfm-%d", getpid());
	return !mkdir(folder, 0700);
}

void vfm_cgroup_leave(void)
{
	vfm_cgroup_write(CGROUPS, "cgroup.procs", "0");
}

void vfm_cgroup_remove(const char *folder)
{
	vfm_cgroup_leave();
	rmdir(folder);
}
