#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-mutants: prove that the tests notice planted defects.
# mutants.sh [PATCH...], default mutants/*.patch, or those of which MUTANTS has the name
# or a pattern: MUTANTS='[1-4]*' is some of the work, and can be done apart from the rest.
#
# A mutant is a patch whose head names what has to notice it:
#
#	Defect: what is wrong now, in a few words
#	Kernel: uml or debian; uml if not said, which is quick
#	Test: PROGRAM [OPTIONS]
#
# with as many Test lines as it takes; one that fails, a panic and a hang all
# count as noticed. The tests of all mutants first have to pass without any.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/mutants
limit=${MUTANT_TIMEOUT:-45}
kinds=(uml debian) workers=2

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"
read -ra wanted <<< "${MUTANTS:-*}"
if [ $# -eq 0 ]; then
	mapfile -t patches < <(cd "$CHECK_DIR/mutants" && compgen -G '*.patch' | sort -V)
	for patch in "${patches[@]}"; do
		for pattern in "${wanted[@]}"; do
			# shellcheck disable=SC2053 # it is a pattern
			[[ ${patch%.patch} == $pattern ]] || continue
			set -- "$@" "$CHECK_DIR/mutants/$patch"
			break
		done
	done
fi
[ $# -gt 0 ] || { echo "mutants.sh: there is no ${MUTANTS:-patch}" >&2; exit 1; }

UML=$(tools/testing/vm/uml-build.sh) || exit 1
headers=$(tools/testing/vm/kernel.sh headers) || exit 1
export UML
declare -A kdir=([uml]=$UML [debian]=$headers) arch=([uml]=um [debian]=x86_64)
declare -A run=([uml]=tools/testing/vm/uml.sh [debian]=tools/testing/vm/run.sh)

bail()
{
	tail -n 40 "$1"
	result not "$2"
	totals
	exit 1
}

# build KIND NAME: in one tree for each kind, so that only what a mutant touches is
# compiled anew, into the folder of the worker whose turn it is.
declare -A dir count
names=()
build()
{
	local kind=$1 n=${count[$1]:-0}
	local place=$out/$kind$((n % workers))/$2

	mkdir -p "$place"
	make do-modules LINKED= KDIR="${kdir[$kind]}" ARCH="${arch[$kind]}" \
		FARM="$out/src-$kind" MODULES="$place/modules" \
		> "$out/$2.log" 2>&1 || return 1
	count[$kind]=$((n + 1))
	names+=("$2")
	dir[$2]=$place
}

sources=(Kbuild Kconfig compat include drivers samples)

# plant KIND NAME PATCH: build it, and leave the tree as it was
plant()
{
	local src=$out/src-$1

	if ! patch -d "$src" -p1 -N -F0 --no-backup-if-mismatch < "$3" > "$out/$2.log" 2>&1; then
		result not "mutant:$2" "does not apply"
		sed 's/^/# /' "$out/$2.log"
		cp -r "${sources[@]}" "$src/"
		return
	fi
	if build "$1" "$2"; then
		cp "$out/$2.tests" "${dir[$2]}/tests"
		cat "$out/$2.tests" >> "$out/$1.tests"
	else
		result not "mutant:$2" "does not build, see $out/$2.log"
	fi
	patch -d "$src" -p1 -R -F0 --no-backup-if-mismatch < "$3" > /dev/null
}

echo "TAP version 13"
make programs > "$out/programs.log" 2>&1 || bail "$out/programs.log" mutants:programs
for kind in "${kinds[@]}"; do
	mkdir "$out/src-$kind"
	cp -r "${sources[@]}" "$out/src-$kind/"
	build "$kind" "00-$kind" || bail "$out/00-$kind.log" "mutants:modules-$kind"
	: > "$out/$kind.tests"
done

for patch; do
	name=$(basename "$patch" .patch)
	patch=$(realpath "$patch")
	kind=$(sed -n 's/^Kernel: *//p' "$patch")
	kind=${kind:-uml}
	sed -n 's/^Test: *//p' "$patch" > "$out/$name.tests"
	if ! [ -s "$out/$name.tests" ]; then
		result not "mutant:$name" "has no Test line"
	elif [ -z "${kdir[$kind]:-}" ]; then
		result not "mutant:$name" "is for kernel $kind, which is none"
	else
		plant "$kind" "$name" "$patch"
	fi
done
for kind in "${kinds[@]}"; do
	sort -u "$out/$kind.tests" > "${dir[00-$kind]}/tests"
	# Without a mutant of its own it is not needed.
	[ -s "${dir[00-$kind]}/tests" ] || rm -r "${dir[00-$kind]}"
done

# worker KIND FOLDER: in as few boots as it takes. A mutant that ends the machine is
# noticed; the others go on in a new one.
worker()
{
	local name left rc

	while :; do
		left=()
		for name in "$2"/*/; do
			name=$(basename "$name")
			[ ! -d "$2/$name" ] || [ -e "$2/$name/verdict" ] || left+=("$name")
		done
		[ ${#left[@]} -gt 0 ] || return 0
		rc=0
		"${run[$1]}" -q -n -t $((60 + (limit * 3 + 60) * ${#left[@]})) -o "$2" -- \
			"$CHECK_DIR/guest-mutants.sh" "$BIN" "$limit" \
			"${left[@]}" > "$2/log" 2>&1 || rc=$?
		# It may have ended by itself, to go on with a clean machine.
		[ $rc -ne 0 ] || continue
		for name in "${left[@]}"; do
			[ -e "$2/$name/verdict" ] && continue
			cp "$2/console.log" "$2/$name/"
			if [ -e "$2/$name/started" ] &&
			   grep -qaE "$VM_SPLAT" "$2/$name/console.log"; then
				echo "noticed: the machine died with it" \
					> "$2/$name/verdict"
			elif [ -e "$2/$name/again" ]; then
				echo "no machine, status $rc" > "$2/$name/verdict"
			fi
			: > "$2/$name/again"
			break
		done
	done
}

# Two at a time, the slow ones from the beginning.
for ((i = 0; i < workers; i++)); do
	{ worker debian "$out/debian$i"; worker uml "$out/uml$i"; } &
done
wait

for name in "${names[@]}"; do
	[ -d "${dir[$name]}" ] || continue
	read -r verdict < "${dir[$name]}/verdict"
	what=$(sed -n 's/^Defect: *//p' "$CHECK_DIR/mutants/$name.patch" 2>/dev/null)
	case $name:$verdict in
	00-*:survived)
		result ok "mutant:$name" ;;
	00-*)
		sed 's/^/# /' "${dir[$name]}"/*.tap
		result not "mutant:$name" "all tests have to pass: $verdict" ;;
	*:noticed*)
		echo "# $what: $verdict"
		result ok "mutant:$name" ;;
	*)
		result not "mutant:$name" "$verdict ($what)" ;;
	esac
done
echo "1..$NUMBER"
totals
