#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# vfio-migrate state and recover: devices that a killed run has left behind, held open
# by something else.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# with_devices SCRIPT: runs it with SRC and DST held open; there, $1 and $2 are their
# fd:N, and the functions below can be used
with_devices()
{
	export -f kill_at run
	export MIGRATE TMP FAULTS SRC DST
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- bash -c "$1" - @1 @2 \
		> "$TMP/out" 2> "$TMP/held"
	RC=$?
	states
}

# kill_at SIDE RULE FD FD: a run that is killed where the rule stalls it
kill_at()
{
	local faults=$FAULTS/$1/faults pid i rule

	echo "$2" > "$faults" || exit
	"$MIGRATE" local --quiet "$3=$4" &
	pid=$!
	for i in {1..300}; do
		read -r rule < "$faults"
		[[ $rule != *"fired 1" ]] || break
		sleep 0.1
	done
	sleep 0.2
	kill -KILL "$pid"
	wait "$pid" 2> /dev/null
	echo clear > "$faults"
}

# run NAME ARG...: the status goes to NAME.rc, what it says to NAME.out and NAME.err
run()
{
	"$MIGRATE" "${@:2}" > "$TMP/$1.out" 2> "$TMP/$1.err"
	echo $? > "$TMP/$1.rc"
}

rc_of()
{
	cat "$TMP/$1.rc"
}

# said NAME PATTERN: in what it printed
said()
{
	grep -qE "$2" "$TMP/$1.out"
}

# killed TYPE SIDE RULE FOUND: the source goes on with all that it had
killed()
{
	local before name

	pair "$1" state_size=262144 || return
	before=$(hash_of "$SRC")
	[ "$2" = src ] && name=$SRC || name=$DST
	# shellcheck disable=SC2016
	with_devices "kill_at $name '$3' "'"$1" "$2"
		run state state "$1"
		run next local "$1=$2"
		run recover recover "$1" --json "$TMP/json"
		run again recover "$1"'
	check "found by state, $3" said state "^fd:[0-9]+ +$4 " &&
	check "status of state, $3" equal "$(rc_of state)" 0 &&
	check "status, $3" equal "$(rc_of recover)" 0 &&
	check "source, $3" equal "$SRC_STATE" RUNNING &&
	check "found, $3" json_has "\"found\":\"$4\"" &&
	check "state, $3" json_has '"state":"RUNNING"' &&
	check "no error, $3" json_has '"error":null' &&
	check "kept, $3" equal "$(hash_of "$SRC")" "$before" &&
	check "once, $3" said again "it runs, nothing was done" || return
	if [[ $4 != RUNNING ]]; then
		check "action, $3" json_has '"action":"back"' &&
		check "line, $3" said recover \
			"^fd:[0-9]+ +$4 +RUNNING +it runs again with all" &&
		check "names it, $3" grep -qE "recover fd:[0-9]+\)" \
			"$TMP/next.err" || return
	fi
	remove_all
}

killed_source()
{
	killed migsim-full src "arc_stall RUNNING->PRE_COPY 1 1 0" RUNNING &&
	killed migsim-full src "save_stall MEMORY 1 1 0" PRE_COPY &&
	killed migsim-full src "arc_stall PRE_COPY->PRE_COPY_P2P 1 1 0" PRE_COPY &&
	killed migsim-full src "arc_stall PRE_COPY_P2P->STOP_COPY 1 1 0" \
		PRE_COPY_P2P &&
	killed migsim-full src "save_stall REGS 1 1 0" STOP_COPY
}

killed_types()
{
	killed migsim-snapshot src "save_stall MEMORY 1 1 0" STOP_COPY &&
	killed migsim-precopy src "save_stall REGS 1 1 0" STOP_COPY &&
	killed migsim-basic src "save_stall MEMORY 1 1 0" STOP_COPY &&
	killed migsim-full dst "load_stall REGS 1 1 0" STOP_COPY &&
	killed migsim-full dst "arc_stall RESUMING->STOP 1 1 0" STOP_COPY
}

