/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory whose first access stalls until the test lets it go: whoever copies from
 * or to it, the kernel on behalf of read(2) included, sleeps in a page fault.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_UFFD_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_UFFD_H

#include <libvfio/types.h>

struct vfm_uffd {
	int fd;
	void *page;		/* one page that is missing */
};

/* False with errno set if this kernel has no userfaultfd. */
bool vfm_uffd_init(struct vfm_uffd *uffd);
/* Until somebody has run into the page. */
void vfm_uffd_wait(struct vfm_uffd *uffd);
/* Gives the page its content, of 4096 bytes, and lets whoever waits go on. */
void vfm_uffd_release(struct vfm_uffd *uffd, const void *content);
void vfm_uffd_exit(struct vfm_uffd *uffd);

#define VFM_REQUIRE_UFFD(_uffd) do {					\
	if (!vfm_uffd_init(_uffd))					\
		SKIP(return, "no userfaultfd: %s", strerror(errno));	\
} while (0)

#endif
