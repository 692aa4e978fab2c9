#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-tests.sh MACHINE BIN SECONDS PROGRAM...
# Runs the programs one after the other and leaves PROGRAM.tap, and the exit
# status in PROGRAM.rc as the last thing, in $VM_OUT. A program that says in
# .started that it was MACHINE's and has no .rc has taken the machine down with
# it. Machines that share the folder share the programs out among them. Of those in
# $VFM_TRACED a trace is left as well, in PROGRAM.trace. $VFM_OPTIONS is for all programs
# that are no scripts: options of the harness.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
machine=$1 bin=$2 limit=$3
shift 3
read -ra harness <<< "${VFM_OPTIONS:-}"
watch_races vfio_migration migsim

for program; do
	mkdir "$VM_OUT/$program.claim" 2>/dev/null || continue
	start=$SECONDS
	echo "$machine" > "$VM_OUT/$program.started"
	echo "check: $program" > /dev/kmsg
	cd "$VM_OUT" || exit 1
	rc=0 traced='' options=("${harness[@]}")
	[[ $program != *.sh ]] || options=()
	[[ " ${VFM_TRACED:-} " != *" $program "* ]] || traced=1
	[ -z "$traced" ] || start_trace
	run_test "$limit" "$program" "$bin/$program" "${options[@]}" || rc=$?
	[ -z "$traced" ] || save_trace "$program.trace"
	echo $rc > "$program.rc"
	printf '# %-24s status %d, %d s\n' "$program" $rc $((SECONDS - start))
done
save_counters "$VM_OUT/gcov$machine"
