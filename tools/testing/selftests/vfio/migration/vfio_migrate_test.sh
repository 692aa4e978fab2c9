#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vfio-migrate on migsim devices: what it moves, what it leaves behind on every
# kind of failure, what it says. Needs root, mdev and migsim.

HERE=$(cd "$(dirname "$0")" && pwd)
MIGRATE=${VFIO_MIGRATE:-$HERE/vfio-migrate}
HOLD=${VFIO_HOLD:-$(dirname "$MIGRATE")/vfio-hold}
STREAM=$HERE/stream_tool
NO_RESET=$HERE/no_reset.so
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

# --- what it moves -----------------------------------------------------------

# The source is quiet, so its hash before is the hash to find afterwards.
moves()
{
	local before other

	pair "$1" state_size=2097152 || return
	before=$(hash_of "$SRC") other=$(hash_of "$DST")
	check differ [ "$before" != "$other" ] || return
	migrate local "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 &&
	check silent [ ! -s "$TMP/err" ] &&
	check moved equal "$(hash_of "$DST")" "$before" &&
	check cleared [ "$(hash_of "$SRC")" = "$before" ] &&
	check report json_has '"ok":true' &&
	check bytes [ "$(json_number stopcopy_bytes)" -gt 0 ]
}

moves_full() { moves migsim-full; }
moves_snapshot() { moves migsim-snapshot; }
moves_precopy() { moves migsim-precopy; }
moves_basic() { moves migsim-basic; }

# The source changes all the time: what it had when it stopped is kept.
moves_busy_type()
{
	pair "$1" state_size=1048576 dirty_rate=4194304 || return
	migrate local --keep-source "$SRC=$DST" "${@:2}" --json "$TMP/json"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$(hash_of "$SRC")" &&
	remove_all
}

moves_busy()
{
	moves_busy_type migsim-full && moves_busy_type migsim-snapshot &&
	moves_busy_type migsim-precopy && moves_busy_type migsim-basic
}

