#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The ways in which vfio-migrate moves data: by io_uring, by poll and non-blocking
# calls, by threads; and what it does where io_uring cannot be had.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

NO_URING=$HERE/no_uring
SYSCTL=/proc/sys/kernel/io_uring_disabled

poll_moves()
{
	local type

	for type in full snapshot precopy basic; do
		moves "migsim-$type" --engine poll && remove_all &&
			moves_busy_type "migsim-$type" --engine poll || return
	done
}

poll_eight() { eight --engine poll; }

poll_tiny_chunks()
{
	moves_busy_type migsim-full --engine poll --chunk 1001 --max-rounds 2
}

poll_kinds_of_fd() { kinds_of_fd --engine poll; }

# The two ends of a stream need not be of one kind.
poll_mixed_fds()
{
	local before

	pair migsim-full state_size=1048576 || return
	echo 0 > "$MDEV/$SRC/migsim/poll" && echo 0 > "$MDEV/$SRC/migsim/nowait" &&
		echo 0 > "$MDEV/$DST/migsim/poll" || return
	before=$(hash_of "$SRC")
	migrate local --engine poll "$SRC=$DST"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$before"
}

# fails_to_read POLL NOWAIT ENGINE
fails_to_read()
{
	pair migsim-full state_size=65536 "poll=$1" "nowait=$2" || return
	fault "$SRC" "save_fail REGS 1 1 5" || return
	held --engine "$3"
	check "status $*" equal "$RC" 1 &&
	check "step $*" says "fd:" && check "step $*" says ": read: " &&
	check "source $*" equal "$SRC_STATE" RUNNING &&
	check "destination $*" equal "$DST_STATE" STOP &&
	remove_all
}

# signalled POLL NOWAIT ENGINE: while a read, and then a write, does not end
signalled()
{
	local side rule name pid

	for side in src dst; do
		pair migsim-basic state_size=4194304 window=65536 \
			"poll=$1" "nowait=$2" || return
		[ "$side" = src ] && name=$SRC rule=save_stall || name=$DST rule=load_stall
		fault "$name" "$rule MEMORY 1 1 0" || return
		timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local \
			--engine "$3" @1=@2 > "$TMP/out" 2> "$TMP/err" &
		pid=$!
		for _ in $(seq 100); do
			fired "$name" && break
			sleep 0.1
		done
		sleep 0.3
		check "stalls $*" kill -0 "$pid" || return
		kill -INT "$pid"
		wait "$pid"
		RC=$?
		states
		check "status $side $*" equal "$RC" 1 &&
		check "signal $side $*" says "stopped by SIGINT" &&
		check "source $side $*" equal "$SRC_STATE" RUNNING &&
		check "destination $side $*" equal "$DST_STATE" STOP || return
		remove_all
	done
}

ends_of_data()
{
	local engine p n

	for engine in io_uring poll; do
		for p in 0 1; do
			for n in 0 1; do
				fails_to_read "$p" "$n" "$engine" &&
					signalled "$p" "$n" "$engine" || return
			done
		done
	done
}

# without ERRNO: io_uring is not there
without()
{
	local said

	migrate_by "$NO_URING" "$1"
	check "status $1" equal "$RC" 0 || return
	said=$(grep -c "io_uring cannot be had" "$TMP/err")
	check "said once $1" equal "$said" 1 &&
	check "and what instead" says "poll" || return
	migrate_by "$NO_URING" "$1" --quiet
	check "status when quiet" equal "$RC" 0 &&
	check "quiet" [ ! -s "$TMP/err" ] || return
	migrate_by "$NO_URING" "$1" --serial
	check "status of --serial" equal "$RC" 0 &&
	check "of no interest to --serial" [ ! -s "$TMP/err" ] || return
	migrate_by "$NO_URING" "$1" --engine io_uring
	check "status of --engine" equal "$RC" 1 &&
	check "reason" says "io_uring cannot be had"
}

# migrate_by WRAPPER ERRNO [ARG...]: a new pair
migrate_by()
{
	pair migsim-full state_size=262144 || return
	timeout -k 5 "$LIMIT" "$1" "$2" "$MIGRATE" local "$SRC=$DST" "${@:3}" \
		> "$TMP/out" 2> "$TMP/err"
	RC=$?
	remove_all
}

filtered()
{
	"$NO_URING" 1 true || {
		SKIP="this kernel has no seccomp filters"
		return 4
	}
	without 1 && without 38
}

disabled()
{
	local old rc

	[ -e "$SYSCTL" ] || {
		SKIP="this kernel has no $SYSCTL"
		return 4
	}
	old=$(< "$SYSCTL")
	echo 2 > "$SYSCTL" || return
	NO_URING=/usr/bin/env without io_uring=disabled
	rc=$?
	echo "$old" > "$SYSCTL"
	return "$rc"
}

run_tests poll_moves poll_eight poll_tiny_chunks poll_kinds_of_fd poll_mixed_fds \
	ends_of_data filtered disabled -- "$@"
