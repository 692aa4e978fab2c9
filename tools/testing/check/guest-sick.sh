#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-sick.sh SICK.KO BUG, see meta/sick.c.

# shellcheck source=tools/testing/check/guest-lib.sh
. "$(dirname "$0")/guest-lib.sh"

insmod "$1" what="$2" &
# It is not loaded until it is through with its bug, but its functions are known.
sleep 3
watch_races sick
wait