serial_busy()
{
	moves_busy_type migsim-full --serial &&
	check mode json_has '"mode":"serial"' &&
	moves_busy_type migsim-snapshot --serial &&
	moves_busy_type migsim-precopy --serial &&
	moves_busy_type migsim-basic --serial
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

eight_parallel() { eight; }
eight_serial() { eight --serial; }

tiny_chunks()
{
	moves_busy_type migsim-full --chunk 512 --max-rounds 2 &&
	moves_busy_type migsim-full --chunk 1001 --serial --max-rounds 2
}

no_state()
{
	local before

	pair migsim-full state_size=0 || return
	before=$(hash_of "$SRC")
	migrate local "$SRC=$DST"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$before"
}

small_window()
{
	local before

	pair migsim-full state_size=1048576 window=65536 || return
	before=$(hash_of "$SRC")
	migrate local "$SRC=$DST"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$before"
}

# Without poll or without non-blocking reads io_uring has threads do it.
fallbacks()
{
	local p n before

	for p in 0 1; do
		for n in 0 1; do
			pair migsim-full state_size=1048576 "poll=$p" "nowait=$n" \
				save_latency_us=20000 || return
			before=$(hash_of "$SRC")
			migrate local "$SRC=$DST"
			check "status poll=$p nowait=$n" equal "$RC" 0 &&
			check moved equal "$(hash_of "$DST")" "$before" ||
				return
			remove_all
		done
	done
}

by_cdev()
{
	local before dir

	pair migsim-full state_size=1048576 || return
	before=$(hash_of "$SRC")
	dir=$(cd "$MDEV/$SRC/vfio-dev" && echo vfio*)
	[ -e "/dev/vfio/devices/$dir" ] || {
		SKIP="this kernel has no VFIO character devices"
		return 4
	}
	migrate local "/dev/vfio/devices/$dir=$DST"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$before"
}

rounds_are_limited()
{
	busy || return
	# Of more rounds, a later one may find nothing left.
	migrate local "$SRC=$DST" --threshold 0 --max-rounds 1 --json "$TMP/json"
	check status equal "$RC" 0 &&
	check rounds equal "$(json_number rounds)" 1
}

many_fds()
{
	pair migsim-full state_size=65536 || return
	(ulimit -Sn 20 && "$MIGRATE" local "$SRC=$DST" > "$TMP/out" 2> "$TMP/err")
	RC=$?
	check "soft limit" equal "$RC" 0 || return
	(ulimit -n 20 && "$MIGRATE" local "$SRC=$DST" > "$TMP/out" 2> "$TMP/err")
	RC=$?
	check "hard limit" equal "$RC" 1 && check reason says "ulimit -Hn"
}

# --- where the devices end up ------------------------------------------------

ends_stopped()
{
	pair migsim-full state_size=65536 || return
	held --json "$TMP/json"
	check status equal "$RC" 0 &&
	check destination equal "$DST_STATE" STOP &&
	check source equal "$SRC_STATE" STOP &&
	check json json_has '"source":"fd:[0-9]+"'
}

ends_running()
{
	pair migsim-full state_size=65536 || return
	held --run
	check status equal "$RC" 0 &&
	check destination equal "$DST_STATE" RUNNING &&
	check "source does not run" equal "$SRC_STATE" STOP || return
	remove_all
	pair migsim-basic state_size=65536 || return
	held --run --serial
	check status equal "$RC" 0 &&
	check destination equal "$DST_STATE" RUNNING
}

# A source that is not kept has the pattern of its seed again.
source_is_reset()
{
	local fresh

	busy || return
	fresh=$(hash_of "$SRC")
	migrate local "$SRC=$DST" --threshold 0 --max-rounds 2
	check status equal "$RC" 0 &&
	check moved [ "$(hash_of "$DST")" != "$fresh" ] &&
	check reset reset_but_for_workload "$fresh"
}

# Between the reset and the close the workload may have run for a moment.
reset_but_for_workload()
{
	[ "$(hash_of "$SRC")" = "$1" ] && return
	[ "$(hash_of "$SRC")" != "$(hash_of "$DST")" ]
}

source_is_kept()
{
	pair migsim-full state_size=1048576 dirty_rate=8388608 || return
	held --keep-source
	check status equal "$RC" 0 &&
	check source equal "$SRC_STATE" STOP &&
	check same equal "$(hash_of "$SRC")" "$(hash_of "$DST")"
}

# --- failures ------------------------------------------------------------------

# fails TYPE SIDE RULE STEP [ARG...]: a fault on one side before the destination
# has confirmed; the source runs, the destination is as if nothing had been
fails()
{
	local type=$1 side=$2 rule=$3 step=$4 fresh name

	pair "$type" state_size=65536 || return
	fresh=$(hash_of "$DST")
	[ "$side" = src ] && name=$SRC || name=$DST
	fault "$name" "$rule" || return
	held "${@:5}" --json "$TMP/json"
	check "status $rule" equal "$RC" 1 &&
	check "one line $rule" one_line &&
	check "step $rule" says "fd:" &&
	check "step $rule" says ": $step: " &&
	check "reason $rule" says "${rule%% *} rule" &&
	check "fired $rule" fired "$name" &&
	check "source $rule" equal "$SRC_STATE" RUNNING &&
	check "destination $rule" equal "$DST_STATE" STOP &&
	check "reset $rule" equal "$(hash_of "$DST")" "$fresh" &&
	check "report $rule" json_has '"ok":false' &&
	check "report $rule" json_has '"errno":[1-9]' &&
	remove_all
}

fails_parallel()
{
	fails migsim-full src "arc_fail RUNNING->PRE_COPY 1 1 5" \
		"SET_STATE RUNNING -> PRE_COPY" &&
	fails migsim-full src "arc_fail PRE_COPY->PRE_COPY_P2P 1 1 5" \
		"SET_STATE PRE_COPY -> PRE_COPY_P2P" &&
	fails migsim-full src "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 12" \
		"SET_STATE PRE_COPY_P2P -> STOP_COPY" &&
	fails migsim-full dst "arc_fail STOP->RESUMING 1 1 5" \
		"SET_STATE RUNNING -> RESUMING" &&
	fails migsim-full dst "arc_fail RUNNING->RUNNING_P2P 1 1 5" \
		"SET_STATE RUNNING -> RESUMING" &&
	fails migsim-full dst "arc_broken RESUMING->STOP 1 1 61" \
		"SET_STATE RESUMING -> RUNNING_P2P" &&
	fails migsim-full dst "arc_broken STOP->RUNNING_P2P 1 1 5" \
		"SET_STATE RESUMING -> RUNNING_P2P"
}

fails_serial()
{
	fails migsim-full src "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 12" \
		"SET_STATE PRE_COPY_P2P -> STOP_COPY" --serial &&
	fails migsim-full dst "arc_broken RESUMING->STOP 1 1 61" \
		"SET_STATE RESUMING -> RUNNING_P2P" --serial
}

fails_others()
{
	fails migsim-snapshot src "arc_fail RUNNING_P2P->STOP 1 1 5" \
		"SET_STATE RUNNING_P2P -> STOP_COPY" &&
	fails migsim-snapshot src "arc_fail STOP->STOP_COPY 1 1 5" \
		"SET_STATE RUNNING_P2P -> STOP_COPY" &&
	fails migsim-precopy src "arc_fail PRE_COPY->STOP_COPY 1 1 5" \
		"SET_STATE PRE_COPY -> STOP_COPY" &&
	fails migsim-basic src "arc_fail RUNNING->STOP 1 1 5" \
		"SET_STATE RUNNING -> STOP_COPY" &&
	fails migsim-basic dst "arc_broken RESUMING->STOP 1 1 61" \
		"SET_STATE RESUMING -> STOP"
}

# The truth about the device is part of the message.
tells_state()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_broken PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	held
	check status equal "$RC" 1 &&
	check line one_line &&
	check state says "it is in ERROR" &&
	check honest says "its state is lost" &&
	check source equal "$SRC_STATE" RUNNING &&
	check destination equal "$DST_STATE" STOP
}

