# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What check.sh, its relatives for other kernels, mutants.sh and demo.sh share:
# counting KTAP, steps in $out, running tests.

# shellcheck source=tools/testing/vm/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../vm/lib.sh"

CHECK_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TOP=$(cd "$CHECK_DIR/../../.." && pwd)
BIN=$TOP/build/bin
# uml.sh is the quick stand-in while developing; what counts is run.sh.
RUN=${VM:-$TOP/tools/testing/vm/run.sh}
# More options for the machines of run_tests.
RUN_FLAGS=()
SELFTESTS=$TOP/tools/testing/selftests/vfio/migration
# What each target has counted, see reliability.sh.
export RELIABILITY=${RELIABILITY:-$TOP/build/reliability}

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

# suspect LOG: who ran when the kernel first complained
suspect()
{
	awk -v splat="$VM_SPLAT" '
		/check: / { who = $NF }
		$0 ~ splat { exit }
		END { print who ? "last began " who : "nobody had begun" }' "$1" |
		tr -d '\r'
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
		VM_CONSOLE=console$machine.log "$RUN" "${RUN_FLAGS[@]}" \
			-t $((60 + limit * ${#left[@]})) -o "$out" -- \
			env "VFM_ROUNDS=${VFM_ROUNDS:-}" "VFM_SEED=${VFM_SEED:-}" \
			"VFM_FEWER=${VFM_FEWER:-1}" "VFM_TRACED=${VFM_TRACED:-}" \
			"VFM_OPTIONS=${VFM_OPTIONS:-}" \
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
		# All have ended, or none began: the log may know more.
		echo "status $rc, $(suspect "$out/console$machine.log")" \
			> "$out/machine$machine.failed"
		return "$rc"
	done
}

# step NAME COMMAND...: nothing can go on without it
step()
{
	local name=$1
	shift

	echo "# $name"
	if ! "$@" > "$out/$name.log" 2>&1; then
		tail -n 60 "$out/$name.log"
		result not "build:$name" "see $out/$name.log"
		totals
		exit 1
	fi
	result ok "build:$name"
}

# quiet_step NAME COMMAND...: a build that may not warn
quiet_step()
{
	local name=$1
	shift

	step "$name" "$@"
	if grep -A4 -E 'warning:|WARNING' "$out/$name.log"; then
		result not "build:$name.quiet" "see $out/$name.log"
	else
		result ok "build:$name.quiet"
	fi
}

# start NAME COMMAND...: a script that prints KTAP, in the background
start()
{
	local name=$1
	shift

	{
		rc=0
		"$@" > "$out/$name.tap" 2> "$out/$name.err" || rc=$?
		echo $rc > "$out/$name.rc"
	} &
}

# collect NAME: what became of it
collect()
{
	local name=$1 rc

	rc=$(cat "$out/$name.rc" 2>/dev/null || echo none)
	echo "# $name"
	grep '^# ' "$out/$name.tap"
	[ "$rc" = 0 ] || tail -n 20 "$out/$name.err"
	results "$out/$name.tap" "$name" "$rc"
}

# list_tests PATTERN...: the names of the programs that are meant
list_tests()
{
	local program pattern

	for program in $(make -s --no-print-directory -C "$SELFTESTS" list); do
		for pattern; do
			# shellcheck disable=SC2053 # it is a pattern
			[[ $program != $pattern ]] || { echo "$program"; break; }
		done
	done
}

# start_selftests: all that there are, in the background, in two machines. In place of the
# first program of each there is a function to call before.
first=(: :)
start_selftests()
{
	local machine

	mkdir -p "$out/selftests"
	# Scripts take longest, so they go first.
	if [ -n "${TESTS:-}" ]; then
		read -ra programs <<< "$TESTS"
	else
		mapfile -t programs < <(list_tests '*' | sort -r -t. -k2)
	fi
	echo "# selftests: ${programs[*]}"
	for machine in 1 2; do
		{
			"${first[machine - 1]}"
			run_tests $machine "$out/selftests" "${TEST_TIMEOUT:-400}" \
				"${programs[@]}"
		} &
	done
}

# collect_selftests: what became of them
collect_selftests()
{
	local machine n program tap rc

	[ ${#programs[@]} -gt 0 ] || result not selftests:list none
	for machine in "$out"/selftests/machine*.failed; do
		[ -e "$machine" ] || continue
		n=$(basename "${machine##*/machine}" .failed)
		vm_account "$out/selftests/console$n.log" | sed 's/^/# /'
		result not "selftests:machine$n" \
			"$(cat "$machine"), see $out/selftests/console$n.log"
	done
	for program in "${programs[@]}"; do
		tap=$out/selftests/$program.tap
		rc=$(cat "$out/selftests/$program.rc" 2>/dev/null || echo none)
		[ -e "$tap" ] || : > "$tap"
		case $rc in 0 | 4) ;; *) sed 's/^/# /' "$tap" ;; esac
		results "$tap" "$program" "$rc"
	done
}

# build_with_kunit KDIR MAKEFLAGS...: the modules to $out/modules, and the one
# with the unit tests, which nothing may load by chance, to $out/kunit
build_with_kunit()
{
	quiet_step modules make modules KDIR="$1" "${@:2}" W=1 \
		CONFIG_VFIO_MIGRATION_KUNIT_TEST=m \
		FARM="$TOP/build/farm/${out##*/}" MODULES="$out/modules"
	mkdir -p "$out/kunit"
	mv "$out"/modules/*-kunit.ko "$out/kunit/" && return
	result not build:kunit "no module with tests"
	totals
	exit 1
}

# kunit_machine OUT MODULE...: run all suites, and leave what they said there
kunit_machine()
{
	local dir=$1 rc=0
	shift

	mkdir -p "$dir"
	"$RUN" -n -t "${KUNIT_TIMEOUT:-900}" -o "$dir" -- "$CHECK_DIR/guest-kunit.sh" "$@" || rc=$?
	echo $rc > "$dir/machine.rc"
}

# judge_kunit OUT: results of all suites
judge_kunit()
{
	local dir=$1 rc suite before=$NUMBER n

	for suite in "$dir"/*.ktap; do
		[ -e "$suite" ] || break
		n=$NUMBER
		sed 's/^/# /' "$suite"
		# The suite's own level is one result, its tests are one below.
		sed -n 's/^    \([^ ]\)/\1/p' "$suite" > "${suite%.ktap}.tap"
		results "${suite%.ktap}.tap" "$(basename "$suite" .ktap)" \
			"$(grep -q '^ok 1 ' "$suite"; echo $?)"
		[ "$NUMBER" -gt "$n" ] ||
			result not "$(basename "$suite" .ktap):all" "no tests"
	done
	rc=$(cat "$dir/machine.rc" 2>/dev/null || echo none)
	if [ "$rc" != 0 ]; then
		result not kunit:machine "status $rc, see $dir/console.log"
	elif [ "$NUMBER" -eq "$before" ]; then
		result not kunit:suites "there are none"
	fi
}

# Of the modules that build_with_kunit() has built.
kunit_first()
{
	kunit_machine "$out/results" "$out/modules/vfio-migration.ko" \
		"$out/kunit/vfio-migration-kunit.ko"
}

# run_kunit OUT MODULE...: the results
run_kunit()
{
	kunit_machine "$@"
	judge_kunit "$1"
}
