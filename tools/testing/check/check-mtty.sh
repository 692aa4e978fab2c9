#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-mtty: judge mainline's sample device, built from the distribution's
# source, by the conformance tests on Debian's kernel with slub_debug. A test that
# finds nothing is worth nothing, and mtty's defects are known (mtty-expected): each
# has to be found, nothing else may fail, and migsim has to pass the same tests in
# the same kernel. What may kill a kernel has one of its own. Prints KTAP as check.sh
# does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-mtty
expected=$CHECK_DIR/mtty-expected
limit=${TEST_TIMEOUT:-400}
export VM_APPEND=slub_debug=FZPU VFM_SEED=${VFM_SEED:-1}

# The details of slub, which may be all that came before the machine ended.
COMPLAINT="$VM_SPLAT|Redzone|Poison"

build_mtty()
{
	local samples

	samples=$(tools/testing/vm/kernel.sh samples) || return 1
	mkdir -p "$out/module"
	cp "$samples/samples/vfio-mdev/mtty.c" "$out/module/"
	echo 'obj-m := mtty.o' > "$out/module/Kbuild"
	make -C "$(tools/testing/vm/kernel.sh headers)" M="$out/module" \
		CONFIG_DEBUG_INFO_BTF_MODULES= modules
}

# on_mtty FOLDER PROGRAM[:TEST]...: in a machine that need not survive it
on_mtty()
{
	local dir=$1 rc=0
	shift

	mkdir -p "$dir"
	"$RUN" -q -t $((60 + limit)) -o "$dir" -- "$CHECK_DIR/guest-mtty.sh" \
		"$out/module/mtty.ko" "$BIN" "$limit" "$@" > "$dir/log" 2>&1 ||
		rc=$?
	echo $rc > "$dir/machine.rc"
}

# Not more machines than the emulated ones can share the CPUs.
throttle()
{
	while [ "$(jobs -pr | wc -l)" -ge "${MACHINES:-2}" ]; do
		wait -n
	done
}

patterns=() defects=() evidence=() reasons=() used=()
read_expected()
{
	local pattern defect proof why

	while read -r pattern defect proof why; do
		case $pattern in '' | '#'*) continue ;; esac
		patterns+=("$pattern") defects+=("$defect")
		evidence+=("$proof") reasons+=("$why") used+=('')
	done < "$expected"
}

# expected_failure NAME: set $i to its line of the list
expected_failure()
{
	for i in "${!patterns[@]}"; do
		# shellcheck disable=SC2053 # it is a pattern
		[[ $1 == ${patterns[i]} ]] && return 0
	done
	return 1
}

# judge ok|not|skip NAME REASON LOG...: of mtty
judge()
{
	local kind=$1 name=$2 reason=$3 i
	shift 3

	if [ "$kind" = skip ]; then
		case $name in
		*.claims | *:conf.*.error_is_final | *:conf.*.ours_* | \
			*:conf.full_*.unclaimed_states | *:precopy.*.flags_are_output)
			result skip "mtty:$name" "$reason" ;;
		*)
			result not "mtty:$name" "unexpected skip: $reason" ;;
		esac
	elif ! expected_failure "$name"; then
		result "$kind" "mtty:$name" "$reason"
	elif [ "$kind" = ok ]; then
		used[i]=gone
		result not "mtty:$name" "passes, but ${defects[i]} is expected"
	elif ! cat "$@" 2>/dev/null | grep -aqE "${evidence[i]}"; then
		used[i]=other
		result not "mtty:$name" "fails, but not by ${evidence[i]}"
	else
		used[i]=${used[i]:-found}
		result ok "mtty:$name # XFAIL ${defects[i]}: ${reasons[i]}"
	fi
}