# One of several fails: all go back, and a way back that fails once is retried.
all_go_back()
{
	local a b

	pair migsim-full state_size=65536 && a=$SRC b=$DST || return
	pair migsim-full state_size=65536 || return
	fault "$a" "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	fault "$SRC" "arc_fail STOP->RUNNING_P2P 1 1 5" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$a" "$b" "$SRC" "$DST" -- "$MIGRATE" \
		local @1=@2 @3=@4 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 1 &&
	check line one_line &&
	check running equal "$(grep -c ' RUNNING$' "$TMP/out")" 2 &&
	check "sources run" says "the sources run on"
}

# What a destination has is its own until something is asked of it.
not_touched()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_fail RUNNING->PRE_COPY 1 1 5" || return
	held --serial
	check status equal "$RC" 1 &&
	check line one_line &&
	check source equal "$SRC_STATE" RUNNING &&
	check destination equal "$DST_STATE" RUNNING &&
	check honest says "no destination was changed"
}

# A destination that has confirmed and cannot be reset: it is stopped all the same.
cannot_reset()
{
	local a b

	pair migsim-full state_size=65536 && a=$SRC b=$DST || return
	pair migsim-full state_size=65536 || return
	fault "$DST" "arc_fail RESUMING->STOP 1 0 5" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$a" "$b" "$SRC" "$DST" -- \
		env LD_PRELOAD="$NO_RESET" "$MIGRATE" local --serial @1=@2 @3=@4 \
		> "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 1 &&
	check line one_line &&
	check reason says "could not be reset" &&
	check running equal "$(grep -c ' RUNNING$' "$TMP/out")" 2 &&
	check stopped grep -qx "$b STOP" "$TMP/out" &&
	check honest says "could not be stopped"
}

# Confirmed, but the destination does not start: the source stays down.
fails_late()
{
	pair migsim-full state_size=65536 || return
	fault "$DST" "arc_fail RUNNING_P2P->RUNNING 1 0 5" || return
	held --run
	check status equal "$RC" 3 &&
	check line one_line &&
	check step says "SET_STATE RUNNING_P2P -> RUNNING" &&
	check side says "the destinations hold the state" &&
	check source [ "$SRC_STATE" != RUNNING ] &&
	check destination equal "$DST_STATE" RUNNING_P2P
}

# stalls SIDE ARC SIGNAL [COMMAND...]: the signal ends a SET_STATE that would never
# end, in a program that COMMAND starts
stalls()
{
	local name pid i

	pair migsim-full state_size=65536 || return
	[ "$1" = src ] && name=$SRC || name=$DST
	fault "$name" "arc_stall $2 1 1 0" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "${@:4}" "$MIGRATE" \
		local @1=@2 > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	for i in $(seq 100); do
		fired "$name" && break
		sleep 0.1
	done
	sleep 0.3
	check "stalls $2" kill -0 "$pid" || return
	kill "-$3" "$pid"
	wait "$pid"
	RC=$?
	states
	check "status $2" equal "$RC" 1 &&
	check "line $2" one_line &&
	check "device $2" says "SET_STATE" &&
	check "source $2" equal "$SRC_STATE" RUNNING &&
	check "destination $2" equal "$DST_STATE" STOP &&
	remove_all
}

