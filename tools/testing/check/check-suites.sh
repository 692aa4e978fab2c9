#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-suites: other people's tests of pollable files, on our data fds, in User
# Mode Linux: the kernel's selftests of epoll and some of liburing's, from the
# distribution's packages of source (suites/). Where they ask for a pipe, a pair of
# sockets or an eventfd, a preload gives them a saving device's data fd. What cannot
# apply is skipped, with the reason that suites/not-applicable has; an entry there that
# fits no test has failed. Prints KTAP as check.sh does.

VM=$(dirname "$(realpath "$0")")/../vm/uml.sh
# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-suites
limit=${TEST_TIMEOUT:-300}
list=$CHECK_DIR/suites/not-applicable
programs=(epoll_wakeup_test read-mshot pipe-eof evfd-short-read poll-many
	poll-race-mshot splice)

fetch()
{
	LIBURING=$(tools/testing/vm/suites.sh liburing) &&
		EPOLL=$(tools/testing/vm/suites.sh epoll) &&
		KSFT=$(tools/testing/vm/kernel.sh source)/tools/testing/selftests
}

build()
{
	make -C "$CHECK_DIR/suites" O="$out/suites" KSFT="$KSFT" \
		UAPI="-isystem $TOP/compat/include/uapi" LIBURING="$LIBURING" EPOLL="$EPOLL"
}

# names PROGRAM: of its tests; the harness prints a table with fixtures on the left
names()
{
	"$out/suites/$1" -l 2>&1 | awk '
		/^(#|-)/ { next }
		/^[^ ]/ { fixture = $1; $1 = "" }
		NF && $NF != "" { print fixture "." $NF }'
}

# leave_out PATTERN REASON...: the tests that it fits, of whichever program
leave_out()
{
	local pattern=$1 program name found=
	shift

	for program in "${programs[@]}"; do
		while read -r name; do
			# shellcheck disable=SC2053 # it is a pattern
			[[ $program:$name == $pattern ]] || continue
			found=1
			grep -qx "${name#*.}" "$out/suites/$program.skip" && continue
			echo "${name#*.}" >> "$out/suites/$program.skip"
			result skip "$program:$name" "$*"
		done < <(names "$program")
	done
	[ -n "$found" ] || result not "suites:$pattern" "fits no test"
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out/suites"

echo "TAP version 13"
step kernel tools/testing/vm/uml-build.sh
UML=$(tools/testing/vm/uml-build.sh) || exit 1
export UML
step modules make modules KDIR="$UML" ARCH=um
step sources fetch
step suites build

for program in "${programs[@]}"; do
	: > "$out/suites/$program.skip"
done
while read -r pattern reason; do
	case $pattern in '' | '#'*) continue ;; esac
	leave_out "$pattern" "$reason"
done < "$list"

rc=0
"$RUN" -t $((60 + limit * ${#programs[@]})) -o "$out" -- \
	"$CHECK_DIR/guest-suites.sh" "$out/suites" "$limit" > "$out/log" 2>&1 || rc=$?
[ $rc -eq 0 ] || result not suites:machine "status $rc, see $out/log"
# None of what was not left out may be skipped.
EXPECTED_SKIPS=/dev/null
for program in "${programs[@]}"; do
	tap=$out/$program.tap
	[ -e "$tap" ] || : > "$tap"
	rc=$(cat "$out/$program.rc" 2>/dev/null || echo none)
	case $rc in 0 | 4) ;; *) sed 's/^/# /' "$tap" ;; esac
	results "$tap" "$program" "$rc"
done

echo "1..$NUMBER"
totals
