#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The standard streams and reports of vfio-migrate: what is closed never becomes a
# device, what cannot be written is told.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# --- what is closed -----------------------------------------------------------

# closed FDS COMMAND...: with those standard streams closed, the others in files
closed()
{
	local fds=$1

	shift
	(
		exec > "$TMP/out" 2> "$TMP/err"
		[[ $fds != *0* ]] || exec <&-
		[[ $fds != *1* ]] || exec >&-
		[[ $fds != *2* ]] || exec 2>&-
		exec timeout -k 5 "$LIMIT" "$@"
	)
	RC=$?
}

# moves_closed FDS STATUS [ARG...]: nothing of what is said comes into a register
moves_closed()
{
	local before

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	closed "$1" "$MIGRATE" local -v --keep-source "${@:3}" "$SRC=$DST"
	check "status without $1" equal "$RC" "$2" &&
	check "moved without $1" equal "$(hash_of "$DST")" "$before" &&
	check "untouched without $1" equal "$(hash_of "$SRC")" "$before" &&
	remove_all
}

# The progress and the table cannot be written, which is no success.
closed_streams()
{
	moves_closed 0 0 && moves_closed 1 3 && moves_closed 2 3 &&
	moves_closed 01 3 && moves_closed 02 3 && moves_closed 12 3 &&
	moves_closed 012 3 && moves_closed 012 0 --quiet
}

# The error message is not for the destination either.
fails_closed()
{
	local before fresh

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC") fresh=$(hash_of "$DST")
	fault "$SRC" "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	closed 012 "$MIGRATE" local -v "$SRC=$DST"
	check status equal "$RC" 1 &&
	check source equal "$(hash_of "$SRC")" "$before" &&
	check destination equal "$(hash_of "$DST")" "$fresh"
}

# A program that holds devices for another one keeps them out of the way, too.
hold_closed()
{
	local fds before

	for fds in 0 1 2 012; do
		pair migsim-full state_size=65536 || return
		before=$(hash_of "$SRC")
		closed "$fds" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local -v \
			--keep-source --json "$TMP/json" @1=@2
		check "moved without $fds" equal "$(hash_of "$DST")" "$before" &&
		check "untouched without $fds" equal "$(hash_of "$SRC")" "$before" &&
		check "numbers without $fds" json_has '"source":"fd:([3-9]|[0-9]{2,})"' ||
			return
		remove_all
	done
}

# What was closed was not handed over, whatever is there instead.
closed_is_no_device()
{
	local fd

	pair migsim-full state_size=65536 || return
	for fd in 0 1 2; do
		closed "$fd" "$MIGRATE" local "fd:$fd=$DST" --json "$TMP/json"
		check "status of fd:$fd" equal "$RC" 1 &&
		check "reason of fd:$fd" json_has "no such file descriptor" ||
			return
	done
}

# A device that is handed over as stdout or stderr would get all messages.
device_as_stream()
{
	local fd before

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	for fd in 1 2; do
		# shellcheck disable=SC2016
		timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- bash -c '
			eval "exec $1>&${2#fd:}"
			"$3" local "fd:$1=$4" --json "$5"
			echo "$?" > "$6"' - "$fd" @1 "$MIGRATE" @2 "$TMP/json" \
			"$TMP/status" > "$TMP/out" 2> "$TMP/err"
		RC=$(< "$TMP/status")
		check "status of fd:$fd" equal "$RC" 1 &&
		check "reason of fd:$fd" json_has "use a number above 2" &&
		check "untouched as fd:$fd" equal "$(hash_of "$SRC")" "$before" ||
			return
	done
}

# --- what cannot be written ---------------------------------------------------

# full_stdout STATUS ARG...
full_stdout()
{
	"$MIGRATE" "${@:2}" > /dev/full 2> "$TMP/err"
	RC=$?
	check "status of ${*:2}" equal "$RC" "$1" &&
	check "told of ${*:2}" says "standard output: No space left on device"
}