# A destination that got a part runs without it, and only if that was asked for.
killed_destination()
{
	local fresh

	pair migsim-full state_size=262144 || return
	fresh=$(hash_of "$DST")
	# shellcheck disable=SC2016
	with_devices "kill_at $DST 'load_stall REGS 1 1 0' "'"$1" "$2"
		run refused recover "$1" "$2" --json "$TMP/json"
		run next local "$1=$2"
		run state state "$2"
		run reset recover --reset "$1" "$2"'
	check refused equal "$(rc_of refused)" 1 &&
	check reason json_has '"found":"RESUMING"' &&
	check action json_has '"action":"refused"' &&
	check "what to do" grep -q -- "--reset makes it run without" \
		"$TMP/refused.err" &&
	check "names it" grep -qE "recover --reset fd:" "$TMP/next.err" &&
	check untouched said state "^fd:[0-9]+ +RESUMING " &&
	check "the other was helped" said refused "STOP_COPY +RUNNING +it runs again" &&
	check status equal "$(rc_of reset)" 4 &&
	check told said reset "RESUMING +RUNNING +it was reset and runs, what it had is lost" &&
	check "not reset" said reset "RUNNING +RUNNING +it runs, nothing was done" &&
	check state equal "$DST_STATE" RUNNING &&
	check fresh equal "$(hash_of "$DST")" "$fresh"
}

# ERROR: there is nothing to lose, but it is said.
in_error()
{
	pair migsim-full state_size=65536 || return
	# shellcheck disable=SC2016
	with_devices "echo 'arc_broken RUNNING->PRE_COPY 1 1 5' > $FAULTS/$SRC/faults
		LD_PRELOAD=$NO_RESET"' run broken local "$1=$2"
		run next local "$1=$2"
		run refused recover "$1"
		run reset recover --reset "$1"'
	check broken equal "$(rc_of broken)" 4 &&
	check "names it" grep -qE "recover --reset fd:" "$TMP/next.err" &&
	check refused equal "$(rc_of refused)" 1 &&
	check told said refused "ERROR +ERROR +nothing was done, only --reset helps" &&
	check reset equal "$(rc_of reset)" 4 &&
	check state equal "$SRC_STATE" RUNNING
}

# A device that does not go back is left as it is, and reset if that was asked for.
fails_to_go_back()
{
	local before

	pair migsim-full state_size=65536 && before=$(hash_of "$SRC") || return
	# shellcheck disable=SC2016
	with_devices "kill_at $SRC 'save_stall REGS 1 1 0' "'"$1" "$2"
		echo "arc_fail RUNNING_P2P->RUNNING 1 2 5" > "$FAULTS/$SRC/faults"
		run failed recover "$1" "$2"
		run reset recover --reset "$1"'
	check failed equal "$(rc_of failed)" 1 &&
	check told said failed "STOP_COPY +RUNNING_P2P +it does not run" &&
	check reason grep -q "arc_fail rule" "$TMP/failed.err" &&
	check reset equal "$(rc_of reset)" 4 &&
	check state equal "$SRC_STATE" RUNNING
}

# No device runs before the others have left STOP: they may be its peers.
all_leave_stop_first()
{
	pair migsim-full state_size=65536 || return
	# shellcheck disable=SC2016
	with_devices 'run stop local "$1=$2"
		faults=$FAULTS/$DST/faults
		echo "arc_stall STOP->RUNNING_P2P 1 1 0" > "$faults"
		run recover recover "$1" "$2" &
		for i in {1..300}; do
			read -r rule < "$faults"
			[[ $rule != *"fired 1" ]] || break
			sleep 0.1
		done
		sleep 0.3
		cat "/sys/bus/mdev/devices/$SRC/migsim/mig_state" > "$TMP/first"
		echo clear > "$faults"
		wait'
	check stopped equal "$(rc_of stop)" 0 &&
	check waits equal "$(< "$TMP/first")" RUNNING_P2P &&
	check status equal "$(rc_of recover)" 0 &&
	check "both run" equal "$SRC_STATE $DST_STATE" "RUNNING RUNNING"
}

# The next run works, and so do all names of devices.
runs_again()
{
	local before

	pair migsim-full state_size=262144 || return
	before=$(hash_of "$SRC")
	# shellcheck disable=SC2016
	with_devices "kill_at $SRC 'save_stall REGS 1 1 0' "'"$1" "$2"
		run recover recover --reset "$1" "$2"
		run next local "$1=$2"'
	check "both run" equal "$(rc_of recover)" 4 &&
	check moved equal "$(rc_of next)" 0 &&
	check hash equal "$(hash_of "$DST")" "$before" || return
	migrate state "$SRC" "$MDEV/$DST" --json "$TMP/json"
	check "state by name" equal "$RC" 0 &&
	check line grep -qE "^$SRC +RUNNING +STOP_COPY\|P2P\|PRE_COPY +migsim-full$" \
		"$TMP/out" &&
	check json json_has '"capabilities":\[[^]]*"P2P"' || return
	migrate state "$SRC" fd:77 --json "$TMP/json"
	check "status of one" equal "$RC" 1 && check "one line" one_line &&
	check null json_has '"state":null'
}

run_tests killed_source killed_types killed_destination in_error \
	fails_to_go_back all_leave_stop_first runs_again -- "$@"
