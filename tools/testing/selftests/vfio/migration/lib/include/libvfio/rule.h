/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is judged: each assertion of the conformance tests names the rule that it
 * stands for, so that who reads a failure need not read the test. A rule begins with
 * where it is written down: "uapi" is <linux/vfio.h>, "vfio.h" the kernel's
 * <linux/vfio.h> for drivers, "kernel" what holds for any file or ioctl.
 */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RULE_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_RULE_H

#include <libvfio/assert.h>

/* As the format of a VFIO_ASSERT_*(), or a part of it. */
#define VFM_RULE(_text)		"breaks " _text

/* Behind an ASSERT_*() of the harness. */
#define RULE(_text)		TH_LOG("%s", VFM_RULE(_text))

/* Those that several programs ask about. */
#define RULE_SYNC \
	"uapi MIG_DEVICE_STATE: SET is done when it returns, and GET gives the state"
#define RULE_SAME \
	"uapi MIG_DEVICE_STATE: SET to the current state does nothing"
#define RULE_BLOCKED \
	"uapi vfio_device_mig_state: no path there, so it fails and changes nothing"
#define RULE_FD \
	"uapi MIG_DEVICE_STATE: data_fd comes with a new session, and only then"
#define RULE_DIRECTION \
	"uapi vfio_device_mig_state: data is read() to save and written to resume"
#define RULE_ENDS \
	"vfio.h migration_set_state: the fd ends or fails when its session is left"
#define RULE_EOS \
	"uapi vfio_precopy_info: in STOP_COPY read() gives 0 for ever at the end"
#define RULE_RESET \
	"uapi vfio_device_mig_state: VFIO_DEVICE_RESET returns it to RUNNING"
#define RULE_CHECK \
	"uapi RESUMING -> STOP: data that is incomplete or invalid must fail SET_STATE"
#define RULE_SEGMENTS \
	"uapi MIG_DEVICE_STATE: buffer segmentation need not be preserved"
#define RULE_STREAM \
	"uapi STOP -> RESUMING: what one fd has saved can be restored"

#endif
