#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make kunit: the core's unit tests on the newest kernel as User Mode Linux.
# Prints what KUnit said, then all results as KTAP and the counts. That a
# failing test and a module without suites are noticed is a result too.

VM=$(dirname "$(realpath "$0")")/../vm/uml.sh
# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/kunit

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

# notices NAME COUNTS: a bad module of meta/ fails, as the counts say
notices()
{
	local dir=$out/meta_$1 said
	local PASSED=0 FAILED=0 SKIPPED=0 NUMBER=0

	said=$(run_kunit "$dir" "$dir/$1.ko" && totals)
	[ "${said##*$'\n'}" = "$2" ] && return
	echo "# ${said//$'\n'/$'\n'# }"
	return 1
}

meta_module()
{
	mkdir -p "$out/meta_$1"
	cp "$CHECK_DIR/meta/$1.c" "$out/meta_$1/"
	echo "obj-m := $1.o" > "$out/meta_$1/Kbuild"
	make -C "$UML" M="$out/meta_$1" ARCH=um modules
}

echo "TAP version 13"
step kernel tools/testing/vm/uml-build.sh
UML=$(tools/testing/vm/uml-build.sh) || exit 1
export UML
build_with_kunit "$UML" ARCH=um
for meta in 'kunit_failing 2 passed, 1 failed, 0 skipped' \
	    'kunit_empty 0 passed, 1 failed, 0 skipped'; do
	name=${meta%% *}
	step "$name" meta_module "$name"
	kind=not
	notices "$name" "${meta#* }" && kind=ok
	result $kind "kunit:$name.noticed"
done
start=$SECONDS
run_kunit "$out/results" "$out/modules/vfio-migration.ko" \
	"$out/kunit/vfio-migration-kunit.ko"
echo "# $((SECONDS - start)) s"

echo "1..$NUMBER"
totals
