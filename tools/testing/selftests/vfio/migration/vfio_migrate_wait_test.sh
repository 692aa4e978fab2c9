#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What vfio-migrate does about what takes long or never ends: it says what it waits
# for, gives up after --timeout or on a second signal; and it does not notice that it
# was stopped and continued.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# What does not hang has to end within this, on a machine that is slow too.
TIMEOUT=$(((LIMIT + 59) / 60))

# begin ARG...: as held, in the background; PID is that of timeout(1), and CHILD of
# vfio-migrate itself
begin()
{
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local "$@" \
		@1=@2 > "$TMP/out" 2> "$TMP/err" &
	PID=$!
	CHILD=
	until CHILD=$(pgrep -P "$(pgrep -P "$PID")" 2> /dev/null); do
		kill -0 "$PID" || return
		sleep 0.05
	done
}

end()
{
	wait "$PID"
	RC=$?
	states
}

# soon COMMAND...: true in the end
soon()
{
	local _

	for _ in $(seq $((LIMIT * 10))); do
		"$@" && return
		sleep 0.1
	done
	return 1
}

hit()
{
	local rule

	read -r rule < "$FAULTS/$1/faults"
	[[ $rule != *"fired 0" ]]
}

# --- what it waits for --------------------------------------------------------

# names WHO RULE STEP [ARG...]: with the device and the step, and not all the time
names()
{
	local name

	pair migsim-full state_size=262144 window=65536 || return
	[ "$1" = src ] && name=$SRC || name=$DST
	fault "$name" "$2" || return
	begin "${@:4}" || return
	check "named $2" soon says "vfio-migrate: waiting for fd:" &&
	check "step $2" says ": $3 (" || return
	sleep 4
	kill -INT "$CHILD"
	end
	check "status $2" equal "$RC" 1 &&
	check "seldom $2" [ "$(grep -c waiting "$TMP/err")" -le 4 ] &&
	check "source $2" equal "$SRC_STATE" RUNNING &&
	remove_all
}

named()
{
	names src "arc_stall PRE_COPY->PRE_COPY_P2P 1 0 0" \
		"SET_STATE PRE_COPY -> PRE_COPY_P2P" &&
	names dst "load_stall MEMORY 1 0 0" write &&
	names src "save_stall MEMORY 1 0 0" read --engine poll &&
	names src "save_stall MEMORY 1 0 0" read --serial
}

# --- --timeout ------------------------------------------------------------------

# times_out WHO RULE STEP [ARG...]: before the commit
times_out()
{
	local name fresh

	pair migsim-full state_size=262144 window=65536 || return
	[ "$1" = src ] && name=$SRC || name=$DST
	fresh=$(hash_of "$DST")
	fault "$name" "$2" || return
	held --timeout "$TIMEOUT" "${@:4}"
	check "status $2" equal "$RC" 1 &&
	check "lines $2" errors 1 &&
	check "step $2" says ": $3: " &&
	check "reason $2" says "within $TIMEOUT s" &&
	check "source $2" equal "$SRC_STATE" RUNNING &&
	check "destination $2" equal "$DST_STATE" STOP &&
	check "reset $2" equal "$(hash_of "$DST")" "$fresh" &&
	remove_all
}

timeout_goes_back()
{
	times_out src "arc_stall RUNNING->PRE_COPY 1 0 0" \
		"SET_STATE RUNNING -> PRE_COPY" &&
	times_out src "arc_stall PRE_COPY_P2P->STOP_COPY 1 0 0" \
		"SET_STATE PRE_COPY_P2P -> STOP_COPY" &&
	times_out dst "arc_stall RESUMING->STOP 1 0 0" \
		"SET_STATE RESUMING -> RUNNING_P2P" &&
	times_out src "arc_stall PRE_COPY->PRE_COPY_P2P 1 0 0" \
		"SET_STATE PRE_COPY -> PRE_COPY_P2P" --serial
}

timeout_of_data()
{
	times_out src "save_stall MEMORY 1 0 0" read &&
	times_out src "save_stall MEMORY 1 0 0" read --engine poll &&
	times_out src "save_stall MEMORY 1 0 0" read --serial &&
	times_out dst "load_stall MEMORY 1 0 0" write &&
	times_out dst "load_stall MEMORY 1 0 0" write --serial &&
	times_out src "save_stall REGS 1 0 0" read &&
	times_out src "save_stall REGS 1 0 0" read --serial
}

# No signal ends an arc that is not the first; a destination's ends by a reset.
timeout_resets_destination()
{
	times_out dst "arc_stall STOP->RESUMING 1 1 0" \
		"SET_STATE RUNNING -> RESUMING" &&
	times_out dst "arc_stall STOP->RUNNING_P2P 1 1 0" \
		"SET_STATE RESUMING -> RUNNING_P2P"
}

# A slow step is none that hangs.
timeout_is_no_limit()
{
	local before

	pair migsim-full state_size=2097152 bandwidth=1048576 || return
	before=$(hash_of "$SRC")
	migrate local --timeout "$TIMEOUT" --chunk 64K "$SRC=$DST"
	check status equal "$RC" 0 && check moved equal "$(hash_of "$DST")" "$before"
}