# The programs that a kernel survives.
judge_programs()
{
	local program kind name reason rc

	[ "$(cat "$out/mtty/machine.rc")" = 0 ] ||
		result not mtty:machine "see $out/mtty/console.log and log"
	for program in "${programs[@]}"; do
		rc=$(cat "$out/mtty/$program.rc" 2>/dev/null || echo none)
		[ -e "$out/mtty/$program.tap" ] || : > "$out/mtty/$program.tap"
		while read -r kind name reason; do
			judge "$kind" "$name" "$reason" "$out/mtty/$program.tap"
		done < <(awk -v program="$program" -v rc="$rc" \
			-f "$CHECK_DIR/tap.awk" "$out/mtty/$program.tap")
	done
}

# The first line of a complaint, and mtty's function nearest to it.
complaint()
{
	tr -d '\r' < "$1" | awk -v pattern="$COMPLAINT" '
		!what && $0 ~ pattern { what = $0 }
		what && match($0, /mtty_[a-z_]+\+0x/) {
			print what " in " substr($0, RSTART, RLENGTH - 3)
			found = 1
			exit
		}
		END { if (what && !found) print what }' | sed 's/^\[ *[0-9.]*\] *//'
}

# A test that may kill the kernel, and what the console has to say of it.
judge_hostile()
{
	local test=$1 dir=$out/hostile/$1 name kind=ok what
	name=conf_hostile_test:$test

	what=$(complaint "$dir/console.log")
	if [ -n "$what" ] || [ "$(cat "$dir/machine.rc")" != 0 ]; then
		kind=not
		echo "# $test: ${what:-the machine ended with $(cat "$dir/machine.rc")}"
	elif ! grep '^ok 1 ' "$dir/conf_hostile_test.tap" | grep -qv '# SKIP'; then
		kind=not
		grep ':breaks' "$dir/conf_hostile_test.tap"
	fi
	judge $kind "$name" "${what:-see $dir}" "$dir/console.log" "$dir/dmesg.log" \
		"$dir/conf_hostile_test.tap"
}

# Every line of the list was of use, and what it all amounts to.
judge_list()
{
	local i found=() others=()

	for i in "${!patterns[@]}"; do
		case ${used[i]} in
		'') result not "mtty:${patterns[i]}" "expected, but there is no such test" ;;
		found)
			case ${defects[i]} in
			vfio.*) others+=("${defects[i]}") ;;
			*) found+=("${defects[i]}") ;;
			esac ;;
		esac
	done
	mapfile -t found < <(printf '%s\n' "${found[@]}" | sort -u)
	echo "# defects of mtty: ${#found[@]}: ${found[*]}"
	echo "# of others: ${others[*]:-none}"
	if [ ${#found[@]} -ge 4 ]; then
		result ok mtty:at_least_four_defects
	else
		result not mtty:at_least_four_defects "${#found[@]}"
	fi
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

echo "TAP version 13"
step kernel tools/testing/vm/kernel.sh all
step mtty build_mtty
step modules make modules W=1
step programs make programs
read_expected
mapfile -t programs < <(list_tests 'conf_*_test' | sort)
mapfile -t hostile < <(sed -n 's/^TEST_F(\(.*\), \(.*\))$/\1.full_group.\2/p' \
	"$SELFTESTS/conf_hostile_test.c")

echo "# on migsim: ${programs[*]}"
mkdir -p "$out/migsim"
run_tests 1 "$out/migsim" "$limit" "${programs[@]}" &
mapfile -t programs < <(printf '%s\n' "${programs[@]}" | grep -v hostile)
throttle
on_mtty "$out/mtty" "${programs[@]}" &
for test in "${hostile[@]}"; do
	throttle
	on_mtty "$out/hostile/$test" "conf_hostile_test:$test" &
done
wait

echo "# mtty"
judge_programs
for test in "${hostile[@]}"; do
	judge_hostile "$test"
done
judge_list

echo "# migsim, in the same kernel"
programs+=(conf_hostile_test)
for program in "${programs[@]}"; do
	tap=$out/migsim/$program.tap
	[ -e "$tap" ] || : > "$tap"
	results "$tap" "$program" "$(cat "$out/migsim/$program.rc" 2>/dev/null || echo none)"
done

echo "1..$NUMBER"
totals
