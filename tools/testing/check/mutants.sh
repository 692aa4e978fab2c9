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
limit=${MUTANT_TIMEOUT:-60}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$src" "$out/run"
[ $# -gt 0 ] || set -- "$CHECK_DIR"/mutants/*.patch

kdir=${KDIR:-$(tools/testing/vm/kernel.sh headers)} || exit 1

# One tree in which a mutant at a time is built: only what it touches is
# compiled anew.
build()
{
	make do-modules LINKED= KDIR="$kdir" FARM="$src" \
		MODULES="$out/run/$1/modules" > "$out/$1.log" 2>&1
}

bail()
{
	tail -n 40 "$1"
	result not mutants:build
	totals
	exit 1
}

echo "TAP version 13"
cp -r Kbuild Kconfig compat include drivers samples "$src/"
build 00-none || bail "$out/00-none.log"
make programs > "$out/programs.log" 2>&1 || bail "$out/programs.log"

names=(00-none)
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
		rm -rf "${src:?}"/{drivers,include,samples}
		cp -r include drivers samples "$src/"
	else
		if build "$name"; then
			names+=("$name")
			cp "$out/$name.tests" "$out/run/$name/tests"
		else
			result not "mutant:$name" "does not build, see $out/$name.log"
		fi
		patch -d "$src" -p1 -R -F0 --no-backup-if-mismatch \
			< "$patch" > /dev/null
	fi
done
sort -u "$out/all.tests" > "$out/run/00-none/tests"

# A mutant that ends the machine is noticed; the others go on in a new one.
while :; do
	left=()
	for name in "${names[@]}"; do
		[ -e "$out/run/$name/verdict" ] || left+=("$name")
	done
	[ ${#left[@]} -gt 0 ] || break
	rc=0
	"$RUN" -q -n -t $((60 + limit * 2 * ${#left[@]})) -o "$out/run" -- \
		"$CHECK_DIR/guest-mutants.sh" "$BIN" "$limit" "${left[@]}" || rc=$?
	for name in "${left[@]}"; do
		[ -e "$out/run/$name/verdict" ] && continue
		if [ -e "$out/run/$name/started" ]; then
			cp "$out/run/console.log" "$out/run/$name/"
			echo "noticed: the machine died with it (status $rc)" \
				> "$out/run/$name/verdict"
		elif [ "$rc" -eq 0 ]; then
			# It ended by itself, to begin again with a clean one.
			break
		else
			cat "$out/run/console.log"
			result not mutants:machine "status $rc"
			totals
			exit 1
		fi
		break
	done
done

for name in "${names[@]}"; do
	read -r verdict < "$out/run/$name/verdict"
	what=$(sed -n 's/^Defect: *//p' "$CHECK_DIR/mutants/$name.patch" 2>/dev/null)
	case $name:$verdict in
	00-none:survived*)
		result ok mutant:none "passes all their tests" ;;
	00-none:*)
		cat "$out/run/$name"/*.tap
		result not mutant:none "$verdict" ;;
	*:noticed*)
		echo "# $what: $verdict"
		result ok "mutant:$name" ;;
	*)
		result not "mutant:$name" "$verdict ($what)" ;;
	esac
done
echo "1..$NUMBER"
totals
