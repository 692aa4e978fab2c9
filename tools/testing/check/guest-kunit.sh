#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-kunit.sh MODULE...
# Loads the modules, the last of which is the one with the suites, and leaves
# SUITE.ktap of each in $VM_OUT. Which test was the last one is in the console.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

for dep in vfio mdev xxhash kunit; do
	modprobe -q -d "$VM_IMAGE" "$dep"
done
dmesg -n 7
for module; do
	insmod "$module" || exit
	watch_races vfio_migration
done
for suite in /sys/kernel/debug/kunit/*/; do
	[ -d "$suite" ] || break
	cat "$suite/results" > "$VM_OUT/$(basename "$suite").ktap" || exit
done
save_counters "$VM_OUT/gcov"
# What a test has forgotten may hold them.
while [ $# -gt 0 ]; do
	rmmod "$(basename "${!#}" .ko)" || exit
	set -- "${@:1:$#-1}"
done
