#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-mutants.sh BIN SECONDS NAME...
# Loads the modules of one mutant after the other from $VM_OUT/NAME/modules,
# runs the tests that $VM_OUT/NAME/tests names and writes the verdict. If the
# modules cannot be unloaded, the rest is for another boot.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
bin=$1 limit=$2
shift 2

for dep in vfio mdev xxhash; do
	modprobe -q -d "$VM_IMAGE" "$dep"
done

load() { insmod "$1/vfio-migration.ko" && insmod "$1/migsim.ko"; }
unload()
{
	local mdev

	for mdev in /sys/bus/mdev/devices/*; do
		[ -e "$mdev/remove" ] && timeout 5 sh -c "echo 1 > $mdev/remove"
	done
	timeout 10 rmmod migsim && timeout 10 rmmod vfio-migration
}

# mutant DIR: the verdict
mutant()
{
	local rc n=0
	local -a words

	# A test may load them anew.
	export VM_MODULES=$1/modules
	load "$1/modules" || { echo "does not load"; return; }
	while read -ra words; do
		n=$((n + 1))
		rc=0
		run_test "$limit" "$1/$n" "$bin/${words[0]}" "${words[@]:1}" || rc=$?
		case $rc in
		0) grep -q '^ok' "$1/$n.tap" || { echo "empty: ${words[*]}"; return; } ;;
		4) echo "skipped: ${words[*]}"; return ;;
		*) echo "noticed: ${words[*]} (status $rc)"; return ;;
		esac
	done < "$1/tests"
	echo survived
}

for name; do
	dir=$VM_OUT/$name
	: > "$dir/started"
	echo "check: mutant $name" > /dev/kmsg
	# What cannot be killed ends the machine.
	{
		sleep $(((limit + 5) * $(wc -l < "$dir/tests") + 40))
		echo c > /proc/sysrq-trigger
	} &
	watchdog=$!
	verdict=$(mutant "$dir")
	if ! unload > "$dir/unload.log" 2>&1; then
		# A leak is a defect that somebody notices.
		case $verdict in survived) verdict="noticed: cannot be unloaded" ;; esac
		echo "$verdict" > "$dir/verdict"
		exit 0
	fi
	# Give late work the chance to crash.
	sleep 0.2
	kill $watchdog
	echo "$verdict" > "$dir/verdict"
done
