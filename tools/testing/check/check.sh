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

echo "TAP version 13"
step kernel tools/testing/vm/kernel.sh all
step modules make modules W=1
step programs make programs
# Emulated machines wait as much as they compute: all at once.
start static tools/testing/check/static.sh
start runner tools/testing/vm/selftest.sh
start_selftests
wait
collect static
collect runner
collect_selftests

echo "1..$NUMBER"
totals
