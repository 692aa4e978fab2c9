#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What vfio-migrate tells of a migration: downtime, what was expected, progress.

HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# at_least KEY N, below KEY N: the first value in the report, without fractions
at_least()
{
	local v

	v=$(json_number "$1") && [ "${v%.*}" -ge "$2" ]
}

below()
{
	local v

	v=$(json_number "$1") && [ "${v%.*}" -lt "$2" ]
}

# A destination that takes more than two seconds to start, and the report.
slow_start()
{
	local pid

	pair migsim-full state_size=65536 || return
	fault "$DST" "arc_stall RUNNING_P2P->RUNNING 1 0 0" || return
	timeout -k 5 "$LIMIT" "$HOLD" "$SRC" "$DST" -- "$MIGRATE" local "$@" \
		--json "$TMP/json" @1=@2 > "$TMP/out" 2> "$TMP/err" &
	pid=$!
	for _ in $(seq 600); do
		fired "$DST" && break
		kill -0 "$pid" 2> /dev/null || break
		sleep 0.1
	done
	sleep 2
	echo clear > "$FAULTS/$DST/faults"
	wait "$pid"
	RC=$?
	check status equal "$RC" 0
}

downtime_ends_at_run()
{
	slow_start --run &&
	check total at_least downtime_ms 2000 &&
	check "of the pair" [ "$(grep -c '"downtime_ms":[2-9][0-9]\{3\}' \
		"$TMP/json")" -eq 2 ]
}

# Confirmed, and then it does not start: how long it is down is not known.
downtime_unknown()
{
	pair migsim-full state_size=65536 || return
	fault "$DST" "arc_fail RUNNING_P2P->RUNNING 1 0 5" || return
	migrate local --run --json "$TMP/json" "$SRC=$DST"
	check status equal "$RC" 3 &&
	check "not known" json_has '"downtime_ms":null' &&
	check text grep -q "downtime unknown" "$TMP/out"
}

# Nor is it if the sources went back.
downtime_of_failure()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	migrate local --json "$TMP/json" "$SRC=$DST"
	check status equal "$RC" 1 &&
	check "not known" json_has '"downtime_ms":null' &&
	check "was expected" at_least predicted_downtime_ms 0
}

# Without pre-copy there is a size, and no rate to move it at.
expected_unknown()
{
	local args

	pair migsim-basic state_size=1048576 || return
	migrate local --json "$TMP/json" "$SRC=$DST"
	check status equal "$RC" 0 &&
	check size at_least predicted_stopcopy_bytes 1048576 &&
	check total json_has '"predicted_downtime_ms":null' &&
	check pair json_has '"predicted_alone_ms":null' &&
	check rate json_has '"precopy_bytes_per_second":null' &&
	check text grep -q "expected unknown" "$TMP/out" || return
	remove_all
	pair migsim-full state_size=1048576 && args=("$SRC=$DST") &&
		pair migsim-basic state_size=65536 || return
	migrate local --json "$TMP/json" "${args[@]}" "$SRC=$DST"
	check status equal "$RC" 0 &&
	check "one is not known" json_has '"predicted_downtime_ms":null' &&
	check "the other is" at_least predicted_alone_ms 0
}

# Three quick pairs do not make a slow one quicker: it has 4 MiB when it is stopped,
# and gives no more than 2 MiB a second.
expected_slowest()
{
	local args=()

	for _ in 1 2 3; do
		pair migsim-full state_size=1048576 || return
		args+=("$SRC=$DST")
	done
	pair migsim-full state_size=4194304 bandwidth=2097152 \
		dirty_rate=134217728 || return
	migrate local --json "$TMP/json" --max-rounds 1 "${args[@]}" "$SRC=$DST"
	check status equal "$RC" 0 &&
	check expected at_least predicted_downtime_ms 1000 &&
	check real at_least downtime_ms 1000 &&
	check "a quick one alone" below predicted_alone_ms \
		"$(json_number predicted_downtime_ms | sed 's/\..*//')"
}

# left: of each line of progress, in bytes
left()
{
	grep -o 'left [0-9.]* [KMG]*i*B' "$TMP/err" |
		sed 's/left //; s/ \([KMG]\)iB/\1/; s/ B//' | numfmt --from=iec
}

# Within the one round of a slow device the rest goes down.
progress_counts_down()
{
	local lefts first last

	pair migsim-full state_size=4194304 bandwidth=1048576 || return
	migrate local -v --max-rounds 1 "$SRC=$DST"
	check status equal "$RC" 0 || return
	lefts=$(left)
	first=$(head -1 <<< "$lefts")
	last=$(grep -c precopy "$TMP/err")
	check lines [ "$last" -ge 2 ] &&
	check "per cent" grep -q 'precopy  *[0-9]*%' "$TMP/err" &&
	check "time left" grep -q '~[0-9]*s$' "$TMP/err" || return
	last=$(sed -n "${last}p" <<< "$lefts")
	check "goes down" [ "$last" -lt "$first" ]
}

# Whatever is printed fits into 80 columns, as names are uuids.
fits_80()
{
	pair migsim-full state_size=4194304 bandwidth=2097152 || return
	COLUMNS='' migrate local -v --run "$SRC=$DST"
	check status equal "$RC" 0 &&
	check "progress" grep -q moved "$TMP/err" &&
	check "progress fits" [ "$(awk 'length > 80' "$TMP/err" | wc -l)" -eq 0 ] &&
	check "table" grep -qx "$SRC -> $DST" "$TMP/out" &&
	check "table fits" [ "$(awk 'length > 80' "$TMP/out" | wc -l)" -eq 0 ]
}

# On a terminal one line is written over and over, and is wiped at the end.
terminal()
{
	local lines

	type script > /dev/null || {
		SKIP="no script(1) to make a terminal"
		return 4
	}
	pair migsim-full state_size=2097152 bandwidth=1048576 || return
	COLUMNS=40 timeout -k 5 "$LIMIT" script -qec \
		"$MIGRATE local -q $SRC=$DST; $MIGRATE local $DST=$SRC" \
		"$TMP/typescript" < /dev/null > /dev/null
	RC=$?
	check status equal "$RC" 0 || return
	tr '\r' '\n' < "$TMP/typescript" | grep 'moved' > "$TMP/lines"
	lines=$(wc -l < "$TMP/lines")
	check "drawn again" [ "$lines" -ge 3 ] &&
	check "in place" [ "$(grep -c 'moved.*moved' "$TMP/typescript")" -ge 1 ] &&
	check fits [ "$(awk 'length > 39' "$TMP/lines" | wc -l)" -eq 0 ]
}

run_tests downtime_ends_at_run downtime_unknown downtime_of_failure \
	expected_unknown expected_slowest progress_counts_down fits_80 \
	terminal -- "$@"
