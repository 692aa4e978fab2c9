#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: builds everything, measures in User Mode Linux or, with BENCH=qemu, on
# Debian's kernel, prints a table and writes build/bench.json or
# build/bench-qemu.json. BENCH_ROUNDS= and BENCH_SUBJECTS= to measure more often or
# less. BENCH_QUICK=1 only tries whether it all works, with one round of small sizes,
# and writes build/bench-quick.json or build/bench-qemu-quick.json.
#
# A figure may be anything: only what did not run, or moved wrong data, is a failure.

set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$top" || exit 1
machine=${BENCH:-uml}
quick=${BENCH_QUICK:+1}
rounds=${BENCH_ROUNDS:-${quick:-9}}
read -ra subjects <<< "${BENCH_SUBJECTS:-}"
built=$top/build/bench/$machine
out=$built${quick:+-quick}
flags=(-r "$rounds")
[ -z "$quick" ] || flags+=(-q)
vm=tools/testing/vm

die()
{
	echo "bench: $*" >&2
	exit 1
}

# quietly NAME COMMAND...
quietly()
{
	local log=$out/$1.log

	echo "bench: $1" >&2
	shift
	"$@" > "$log" 2>&1 || { tail -n 40 "$log" >&2; die "see $log"; }
}

build()
{
	local kdir arch=()

	if [ "$machine" = uml ]; then
		# Nobody waits for a kernel of its own to see whether it works.
		kdir=$($vm/uml-build.sh "$([ -n "$quick" ] && echo test || echo bench)") ||
			die "no kernel"
		export UML=$kdir
		arch=(ARCH=um)
	else
		quietly kernel $vm/kernel.sh all
		kdir=$($vm/kernel.sh headers) || die "no kernel"
	fi
	quietly programs make --no-print-directory bench-programs
	quietly modules make --no-print-directory bench-modules \
		KDIR="$kdir" "${arch[@]}" FARM="$built/farm" MODULES="$built/modules"
}

# Memory for 256 devices of 8 MiB and one of 2 GiB; an emulated CPU takes its time.
run()
{
	local runner=$vm/uml.sh limit=1200 memory=6G

	if [ "$machine" = qemu ]; then
		runner=$vm/run.sh limit=5400
	fi
	[ -z "$quick" ] || memory=2G
	$runner -m $memory -t $limit -o "$out" -M "$built/modules" -- \
		tools/testing/bench/guest.sh "$out" "${flags[@]}" "${subjects[@]}"
}

native()
{
	if [ ${#subjects[@]} -eq 0 ] ||
	   [[ " ${subjects[*]} " == *" checksum_native "* ]]; then
		build/bin/vfio-mig-bench "${flags[@]}" -o "$out/figures" checksum_native
	fi
}

# collect FILE: one object of all figures
collect()
{
	local cpu

	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	jq -s --arg machine "$machine" --arg cpu "$cpu" --arg cpus "$(nproc)" \
		--arg busy "$busy" --arg commit "$(git describe --always --dirty 2>/dev/null)" \
		--arg rounds "$rounds" --arg quick "$quick" --slurpfile guest "$out/machine" '
		{ about: ($guest[0] + { environment: $machine, host_cpu: $cpu,
			   host_cpus: ($cpus | tonumber), rounds: ($rounds | tonumber),
			   host_busy_before: ($busy | tonumber), commit: $commit,
			   quick: ($quick != "") }) } + add' \
		"$out/figures" > "$1.new" && mv "$1.new" "$1"
}

notes()
{
	printf '\n'
	jq -r 'to_entries[] | select(.key != "about") |
		"\(.key)\n  ours:    \(.value.what_ours)\n  other:   " +
		"\(.value.what_other)\n  not for: \(.value.not_for)" +
		if .value.headline then "\n  shown:   \(.value.headline)" else "" end' "$1" |
		fold -s -w 100
}

case $machine in
uml) json=$top/build/bench${quick:+-quick}.json ;;
qemu) json=$top/build/bench-qemu${quick:+-quick}.json ;;
*) die "BENCH is uml or qemu" ;;
esac
[ -n "$quick" ] || [ "$rounds" -ge 7 ] ||
	die "fewer than 7 rounds are no measurement, and BENCH_QUICK is not set"
$vm/deps.sh || exit 1
# Percentage of the last minute in which something waited for a CPU.
busy=$(sed -n 's/^some .*avg60=\([0-9.]*\).*/\1/p' /proc/pressure/cpu 2>/dev/null)
busy=${busy:-0}
rm -rf "$out"/{figures,machine} "$json"
mkdir -p "$out"
build
failed=0
run || failed=1
native || failed=1
[ -s "$out/figures" ] || die "nothing was measured"
collect "$json" || die "cannot read $out/figures"
notes "$json"
echo
tools/testing/bench/table.sh "$json"
printf '\nAll of it: %s\n' "${json#"$top"/}"
[ "$failed" -eq 0 ] || die "something failed, see above"
