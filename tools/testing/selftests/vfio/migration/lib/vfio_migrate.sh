# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# For the tests of vfio-migrate on migsim devices: devices and pairs, runs of
# the tool with what it says and leaves behind, and the loop over the tests. A
# test is a function; a script sets HERE, reads this, and ends with run_tests.
# Needs root, mdev and migsim.
# What is set here is for the scripts:
# shellcheck disable=SC2034

MIGRATE=${VFIO_MIGRATE:-$HERE/vfio-migrate}
HOLD=${VFIO_HOLD:-$(dirname "$MIGRATE")/vfio-hold}
STREAM=$HERE/stream_tool
NO_RESET=$HERE/no_reset.so
EINTR=$HERE/eintr.so
DEVICE_GONE=$HERE/device_gone.so
PARENT=/sys/class/mdev_bus/migsim
MDEV=/sys/bus/mdev/devices
FAULTS=/sys/kernel/debug/migsim
TMP=$(mktemp -d) || exit 1
# what is slow on a real machine is slower in an emulated one
LIMIT=${VFIO_MIGRATE_LIMIT:-60}

DEVICES=()

# mk TYPE [ATTRIBUTE=VALUE...]: sets NEW to a new device's uuid
mk()
{
	local kv type=$1

	shift
	read -r NEW < /proc/sys/kernel/random/uuid
	echo "$NEW" > "$PARENT/mdev_supported_types/$type/create" || return
	DEVICES+=("$NEW")
	for kv; do
		echo "${kv#*=}" > "$MDEV/$NEW/migsim/${kv%%=*}" || return
	done
}

# pair TYPE [ATTRIBUTE=VALUE...]: SRC and DST, alike but for the seed, and that
# only the source has a workload: a destination that runs would change
pair()
{
	mk "$@" seed=1001 && SRC=$NEW && mk "$@" seed=2002 dirty_rate=0 &&
		DST=$NEW
}

# A pair whose source changes as fast as it can be read.
busy()
{
	pair migsim-full state_size=1048576 bandwidth=2097152 \
		dirty_rate=67108864
}

remove_all()
{
	local uuid

	for uuid in "${DEVICES[@]}"; do
		echo 1 > "$MDEV/$uuid/remove"
	done
	DEVICES=()
}

cleanup()
{
	remove_all 2> /dev/null
	rm -rf "$TMP"
}

hash_of()
{
	echo "$(< "$MDEV/$1/migsim/state_hash")"
}

# Does the first rule of the device say that it has fired?
fired()
{
	local rule

	read -r rule < "$FAULTS/$1/faults"
	[[ $rule == *"fired 1" ]]
}

# fault UUID RULE
fault()
{
	echo "$2" > "$FAULTS/$1/faults"
}

diag()
{
	echo "# ${*//$'\n'/$'\n'# }"
}

# migrate ARG...: RC, and the files out, err and json
migrate()
{
	timeout -k 5 "$LIMIT" "$MIGRATE" "$@" > "$TMP/out" 2> "$TMP/err"
	RC=$?
}

# held [ARG...]: the same while SRC and DST are held open by something else,
# as fd:N; their states afterwards are SRC_STATE and DST_STATE
held()
{
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local "$@" \
		@1=@2 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	states
}

states()
{
	local name state

	SRC_STATE='' DST_STATE=''
	while read -r name state; do
		[ "$name" != "$SRC" ] || SRC_STATE=$state
		[ "$name" != "$DST" ] || DST_STATE=$state
	done < "$TMP/out"
}

# check WHAT COMMAND...
check()
{
	local what=$1

	shift
	"$@" && return
	diag "$what: $*"
	diag "status $RC, $(head -c 2000 "$TMP/err")"
	return 1
}

equal()
{
	[ "$1" = "$2" ]
}

