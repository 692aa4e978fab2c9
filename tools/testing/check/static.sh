#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The checks that need no kernel to run on. Every checker first has to find
# fault with a file of meta/ that is known to be bad: a checker that is
# switched off, silently or not, finds nothing and would pass for ever.
# Prints KTAP; what a failing check said is above its line.

cd "$(dirname "$0")/../../.." || exit 1
meta=tools/testing/check/meta
work=$PWD/build/static
selftests=tools/testing/selftests/vfio/migration
fsm=Documentation/driver-api/vfio-migration-fsm
libvirt=Documentation/driver-api/migsim-libvirt.rst
rm -rf "$work"
mkdir -p "$work"

src=$(tools/testing/vm/kernel.sh source) || exit 1
kdir=$(tools/testing/vm/kernel.sh headers) || exit 1

# files PATTERN DIR...: ours, wherever the tree came from
files()
{
	local pattern=$1
	shift

	{
		git ls-files -co --exclude-standard -- "$@" 2>/dev/null ||
			find "$@" -type f -not -path './build/*'
	} | sed 's,^\./,,' | grep -E "$pattern" | grep -v "^$meta/" | sort | while read -r f; do
		[ -f "$f" ] && echo "$f"
	done
}

mapfile -t kernel < <(files '\.[ch]$' drivers include samples/vfio-mdev \
	tools/testing/bench/kernel)
