#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-tests.sh BIN SECONDS PROGRAM...
# Runs the programs one after the other and leaves PROGRAM.tap, and the exit
# status in PROGRAM.rc as the last thing, in $VM_OUT. A program with .started
# and no .rc has taken the machine down with it.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
bin=$1 limit=$2
shift 2

for program; do
	[ -e "$VM_OUT/$program.rc" ] && continue
	start=$SECONDS
	: > "$VM_OUT/$program.started"
	echo "check: $program" > /dev/kmsg
	cd "$VM_OUT" || exit 1
	rc=0
	run_test "$limit" "$program" "$bin/$program" || rc=$?
	echo $rc > "$program.rc"
	printf '# %-24s status %d, %d s\n' "$program" $rc $((SECONDS - start))
done