one_line()
{
	local lines

	mapfile lines < "$TMP/err"
	[ ${#lines[@]} -eq 1 ]
}

# errors N: so many errors, each one line with device, step and reason, and last of
# all which side holds the state. Of what is slow more may be said.
errors()
{
	local lines n line

	mapfile -t lines < <(grep -v '^vfio-migrate: waiting ' "$TMP/err")
	n=$((${#lines[@]} - 1))
	[ "$n" -eq "$1" ] || return
	for line in "${lines[@]:0:n}"; do
		[[ $line =~ ^vfio-migrate:\ [^\ ].*:\ .*:\ .+ ]] || return
	done
	[[ ${lines[n]} =~ ^vfio-migrate:\ .*(run\ on|no\ device\ was\ changed|hold\ the\ state|state\ is\ lost|be\ reset) ]]
}

says()
{
	[[ $(< "$TMP/err") == *"$1"* ]]
}

json_has()
{
	[[ $(< "$TMP/json") =~ $1 ]]
}

# json_number KEY: the first value
json_number()
{
	[[ $(< "$TMP/json") =~ \"$1\":\ ?([0-9.]+) ]] && echo "${BASH_REMATCH[1]}"
}

# moves TYPE [ARG...]: the source is quiet, so its hash before is the hash to find
# afterwards.
moves()
{
	local before other

	pair "$1" state_size=2097152 || return
	before=$(hash_of "$SRC") other=$(hash_of "$DST")
	check differ [ "$before" != "$other" ] || return
	migrate local "$SRC=$DST" "${@:2}" --json "$TMP/json"
	check status equal "$RC" 0 &&
	check silent [ ! -s "$TMP/err" ] &&
	check moved equal "$(hash_of "$DST")" "$before" &&
	check cleared [ "$(hash_of "$SRC")" = "$before" ] &&
	check report json_has '"ok":true' &&
	check bytes [ "$(json_number stopcopy_bytes)" -gt 0 ]
}

# The source changes all the time: what it had when it stopped is kept.
moves_busy_type()
{
	pair "$1" state_size=1048576 dirty_rate=4194304 || return
	migrate local --keep-source "$SRC=$DST" "${@:2}" --json "$TMP/json"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$(hash_of "$SRC")" &&
	remove_all
}

# eight ARG...: four types, two pairs each, in one go
eight()
{
	local type i args=() srcs=() dsts=()

	for type in full snapshot precopy basic full snapshot precopy basic; do
		pair "migsim-$type" state_size=262144 dirty_rate=1048576 || return
		args+=("$SRC=$DST") srcs+=("$SRC") dsts+=("$DST")
	done
	migrate local --keep-source "$@" "${args[@]}" --json "$TMP/json"
	check status equal "$RC" 0 || return
	for i in "${!srcs[@]}"; do
		check "pair $i" equal "$(hash_of "${dsts[i]}")" \
			"$(hash_of "${srcs[i]}")" || return
	done
	check devices equal "$(grep -c '"source":' "$TMP/json")" 8
}

# kinds_of_fd [ARG...]: data fds that can poll, or be read without blocking, or both,
# or neither
kinds_of_fd()
{
	local p n before

	for p in 0 1; do
		for n in 0 1; do
			pair migsim-full state_size=1048576 "poll=$p" "nowait=$n" \
				save_latency_us=20000 || return
			before=$(hash_of "$SRC")
			migrate local "$@" "$SRC=$DST"
			check "status poll=$p nowait=$n" equal "$RC" 0 &&
			check moved equal "$(hash_of "$DST")" "$before" ||
				return
			remove_all
		done
	done
}

why_not()
{
	[ -x "$MIGRATE" ] && [ -x "$HOLD" ] || echo "no $MIGRATE and vfio-hold"
	[ -x "$STREAM" ] || echo "no $STREAM"
	[ -e "$NO_RESET" ] && [ -e "$DEVICE_GONE" ] && [ -e "$EINTR" ] ||
		echo "no $NO_RESET, $DEVICE_GONE and $EINTR"
	[ "$(id -u)" -eq 0 ] || echo "not root"
	[ -d "$PARENT" ] || echo "migsim is not loaded"
	[ -d "$FAULTS" ] || mount -t debugfs none /sys/kernel/debug 2> /dev/null
	[ -d "$FAULTS" ] || echo "no $FAULTS"
}

run_test()
{
	local rc

	SKIP=
	: > "$TMP/out"; : > "$TMP/err"; : > "$TMP/json"
	"$2"
	rc=$?
	remove_all
	case $rc in
	0) echo "ok $1 $2" ;;
	4) echo "ok $1 $2 # SKIP $SKIP" ;;
	*) echo "not ok $1 $2"; FAILED=1 ;;
	esac
}

# run_tests TEST... -- [TEST...]: those after the -- if there are any
run_tests()
{
	local i reason tests=()

	while [ "$1" != -- ]; do
		tests+=("$1")
		shift
	done
	shift
	[ $# -eq 0 ] || tests=("$@")
	trap cleanup EXIT
	FAILED=0
	echo "TAP version 13"
	reason=$(why_not | head -1)
	if [ -n "$reason" ]; then
		echo "1..0 # SKIP $reason"
		exit 4
	fi
	echo "1..${#tests[@]}"
	for i in "${!tests[@]}"; do
		run_test $((i + 1)) "${tests[i]}"
	done
	exit $FAILED
}
