/* SPDX-License-Identifier: GPL-2.0-only */
/* A memory cgroup of the test's own. */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_CGROUP_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_CGROUP_H

#include <libvfio/types.h>

/* Without a task in it; @folder is set. Return: false if there are no such cgroups. */
bool vfm_cgroup_make(char *folder, size_t size);
/* Back to the root. */
void vfm_cgroup_leave(void);
/* Also leaves it. */
void vfm_cgroup_remove(const char *folder);

/* Return: 0 or -errno. */
int vfm_cgroup_write(const char *folder, const char *name, const char *text);
/* A number in a file of the cgroup, after @key or as all of it. */
u64 vfm_cgroup_read(const char *folder, const char *name, const char *key);

#endif
