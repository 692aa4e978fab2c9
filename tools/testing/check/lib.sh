# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What check.sh, mutants.sh and demo.sh share: counting KTAP, running tests.

CHECK_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$CHECK_DIR/../../.." && pwd)
BIN=$TOP/build/bin
# uml.sh is the quick stand-in while developing; what counts is run.sh.
RUN=${VM:-$TOP/tools/testing/vm/run.sh}
SELFTESTS=$TOP/tools/testing/selftests/vfio/migration

PASSED=0 FAILED=0 SKIPPED=0
NUMBER=0

# result ok|not|skip NAME [REASON]: one line of KTAP, counted
result()
{
	local kind=$1 name=$2 reason=${3:-}

	NUMBER=$((NUMBER + 1))
	case $kind in
	ok)
		PASSED=$((PASSED + 1))
		echo "ok $NUMBER $name"
		;;
	skip)
		SKIPPED=$((SKIPPED + 1))
		echo "ok $NUMBER $name # SKIP $reason"
		;;
	*)
		FAILED=$((FAILED + 1))
		echo "not ok $NUMBER $name${reason:+ # $reason}"
		;;
	esac
}

# results FILE PROGRAM STATUS: all results of a KTAP file
results()
{
	local kind name reason

	while read -r kind name reason; do
		if [ "$kind" = skip ] && ! expected_skip "$name"; then
			result not "$name" "unexpected skip: $reason"
		else
			result "$kind" "$name" "$reason"
		fi
	done < <(awk -v program="$2" -v rc="$3" -f "$CHECK_DIR/tap.awk" "$1")
}

# Lines of the list are patterns for PROGRAM:TEST, then a reason.
expected_skip()
{
	local pattern rest

	# shellcheck disable=SC2034 # the reason is for readers
	while read -r pattern rest; do
		case $pattern in '' | '#'*) continue ;; esac
		# shellcheck disable=SC2053 # it is a pattern
		[[ $1 == $pattern ]] && return 0
	done < "${EXPECTED_SKIPS:-$SELFTESTS/expected-skips}"
	return 1
}

totals()
{
	echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
	[ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}

# run_tests MACHINE OUT SECONDS PROGRAM...: in as few boots as it takes. A program
# that ends the machine is marked with status 125 and the others go on in a new
# one. Machines with the same OUT, all started at once, share the programs.
run_tests()
{
	local machine=$1 out=$2 limit=$3 program left rc
	shift 3

	while :; do
		left=()
		for program; do
			[ -e "$out/$program.claim" ] || left+=("$program")
		done
		[ ${#left[@]} -gt 0 ] || return 0
		rc=0
		VM_CONSOLE=console$machine.log "$RUN" -t $((60 + limit * ${#left[@]})) -o "$out" -- \
			"$CHECK_DIR/guest-tests.sh" "$machine" "$BIN" "$limit" \
			"${left[@]}" || rc=$?
		[ "$rc" -ne 0 ] || continue
		for program in "${left[@]}"; do
			[ -e "$out/$program.rc" ] && continue
			[ "$(cat "$out/$program.started" 2>/dev/null)" = "$machine" ] ||
				continue
			echo "# $program took the machine down"
			echo 125 > "$out/$program.rc"
			cp "$out/console$machine.log" "$out/$program.console"
			continue 2
		done
		# Nobody was running: the machine itself is the culprit.
		echo "$rc" > "$out/machine$machine.failed"
		return "$rc"
	done
}
