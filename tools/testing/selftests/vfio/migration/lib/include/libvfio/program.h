/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_PROGRAM_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_PROGRAM_H

#include <sys/types.h>

#include <libvfio/migration.h>

/*
 * vfio-migrate local --run, as a VMM would start it: it inherits devices that this
 * process holds open. @option may be NULL. vfm_program_wait() gives its exit status.
 */
pid_t vfm_program_migrate(struct vfm_device **from, struct vfm_device **to,
			  unsigned int nr, const char *option);
int vfm_program_wait(pid_t pid);
/* The same, with what it complains of written to @err. */
pid_t vfm_program_migrate_to(struct vfm_device **from, struct vfm_device **to,
			     unsigned int nr, const char *option, int err);

#endif
