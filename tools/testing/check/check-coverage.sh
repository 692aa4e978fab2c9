#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-coverage: which lines and branches of the core the selftests and the unit
# tests reach, by gcov on User Mode Linux. coverage-gaps has a reason for each
# branch that they do not. Some of the tests are traced, and the automaton has to allow
# what the core did in them. Prints KTAP as check.sh does.

VM=$(dirname "$(realpath "$0")")/../vm/uml.sh
# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-coverage
source=drivers/vfio/migration
gaps=$CHECK_DIR/coverage-gaps
EXPECTED_SKIPS=${EXPECTED_SKIPS:-$SELFTESTS/expected-skips.uml}
# Instrumented code is slow, and the tenth round takes the branches of the first.
export VFM_FEWER=${VFM_FEWER:-5}
least_lines=95 least_branches=85
# What the automaton is to see: transitions and their failures, resets, sessions.
export VFM_TRACED='fsm_test reset_test unwind_test session_test'

tools/testing/vm/deps.sh || exit 1
rm -rf "$out" "$RELIABILITY/check-coverage.json"
mkdir -p "$out"

# counters OUT...: what all machines counted, and the notes of the compiler, to
# $out/gcov, a folder for each machine in turn being merged into it
counters()
{
	local dir

	mkdir -p "$out/gcov"
	for dir; do
		[ -d "$dir" ] || return 1
		if [ -e "$out/gcov/main.gcda" ]; then
			gcov-tool merge -o "$out/merged" "$out/gcov" "$dir" || return 1
			rm -rf "$out/gcov"
			mv "$out/merged" "$out/gcov"
		else
			cp "$dir"/*.gcda "$out/gcov/" || return 1
		fi
	done
	cp "$TOP/build/farm/check-coverage/$source"/*.gcno "$out/gcov/"
}

# enough KEY PERCENT: what coverage.py said of it is not less
enough()
{
	awk -F= -v key="$1" -v least="$2" '
		$1 == key { found = $2 } END { exit !(found >= least) }' "$out/report"
}

explained() { "$CHECK_DIR/coverage.py" "$out/gcov" "$source" "$1" > "$1.report"; }

unexplained_fails()
{
	sed '/^#/!d' "$gaps" > "$out/none.gaps"
	! explained "$out/none.gaps"
}

# One more entry, of a line that is not there.
stale_fails()
{
	{
		cat "$gaps"
		printf '%s\tno reason\n' 'fsm.c:vfio_mig_next_arc:1: return STOP;'
	} > "$out/stale.gaps"
	! explained "$out/stale.gaps" &&
		grep -q '^# excuses no line: fsm.c:' "$out/stale.gaps.report"
}

# judge_traces: does the automaton allow what the core has done?
judge_traces()
{
	local name trace kind

	for name in $VFM_TRACED; do
		trace=$out/selftests/$name.trace
		kind=ok
		[[ " ${programs[*]} " = *" $name "* ]] || continue
		tools/verification/vfio-migration/trace_check.py \
			tools/verification/models/vfio_migration.dot "$trace" \
			> "$out/$name.automaton" 2>&1 || kind=not
		sed 's/^/# /' "$out/$name.automaton"
		result $kind "automaton:$name" "see $trace"
	done
}

echo "TAP version 13"
step kernel tools/testing/vm/uml-build.sh
UML=$(tools/testing/vm/uml-build.sh) || exit 1
export UML
# KCOV is for fuzz_test, which goes where it has not been.
build_with_kunit "$UML" ARCH=um GCOV_PROFILE=y KCOV_INSTRUMENT=y
step programs make programs
start runner env KDIR="$UML" ARCH=um tools/testing/vm/selftest.sh "$RUN"
RUN_FLAGS=(-M "$out/modules")
first=(kunit_first :)
start_selftests
wait
collect runner
collect_selftests
judge_traces
judge_kunit "$out/results"

step counters counters "$out"/selftests/gcov* "$out/results/gcov"
if "$CHECK_DIR/coverage.py" "$out/gcov" "$source" "$gaps" > "$out/report"; then
	kind=ok
else
	kind=not
fi
grep '^#' "$out/report"
result $kind coverage:explained "see $out/report"
if unexplained_fails && stale_fails; then kind=ok; else kind=not; fi
result $kind coverage:list_is_needed
for what in line=$least_lines branch=$least_branches; do
	if enough "${what%=*}_coverage" "${what#*=}"; then kind=ok; else kind=not; fi
	result $kind "coverage:$(grep "^${what%=*}" "$out/report" | tr '=' _)"
done
mapfile -t figures < <(grep _coverage= "$out/report" | grep -v '^#')
"$CHECK_DIR/reliability.sh" check-coverage "$out" "${figures[@]}" ||
	result not counts

echo "1..$NUMBER"
totals
