#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What vfio-migrate leaves behind and says when a device fails or a signal comes.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

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
	check "one line $rule" errors 1 &&
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

# What went wrong with data is the device's to say, too.
fails_data()
{
	fails migsim-full src "save_fail MEMORY 1 1 5" read &&
	fails migsim-full src "save_fail REGS 1 1 5" read --serial &&
	fails migsim-snapshot src "snapshot_fail - 1 1 5" read
}

# The truth about the device is part of the message.
tells_state()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_broken PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	held
	check status equal "$RC" 4 &&
	check lines errors 2 &&
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
	check line errors 1 &&
	check running equal "$(grep -c ' RUNNING$' "$TMP/out")" 2 &&
	check "sources run" says "the sources run on"
}

# Told at once: a way back that hangs, and SIGKILL, must not hide what was wrong.
told_at_once()
{
	local pid

	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5" &&
		fault "$SRC" "arc_stall PRE_COPY_P2P->RUNNING_P2P 1 0 0" || return
	"$MIGRATE" local "$SRC=$DST" > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	for _ in $(seq 100); do
		says "SET_STATE PRE_COPY_P2P -> STOP_COPY: " && break
		sleep 0.1
	done
	check "it hangs" kill -9 "$pid"
	wait "$pid" 2> /dev/null
	RC=$?
	check killed equal "$RC" 137 &&
	check told says "SET_STATE PRE_COPY_P2P -> STOP_COPY: "
}

# What a destination has is its own until something is asked of it.
not_touched()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_fail RUNNING->PRE_COPY 1 1 5" || return
	held --serial
	check status equal "$RC" 1 &&
	check line errors 1 &&
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
	check lines errors 3 &&
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
	check line errors 1 &&
	check step says "SET_STATE RUNNING_P2P -> RUNNING" &&
	check side says "the destinations hold the state" &&
	check source [ "$SRC_STATE" != RUNNING ] &&
	check destination equal "$DST_STATE" RUNNING_P2P
}

# stalls SIDE ARC SIGNAL [COMMAND...]: the signal ends a SET_STATE that would never
# end, in a program that COMMAND starts
stalls()
{
	local name pid

	pair migsim-full state_size=65536 || return
	[ "$1" = src ] && name=$SRC || name=$DST
	fault "$name" "arc_stall $2 1 1 0" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "${@:4}" "$MIGRATE" \
		local @1=@2 > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	for _ in $(seq 100); do
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
	check "line $2" errors 1 &&
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
	check line errors 1 &&
	check source equal "$SRC_STATE" RUNNING &&
	check destination equal "$DST_STATE" STOP &&
	remove_all
}

signal_in_data()
{
	signal_in_precopy && signal_in_precopy --serial
}

run_tests fails_parallel fails_serial fails_others fails_data tells_state told_at_once \
	all_go_back not_touched cannot_reset fails_late signals signals_blocked \
	signal_in_data -- "$@"
