#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The device that is named is the one that is judged, by whatever name; what cannot
# be judged is refused with exit status 64 and the reason; nothing destructive is
# done unasked (D5). And make conformance, from beginning to end.

bin=$(dirname "$(realpath "$0")")
top=$(realpath "$bin/../..")
conformance=$top/tools/testing/check/conformance.sh
parent=/sys/class/mdev_bus/migsim/mdev_supported_types
mdevs=/sys/bus/mdev/devices
unset VFIO_SELFTESTS_BDF VFIO_SELFTESTS_DESTRUCTIVE
no_device=64

# new: a device, its uuid in $uuid
new()
{
	read -r uuid < /proc/sys/kernel/random/uuid
	echo "$uuid" > "$parent/migsim-snapshot/create" &&
		echo 65536 > "$mdevs/$uuid/migsim/state_size"
}

drop() { echo 1 > "$mdevs/$uuid/remove"; }

# says STATUS COMMAND...: it ends so; what it says to $said
says()
{
	local wanted=$1 got=0
	shift

	said=$("$@" 2>&1) || got=$?
	echo "$said"
	[ "$got" -eq "$wanted" ] || { echo "status $got, wanted $wanted"; return 1; }
}

# found PATTERN: in a line of what it said
found() { grep -qE "$1" <<< "$said" || { echo "no '$1'"; return 1; }; }

# Which device it was shows in what it claims: migsims of the tests' own have all.
judges_it()
{
	says 0 "$@" && found '^ok .* conf\.snapshot_(group|cdev)\.flags$' &&
		found '^ok .* conf\.full_group\.claims # SKIP the device claims snapshot' &&
		! found '^ok .* conf\.(full|basic|precopy)_[a-z]+\.flags'
}

by_uuid() { judges_it "$bin/conf_features_test" "$uuid"; }

by_environment()
{
	judges_it env "VFIO_SELFTESTS_BDF=$uuid" "$bin/conf_features_test"
}

# The argument is the one that counts, and options go before it.
with_options()
{
	VFIO_SELFTESTS_BDF=nonsense says 0 "$bin/conf_features_test" \
		-t flags "$uuid" &&
		found '^ok .* conf\.snapshot_[a-z]+\.flags$' &&
		! found '\.argsz'
}

by_cdev()
{
	local cdev

	cdev=/dev/vfio/devices/$(basename "$mdevs/$uuid"/vfio-dev/*)
	[ -e "$cdev" ] || { why="no cdevs in this kernel"; return 4; }
	judges_it "$bin/conf_features_test" "$cdev"
}

# refuses NAME PATTERN: as argument and from the environment
refuses()
{
	says "$no_device" "$bin/conf_features_test" "$1" && found "$2" &&
		says "$no_device" "$bin/conf_features_test" -t flags "$1" &&
		found "$2" &&
		says "$no_device" env "VFIO_SELFTESTS_BDF=$1" \
			"$bin/conf_features_test" && found "$2"
}

bogus_names()
{
	refuses nonsense "'nonsense' is no PCI address" &&
		refuses 00:00.0 "'00:00.0' is no PCI address" &&
		refuses ffff:ff:1f.7 'no device ffff:ff:1f.7' &&
		refuses 00000000-0000-0000-0000-000000000000 'no device 0' &&
		refuses /dev/vfio/devices/vfio999999 'no device /dev/vfio/devices'
}

# conformance_says STATUS NAME [VARIABLE=VALUE...]: make conformance, of one program
conformance_says()
{
	says "$1" env TESTS=conf_features_test "${@:3}" "$conformance" "$2"
}

# There, but of no use: its driver has let go of it. Nothing binds an mdev again.
not_migratable()
{
	local rc=0 uuid

	new && echo "$uuid" > "$mdevs/$uuid/driver/unbind" || return
	refuses "$uuid" "$uuid cannot be opened as a migratable device: " || rc=1
	if [ -e "$conformance" ]; then
		conformance_says 2 "$uuid" || rc=1
		found 'is not bound to a vfio driver' || rc=1
	fi
	drop && return "$rc"
}

# Open elsewhere, be it by its cdev or its group: who can help it is told how.
in_use()
{
	[ -x "$bin/vfio-hold" ] || { why="no vfio-hold"; return 4; }
	says "$no_device" "$bin/vfio-hold" "$uuid" -- \
		"$bin/conf_features_test" "$uuid" &&
		found "$uuid is in use: end what has it open" || return
	[ -e "$conformance" ] || return 0
	TESTS=conf_features_test says 2 "$bin/vfio-hold" "$uuid" -- \
		"$conformance" "$uuid" && found "$uuid is in use: end what has it open"
}

# All of the hostile tests, and what others do with damaged streams.
nothing_destructive()
{
	local reason='# SKIP VFIO_SELFTESTS_DESTRUCTIVE is not 1$'

	said=$("$bin/conf_hostile_test" "$uuid" 2>&1)
	echo "$said"
	found "^ok .*$reason" && ! grep -E '^(not )?ok ' <<< "$said" |
		grep -vE "$reason" || return 1
	says 0 "$bin/conf_migrate_test" "$uuid" &&
		found "^ok .*\.refused_is_missing $reason"
}

conformance()
{
	[ -e "$conformance" ] || { why="no tree around it"; return 4; }
	conformance_says 0 "$uuid" 'TESTS=conf_features_test conf_reset_test' &&
		found '^ok [0-9]+ conf_reset_test:conf\.snapshot_.*\.amid_data$' &&
		found '^ok [0-9]+ kernel:silent$' && found ' passed, 0 failed, ' &&
		conformance_says 2 nonsense && found 'is no PCI address'
}

# A kernel that complains has failed, and one that had before is no witness. In a
# machine of its own: a kernel does not forget it.
conformance_of_the_kernel()
{
	local program=$bin/conf_complaint

	if [ -z "${VM_KIND:-}" ] || ! [ -e "$conformance" ]; then
		why="only in a virtual machine, with the tree"
		return 4
	fi
	cat > "$program" <<-'PROGRAM'
	#!/bin/sh
	echo 512 > /proc/sys/kernel/tainted
	echo 1..1
	echo ok 1 nothing
	PROGRAM
	chmod +x "$program"
	conformance_says 1 "$uuid" TESTS=conf_complaint &&
		found '^not ok [0-9]+ kernel:silent # tainted by 512' &&
		conformance_says 0 "$uuid" TESTS=conf_complaint &&
		found '^ok [0-9]+ kernel:silent # SKIP it was tainted by 512'
}

tests=(by_uuid by_environment with_options by_cdev bogus_names not_migratable in_use
       nothing_destructive conformance conformance_of_the_kernel)

echo "TAP version 13"
if ! [ -d "$parent" ]; then
	echo "1..0 # SKIP no migsim"
	exit 4
fi
new || exit 1
echo "1..${#tests[@]}"
n=0 failed=0
for test in "${tests[@]}"; do
	n=$((n + 1)) rc=0 why=
	$test > /tmp/conf_target.$$ 2>&1 || rc=$?
	case $rc in
	0)
		echo "ok $n target.$test" ;;
	4)
		echo "ok $n target.$test # SKIP $why" ;;
	*)
		sed 's/^/# /' /tmp/conf_target.$$
		echo "not ok $n target.$test"
		failed=1 ;;
	esac
done
rm -f /tmp/conf_target.$$
drop
exit $failed
