# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What .ci/run and check-all.sh share: a make target with a limit, and its counts.

# run_target SECONDS LOG TARGET [VARIABLE=VALUE...]: "make TARGET ...", ended after so
# many seconds. Sets passed, failed, skipped and seconds. A target that prints no counts
# has failed, and so has one that counts no failure but ends with a status.
# shellcheck disable=SC2034 # for those who source this
run_target()
{
	local limit=$1 log=$2 begun=$SECONDS status
	shift 2

	timeout -k 30 "$limit" make --no-print-directory "$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	seconds=$((SECONDS - begun)) passed=0 failed=0 skipped=0
	if [[ $(grep -E '^[0-9]+ passed' "$log" | tail -n 1) =~ \
	      ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
		passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
		skipped=${BASH_REMATCH[3]}
	elif [ "$status" -eq 0 ]; then
		status="0 without counts"
	fi
	[ "$status" != 0 ] || return 0
	echo "# make $*: status $status after $seconds s" | tee -a "$log"
	[ "$failed" -gt 0 ] || failed=1
}
