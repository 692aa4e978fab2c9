#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-uml: all selftests on the newest kernel as User Mode Linux, where
# devices are opened by cdev and iommufd. Prints KTAP as check.sh does.

VM=$(dirname "$(realpath "$0")")/../vm/uml.sh
# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-uml
EXPECTED_SKIPS=${EXPECTED_SKIPS:-$SELFTESTS/expected-skips.uml}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out" "$RELIABILITY/check-uml.json"
mkdir -p "$out"

echo "TAP version 13"
step kernel tools/testing/vm/uml-build.sh
# What it says before it is its progress, if there was anything to do.
UML=$(tools/testing/vm/uml-build.sh) || exit 1
export UML
quiet_step modules make modules KDIR="$UML" ARCH=um W=1 KCOV_INSTRUMENT=y
step programs make programs
start runner env KDIR="$UML" ARCH=um tools/testing/vm/selftest.sh "$RUN"
start_selftests
wait
collect runner
collect_selftests
"$CHECK_DIR/reliability.sh" check-uml "$out" ||
	result not counts

echo "1..$NUMBER"
totals
