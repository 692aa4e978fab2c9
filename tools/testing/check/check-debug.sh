#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-debug: all selftests and the unit tests in QEMU on the newest kernel with
# what finds bugs, FLAVOUR=kasan: KASAN, UBSAN, lockdep, kmemleak, fault injection
# (default); FLAVOUR=kcsan: KCSAN, for races of our functions alone. Any complaint of
# that kernel fails it; that it would complain is tried first, by a module that has
# one bug after the other. TESTS= names some programs instead of all. Prints KTAP as
# check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
flavour=${FLAVOUR:-kasan}
out=$TOP/build/check-debug/$flavour
TEST_TIMEOUT=${TEST_TIMEOUT:-900} KUNIT_TIMEOUT=${KUNIT_TIMEOUT:-1200}
EXPECTED_SKIPS=${EXPECTED_SKIPS:-$SELFTESTS/expected-skips.$flavour}
# This part of the rounds of tests that repeat something: a splat comes early.
export VFM_FEWER=${VFM_FEWER:-10}

# Bugs of meta/sick.c, and what the kernel has to say of each.
case $flavour in
kasan)
	kernel=kasan
	bugs=(
		'use_after_free KASAN: slab-use-after-free'
		'page KASAN: use-after-free'
		'leak kmemleak: [0-9]+ new suspected memory leaks'
		'lock possible circular locking dependency'
		'sleep sleeping function called from invalid context'
		'bounds UBSAN: array-index-out-of-bounds'
		'object ODEBUG: free active'
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

# notices NAME PATTERN: the run fails, and because of that; or, of "nothing", passes
notices()
{
	local dir=$out/meta/$1 rc=0

	mkdir -p "$dir"
	# It takes a while to search all memory for leaks.
	[ "$1" = leak ] || export VM_NO_LEAKS=1
	"$RUN" -n -m 1G -t 600 -o "$dir" -- "$CHECK_DIR/guest-sick.sh" \
		"$out/meta/sick.ko" "$1" > "$dir/log" 2>&1 || rc=$?
	echo $rc > "$dir/rc"
	if [ "$1" = nothing ]; then
		[ $rc -eq 0 ]
	else
		[ $rc -eq 125 ] && grep -qE "$2" "$dir/log"
	fi
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out" "build/reliability/check-debug-$flavour.json"
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

echo "# bugs that have to be noticed, and that it is the bugs that are"
bugs=(nothing "${bugs[@]}")
for bug in "${bugs[@]}"; do
	while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
		wait -n
	done
	{ notices "${bug%% *}" "${bug#* }" && : > "$out/meta/${bug%% *}/noticed"; } &
done
wait
for bug in "${bugs[@]}"; do
	dir=$out/meta/${bug%% *}
	if [ -e "$dir/noticed" ]; then
		result ok "$flavour:${bug%% *}.noticed"
	else
		tail -n 40 "$dir/log"
		result not "$flavour:${bug%% *}.noticed" "status $(cat "$dir/rc")"
	fi
done

RUN_FLAGS=(-M "$out/modules")
start_selftests
wait
collect_selftests
run_kunit "$out/results" "$out/modules/vfio-migration.ko" \
	"$out/kunit/vfio-migration-kunit.ko"
# KCSAN's kernel has no kmemleak.
[ "$flavour" != kasan ] || export LEAKS=y
"$CHECK_DIR/reliability.sh" "check-debug-$flavour" "$out" || result not counts

echo "1..$NUMBER"
totals