# timeout(1) passes SIGTERM on; SIGINT too
signals()
{
	stalls src "RUNNING->PRE_COPY" INT &&
	stalls src "PRE_COPY->PRE_COPY_P2P" TERM &&
	stalls src "PRE_COPY_P2P->STOP_COPY" INT &&
	stalls dst "STOP->RESUMING" TERM &&
	stalls dst "RESUMING->STOP" INT
}

# The one that wakes its own threads may be blocked when it is started.
signals_blocked()
{
	stalls src "RUNNING->PRE_COPY" INT env --block-signal=USR1
}

# A signal while data flow, and in a pre-copy that never converges.
signal_in_precopy()
{
	local pid

	busy || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local "$@" \
		--threshold 0 --max-rounds 1000000 @1=@2 > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	until grep -qx PRE_COPY "/sys/bus/mdev/devices/$SRC/migsim/mig_state"; do
		kill -0 "$pid" || break
		sleep 0.1
	done
	sleep 0.5
	kill -INT "$pid"
	wait "$pid"
	RC=$?
	states
	check status equal "$RC" 1 &&
	check line one_line &&
	check source equal "$SRC_STATE" RUNNING &&
	check destination equal "$DST_STATE" STOP &&
	remove_all
}

signal_in_data()
{
	signal_in_precopy && signal_in_precopy --serial
}

# --- what it refuses -------------------------------------------------------------

usage()
{
	migrate "$@"
	check "status of: $*" equal "$RC" 2 && check "help for: $*" says "--help"
}

bad_arguments()
{
	local u=00000000-0000-0000-0000-000000000000
	local p=$u=11111111-0000-0000-0000-000000000000

	usage && usage nothing && usage local && usage local "$u" &&
	usage local "$u=nonsense" && usage local "=$u" && usage list "$p" &&
	usage local --threshold 1X "$p" && usage local --threshold -1 "$p" &&
	usage local --chunk 0 "$p" && usage local --max-rounds 0 "$p" &&
	usage local --probe "$p" && usage list --serial &&
	usage local --nonsense "$p" && usage decode && usage decode a b &&
	usage decode --run a && usage decode --probe a
}

# refused REASON ARG...: nothing is touched
refused()
{
	local reason=$1

	shift
	migrate local "$@" --json "$TMP/json"
	check "status of $*" equal "$RC" 1 && check "line for $*" one_line &&
	check "reason for $*" says "$reason" &&
	check "nothing done for $*" says "no device was changed" &&
	check "report for $*" json_has '"ok":false'
}

refuses()
{
	local u=00000000-0000-0000-0000-000000000000 other

	pair migsim-full state_size=65536 || return
	mk migsim-snapshot state_size=65536 && other=$NEW || return
	refused "No such file" "$SRC=$u" &&
	refused "No such file" "$SRC=/dev/vfio/devices/vfio99999" &&
	refused "no such file descriptor" "$SRC=fd:77" &&
	refused "not the fd of an open VFIO device" "$SRC=fd:0" &&
	refused "named twice" "$SRC=$SRC" &&
	refused "named twice" "$SRC=$DST" "$SRC=$other" &&
	refused "another type" "$SRC=$other" || return
	mk migsim-full state_size=131072 &&
	refused "another size" "$SRC=$NEW"
}

# Same BAR, another size: only the device itself can tell.
refused_by_device()
{
	local fresh

	mk migsim-full state_size=5242880 && SRC=$NEW || return
	mk migsim-full state_size=6291456 && DST=$NEW || return
	fresh=$(hash_of "$DST")
	held
	check status equal "$RC" 1 && check line one_line &&
	check reason says "another type or size" &&
	check source equal "$SRC_STATE" RUNNING &&
	check reset equal "$(hash_of "$DST")" "$fresh"
}

in_use()
{
	pair migsim-full state_size=65536 || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" -- "$MIGRATE" local "$SRC=$DST" \
		> "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 1 && check line one_line &&
	check reason says "something else holds it open"
}

bad_report_file()
{
	pair migsim-full state_size=65536 || return
	migrate local "$SRC=$DST" --json /nonexistent/report
	check status equal "$RC" 1 && check line one_line &&
	check nothing says "no device was changed"
}

# --- list --------------------------------------------------------------------------

# entry KEY DEVICE: from the report of list
entry()
{
	awk -v dev="\"device\":\"$2\"" -v key="\"$1\":" '
		index($0, "\"device\":") { on = index($0, dev) }
		on && index($0, key) { sub(/^[^:]*:/, ""); sub(/,$/, ""); print; exit }
	' "$TMP/json"
}

