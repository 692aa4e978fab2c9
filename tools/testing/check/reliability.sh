#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# reliability.sh [TARGET FOLDER [KEY=VALUE...]]: add up what the tests of a make
# target counted, and write build/reliability.json, the sum over all targets that
# have run since "make clean", or, by "make check-all", on its commit. Without a
# target, write it again.
#
# A test counts by a line "# count KEY N" (vfm_count() in C), in a .tap file below
# FOLDER. Complaints are taken from the logs of the machines there, but for those in
# a folder "meta", which are meant to complain; leaks as well, if LEAKS=y says that
# kmemleak was looking. What nobody looked for is null, not 0. A target that has
# counted nothing at all has failed.

# shellcheck source=tools/testing/vm/lib.sh
. "$(dirname "$0")/../vm/lib.sh"

parts=${RELIABILITY:-$VM_TOP/build/reliability}
all=$VM_TOP/build/reliability.json
mkdir -p "$parts" "${all%/*}"

# What the project promises to say, even of nothing.
keys=(fail_nth_points fault_runs reset_points kill_points signal_points
	race_rounds stream_mutations fuzz_execs model_states splats leaks
	lost_bytes line_coverage branch_coverage)

counts()
{
	find "$dir" -name '*.tap' -not -path '*/meta/*' -exec cat {} + |
		awk '/^# *count [a-z_]+ [0-9]+$/ { n[$(NF - 1)] += $NF }
			END { for (k in n) print k "=" n[k] }'
}

logs()
{
	find "$dir" \( -name 'console*.log' -o -name 'dmesg*.log' -o -name '*.console' \) \
		-not -path '*/meta/*' "$@"
}

# A machine does not survive its first complaint, which may be in several logs.
splats()
{
	logs -exec grep -m 1 -ahoE "\[ *[0-9]+\.[0-9]+\].*($VM_SPLAT).*" {} \; |
		tr -d '\r' | sort -u | wc -l
}

leaks()
{
	logs -exec grep -ahoE 'kmemleak: [0-9]+ new' {} + |
		awk '{ n += $2 } END { print n + 0 }'
}

# add_up TARGET FOLDER [KEY=VALUE...]
add_up()
{
	local target=$1 dir=$2
	shift 2

	{
		counts
		[ -z "$(logs -print -quit)" ] || echo "splats=$(splats)"
		[ -z "${LEAKS:-}" ] || echo "leaks=$(leaks)"
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} | jq -R 'split("=") | { (.[0]): (.[1] | tonumber) }' | jq -e -s add \
		> "$parts/$target.json"
}

[ $# -eq 0 ] || add_up "$@" || exit 1
[ -n "$(find "$parts" -name '*.json')" ] || exit 1

# Shares of the code are no sums; the last measurement counts.
jq -n --arg keys "${keys[*]}" '
	[inputs | { (input_filename | sub(".*/"; "") | sub("[.]json$"; "")): . }] |
	add as $targets |
	reduce ($keys | split(" "))[] as $key ({};
		.[$key] = ([$targets[][$key] | values] |
			if $key | endswith("_coverage") then last else add end)) |
	.targets = $targets' "$parts"/*.json > "$all.tmp" || exit 1
mv "$all.tmp" "$all"
