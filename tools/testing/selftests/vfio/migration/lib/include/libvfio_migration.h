/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGRATION_UMBRELLA_H
#define SELFTESTS_VFIO_LIB_INCLUDE_LIBVFIO_MIGRATION_UMBRELLA_H

#include <libvfio/assert.h>
#include <libvfio/cgroup.h>
#include <libvfio/child.h>
#include <libvfio/count.h>
#include <libvfio/damage.h>
#include <libvfio/dma.h>
#include <libvfio/ext.h>
#include <libvfio/failnth.h>
#include <libvfio/fuzz.h>
#include <libvfio/graph.h>
#include <libvfio/irq.h>
#include <libvfio/kcov.h>
#include <libvfio/judge.h>
#include <libvfio/migration.h>
#include <libvfio/migsim.h>
#include <libvfio/move.h>
#include <libvfio/program.h>
#include <libvfio/random.h>
#include <libvfio/ring.h>
#include <libvfio/rule.h>
#include <libvfio/stream.h>
#include <libvfio/sweep.h>
#include <libvfio/target.h>
#include <libvfio/thread.h>
#include <libvfio/trial.h>
#include <libvfio/uffd.h>

#include "kselftest_harness.h"

/*
 * The harness' limit only catches hangs, and the machine may be emulated:
 * the library's own deadlines are tighter and say more.
 */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 180

#endif
