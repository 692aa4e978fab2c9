# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts inside the guest share.

# run_test SECONDS NAME PROGRAM OPTIONS...: output to NAME.tap; nothing of it is
# left afterwards. A test that was killed leaves children behind, in process
# groups of their own, but they cannot leave the session.
run_test()
{
	local limit=$1 name=$2 rc=0 sid
	shift 2

	# shellcheck disable=SC2016 # that shell expands
	setsid -w bash -c 'echo $$ > "$0"; exec timeout -k 5 "$@"' "$name.sid" \
		"$limit" "$@" > "$name.tap" 2>&1 < /dev/null || rc=$?
	read -r sid < "$name.sid"
	rm "$name.sid"
	pkill -KILL -s "$sid"
	return $rc
}
