#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# mdevctl keeps migsim devices with their attributes (C2): the example defines
# and starts them, and they come back with the module, by mdevctl as by udev.
# Loads migsim anew, so no other device of it may be in use.

bin=$(dirname "$(realpath "$0")")
example=${MDEVCTL_EXAMPLE:-$bin/mdevctl-example.sh}
parent=/sys/class/mdev_bus/migsim
mdevs=/sys/bus/mdev/devices
store=/etc/mdevctl.d
udevd=/lib/systemd/systemd-udevd

skip()
{
	echo "TAP version 13"
	echo "1..0 # SKIP $*"
	exit 4
}

[ -d "$parent" ] || skip "no migsim"
command -v mdevctl > /dev/null || skip "no mdevctl"
# What the machine has defined is none of ours, and stays what it is.
if [ -z "${MDEVCTL_TEST_NS:-}" ]; then
	MDEVCTL_TEST_NS=1 exec unshare --mount "$0"
fi
mount -t tmpfs mdevctl $store || skip "no mount of $store"
mkdir -p $store/scripts.d/{callouts,notifiers}

uuid()
{
	local uuid

	read -r uuid < /proc/sys/kernel/random/uuid
	echo "$uuid"
}

# has UUID TYPE ATTRIBUTE=VALUE...: there is such a device
has()
{
	local kv uuid=$1 value

	value=$(basename "$(readlink "$mdevs/$uuid/mdev_type")") || return
	[ "$value" = "migsim-$2" ] || { echo "type $value"; return 1; }
	for kv in "${@:3}"; do
		value=$(cat "$mdevs/$uuid/migsim/${kv%%=*}")
		[ "$value" = "${kv#*=}" ] ||
			{ echo "$kv is $value"; return 1; }
	done
}

gone() { [ ! -e "$mdevs/$1" ] || { echo "$1 is there"; return 1; }; }

unload() { rmmod migsim; }

# shellcheck disable=SC2153 # from the machine that runs the tests, if it does
load()
{
	if [ -n "${VM_MODULES:-}" ]; then
		insmod "$VM_MODULES/migsim.ko"
	else
		modprobe migsim
	fi
}

one=$(uuid) two=$(uuid)
of_one=(state_size=8388608 dirty_rate=1048576 seed=7)
of_two=(state_size=4096 token_count=3)

types()
{
	local type

	for type in full snapshot precopy basic; do
		mdevctl types | grep -q "migsim-$type" || return
	done
}

defines()
{
	"$example" full "$one" "${of_one[@]}" &&
		"$example" snapshot "$two" "${of_two[@]}" &&
		has "$one" full "${of_one[@]}" &&
		has "$two" snapshot "${of_two[@]}" &&
		mdevctl list --defined | grep -q "^$one migsim migsim-full auto"
}

# Asked for help, or not told enough.
usage()
{
	local args rc

	"$example" -h | grep -q "^usage: " && "$example" --help | grep -q TYPE || return
	for args in "" full; do
		rc=0
		# shellcheck disable=SC2086 # none, or one
		said=$("$example" $args 2>&1 > /dev/null) || rc=$?
		[ "$rc:${said%%:*}" = "2:usage" ] ||
			{ echo "'$args': status $rc, $said"; return 1; }
	done
}

# A value that the device refuses, an attribute and a type that it does not have
refuses()
{
	local uuid

	uuid=$(uuid)
	! "$example" full "$uuid" state_size=4095 && gone "$uuid" &&
		! "$example" full "$uuid" stat_size=4096 && gone "$uuid" &&
		! "$example" fuller "$uuid" && gone "$uuid" &&
		[ ! -e "$store/migsim/$uuid" ]
}

# One that is defined already stays as it is.
keeps()
{
	! "$example" full "$one" seed=8 && has "$one" full "${of_one[@]}" &&
		mdevctl list --defined | grep -q "^$one migsim migsim-full auto"
}

stops_and_starts()
{
	mdevctl stop --uuid "$one" && gone "$one" &&
		mdevctl start --uuid "$one" && has "$one" full "${of_one[@]}"
}

