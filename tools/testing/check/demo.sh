#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make demo: eight devices migrate in parallel on an unmodified Debian kernel.
# Prints a table and writes build/demo.json.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/demo

# quietly NAME COMMAND...
quietly()
{
	local log=$out/$1.log
	shift

	"$@" > "$log" 2>&1 && return
	tail -n 40 "$log" >&2
	exit 1
}

rm -rf "$out" build/demo.json
mkdir -p "$out"
tools/testing/vm/deps.sh || exit 1
echo "Building"
tools/testing/vm/kernel.sh all > /dev/null || exit 1
quietly modules make modules
quietly programs make programs
echo "Migrating, in a virtual machine"
"$RUN" -m 6G -t 400 -o "$out" -- "$CHECK_DIR/guest-demo.sh" "$BIN" || exit 1

cd "$out" || exit 1
# A device is verified if both runs brought it over whole.
verified=$(cat parallel.verified serial.verified | awk '
	$2 == "ok" { ok[$1]++ } END { for (i in ok) n += ok[i] == 2; print n + 0 }')
tamper=$(cat tamper 2>/dev/null)

jq -rn --slurpfile p parallel.json --slurpfile s serial.json '
	def mib: . / 1048576 * 10 | round / 10;
	def ms: round;
	($p[0], $s[0]) as $r
	| ["run", "device", "pre-copy MiB", "stop-copy MiB", "rounds", "downtime ms"],
	  ($r.devices | to_entries[] | [$r.mode, .key + 1,
		(.value.precopy_bytes | mib), (.value.stopcopy_bytes | mib),
		.value.rounds, (.value.downtime_ms | ms)]),
	  [$r.mode, "all", ([$r.devices[].precopy_bytes] | add | mib),
		([$r.devices[].stopcopy_bytes] | add | mib),
		([$r.devices[].rounds] | max), ($r.downtime_ms | ms)]
	| @tsv' | awk -F '\t' '
	$1 == "run" && NR > 1 { next }
	{ printf "%-10s %-7s %13s %14s %7s %12s\n", $1, $2, $3, $4, $5, $6 }
	$2 == "all" { print "" }' || exit 1

jq -n --slurpfile p parallel.json --slurpfile s serial.json \
	--argjson verified "$verified" --arg kernel "$(cat kernel)" \
	--arg tamper "$tamper" '{
		devices: ($p[0].devices | length),
		verified: $verified,
		downtime_parallel_ms: $p[0].downtime_ms,
		downtime_serial_ms: $s[0].downtime_ms,
		bytes: $p[0].bytes,
		kernel: $kernel,
		tamper_noticed: ($tamper == "noticed"),
		parallel: $p[0], serial: $s[0]
	}' > ../demo.json || exit 1

jq -r '"Kernel \(.kernel), emulated. Verified \(.verified) of \(.devices) devices in both runs.",
	"Downtime: parallel \(.downtime_parallel_ms | round) ms, one after the other \(.downtime_serial_ms | round) ms."' \
	../demo.json
if [ "$tamper" != noticed ]; then
	echo "A changed byte was not noticed:"
	cat tamper.log
	exit 1
fi
grep -hv ' ok$' parallel.verified serial.verified
jq -e '.verified == .devices' ../demo.json > /dev/null
