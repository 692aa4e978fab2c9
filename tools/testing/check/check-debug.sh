#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-debug: all selftests and the unit tests in QEMU on the newest kernel with
# what finds bugs, FLAVOUR=kasan: KASAN, UBSAN, lockdep, kmemleak, fault injection
# (default); FLAVOUR=kcsan: KCSAN, for races of our functions alone. Any complaint of
# that kernel fails it; that it would complain is tried by a module that has one bug for
# each of these tools. TESTS= names some programs instead of all, SHORT=1 those of .ci/run.
# Prints KTAP as check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
flavour=${FLAVOUR:-kasan}
out=$TOP/build/check-debug/$flavour
TEST_TIMEOUT=${TEST_TIMEOUT:-1800} KUNIT_TIMEOUT=${KUNIT_TIMEOUT:-1200}
EXPECTED_SKIPS=${EXPECTED_SKIPS:-$SELFTESTS/expected-skips.$flavour}
# This part of the rounds of tests that repeat something: a splat comes early.
export VFM_FEWER=${VFM_FEWER:-10}

# What these kernels find is memory that is used too late, lost or not to be had, and
# locks that are taken the wrong way round: in programs that fail allocations and calls,
# meet in threads, call things off in the middle, and outlive what they use. The other
# programs ask for the right answers, which are the same on any kernel. Of migsim's types
# the full one has all arcs of the others, and the same code.
short=('sweep_*' race_test concurrent_test abuse_test fuzz_test lifetime_test reset_test
	emfile_test unwind_test memory_test splice_test uring_test)
if [ -n "${SHORT:-}" ]; then
	TESTS=${TESTS:-$(list_tests "${short[@]}" | xargs)}
	export VFM_OPTIONS='-V snapshot -V precopy -V basic'
	# And a tenth of the pages and objects that can fail.
	VFM_FEWER=30
fi

# Bugs of meta/sick.c, and what the kernel has to say of each. The order is one in which
# no tool is switched off by what another one has found before.
case $flavour in
kasan)
	kernel=kasan
	bugs=(
		'lock possible circular locking dependency'
		'sleep sleeping function called from invalid context'
		'object ODEBUG: free active'
		'use_after_free KASAN: slab-use-after-free'
		'bounds UBSAN: array-index-out-of-bounds'
		'leak kmemleak: [0-9]+ new suspected memory leaks'
	) ;;
kcsan)
	kernel=plain
	bugs=('race KCSAN: data-race in sick_count') ;;
*)
	echo "check-debug.sh: FLAVOUR is kasan or kcsan, not $flavour" >&2
	exit 1 ;;
esac

meta_module()
{
	mkdir -p "$out/meta"
	cp "$CHECK_DIR/meta/sick.c" "$out/meta/"
	echo 'obj-m := sick.o' > "$out/meta/Kbuild"
	make -C "$DEBUG" M="$out/meta" modules
}

# A machine with all of the bugs.
sick_machine()
{
	local rc=0

	"$RUN" -n -q -m 1G -t 900 -o "$out/meta" -- "$CHECK_DIR/guest-sick.sh" \
		"$out/meta/sick.ko" "${bugs[@]%% *}" > "$out/meta/log" 2>&1 || rc=$?
	echo $rc > "$out/meta/machine.rc"
}

# noticed PATTERN: the machine has failed, and for this alone it would have; debug objects
# explain themselves in a line before the warning's
noticed()
{
	[ "$(cat "$out/meta/machine.rc")" = 125 ] &&
		cat "$out"/meta/{console,dmesg}.log 2>/dev/null | grep -aE -A1 "$1" |
		grep -qE "$VM_SPLAT"
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out" "$RELIABILITY/check-debug-$flavour.json"
mkdir -p "$out"

echo "TAP version 13"
step kernel tools/testing/vm/x86-build.sh "$kernel"
DEBUG=$(tools/testing/vm/x86-build.sh "$kernel") || exit 1
# Detectors of hangs must not take an emulated machine that is slow for one.
export VM_KERNEL=$DEBUG/image VM_APPEND='sysctl.kernel.watchdog_thresh=60'
# Every so many accesses of our modules one is watched.
[ "$flavour" != kcsan ] || VM_APPEND+=' kcsan.skip_watch=1000'
build_with_kunit "$DEBUG" KCOV_INSTRUMENT=y
step programs make programs
step meta_module meta_module

RUN_FLAGS=(-M "$out/modules")
first=(sick_machine kunit_first)
start_selftests
wait
for bug in "${bugs[@]}"; do
	if noticed "${bug#* }"; then
		result ok "$flavour:${bug%% *}.noticed"
	else
		result not "$flavour:${bug%% *}.noticed" "see $out/meta/console.log"
	fi
done
collect_selftests
judge_kunit "$out/results"
# KCSAN's kernel has no kmemleak.
[ "$flavour" != kasan ] || export LEAKS=y
"$CHECK_DIR/reliability.sh" "check-debug-$flavour" "$out" || result not counts

echo "1..$NUMBER"
totals
