#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make reliability: print build/reliability.json, and hold against it what has to be
# so. What nobody has looked for is null there, and no proof of anything.
# Prints KTAP as check.sh does.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
all=$TOP/build/reliability.json

# holds KEY CONDITION
holds()
{
	local value

	value=$(jq -r ".$1" "$all")
	if jq -e ".$1 | type == \"number\" and . $2" "$all" > /dev/null; then
		result ok "reliability:$1"
	else
		result not "reliability:$1" "it is $value, and not $2"
	fi
}

"$CHECK_DIR/reliability.sh" || { echo "reliable.sh: run the checks first" >&2; exit 1; }
echo "TAP version 13"
jq -c 'del(.targets)' "$all" | sed 's/^/# /'
for key in splats leaks lost_bytes; do
	holds $key '== 0'
done
for key in fail_nth_points fault_runs reset_points kill_points signal_points \
	   race_rounds stream_mutations fuzz_execs model_states; do
	holds $key '> 0'
done
holds line_coverage '>= 95'
holds branch_coverage '>= 85'
echo "1..$NUMBER"
totals
