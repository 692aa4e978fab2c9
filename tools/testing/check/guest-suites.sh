#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-suites.sh FOLDER SECONDS
# Runs the suites in FOLDER on data fds, but for the tests that FOLDER/PROGRAM.skip
# names. Leaves .tap and .rc as guest-tests.sh does.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
folder=$1 limit=$2

cd "$VM_OUT" || exit 1
for skip in "$folder"/*.skip; do
	program=$(basename "$skip" .skip)
	args=()
	while read -r name; do
		args+=(-T "$name")
	done < "$skip"
	# Those that poll want a device that has something now and then.
	case $program in
	epoll_wakeup_test | poll-many) mode=idle ;;
	*) mode=stalled ;;
	esac
	echo "check: $program" > /dev/kmsg
	rc=0
	run_test "$limit" "$program" env SUITE_FDS=$mode LD_PRELOAD="$folder/fds.so" \
		"$folder/$program" "${args[@]}" || rc=$?
	echo $rc > "$program.rc"
done