full_output()
{
	local before

	"$STREAM" save migsim-basic 65536 > "$TMP/stream" || return
	full_stdout 1 --help && full_stdout 1 --version && full_stdout 1 list &&
	full_stdout 1 list --json - && full_stdout 1 decode "$TMP/stream" &&
	full_stdout 1 decode --json - "$TMP/stream" || return
	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	full_stdout 3 local --keep-source "$SRC=$DST" --json "$TMP/json" &&
	check moved equal "$(hash_of "$DST")" "$before" &&
	check outcome says "the destinations hold the state" &&
	check report json_has '"step":"write table"' &&
	full_stdout 3 local --keep-source "$SRC=$DST" --json - || return
	"$MIGRATE" local -v --keep-source "$SRC=$DST" > "$TMP/out" 2> /dev/full
	RC=$?
	check "status without messages" equal "$RC" 3
}

# On a disk that is full the old report stays, and nothing else does.
full_disk()
{
	local rc=1

	"$STREAM" save migsim-basic 65536 > "$TMP/stream" || return
	pair migsim-full state_size=65536 || return
	mkdir -p "$TMP/disk" && mount -t tmpfs -o size=8192 none "$TMP/disk" ||
		return
	echo old > "$TMP/disk/json"
	dd if=/dev/zero of="$TMP/disk/fill" bs=4096 2> /dev/null
	full_disk_told 3 local --keep-source "$SRC=$DST" &&
		check outcome says "the destinations hold the state" &&
		full_disk_told 1 decode "$TMP/stream" &&
		full_disk_told 1 list && rc=0
	umount "$TMP/disk"
	return "$rc"
}

# full_disk_told STATUS ARG...
full_disk_told()
{
	migrate "${@:2}" --json "$TMP/disk/json"
	check "status of $2" equal "$RC" "$1" &&
	check "told by $2" says "disk/json: write report: No space left" &&
	check "old report with $2" equal "$(< "$TMP/disk/json")" old &&
	check "nothing else with $2" equal "$(ls -A "$TMP/disk")" $'fill\njson'
}

# --- the file -----------------------------------------------------------------

# kill_in_precopy: SIGKILL to a run that is to write reports/json
kill_in_precopy()
{
	local pid

	busy || return
	"$MIGRATE" local --quiet --threshold 0 --max-rounds 1000000 \
		"$SRC=$DST" --json "$TMP/reports/json" 2> "$TMP/err" &
	pid=$!
	until grep -qx PRE_COPY "$MDEV/$SRC/migsim/mig_state"; do
		kill -0 "$pid" || return
		sleep 0.1
	done
	kill -KILL "$pid"
	wait "$pid" 2> /dev/null
	remove_all
}

# Killed, there is the old report, or none, and nothing half done beside it.
killed_report()
{
	rm -rf "$TMP/reports" && mkdir "$TMP/reports" && kill_in_precopy || return
	check none equal "$(ls -A "$TMP/reports")" "" || return
	echo old > "$TMP/reports/json" && kill_in_precopy || return
	check "the old one" equal "$(cat "$TMP/reports/json")" old &&
	check alone equal "$(ls -A "$TMP/reports")" json
}

# A new one takes the old one's place, mode and all, also through a link; what is
# no file is written to.
replaced_report()
{
	rm -rf "$TMP/reports" && mkdir "$TMP/reports" || return
	echo old > "$TMP/reports/json"
	chmod 640 "$TMP/reports/json"
	ln "$TMP/reports/json" "$TMP/reports/old"
	ln -s reports/json "$TMP/link"
	migrate list --json "$TMP/link"
	check status equal "$RC" 0 &&
	check new equal "$(head -c 1 "$TMP/reports/json")" "[" &&
	check "not in place" equal "$(< "$TMP/reports/old")" old &&
	check link [ -L "$TMP/link" ] &&
	check mode equal "$(stat -c %a "$TMP/reports/json")" 640 &&
	check alone equal "$(ls -A "$TMP/reports")" $'json\nold' || return
	migrate list --json /proc/self/fd/2
	check "in place" equal "$(head -c 1 "$TMP/err")" "["
}

TESTS=(closed_streams fails_closed hold_closed closed_is_no_device
	device_as_stream full_output full_disk killed_report replaced_report)
run_tests "${TESTS[@]}" -- "$@"
