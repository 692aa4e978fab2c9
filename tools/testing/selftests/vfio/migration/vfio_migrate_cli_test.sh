#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The command line of vfio-migrate: what it refuses, list, decode, reports.

# shellcheck disable=SC2119 # held takes options, or none
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# --- what it refuses ----------------------------------------------------------

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
	usage local --timeout 0 "$p" && usage local --timeout 1s "$p" &&
	usage local --engine aio "$p" && usage local --threshold 1X "$p" && usage local --threshold -1 "$p" &&
	usage local --chunk 0 "$p" && usage local --max-rounds 0 "$p" &&
	usage local --probe "$p" && usage list --serial &&
	usage local --nonsense "$p" && usage decode && usage decode a b &&
	usage decode --run a && usage decode --probe a &&
	usage state && usage recover && usage state nonsense &&
	own_options
}

# Every option is refused by the commands that it means nothing to, in front of them
# as well.
own_options()
{
	local u=00000000-0000-0000-0000-000000000000 option command
	local -A for=([--run]=local [--serial]=local [--keep-source]=local
		[--skip-p2p=up]=local [--threshold=1]=local
		[--max-rounds=1]=local [--chunk=4096]=local
		[--engine=poll]=local [--timeout=1]=local
		[--verbose]=local [--probe]=list
		[--reset]=recover [--quiet]="local decode")

	for option in "${!for[@]}"; do
		for command in "local $u=$u" list "state $u" "recover $u" \
			"decode /dev/null"; do
			[[ " ${for[$option]} " != *" ${command%% *} "* ]] ||
				continue
			# shellcheck disable=SC2086
			usage $command "$option" && usage "$option" $command &&
			check "named: $option" says \
				"${option%=*} is not for ${command%% *}" || return
		done
	done
	# all that there are
	"$MIGRATE" --help > "$TMP/out"
	check "every option is here" equal "$(grep -oE -- '^ +(-., )?--[a-z0-9-]+' \
		"$TMP/out" | grep -oE -- '--[a-z0-9-]+' |
		grep -vxE -- '--(json|help|usage|version)' | sort | tr '\n' ' ')" \
		"$(printf '%s\n' "${!for[@]}" | sed 's/=.*//' | sort | tr '\n' ' ')"
}

# refused REASON ARG...: nothing is touched
refused()
{
	local reason=$1

	shift
	migrate local "$@" --json "$TMP/json"
	check "status of $*" equal "$RC" 1 && check "line for $*" errors 1 &&
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
	check status equal "$RC" 1 && check line errors 1 &&
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
	check status equal "$RC" 1 && check line errors 1 &&
	check reason says "vfio-hold, pid " && check who says ", holds it open"
}

# As QEMU's sysfsdev has them, or whatever leads to the device.
by_sysfs()
{
	local before

	pair migsim-full state_size=65536 || return
	before=$(hash_of "$SRC")
	migrate local "$MDEV/$SRC=$(realpath "$MDEV/$DST")"
	check status equal "$RC" 0 &&
	check moved equal "$(hash_of "$DST")" "$before" &&
	check named grep -q "^$MDEV/$SRC " "$TMP/out" &&
	refused "named twice" "$MDEV/$SRC=$SRC" &&
	refused "No such file" "$MDEV/nothing=$DST" &&
	refused "no driver is bound to it" "/sys/kernel=$DST" || return
	if [ -d "$MDEV/$DST/vfio-dev" ]; then
		migrate state "$MDEV/$DST"/vfio-dev/*
		check "below it" equal "$RC" 0
	fi
}

# A destination that can do more is asked, and has the last word.
more_capabilities()
{
	local source other

	mk migsim-full state_size=65536 && other=$NEW || return
	for source in snapshot precopy basic; do
		pair "migsim-$source" state_size=65536 || return
		DST=$other
		held
		check "status from $source" equal "$RC" 1 &&
		check "refused by the device" says ": write: " &&
		check "its reason" says "made by migsim-$source" &&
		check "source of $source" equal "$SRC_STATE" RUNNING || return
	done
	refused "another type" "$other=$SRC"
}

bad_report_file()
{
	pair migsim-full state_size=65536 || return
	migrate local "$SRC=$DST" --json /nonexistent/report
	check status equal "$RC" 1 && check line errors 1 &&
	check nothing says "no device was changed"
}

# --- list ---------------------------------------------------------------------

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

# --- decode -------------------------------------------------------------------

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
	# A wrong header does: decode cannot tell where the next one is.
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

# --- the report ---------------------------------------------------------------

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
	check table grep -qx "$SRC -> $DST" "$TMP/out"
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

run_tests bad_arguments refuses refused_by_device in_use by_sysfs \
	more_capabilities bad_report_file \
	list_devices list_probe decode_valid decode_damage decode_goes_on \
	decode_no_stream decode_bounded report quiet progress -- "$@"
