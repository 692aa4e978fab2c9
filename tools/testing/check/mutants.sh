#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-mutants: prove that the tests notice planted defects.
# mutants.sh [PATCH...], default mutants/*.patch.
#
# A mutant is a patch to the core whose head names what has to notice it:
#
#	Defect: what is wrong now, in a few words
#	Test: PROGRAM [OPTIONS]
#
# with as many Test lines as it takes; one that fails, a panic and a hang all
# count as noticed. The tests of all mutants first have to pass without any.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/mutants
src=$out/src
limit=${MUTANT_TIMEOUT:-45}
workers=2

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$src"
[ $# -gt 0 ] || set -- "$CHECK_DIR"/mutants/*.patch

kdir=${KDIR:-$(tools/testing/vm/kernel.sh headers)} || exit 1

bail()
{
	tail -n 40 "$1"
	result not "$2"
	totals
	exit 1
}

# build NAME: in one tree, so that only what a mutant touches is compiled
# anew, into the folder of the worker whose turn it is.
declare -A dir
names=()
build()
{
	local place=$out/worker$((${#names[@]} % workers))/$1

	mkdir -p "$place"
	make do-modules LINKED= KDIR="$kdir" FARM="$src" \
		MODULES="$place/modules" > "$out/$1.log" 2>&1 || return 1
	names+=("$1")
	dir[$1]=$place
}

echo "TAP version 13"
cp -r Kbuild Kconfig compat include drivers samples "$src/"
build 00-none || bail "$out/00-none.log" mutants:modules
make programs > "$out/programs.log" 2>&1 || bail "$out/programs.log" mutants:programs

for patch; do
	name=$(basename "$patch" .patch)
	patch=$(realpath "$patch")
	sed -n 's/^Test: *//p' "$patch" > "$out/$name.tests"
	cat "$out/$name.tests" >> "$out/all.tests"
	if ! [ -s "$out/$name.tests" ]; then
		result not "mutant:$name" "has no Test line"
	elif ! patch -d "$src" -p1 -N -F0 --no-backup-if-mismatch \
			< "$patch" > "$out/$name.log" 2>&1; then
		result not "mutant:$name" "does not apply"
		sed 's/^/# /' "$out/$name.log"
		cp -r drivers include samples "$src/"
	else
		if build "$name"; then
			cp "$out/$name.tests" "${dir[$name]}/tests"
		else
			result not "mutant:$name" "does not build, see $out/$name.log"
		fi
		patch -d "$src" -p1 -R -F0 --no-backup-if-mismatch \
			< "$patch" > /dev/null
	fi
done
sort -u "$out/all.tests" > "${dir[00-none]}/tests"

# worker FOLDER: in as few boots as it takes. A mutant that ends the machine is
# noticed; the others go on in a new one.
worker()
{
	local name left rc

	while :; do
		left=()
		for name in "$1"/*/; do
			name=$(basename "$name")
			[ -e "$1/$name/verdict" ] || left+=("$name")
		done
		[ ${#left[@]} -gt 0 ] || return 0
		rc=0
		"$RUN" -q -n -t $((60 + (limit * 3 + 60) * ${#left[@]})) -o "$1" -- \
			"$CHECK_DIR/guest-mutants.sh" "$BIN" "$limit" \
			"${left[@]}" > "$1/log" 2>&1 || rc=$?
		# It may have ended by itself, to go on with a clean machine.
		[ $rc -ne 0 ] || continue
		for name in "${left[@]}"; do
			[ -e "$1/$name/verdict" ] && continue
			cp "$1/console.log" "$1/$name/"
			if [ -e "$1/$name/started" ] &&
			   grep -qaE "$VM_SPLAT" "$1/$name/console.log"; then
				echo "noticed: the machine died with it" \
					> "$1/$name/verdict"
			elif [ -e "$1/$name/again" ]; then
				echo "no machine, status $rc" > "$1/$name/verdict"
			fi
			: > "$1/$name/again"
			break
		done
	done
}

for ((i = 0; i < workers; i++)); do
	worker "$out/worker$i" &
done
wait

for name in "${names[@]}"; do
	read -r verdict < "${dir[$name]}/verdict"
	what=$(sed -n 's/^Defect: *//p' "$CHECK_DIR/mutants/$name.patch" 2>/dev/null)
	case $name:$verdict in
	00-none:survived)
		result ok mutant:none ;;
	00-none:*)
		sed 's/^/# /' "${dir[$name]}"/*.tap
		result not mutant:none "all tests have to pass: $verdict" ;;
	*:noticed*)
		echo "# $what: $verdict"
		result ok "mutant:$name" ;;
	*)
		result not "mutant:$name" "$verdict ($what)" ;;
	esac
done
echo "1..$NUMBER"
totals
