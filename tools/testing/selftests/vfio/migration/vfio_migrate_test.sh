#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What vfio-migrate moves, and in which states it leaves the devices.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# --- what it moves ------------------------------------------------------------

moves_full() { moves migsim-full; }
moves_snapshot() { moves migsim-snapshot; }
moves_precopy() { moves migsim-precopy; }
moves_basic() { moves migsim-basic; }

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
	kinds_of_fd --engine io_uring
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

# json_numbers KEY: one a line
json_numbers()
{
	grep -oE "\"$1\": ?[0-9.]+" "$TMP/json" | sed 's/.*://'
}

# A slow device does not make quick ones go round and round.
slow_companion()
{
	local args=() rounds bytes

	for _ in 1 2 3; do
		pair migsim-full state_size=262144 window=65536 \
			dirty_rate=4194304 || return
		args+=("$SRC=$DST")
	done
	pair migsim-full state_size=1048576 bandwidth=1048576 || return
	migrate local --keep-source --threshold 0 --max-rounds 3 --chunk 64K "$@" \
		"${args[@]}" "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 || return
	for rounds in $(json_numbers rounds); do
		check rounds [ "$rounds" -ge 1 ] && check bound [ "$rounds" -le 3 ] ||
			return
	done
	# Of the first, a quick one, a round has what is in the window,
	# what is dirty, and their framing; and there is one --chunk more.
	bytes=$(json_number precopy_bytes)
	check bytes [ "$bytes" -le $((3 * 600000 + 65536)) ] &&
	remove_all
}

slow_companions()
{
	slow_companion && slow_companion --serial && slow_companion --engine poll
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

# --- memory ---------------------------------------------------------------------

# The buffers are in memory before a device is asked for anything.
memory_first()
{
	local pid chunk=16777216 rss=0

	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_stall RUNNING->PRE_COPY 1 1 0" || return
	"$MIGRATE" local --chunk "$chunk" "$SRC=$DST" > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	for _ in $(seq 100); do
		fired "$SRC" && break
		sleep 0.1
	done
	rss=$(awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$pid/status")
	kill "$pid"
	wait "$pid"
	RC=$?
	check status equal "$RC" 1 &&
	check "two buffers" [ "$rss" -ge $((2 * chunk)) ]
}

no_memory()
{
	pair migsim-full state_size=65536 || return
	(ulimit -v 65536 && "$MIGRATE" local --chunk 64M "$SRC=$DST" \
		> "$TMP/out" 2> "$TMP/err")
	RC=$?
	check status equal "$RC" 1 && check line errors 1 &&
	check reason says "--chunk" && check honest says "no device was changed"
}

# --- where the devices end up -------------------------------------------------

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

run_tests moves_full moves_snapshot moves_precopy moves_basic moves_busy \
	serial_busy eight_parallel eight_serial tiny_chunks no_state \
	small_window fallbacks by_cdev rounds_are_limited \
	slow_companions many_fds memory_first no_memory ends_stopped \
	ends_running source_is_reset source_is_kept -- "$@"
