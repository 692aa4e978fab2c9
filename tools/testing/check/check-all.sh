#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-all [TARGETS='TARGET...']: every check there is, one make target after the
# other. The result of each is kept for the commit that it was run on, in the cache. A
# second call leaves out what has passed on this commit and goes on with the rest.
# Merges what this commit has so far into build/check-all.json, prints it as a table, and
# adds up the targets that were asked for. A tree with changes is no commit, and is refused.

# shellcheck source=tools/testing/check/targets.sh
. "$(dirname "$0")/targets.sh"
cd "$(dirname "$0")/../../.." || exit 1

exists() { grep -q "^$1:" Makefile; }

all=(check kunit check-model check-fuzz check-bench check-uml check-coverage
	check-qemu check-mtty check-mutants check-kcsan check-debug)
! exists check-suites || all+=(check-suites)
# It judges what the others have counted.
all+=(reliability)
# Longer forms than those of .ci/run.
declare -A longer=([check-fuzz]=VFM_ROUNDS=10 [check-model]=VFM_ROUNDS=1)
limit=${TARGET_TIMEOUT:-10800}

# A result of a part may not be kept as that of the whole.
unset MAKEFLAGS MAKEOVERRIDES MAKELEVEL ROUNDS VFM_ROUNDS VFM_SEED VFM_FEWER VFM_OPTIONS \
	TESTS SHORT ATTACH SCENARIOS FLAVOUR MUTANTS FUZZ_RUNS VM KDIR

die() { echo "check-all.sh: $*" >&2; exit 2; }

# commit: the one that the tree is, without a change
commit()
{
	[ -z "$(git status --porcelain 2>&1)" ] && git rev-parse HEAD
}

# select_targets TARGET...: set $targets; to all, if none is named
select_targets()
{
	local name

	[ $# -gt 0 ] || set -- "${all[@]}"
	targets=()
	for name; do
		[[ " ${all[*]} " = *" $name "* ]] || die "$name is none of: ${all[*]}"
		exists "$name" || die "the Makefile has no target $name"
		targets+=("$name")
	done
}

result() { echo "$results/$1.json"; }

has_passed() { [ -s "$(result "$1")" ] && jq -e '.failed == 0' "$(result "$1")" > /dev/null; }

# run TARGET: and keep what became of it
run()
{
	local name=$1 passed failed skipped seconds

	echo "# make $name ${longer[$name]:-}"
	run_target "$limit" "$results/$name.log" "$name" ${longer[$name]:+"${longer[$name]}"}
	[ "$(commit)" = "$head" ] || die "the tree has changed while $name ran"
	jq -n --arg target "$name" --arg commit "$head" \
		--argjson counts "[$passed, $failed, $skipped, $seconds]" '{
			$target, passed: $counts[0], failed: $counts[1],
			skipped: $counts[2], seconds: $counts[3], $commit
		}' > "$(result "$name").new" || die "cannot write $results"
	mv "$(result "$name").new" "$(result "$name")" || die "cannot write $results"
}

# merge: all that this commit has
merge()
{
	local name files=()

	for name in "${all[@]}"; do
		[ ! -s "$(result "$name")" ] || files+=("$(result "$name")")
	done
	mkdir -p build
	jq -s . "${files[@]}" < /dev/null > build/check-all.json.new &&
		mv build/check-all.json.new build/check-all.json
}

head=$(commit) || die "commit your changes first: results are kept by commit"
results=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}/check-all/$head
# What has been counted belongs to the commit as well.
export RELIABILITY=$results/reliability
mkdir -p "$RELIABILITY" || die "cannot write $results"
read -ra names <<< "${TARGETS:-}"
select_targets "${names[@]}"

for name in "${targets[@]}"; do
	if has_passed "$name"; then
		echo "# make $name: has passed on ${head:0:12}, see $results/$name.log"
		continue
	fi
	run "$name"
	# It was about other counts.
	[ "$name" = reliability ] || rm -f "$(result reliability)"
	merge || die "cannot write build/check-all.json"
done
merge || die "cannot write build/check-all.json"

for name in "${targets[@]}"; do
	has_passed "$name" || grep -ahE '^(not ok|# make .*: status)' "$results/$name.log" |
		sed "s/^/# $name: /"
done
jq -r '["target", "passed", "failed", "skipped", "seconds"],
	(.[] | [.target, .passed, .failed, .skipped, .seconds]) | @tsv' \
	build/check-all.json | column -t | sed 's/^/# /'
jq -r --arg all "${all[*]}" '$all / " " - map(.target) | .[] |
	"# \(.): not run on this commit"' build/check-all.json
jq -r --arg names "${targets[*]}" 'map(select(.target | IN($names / " " | .[]))) |
	"\(map(.passed) | add // 0) passed, \(map(.failed) | add // 0) failed, " +
	"\(map(.skipped) | add // 0) skipped"' build/check-all.json
for name in "${targets[@]}"; do
	has_passed "$name" || exit 1
done
