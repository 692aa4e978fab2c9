#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-sick.sh SICK.KO BUG..., see meta/sick.c. Where there are several
# bugs, the machine has to go on after each of them.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"
module=$1
shift

[ $# -eq 1 ] || sysctl -q kernel.panic_on_warn=0 || exit
for bug; do
	insmod "$module" what="$bug" &
	# It is not loaded until it is through with its bug, but its functions are known.
	[ ! -e /sys/kernel/debug/kcsan ] || sleep 3
	watch_races sick
	wait
	rmmod sick || exit
done