mapfile -t compat < <(cd compat && find include -name '*.h')
mutants=(tools/testing/check/mutants/*.patch)
mapfile -t pages < <(files '\.rst$' .)
mapfile -t scripts < <(files '\.sh$|^\.ci/run$' .)

# The kernel's own names may be camels.
camels='Avoid CamelCase: <VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2>'
# Tracepoints are laid out like structures, everywhere in the kernel.
layout='/trace\.h:[0-9]*: CHECK:(PARENTHESIS_ALIGNMENT|OPEN_ENDED_LINE)'

checkpatch()
{
	local out

	out=$(perl "$src/scripts/checkpatch.pl" --strict --no-tree --root=. --no-summary \
		--terse --show-types -f "$@" 2>&1 | grep -vE "$camels|$layout")
	rm -f .checkpatch-camelcase.*
	[ -z "$out" ] || { echo "$out"; return 1; }
}

# Headers in compat/include/uapi obey the rules of include/uapi.
checkpatch_all()
{
	checkpatch "${kernel[@]}" && (cd compat && checkpatch "${compat[@]}")
}

kdoc()
{
	local out

	out=$(perl "$src/scripts/kernel-doc" -none "$@" 2>&1)
	[ -z "$out" ] || { echo "$out"; return 1; }
}

# What drivers are written against has to be described to the last detail.
kdoc_all()
{
	kdoc "${kernel[@]}" && kdoc -Wall include/linux/*.h
}

# build COMMAND...: as users do, and nothing may have been said about it
build()
{
	local out rc

	out=$("$@" 2>&1)
	rc=$?
	[ "$rc" -eq 0 ] || echo "$out" | tail -n 40
	echo "$out" | grep -A4 -E 'warning:|error:|WARNING' && return 1
	return "$rc"
}

build_meta()
{
	mkdir -p "$work/$1"
	cp "$meta/$1.c" "$work/$1/"
	echo "obj-m := $1.o" > "$work/$1/Kbuild"
	build make -C "$kdir" M="$work/$1" CONFIG_DEBUG_INFO_BTF_MODULES= \
		"${@:2}" modules
}

build_all()
{
	build make bench-modules KDIR="$kdir" FARM="$work/all" \
		MODULES="$work/modules" W=1 C=2
}

spdx()
{
	local f bad=0

	for f in "${kernel[@]}" "${scripts[@]}" Kbuild Makefile Kconfig; do
		head -n 2 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0' ||
			{ echo "$f: no SPDX line"; bad=1; }
	done
	return "$bad"
}

# graphs TEXT DOT: what the documentation shows is what the audit tool prints
graphs()
{
	local bin=$work/bin

	make -s -C "$selftests" O="$bin" KSFT="$src/tools/testing/selftests" \
		"$bin/fsm_graph" || return 1
	"$bin/fsm_graph" -b -s full | diff -u "$1" - &&
		"$bin/fsm_graph" -b -s full -d | diff -u "$2" -
}

# A single state of a path is another, here and there.
graphs_can_fail()
{
	sed '/ RUNNING -> STOP  /s/RUNNING_P2P, //' \
		"$fsm.txt" > "$work/stale.txt"
	sed 's/arc_RUNNING -> arc_RUNNING_P2P;/arc_RUNNING -> arc_STOP;/' \
		"$fsm.dot" > "$work/stale.dot"
	fails graphs "$work/stale.txt" "$fsm.dot" &&
		fails graphs "$fsm.txt" "$work/stale.dot"
}

# apply PATCH...: each to the tree as it is
apply()
{
	local patch out bad=0

	for patch; do
		out=$(patch -p1 -N -F0 --dry-run < "$patch" 2>&1) ||
			{ echo "$patch does not apply: $out"; bad=1; }
	done
	return "$bad"
}

# A removed line is another.
apply_can_fail()
{
	sed '/^---/!s/^-\(.*\)$/-\1 /' "$1" > "$work/stale.patch"
	fails apply "$work/stale.patch"
}

rst() { tools/testing/check/rst.py "$@"; }

rst_can_fail()
{
	fails rst "$meta/table.rst" && fails rst "$meta/title.rst"
}

# block N: of the XML for libvirt that is documented
block()
{
	awk -v n="$1" -v kind=xml -f tools/testing/check/rst-block.awk "$libvirt"
}

# schema NAME: whether libvirt takes what is on stdin
schema()
{
	xmllint --noout --relaxng "/usr/share/libvirt/schemas/$1.rng" -
}

libvirt_xml() { block 1 | schema nodedev && block 2 | schema domain; }

# An element and an attribute have other names.
libvirt_xml_can_fail()
{
	block 1 | sed 's/uuid>/id>/g' | fails schema nodedev &&
		block 2 | sed 's/<address uuid=/<address id=/' |
		fails schema domain && block 3 | fails schema domain
}

n=0 failed=0
# check NAME COMMAND...: an ordinary check
check()
{
	local name=$1 out
	shift

	n=$((n + 1))
	if out=$("$@" 2>&1); then
		echo "ok $n static.$name"
	else
		[ -z "$out" ] || echo "# ${out//$'\n'/$'\n# '}"
		echo "not ok $n static.$name"
		failed=1
	fi
}

fails() { ! "$@"; }

# count STATUS WANTED: what becomes of the KTAP on stdin
count()
{
	local got

	got=$(awk -v program=p -v rc="$1" -f tools/testing/check/tap.awk |
		awk '{ n[$1]++ } END { print n["ok"]+0, n["not"]+0, n["skip"]+0 }')
	[ "$got" = "$2" ] || { echo "got $got, wanted $2"; return 1; }
}

# ok, not ok and skipped, as check.sh counts them
counting()
{
	printf '1..2\nok 1 a\nok 2 b\n' | count 0 '2 0 0' &&
	printf '1..2\nok 1 a\nnot ok 2 b\n' | count 1 '1 1 0' &&
	printf '1..2\nok 1 a # SKIP why\nok 2 b\n' | count 0 '1 0 1' &&
	printf '1..0 # SKIP nothing here\n' | count 4 '0 0 1' &&
	printf '1..0\n' | count 0 '0 1 0' &&
	printf '1..3\nok 1 a\nok 2 b\n' | count 0 '2 1 0' &&
	printf '1..1\nok 1 a\n' | count 1 '1 1 0' &&
	printf '1..1\nok 1 a\n' | count 125 '1 1 0' &&
	printf 'Segmentation fault\n' | count 139 '0 1 0' &&
	printf '' | count 0 '0 1 0'
}

echo "TAP version 13"
echo "1..20"
check checkpatch_can_fail fails checkpatch $meta/style.c
check kernel_doc_can_fail fails kdoc $meta/kdoc.c
check sparse_can_fail fails build_meta sparse C=2
check w1_can_fail fails build_meta warning W=1
check good_builds_pass build_meta warning W=
check shellcheck_can_fail fails shellcheck $meta/shell.sh
check rst_can_fail rst_can_fail
check graphs_can_fail graphs_can_fail
check counting counting
check libvirt_xml_can_fail libvirt_xml_can_fail
check mutants_can_fail apply_can_fail "${mutants[0]}"
check spdx spdx
check checkpatch checkpatch_all
check kernel_doc kdoc_all
check shellcheck shellcheck "${scripts[@]}"
check rst rst "${pages[@]}"
check mutants apply "${mutants[@]}"
check graphs graphs "$fsm.txt" "$fsm.dot"
check libvirt_xml libvirt_xml
check build_w1_sparse build_all
exit $failed
