#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check: builds, static checks, the VM runner's own test, and all
# selftests on Debian's kernel. Everything is KTAP, the last line counts it.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

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

echo "TAP version 13"
step kernel tools/testing/vm/kernel.sh all
step modules make modules W=1
step programs make programs
read -ra programs < <(make -s -C "$SELFTESTS" list)
[ ${#programs[@]} -gt 0 ] || result not selftests:list none
# Scripts take longest, so they go first.
mapfile -t programs < <(printf '%s\n' "${programs[@]}" | sort -r -t. -k2)
mkdir -p "$out/selftests"

# Emulated machines wait as much as they compute: all at once.
start static tools/testing/check/static.sh
start runner tools/testing/vm/selftest.sh
echo "# selftests: ${programs[*]}"
for machine in 1 2; do
	run_tests $machine "$out/selftests" "${TEST_TIMEOUT:-400}" \
		"${programs[@]}" &
done
wait
collect static
collect runner
for failed in "$out"/selftests/machine*.failed; do
	[ -e "$failed" ] || continue
	result not "selftests:$(basename "$failed" .failed)" \
		"status $(cat "$failed"), see $out/selftests/console*.log"
done
for program in "${programs[@]}"; do
	tap=$out/selftests/$program.tap
	rc=$(cat "$out/selftests/$program.rc" 2>/dev/null || echo none)
	[ -e "$tap" ] || : > "$tap"
	case $rc in 0 | 4) ;; *) sed 's/^/# /' "$tap" ;; esac
	results "$tap" "$program" "$rc"
done

echo "1..$NUMBER"
totals
