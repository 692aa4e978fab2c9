# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the scripts inside the guest share.

# watch_races MODULE...: switch KCSAN on, where there is one, for the functions of these
# modules: what else races in the kernel is not for us to find.
watch_races()
{
	local kcsan=/sys/kernel/debug/kcsan name

	[ -w $kcsan ] || return 0
	echo whitelist > $kcsan
	# Some that the compiler has made cannot be looked up.
	awk -v modules="$*" '
		BEGIN { n = split(modules, m); for (; n; n--) ours["[" m[n] "]"] }
		$2 ~ /[tT]/ && $4 in ours { print $3 }' /proc/kallsyms |
		while read -r name; do
			echo "!$name" 2>/dev/null > $kcsan
		done
	echo on > $kcsan
}

# save_counters FOLDER: of a core that was built with gcov
save_counters()
{
	local file

	find /sys/kernel/debug/gcov -path '*/drivers/vfio/migration/*.gcda' \
		-not -path '*/tests/*' 2>/dev/null |
		while read -r file; do
			mkdir -p "$1"
			cat "$file" > "$1/${file##*/}"
		done
}

# start_trace: of our tracepoints, by the clock that orders the events of two CPUs
start_trace()
{
	local dir=/sys/kernel/tracing/instances/check

	mkdir "$dir" && echo counter > $dir/trace_clock &&
		echo 32768 > $dir/buffer_size_kb &&
		echo 1 > $dir/events/vfio_migration/enable
}

# save_trace FILE: and no more of it
save_trace()
{
	local dir=/sys/kernel/tracing/instances/check

	echo 0 > $dir/tracing_on
	cat $dir/trace > "$1"
	rmdir $dir
}

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