# After the commit: the other device starts, no source is reset.
times_out_late()
{
	local a b state

	pair migsim-full state_size=65536 && a=$SRC b=$DST || return
	pair migsim-full state_size=65536 || return
	fault "$b" "arc_stall RUNNING_P2P->RUNNING 1 0 0" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$a" "$b" "$SRC" "$DST" -- "$MIGRATE" \
		local --run --timeout "$TIMEOUT" "$@" @1=@2 @3=@4 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	states
	state=$(sed -n "s/^$a //p" "$TMP/out")
	check status equal "$RC" 3 &&
	check lines errors 1 &&
	check what says "SET_STATE RUNNING_P2P -> RUNNING: no end within $TIMEOUT s" &&
	check outcome says "the destinations hold the state" &&
	check "goes on" equal "$DST_STATE" RUNNING &&
	check "sources" equal "$SRC_STATE $state" "STOP_COPY STOP_COPY" &&
	remove_all
}

timeout_after_commit()
{
	times_out_late && times_out_late --serial
}

# --- a second signal --------------------------------------------------------------

twice()
{
	kill "-$1" "$CHILD"
	sleep 1
	check "waits on" kill -0 "$CHILD" || return
	kill "-$1" "$CHILD"
	end
}

# On the way back: the source's state is not known.
second_signal_in_rollback()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_stall PRE_COPY_P2P->RUNNING_P2P 1 0 0" &&
		fault "$SRC" "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	begin || return
	check stalls soon hit "$SRC" && twice INT || return
	check status equal "$RC" 4 &&
	check "the first" says "SIGINT: already going back" &&
	check device says ": does not answer, last known in PRE_COPY_P2P" &&
	check arc says "SET_STATE PRE_COPY_P2P -> RUNNING_P2P under way for" &&
	check "the other" says "in STOP" &&
	check outcome says "not known of all devices"
}

# Before anything goes back, in an arc that no signal ends.
second_signal_before()
{
	pair migsim-snapshot state_size=65536 || return
	fault "$SRC" "arc_stall STOP->STOP_COPY 1 0 0" || return
	begin || return
	check stalls soon hit "$SRC" && twice TERM || return
	check status equal "$RC" 4 &&
	check arc says "SET_STATE RUNNING_P2P -> STOP_COPY under way for" &&
	check outcome says "had not all confirmed"
}

second_signal_in_commit()
{
	pair migsim-full state_size=65536 || return
	fault "$DST" "arc_stall RUNNING_P2P->RUNNING 1 0 0" || return
	begin --run || return
	check stalls soon hit "$DST" && twice INT || return
	check status equal "$RC" 4 &&
	check "the first" says "SIGINT: too late" &&
	check arc says "SET_STATE RUNNING_P2P -> RUNNING under way for" &&
	check "the source" says "in STOP_COPY" &&
	check outcome says "the destinations had confirmed"
}

# --- stopped and continued ----------------------------------------------------------

# Stopped 100 times, at moments that are not chosen, while data move and arcs take
# their time; the last arc does so until there were 100.
not_noticed()
{
	local type i pid last args=() srcs=() dsts=()

	for type in full snapshot precopy basic full snapshot precopy basic; do
		pair "migsim-$type" state_size=262144 bandwidth=524288 \
			stop_latency_us=50000 save_latency_us=50000 \
			p2p_latency_us=50000 load_latency_us=20000 || return
		args+=("$SRC=$DST") srcs+=("$(hash_of "$SRC")") dsts+=("$DST")
	done
	last=$DST
	fault "$last" "arc_stall RESUMING->STOP 1 0 0" || return
	timeout -k 5 "$LIMIT" "$MIGRATE" local --keep-source "$@" "${args[@]}" \
		> "$TMP/out" 2> "$TMP/err" &
	pid=$!
	until CHILD=$(pgrep -P "$pid"); do
		sleep 0.05
	done
	for i in {1..100}; do
		kill -STOP "$CHILD" || break
		sleep "0.00$((RANDOM % 10))"
		kill -CONT "$CHILD"
		sleep "0.0$((RANDOM % 4))$((RANDOM % 10))"
	done
	echo clear > "$FAULTS/$last/faults"
	wait "$pid"
	RC=$?
	check "times $*" equal "$i" 100 &&
	check "status $*" equal "$RC" 0 &&
	check "silent $*" [ "$(grep -cv waiting "$TMP/err")" -eq 0 ] || return
	for i in "${!srcs[@]}"; do
		check "pair $i $*" equal "$(hash_of "${dsts[i]}")" "${srcs[i]}" ||
			return
	done
	remove_all
}

stopped_uring() { not_noticed --engine io_uring; }
stopped_poll() { not_noticed --engine poll; }
stopped_serial() { not_noticed --serial; }

# On a kernel that does not restart a call it is up to the program to do so.
not_restarted()
{
	local before type mode

	for type in full basic; do
		for mode in --serial --quiet; do
			pair "migsim-$type" state_size=262144 || return
			before=$(hash_of "$SRC")
			LD_PRELOAD=$EINTR migrate local --run "$mode" "$SRC=$DST"
			check "status $type $mode" equal "$RC" 0 &&
			check "silent $type $mode" [ ! -s "$TMP/err" ] &&
			check "moved $type $mode" equal "$(hash_of "$DST")" \
				"$before" || return
			remove_all
		done
	done
}

run_tests named timeout_goes_back timeout_of_data timeout_resets_destination \
	timeout_is_no_limit timeout_after_commit second_signal_in_rollback \
	second_signal_before second_signal_in_commit stopped_uring stopped_poll \
	stopped_serial not_restarted -- "$@"
