#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The audit tool on devices of all capability sets (A8, A9): they answer as the
# rules say, also with COPY_BACK, and one that does not would be noticed.

bin=$(dirname "$(realpath "$0")")
parent=/sys/class/mdev_bus/migsim/mdev_supported_types
mdevs=/sys/bus/mdev/devices

# new TYPE [ATTRIBUTE=VALUE]: a device, its uuid in $uuid
new()
{
	read -r uuid < /proc/sys/kernel/random/uuid
	echo "$uuid" > "$parent/migsim-$1/create" || return
	[ -z "${2:-}" ] || echo "${2#*=}" > "$mdevs/$uuid/migsim/${2%%=*}"
}

drop() { echo 1 > "$mdevs/$uuid/remove"; }

# audit STATUS PATTERN TYPE ATTRIBUTE OPTIONS...: the tool ends so, and says so
audit()
{
	local wanted=$1 pattern=$2 got=0 said

	new "$3" "$4" || return
	said=$("$bin/fsm_graph" "${@:5}" "$uuid" 2>&1) || got=$?
	drop || return
	echo "$said"
	[ "$got" -eq "$wanted" ] || { echo "status $got"; return 1; }
	[[ $said =~ $pattern ]] || { echo "no '$pattern'"; return 1; }
}

agrees() { audit 0 'Of 144 pairs 0 differ' "$1" ''; }

# What the device is not, it does not answer as, in each direction.
differs()
{
	local type=$1 other

	for other in full snapshot precopy basic; do
		[ "$other" = "$type" ] ||
			audit 1 'Of 144 pairs [1-9]' "$type" '' -s "$other" ||
			return
	done
}

# Asked for, the way back is there; not asked for or not offered, it is not.
copy_back()
{
	audit 0 ' 0 differ' "$1" stop_copy_back=1 -b &&
		audit 0 ' 0 differ' "$1" stop_copy_back=1 &&
		audit 1 'COPY_BACK: ' "$1" stop_copy_back=0 -b
}

tests=()
for type in full snapshot precopy basic; do
	tests+=("agrees $type" "differs $type")
done
tests+=("copy_back full" "copy_back precopy")

echo "TAP version 13"
if ! [ -d "$parent" ]; then
	echo "1..0 # SKIP no migsim"
	exit 4
fi
echo "1..${#tests[@]}"
n=0 failed=0
for test in "${tests[@]}"; do
	n=$((n + 1))
	if said=$(${test% *} "${test#* }" 2>&1); then
		echo "ok $n ${test/ /.}"
	else
		echo "# ${said//$'\n'/$'\n# '}"
		echo "not ok $n ${test/ /.}"
		failed=1
	fi
done
exit $failed
