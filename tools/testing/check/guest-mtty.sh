#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-mtty.sh MODULE BIN SECONDS PROGRAM[:TEST]...
# Makes an mtty and runs the programs, or one test of them, on it. Leaves .tap and
# .rc as guest-tests.sh does.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
module=$1 bin=$2 limit=$3
shift 3

uuid=7a0f1d1e-0d5b-4b2e-9a40-6d3f1f2c0001
insmod "$module" || exit 1
echo $uuid > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create || exit 1

# All of it, since it is the kernel that is judged.
export VFIO_SELFTESTS_DESTRUCTIVE=1
cd "$VM_OUT" || exit 1
for program; do
	args=()
	[ "$program" = "${program#*:}" ] || args=(-r "${program#*:}")
	program=${program%%:*}
	echo "check: $program" > /dev/kmsg
	rc=0
	run_test "$limit" "$program" "$bin/$program" "${args[@]}" $uuid || rc=$?
	echo $rc > "$program.rc"
done
