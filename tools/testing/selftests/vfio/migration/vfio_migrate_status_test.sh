#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The exit statuses of vfio-migrate local: who holds the devices' state.

# shellcheck disable=SC2119 # held takes options, or none
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# status N SIDE RULE SAYS [ARG...]: of a run of one pair with a fault
status()
{
	local name

	pair migsim-full state_size=65536 || return
	[ "$2" = src ] && name=$SRC || name=$DST
	fault "$name" "$3" || return
	held "${@:5}" --json "$TMP/json"
	check "status of $3" equal "$RC" "$1" &&
	check "fired $3" fired "$name" &&
	check "outcome of $3" says "$4" &&
	remove_all
}

# A source that is in ERROR has lost its state, whichever arc it was.
lost_by_error()
{
	local arc

	for arc in "RUNNING->PRE_COPY" "PRE_COPY->PRE_COPY_P2P" \
		"PRE_COPY_P2P->STOP_COPY"; do
		status 4 src "arc_broken $arc 1 1 5" "its state is lost" &&
		check "it is reset" equal "$SRC_STATE" RUNNING || return
	done
	status 4 src "arc_broken PRE_COPY_P2P->STOP_COPY 1 1 5" \
		"its state is lost" --serial
}

# The way back is the one that breaks it.
lost_on_the_way_back()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_broken STOP->RUNNING_P2P 1 1 5" || return
	fault "$DST" "arc_broken RESUMING->STOP 1 1 61" || return
	held
	check status equal "$RC" 4 && check outcome says "its state is lost" &&
	check "not said" says_not "sources run on"
}

says_not()
{
	! says "$1"
}

# A source that does not start again keeps what it has: a reset would end that.
cannot_go_back()
{
	local before

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	fault "$SRC" "arc_fail RUNNING_P2P->RUNNING 1 0 5" || return
	fault "$DST" "arc_broken RESUMING->STOP 1 1 61" || return
	held
	check status equal "$RC" 4 && check state equal "$SRC_STATE" RUNNING_P2P &&
	check outcome says "is in RUNNING_P2P: it may have the only copy" &&
	check "not said" says_not "run on" &&
	check kept equal "$(hash_of "$SRC")" "$before"
}

# Something else resets a source: it runs, but not with what it had.
reset_by_something_else()
{
	status 4 src "arc_reset PRE_COPY->PRE_COPY_P2P 1 1 0" \
		"was reset by something else" &&
	status 4 src "arc_reset RUNNING->PRE_COPY 1 1 0" \
		"was reset by something else" &&
	status 4 src "save_reset MEMORY 1 1 0" "was reset by something else" &&
	status 4 src "save_reset REGS 1 1 0" "was reset by something else" --serial
}

# A destination's own reset is its affair until it has confirmed.
reset_destination()
{
	status 1 dst "load_reset MEMORY 1 1 0" "the sources run on" &&
	status 1 dst "arc_reset RESUMING->STOP 1 1 0" "the sources run on"
}

# Moved, and then a destination loses it: the source stands still with its own.
lost_after_commit()
{
	status 3 dst "arc_fail RUNNING_P2P->RUNNING 1 0 5" \
		"the destinations hold the state" --run &&
	status 4 dst "arc_broken RUNNING_P2P->RUNNING 1 1 5" \
		"its source may have the only copy" --run &&
	check "source stands still" [ "$SRC_STATE" != RUNNING ] &&
	status 4 dst "arc_reset RUNNING_P2P->RUNNING 1 1 0" \
		"its source may have the only copy" --run
}

# Of several pairs one is enough, and only the others run on.
one_of_several()
{
	local a b

	pair migsim-full state_size=65536 && a=$SRC b=$DST || return
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_broken PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$a" "$b" "$SRC" "$DST" -- "$MIGRATE" \
		local @1=@2 @3=@4 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 4 && check lost says "its state is lost" &&
	check others says "the other sources run on"
}

# A source that cannot be asked is not said to run.
cannot_be_asked()
{
	pair migsim-full state_size=65536 || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- env LD_PRELOAD="$DEVICE_GONE" \
		"$MIGRATE" local @1=@2 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	check status equal "$RC" 4 &&
	check outcome says "is in an unknown state" &&
	check "not said" says_not "run on"
}

# Back in STOP, for that is where it was.
found_stopped()
{
	local before

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	fault "$DST" "arc_broken RESUMING->STOP 2 1 61" || return
	# shellcheck disable=SC2016
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- bash -c '
		"$0" local --quiet --keep-source "$1=$2" && "$0" local "$1=$2"' \
		"$MIGRATE" @1 @2 > "$TMP/out" 2> "$TMP/err"
	RC=$?
	states
	check status equal "$RC" 1 && check source equal "$SRC_STATE" STOP &&
	check outcome says "those that were stopped stay so" &&
	check kept equal "$(hash_of "$SRC")" "$before"
}

run_tests lost_by_error lost_on_the_way_back cannot_go_back \
	reset_by_something_else reset_destination lost_after_commit \
	one_of_several cannot_be_asked found_stopped -- "$@"