list_devices()
{
	pair migsim-full state_size=65536 || return
	migrate list --json "$TMP/json"
	check status equal "$RC" 0 &&
	check table grep -q "^$SRC" "$TMP/out" &&
	check driver equal "$(entry type "$SRC")" '"migsim-full"' &&
	check use equal "$(entry in_use "$SRC")" false &&
	check "not probed" equal "$(entry state "$SRC")" ""
}

list_probe()
{
	pair migsim-precopy state_size=65536 || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" -- "$MIGRATE" list --probe \
		--json "$TMP/json" > "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 0 &&
	check "in use" equal "$(entry in_use "$SRC")" true &&
	check "in use: not opened" equal "$(entry state "$SRC")" null &&
	check "in use: no error" equal "$(entry error "$SRC")" null &&
	check free equal "$(entry in_use "$DST")" false &&
	check state equal "$(entry state "$DST")" '"RUNNING"' &&
	check capabilities grep -q 'STOP_COPY|PRE_COPY$' "$TMP/out"
}

# --- decode ------------------------------------------------------------------------

# decode ARG...: with a report
decode()
{
	migrate decode "$@" --json "$TMP/json"
}

# verdict ERRNO OFFSET [REASON]: of the last decode, in the report and on stderr
verdict()
{
	local more='; it is not the only fault'

	check "status, not $1" equal "$RC" 1 &&
	check "line for $1" one_line &&
	check "$1 at $2" says "$1 at byte $2: " &&
	if [ "${3:-}" ]; then
		check "reason $3" equal "$(sed "s/.* at byte $2: //; s/$more\$//" \
			"$TMP/err")" "$3" &&
		check "report of $3" json_has "\"reason\": \"$3\""
	fi &&
	check "report of $1" json_has \
		$'\n"error": \{ "errno": [0-9]+, "name": "'"$1\", \"offset\": $2, " &&
	check "not valid" json_has '"valid": false'
}

decode_valid()
{
	local size

	"$STREAM" save migsim-full 262144 > "$TMP/stream" || return
	size=$(stat -c %s "$TMP/stream")
	decode "$TMP/stream"
	check status equal "$RC" 0 &&
	check silent [ ! -s "$TMP/err" ] &&
	check device grep -q '^device type migsim-full, version 2, size 262144' "$TMP/out" &&
	check end grep -q ' END -  *32 ' "$TMP/out" &&
	check verdict grep -q "^valid: .* $size bytes" "$TMP/out" &&
	check report json_has '"valid": true' &&
	check sections equal "$(grep -c '"payload_sum_right": true' "$TMP/json")" \
		"$(json_number sections_read)" &&
	check bytes equal "$(json_number bytes_read)" "$size" || return
	cp "$TMP/out" "$TMP/table"
	# A pipe gives the same, in pieces of any length.
	migrate decode - < <(dd if="$TMP/stream" bs=1021 2> /dev/null)
	check "status from a pipe" equal "$RC" 0 &&
	check "the same from a pipe" cmp "$TMP/out" "$TMP/table" || return
	migrate decode -q "$TMP/stream"
	check "quiet status" equal "$RC" 0 && check quiet [ ! -s "$TMP/out" ]
}

# Of every kind of damage it says what a device says: errno, byte and reason.
decode_damage()
{
	local kind err offset who reason n=0

	"$STREAM" save migsim-basic 163840 > "$TMP/stream" &&
		mkdir -p "$TMP/damage" &&
		"$STREAM" damage "$TMP/stream" "$TMP/damage" > "$TMP/kinds" ||
		return
	while read -r kind err offset who reason; do
		n=$((n + 1))
		decode "$TMP/damage/$kind"
		check "a reason for $kind" [ "$reason" ] || return
		if [ "$who" = device ]; then
			check "status of $kind" equal "$RC" 0 || return
		else
			check "$kind" verdict "$err" "$offset" "$reason" || return
		fi
	done < "$TMP/kinds"
	check "all kinds" [ "$n" -ge 30 ]
}

