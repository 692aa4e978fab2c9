#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-kasan: all selftests and the unit tests in QEMU on the newest
# kernel with KASAN, UBSAN, lockdep and kmemleak. Any complaint of that kernel
# fails it; that it would complain is tried first, by a module that has one bug
# after the other. Prints KTAP as check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-kasan
TEST_TIMEOUT=${TEST_TIMEOUT:-900} KUNIT_TIMEOUT=${KUNIT_TIMEOUT:-1200}
EXPECTED_SKIPS=${EXPECTED_SKIPS:-$SELFTESTS/expected-skips.kasan}
# Of migsim_token_test, which has 200 elsewhere: a splat comes early.
export VFM_ROUNDS=${VFM_ROUNDS:-20}

# Bugs of meta/sick.c, and what the kernel has to say of each.
bugs=(
	'use_after_free KASAN: slab-use-after-free'
	'page KASAN: use-after-free'
	'leak kmemleak: [0-9]+ new suspected memory leaks'
	'lock possible circular locking dependency'
	'sleep sleeping function called from invalid context'
	'bounds UBSAN: array-index-out-of-bounds'
	'object ODEBUG: free active'
)

meta_module()
{
	mkdir -p "$out/meta"
	cp "$CHECK_DIR/meta/sick.c" "$out/meta/"
	echo 'obj-m := sick.o' > "$out/meta/Kbuild"
	make -C "$KASAN" M="$out/meta" modules
}

# notices NAME PATTERN: the run fails, and because of that
notices()
{
	local dir=$out/meta/$1

	mkdir -p "$dir"
	"$RUN" -n -t 600 -o "$dir" -- insmod "$out/meta/sick.ko" what="$1" \
		> "$dir/log" 2>&1
	echo $? > "$dir/rc"
	[ "$(cat "$dir/rc")" = 125 ] && grep -qE "$2" "$dir/log"
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

echo "TAP version 13"
step kernel tools/testing/vm/x86-build.sh kasan
KASAN=$(tools/testing/vm/x86-build.sh kasan) || exit 1
# Detectors of hangs must not take an emulated machine that is slow for one.
export KASAN VM_KERNEL=$KASAN/image VM_APPEND='sysctl.kernel.watchdog_thresh=60'
build_with_kunit "$KASAN"
step programs make programs
step meta_module meta_module

echo "# bugs that have to be noticed"
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
		result ok "kasan:${bug%% *}.noticed"
	else
		tail -n 40 "$dir/log"
		result not "kasan:${bug%% *}.noticed" "status $(cat "$dir/rc")"
	fi
done

RUN_FLAGS=(-M "$out/modules")
start_selftests
wait
collect_selftests
run_kunit "$out/results" "$out/modules/vfio-migration.ko" \
	"$out/kunit/vfio-migration-kunit.ko"

echo "1..$NUMBER"
totals