autostarts()
{
	unload && gone "$one" && load && gone "$one" &&
		mdevctl start-parent-mdevs migsim &&
		has "$one" full "${of_one[@]}" &&
		has "$two" snapshot "${of_two[@]}"
}

appears()
{
	local i

	for ((i = 0; i < 600; i++)); do
		[ -e "$mdevs/$1" ] && udevadm settle && return
		sleep 0.1
	done
	echo "$1 is not there"
	return 1
}

# Debian 12 looks for /usr/sbin/mdevctl in its rule, and has it in /usr/bin.
use_rule()
{
	mkdir -p /run/udev/rules.d &&
		sed "s,/usr/s*bin/mdevctl,$(command -v mdevctl),g" \
			/lib/udev/rules.d/60-mdevctl.rules \
			> /run/udev/rules.d/60-mdevctl.rules
}

# By mdevctl's own rule. A daemon of the machine's would see what that defined.
autostarts_by_udev()
{
	local rc=0

	pgrep -x systemd-udevd > /dev/null && return 4
	use_rule && unload && $udevd --daemon || return 1
	load && appears "$one" && appears "$two" &&
		has "$one" full "${of_one[@]}" &&
		has "$two" snapshot "${of_two[@]}" || rc=1
	udevadm control --exit
	return "$rc"
}

MANY=64

# many COMMAND...: for each of the devices that are defined at once
many()
{
	local uuid

	for uuid in "${uuids[@]}"; do
		"$@" "$uuid" || return
	done
}

# define_many: set uuids; all are defined as the first one is
define_many()
{
	local uuid

	uuid=$(uuid)
	uuids=("$uuid")
	mdevctl define --auto --uuid "$uuid" --parent migsim --type migsim-basic &&
		mdevctl modify --uuid "$uuid" --parent migsim \
			--addattr migsim/state_size --value 12288 || return
	while [ ${#uuids[@]} -lt "$MANY" ]; do
		uuids+=("$(uuid)")
		cp "$store/migsim/${uuids[0]}" "$store/migsim/${uuids[-1]}" || return
	done
}

forget()
{
	rm -f "$store/migsim/$1"
	[ ! -e "$mdevs/$1" ] || echo 1 > "$mdevs/$1/remove"
}

# One that was started past its definition would have the default size.
all_there()
{
	many has_size && [ "$(mdevctl list | grep -c ' migsim migsim-basic ')" -eq "$MANY" ]
}

has_size() { has "$1" basic state_size=12288; }

# By what udev's rule runs, twice at a time: each device is started once.
many_at_once()
{
	local uuids rc=0

	define_many && unload && load || return
	mdevctl start-parent-mdevs migsim &
	mdevctl start-parent-mdevs migsim
	wait
	all_there || rc=1
	many forget
	return "$rc"
}

many_by_udev()
{
	local uuids rc=0

	pgrep -x systemd-udevd > /dev/null && return 4
	define_many && use_rule && unload && $udevd --daemon || return 1
	load && many appears && all_there || rc=1
	udevadm control --exit
	many forget
	return "$rc"
}

undefines()
{
	mdevctl stop --uuid "$one" && mdevctl undefine --uuid "$one" &&
		mdevctl stop --uuid "$two" && mdevctl undefine --uuid "$two" &&
		unload && load && mdevctl start-parent-mdevs migsim &&
		gone "$one" && gone "$two"
}

tests=(types defines usage refuses keeps stops_and_starts autostarts
       autostarts_by_udev many_at_once many_by_udev undefines)
echo "TAP version 13"
echo "1..${#tests[@]}"
n=0 failed=0
for test in "${tests[@]}"; do
	n=$((n + 1)) rc=0
	said=$($test 2>&1) || rc=$?
	case $rc in
	0)
		echo "ok $n mdevctl.$test" ;;
	4)
		echo "ok $n mdevctl.$test # SKIP the machine has its own udevd" ;;
	*)
		echo "# ${said//$'\n'/$'\n# '}"
		echo "not ok $n mdevctl.$test"
		failed=1 ;;
	esac
done
exit $failed