# A wrong payload does not hide what comes after it.
decode_goes_on()
{
	"$STREAM" save migsim-basic 163840 > "$TMP/stream" &&
		mkdir -p "$TMP/damage" &&
		"$STREAM" damage "$TMP/stream" "$TMP/damage" > "$TMP/kinds" ||
		return
	decode "$TMP/stream"
	cp "$TMP/out" "$TMP/table"
	decode "$TMP/damage/payload"
	check status equal "$RC" 1 &&
	check faults equal "$(json_number faults)" 1 &&
	check all equal "$(grep -c ' right$' "$TMP/out")" \
		"$(($(grep -c ' right$' "$TMP/table") - 1))" &&
	check one equal "$(grep -c ' right  WRONG$' "$TMP/out")" 1 &&
	check end grep -q ' END ' "$TMP/out" || return
	# A wrong header does: nobody knows where the next one is.
	decode "$TMP/damage/section_sum"
	check status equal "$RC" 1 && check stops equal "$(grep -c ' END ' "$TMP/out")" 0
}

decode_no_stream()
{
	: > "$TMP/empty"
	decode "$TMP/empty"
	verdict ENODATA 0 || return
	decode /dev/zero
	verdict EILSEQ 0 || return
	decode "$0"
	verdict EILSEQ 0 || return
	decode "$TMP"
	verdict EISDIR 0 || return
	migrate decode "$TMP/nothing"
	check status equal "$RC" 1 && check line one_line &&
	check reason says "No such file"
}

# Of any length, in little memory: here less than a stream has bytes.
decode_bounded()
{
	"$STREAM" save migsim-full 41943040 > "$TMP/stream" || return
	(ulimit -v 32768 && "$MIGRATE" decode "$TMP/stream" > "$TMP/out" 2> "$TMP/err")
	RC=$?
	check status equal "$RC" 0 || return
	decode - < <(cat "$TMP/stream" /dev/zero)
	verdict E2BIG "$(stat -c %s "$TMP/stream")" &&
	rm "$TMP/stream"
}

# --- the report --------------------------------------------------------------------

report()
{
	local key

	pair migsim-full state_size=1048576 dirty_rate=1048576 || return
	migrate local "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 || return
	for key in ok mode downtime_ms total_ms bytes devices source destination \
		precopy_bytes stopcopy_bytes rounds phases_ms error; do
		check "key $key" json_has "\"$key\":" || return
	done
	check bytes [ "$(json_number bytes)" -eq \
		$(($(json_number precopy_bytes) + $(json_number stopcopy_bytes))) ] &&
	check "all of it" [ "$(json_number bytes)" -ge 1048576 ] &&
	check downtime [ "$(json_number downtime_ms)" != 0.000 ] &&
	check "no error" json_has '"error":null' &&
	check table grep -q "^$SRC $DST" "$TMP/out"
}

quiet()
{
	pair migsim-basic state_size=65536 || return
	migrate local --quiet "$SRC=$DST"
	check status equal "$RC" 0 && check out [ ! -s "$TMP/out" ] &&
	check err [ ! -s "$TMP/err" ]
}

progress()
{
	busy || return
	timeout -s INT 5 "$MIGRATE" local -v --threshold 0 \
		--max-rounds 1000000 "$SRC=$DST" > "$TMP/out" 2> "$TMP/err"
	RC=$?
	check progress says "moved" &&
	check "a line a second" [ "$(grep -c moved "$TMP/err")" -le 5 ]
}

TESTS=(moves_full moves_snapshot moves_precopy moves_basic moves_busy
	serial_busy eight_parallel eight_serial tiny_chunks no_state small_window
	fallbacks by_cdev rounds_are_limited many_fds ends_stopped ends_running
	source_is_reset source_is_kept fails_parallel fails_serial fails_others
	tells_state all_go_back not_touched cannot_reset fails_late signals
	signals_blocked signal_in_data bad_arguments refuses refused_by_device in_use
	bad_report_file list_devices list_probe decode_valid decode_damage
	decode_goes_on decode_no_stream decode_bounded report quiet progress)
[ $# -eq 0 ] || TESTS=("$@")

why_not()
{
	[ -x "$MIGRATE" ] && [ -x "$HOLD" ] || echo "no $MIGRATE and vfio-hold"
	[ -x "$STREAM" ] || echo "no $STREAM"
	[ -e "$NO_RESET" ] || echo "no $NO_RESET"
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

trap cleanup EXIT
FAILED=0
echo "TAP version 13"
reason=$(why_not | head -1)
if [ -n "$reason" ]; then
	echo "1..0 # SKIP $reason"
	exit 4
fi
echo "1..${#TESTS[@]}"
for i in "${!TESTS[@]}"; do
	run_test $((i + 1)) "${TESTS[i]}"
done
exit $FAILED
