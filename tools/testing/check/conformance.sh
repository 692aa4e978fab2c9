#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make conformance DEVICE=...: judge a device of this machine, as root, in place:
# there is no VM. The device is reset and migrated to itself, so nobody may be
# using it. DESTRUCTIVE=1 adds what may break it, and the machine with it: mostly
# tests with no other result than a kernel that is silent, so that is a result as
# well. TESTS= names some programs instead of all. Prints KTAP as check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/conformance

die()
{
	echo "conformance: $*" >&2
	exit 2
}

# What a device does not claim is not asked of it; the reason is in its line.
expected_skip() { true; }

# find_device NAME: set $folder, its folder in sysfs
find_device()
{
	case $1 in
	/dev/vfio/devices/vfio*)
		folder=/sys/class/vfio-dev/${1##*/}/device ;;
	????????-????-????-????-????????????)
		folder=/sys/bus/mdev/devices/$1 ;;
	????:??:??.?)
		folder=/sys/bus/pci/devices/$1 ;;
	*)
		die "'$1' is no PCI address (0000:01:00.0), mdev uuid or" \
		    "/dev/vfio/devices/vfioN" ;;
	esac
	[ -d "$folder" ] || die "no device $1"
	[ -d "$folder/vfio-dev" ] || die "$1 is not bound to a vfio driver, but to" \
		"$(basename "$(readlink "$folder/driver" || echo none)")"
}

# What a kernel sets when it complains: machine check, bad page, oops, warning, lockup.
COMPLAINED=$((1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14))

complaints() { echo $(($(cat /proc/sys/kernel/tainted) & COMPLAINED)); }

# judge_kernel BEFORE: has it complained since? What was set before is set for ever.
judge_kernel()
{
	local after

	after=$(complaints)
	if [ $((after & ~$1)) -ne 0 ]; then
		result not kernel:silent \
			"tainted by $((after & ~$1)): see its log, and trust it no more"
	elif [ "$1" -ne 0 ]; then
		result skip kernel:silent "it was tainted by $1 before: nobody can tell"
	else
		result ok kernel:silent
	fi
}

[ -n "${1:-}" ] ||
	die "say which device: make conformance DEVICE=<PCI address, mdev uuid or cdev>"
[ "$(id -u)" = 0 ] || die "only root can open devices"
find_device "$1"

if [ -n "${TESTS:-}" ]; then
	read -ra programs <<< "$TESTS"
else
	mapfile -t programs < <(make -s -C "$SELFTESTS" list | xargs -n 1 |
		grep '^conf_.*_test$' | sort)
fi
if [ "${DESTRUCTIVE:-}" = 1 ]; then
	export VFIO_SELFTESTS_DESTRUCTIVE=1
else
	mapfile -t programs < <(printf '%s\n' "${programs[@]}" | grep -v hostile)
fi
rm -rf "$out"
mkdir -p "$out"

echo "TAP version 13"
# In a machine of vm/, which is emulated, they are there.
[ -n "${VM_KIND:-}" ] || step programs make programs
tainted=$(complaints)
for program in "${programs[@]}"; do
	echo "# $program $1"
	rc=0
	"$BIN/$program" "$1" > "$out/$program.tap" 2>&1 < /dev/null || rc=$?
	# The device itself is refused, with the reason as all that is said.
	[ "$rc" -ne 64 ] || die "$(sed 's/^# //' "$out/$program.tap")"
	# What assertions said: where, what was expected, and which rule is broken.
	grep -E '^# [a-z_/]+\.c:|^#   [^ ]' "$out/$program.tap"
	results "$out/$program.tap" "$program" "$rc"
done
judge_kernel "$tainted"

echo "1..$NUMBER"
totals
