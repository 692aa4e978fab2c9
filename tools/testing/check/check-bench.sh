#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-bench: whether make bench still works, by one round of small sizes in User
# Mode Linux. What it measures then is worth nothing and is not looked at; that all of
# it is there, and in the table, is. Prints KTAP as check.sh does.

# shellcheck disable=SC2016 # the variables are those of jq
# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-bench
json=$TOP/build/bench-quick.json
bench=tools/testing/bench

# What there has to be; those with a goal, and what it is; those with both ways of pages.
figures=(read_prepared read_stream splice_prepared splice_stream read_vs_mainline
	save_restore_vs_mainline local_move_vs_copy uring_256 vs_qemu_mode async_styles
	v1_region setstate_vs_noop checksum checksum_native overhead_bytes)
goals='{ "read_prepared": 0.9, "read_stream": 0.5, "splice_prepared": 1,
	"save_restore_vs_mainline": 1.2, "uring_256": 0.9 }'
donating=(read_prepared read_stream splice_prepared splice_stream read_vs_mainline
	save_restore_vs_mainline local_move_vs_copy v1_region)

# In every figure, and in every row of one.
complete='
def complete: ([.ratio, .min, .max, .ours, .other] |
	all(type == "number" and . > 0 and . < 1e18)) and
	.min <= .ratio and .ratio <= .max and (.unit | IN("GB/s", "us", "bytes"));'

# holds FILE FILTER ARGUMENT...: quietly
holds() { jq -e "$complete $2" "$1" --args "${@:3}" > /dev/null 2>&1; }

# whole FILE FIGURE
whole()
{
	holds "$1" '.[$ARGS.positional[0]] | complete and
		([.what_ours, .what_other, .not_for] | all(type == "string")) and
		(.rows // [] | all(complete))' "$2"
}

# both_ways FILE FIGURE: the first is the copy, and is what is shown
both_ways()
{
	holds "$1" '.[$ARGS.positional[0]] | [.rows[].donate] == [0, 1] and
		.ratio == .rows[0].ratio and .donate == 0 and (.headline | type) == "string"' "$2"
}

# goals FILE: all of them and no other, and met is what it says
goals()
{
	holds "$1" '(map_values(.goal) | map_values(select(. != null))) ==
		($ARGS.positional[0] | fromjson) and .read_stream.rows[1].goal == 0.8 and
		(to_entries | map(.value, .value.rows[]?) | map(select(.goal)) |
		 all(.met == (.ratio >= .goal and .short_of == null)))' "$goals"
}

# sessions FILE: io-wq is counted where there is some
sessions()
{
	holds "$1" '.uring_256 | .iowq == 0 and .iowq_control > 0 and
		.held_bytes_max > 0 and .held_bytes_max <= .windows_bytes and
		([.rows[].under_way] == [256, 64, 16]) and .ratio == .rows[0].ratio'
}

# cases FILE: the rows of those that have other ones
cases()
{
	holds "$1" '([.vs_qemu_mode.rows[] | "\(.form) \(.save_latency_us > 0)"] ==
		["serial false", "multifd false", "serial true", "multifd true"]) and
		([.async_styles.rows[] | "\(.devices) \(.style)"] ==
		[(1, 8, 64) as $n | ("io_uring", "epoll", "blocking") | "\($n) \(.)"]) and
		(.async_styles.rows | all(.ours_min <= .ours and .ours <= .ours_max)) and
		([.overhead_bytes.rows[].state_bytes] == [64, 1024, 4096 | . * 1048576])'
}

# about FILE: nobody may take this for a measurement
about()
{
	holds "$1" '.about | .quick == true and .rounds == 1 and .environment == "uml" and
		(.kernel | type) == "string" and .cpus > 0'
}

# table FILE: whatever has a ratio has a line, in what is printed
table()
{
	local figure

	$bench/table.sh "$1" > "$out/table.txt" || return
	for figure in "${figures[@]}"; do
		grep -qE "^ *$figure +[0-9.]+ " "$out/table.txt" || return
	done
	[ "$(grep -c '^    donated pages ' "$out/table.txt")" -eq ${#donating[@]} ] &&
	[ "$(grep -cE ' (met|short) ' "$out/table.txt")" -ge 5 ] &&
	grep -q 'io-wq: 0 requests' "$out/table.txt" &&
	grep -qE 'under way: 256 [0-9.]+, 64 [0-9.]+, 16 [0-9.]+' "$out/table.txt" &&
	grep -qE '^ +64 +blocking ' "$out/table.txt" &&
	grep -qE '^ +4096 +[0-9]' "$out/table.txt" &&
	grep -q 'no measurement' "$out/table.txt"
}

# spoiled FILTER COMMAND...: it fails with a file of which something was taken
spoiled()
{
	local filter=$1 command=$2
	shift 2

	jq "$filter" "$json" > "$out/spoiled.json" || return
	! "$command" "$out/spoiled.json" "$@"
}

can_fail()
{
	spoiled 'del(.read_stream)' whole read_stream &&
	spoiled 'del(.checksum.max)' whole checksum &&
	spoiled 'del(.async_styles.rows[8].min)' whole async_styles &&
	spoiled '.v1_region.ratio = 1e308' whole v1_region &&
	spoiled 'del(.v1_region.rows[0])' both_ways v1_region &&
	spoiled 'del(.uring_256.goal)' goals &&
	spoiled '.read_stream.met |= not' goals &&
	spoiled '.uring_256.iowq_control = 0' sessions &&
	spoiled 'del(.uring_256.rows[2])' sessions &&
	spoiled 'del(.vs_qemu_mode.rows[3])' cases &&
	spoiled '.about.quick = false' about &&
	spoiled 'del(.overhead_bytes)' table
}

# Neither the script nor the program takes six rounds for a measurement.
few_refused()
{
	! env -u BENCH_QUICK BENCH_ROUNDS=6 $bench/bench.sh > "$out/few.log" 2>&1 &&
	grep -q 'fewer than 7 rounds' "$out/few.log" &&
	! "$BIN/vfio-mig-bench" -r 6 -o /dev/null checksum_native 2>> "$out/few.log" &&
	grep -q '^usage: vfio-mig-bench' "$out/few.log"
}

# check NAME COMMAND...: a result
check()
{
	local name=$1 kind=ok
	shift

	"$@" || kind=not
	result $kind "bench:$name" "see $json"
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

echo "TAP version 13"
step kernel tools/testing/vm/uml-build.sh
step quick env -u BENCH_ROUNDS -u BENCH_SUBJECTS BENCH= BENCH_QUICK=1 $bench/bench.sh
for figure in "${figures[@]}"; do
	check "$figure" whole "$json" "$figure"
done
for figure in "${donating[@]}"; do
	check "$figure.donate" both_ways "$json" "$figure"
done
check goals goals "$json"
check sessions sessions "$json"
check cases cases "$json"
check about about "$json"
check table table "$json"
check few_refused few_refused
check can_fail can_fail

echo "1..$NUMBER"
totals
