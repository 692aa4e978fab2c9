#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What is in vfio-migrate's report for machines. That it is whole is for
# vfio_migrate_output_test.sh.

# shellcheck disable=SC2119 # held takes options, or none
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/testing/selftests/vfio/migration/lib/vfio_migrate.sh
. "$HERE/lib/vfio_migrate.sh"

# What a device says of its type by its fd alone depends on the kernel.
TYPE='"(migsim-full|[0-9a-f]{4}:[0-9a-f]{4})"'

# has WHAT PATTERN: in the report, in which blanks do not count
has()
{
	check "$1" matches "$2"
}

matches()
{
	[[ $(tr -d ' \n\t' < "$TMP/json") =~ $1 ]]
}

# side NAME FIELDS: the object of the only pair's source or destination
side()
{
	has "$1" "\"$1_device\":\{$2\}"
}

about()
{
	local before

	pair migsim-full state_size=65536 || return
	before=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	migrate local "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 &&
	has tool '"tool":"vfio-migrate"' &&
	has version "\"version\":\"$("$MIGRATE" --version | cut -d ' ' -f 2)\"" &&
	check kernel grep -qF "\"kernel\":\"$(uname -r)\"" "$TMP/json" &&
	has time '"time":"([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9:]{8}Z)"' ||
		return
	check "not before" [ ! "${BASH_REMATCH[1]}" '<' "$before" ] &&
	check "not after" [ ! "${BASH_REMATCH[1]}" '>' \
		"$(date -u +%Y-%m-%dT%H:%M:%SZ)" ] &&
	has "the whole downtime is first" \
		'^[^[]*"downtime_ms":[0-9.]+,[^[]*"devices":\['
}

options()
{
	pair migsim-full state_size=65536 || return
	migrate local "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 &&
	has defaults '"options":\{"run":false,"serial":false,"keep_source":false,"skip_p2p":null,"threshold":1048576,"max_rounds":10,"chunk":1048576,"engine":null,"timeout_s":null,' || return
	migrate local --run --serial --keep-source --skip-p2p up --skip-p2p down \
		--threshold 1K --max-rounds 3 --chunk 512 --engine poll --timeout 30 -q \
		"$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 &&
	has given '"options":\{"run":true,"serial":true,"keep_source":true,"skip_p2p":"both","threshold":1024,"max_rounds":3,"chunk":512,"engine":"poll","timeout_s":30.0,"quiet":true,' &&
	has engine '\},.*"engine":"poll","devices"'
}

# Who has what in the end: closed devices are in no state.
moved()
{
	local caps='\["STOP_COPY","P2P","PRE_COPY"\]'

	pair migsim-full state_size=65536 || return
	migrate local --run "$SRC=$DST" --json "$TMP/json"
	check status equal "$RC" 0 &&
	side source "\"type\":\"migsim-full\",\"capabilities\":$caps,\"found\":\"RUNNING\",\"state\":null,\"state_lost\":false,\"error\":null" &&
	side destination "\"type\":\"migsim-full\",\"capabilities\":$caps,\"found\":\"RUNNING\",\"state\":\"RUNNING\",\"state_lost\":false,\"error\":null" ||
		return
	held --json "$TMP/json"
	check status equal "$RC" 0 &&
	side source "\"type\":$TYPE,.*\"state\":\"STOP\",\"state_lost\":false,\"error\":null" &&
	side destination "\"type\":$TYPE,.*\"state\":\"STOP\",\"state_lost\":false,\"error\":null"
}

# The device that failed has the error, and the state is said to be lost if it is.
failed()
{
	pair migsim-full state_size=65536 || return
	fault "$SRC" "arc_broken PRE_COPY_P2P->STOP_COPY 1 1 5" || return
	held --json "$TMP/json"
	check status equal "$RC" 4 &&
	side source '[^}]*"state":"RUNNING","state_lost":true,"error":\{"device":"fd:[0-9]+","step":"SET_STATEPRE_COPY_P2P->STOP_COPY","errno":5,"name":"EIO","reason":"[^"]*arc_brokenrule[^"]*"\}' &&
	side destination '[^}]*"state":"STOP","state_lost":false,"error":null' &&
	has downtime '"downtime_ms":null' || return
	remove_all
	pair migsim-full state_size=65536 || return
	fault "$SRC" "save_fail REGS 1 1 22" || return
	# and the destination does not stop when it has been reset
	fault "$DST" "arc_fail RUNNING_P2P->STOP 2 1 5" || return
	held --serial --json "$TMP/json"
	check status equal "$RC" 1 &&
	side source '[^}]*"state":"RUNNING","state_lost":false,"error":\{"device":"fd:[0-9]+","step":"read","errno":22,[^}]*save_failrule[^}]*\}' &&
	side destination '[^}]*"error":\{"device":"fd:[0-9]+","step":"SET_STATERUNNING->STOP","errno":5,[^}]*\}'
}

unknown()
{
	pair migsim-full state_size=65536 || return
	migrate local "fd:77=$DST" --json "$TMP/json"
	check status equal "$RC" 1 &&
	side source '"type":null,"capabilities":null,"found":null,"state":null,"state_lost":false,"error":\{"device":"fd:77",[^}]*\}' &&
	side destination '"type":null,"capabilities":null,"found":null,"state":null,"state_lost":false,"error":null' &&
	has downtime '"downtime_ms":null' && has engine '"engine":null,"devices"'
}

run_tests about options moved failed unknown -- "$@"
