#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make bench: builds everything, measures in User Mode Linux or, with BENCH=qemu, on
# Debian's kernel, prints a table and writes build/bench.json or
# build/bench-qemu.json. BENCH_ROUNDS= and BENCH_SUBJECTS= to measure more often or
# less.
#
# A figure may be anything: only what did not run, or moved wrong data, is a failure.

set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
cd "$top" || exit 1
machine=${BENCH:-uml}
rounds=${BENCH_ROUNDS:-9}
read -ra subjects <<< "${BENCH_SUBJECTS:-}"
out=$top/build/bench/$machine
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
		kdir=$($vm/uml-build.sh) || die "no kernel"
		arch=(ARCH=um)
	else
		quietly kernel $vm/kernel.sh all
		kdir=$($vm/kernel.sh headers) || die "no kernel"
	fi
	quietly programs make --no-print-directory bench-programs
	quietly modules make --no-print-directory bench-modules \
		KDIR="$kdir" "${arch[@]}" FARM="$out/farm" MODULES="$out/modules"
}

# Memory for 256 devices of 8 MiB and one of 2 GiB; an emulated CPU takes its time.
run()
{
	local runner=$vm/uml.sh limit=1200

	if [ "$machine" = qemu ]; then
		runner=$vm/run.sh limit=3600
	fi
	$runner -m 6G -t $limit -o "$out" -M "$out/modules" -- \
		tools/testing/bench/guest.sh "$rounds" "$out/figures" "${subjects[@]}"
}

native()
{
	if [ ${#subjects[@]} -eq 0 ] ||
	   [[ " ${subjects[*]} " == *" checksum_native "* ]]; then
		build/bin/vfio-mig-bench -r "$rounds" -o "$out/figures" checksum_native
	fi
}

# collect FILE: one object of all figures
collect()
{
	local cpu

	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	jq -s --arg machine "$machine" --arg cpu "$cpu" --arg cpus "$(nproc)" \
		--arg busy "$busy" --arg commit "$(git describe --always --dirty 2>/dev/null)" '
		{ about: { environment: $machine, host_cpu: $cpu,
			   host_cpus: ($cpus | tonumber),
			   host_busy_before: ($busy | tonumber), commit: $commit } } + add' \
		"$out/figures" > "$1.new" && mv "$1.new" "$1"
}

table()
{
	jq -r '
	def n: if . == null then "-" elif . >= 1000 then round
		else (. * 1000 | round / 1000) end | tostring;
	def cpu: .process + .kworkers;
	to_entries | map(select(.key != "about")) |
	(["figure", "ratio", "min", "max", "best", "ours", "other", "unit", "better",
	  "cpu s", "other", "rounds"],
	 (.[] | [.key, (.value.ratio, .value.min, .value.max, .value.best, .value.ours,
		 .value.other | n), .value.unit, .value.better,
		 (.value.ours_cpu_s, .value.other_cpu_s | cpu | n),
		 (.value.rounds | n)])) | @tsv' "$1" | column -t -s $'\t'
}

# rows FILE KEY FIELD...: the cases of a figure
rows()
{
	local file=$1 key=$2
	shift 2

	jq -e --arg key "$key" '.[$key].rows' "$file" > /dev/null || return
	printf '\n%s\n' "$key"
	jq -r --arg key "$key" '
	($ARGS.positional), (.[$key].rows[] | [.[$ARGS.positional[]]]) | @tsv' \
		"$file" --args "$@" | column -t -s $'\t' | sed 's/^/  /'
}

notes()
{
	printf '\n'
	jq -r 'to_entries[] | select(.key != "about") |
		"\(.key)\n  ours:    \(.value.what_ours)\n  other:   " +
		"\(.value.what_other)\n  not for: \(.value.not_for)"' "$1" |
		fold -s -w 100
}

case $machine in
uml) json=$top/build/bench.json ;;
qemu) json=$top/build/bench-qemu.json ;;
*) die "BENCH is uml or qemu" ;;
esac
$vm/deps.sh || exit 1
# Percentage of the last minute in which something waited for a CPU.
busy=$(sed -n 's/^some .*avg60=\([0-9.]*\).*/\1/p' /proc/pressure/cpu 2>/dev/null)
busy=${busy:-0}
rm -rf "$out/figures" "$json"
mkdir -p "$out"
build
failed=0
run || failed=1
native || failed=1
[ -s "$out/figures" ] || die "nothing was measured"
collect "$json" || die "cannot read $out/figures"
notes "$json"
printf '\nMeasured in %s. Ratios are ours to the other, medians of %s rounds by turns.\n\n' \
	"$([ "$machine" = uml ] && echo "User Mode Linux" || echo "QEMU")" "$rounds"
table "$json"
[ "${busy%.*}" -lt 10 ] ||
	echo "The machine was busy ($busy % of the minute before): look at best, and measure again."
rows "$json" vs_qemu_mode form p2p_latency_us stop_latency_us save_latency_us \
	ratio min max best ours other
rows "$json" async_styles devices style gb_per_s cpu_s_per_gib \
	client_cpu_s_per_gib syscalls_per_gib switches_per_gib machine_switches_per_gib
rows "$json" overhead_bytes state_bytes overhead_bytes held_bytes window_bytes
printf '\nAll of it: %s\n' "${json#"$top"/}"
[ "$failed" -eq 0 ] || die "something failed, see above"
