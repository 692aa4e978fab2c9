#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-model: search all runs of the model of the core's concurrency, prove
# that the search notices planted mistakes, and that trace_check.py notices traces
# that the automaton does not allow. With ROUNDS=, the model is the bigger one, and
# is searched for cycles as well, which takes long.

# shellcheck source=tools/testing/check/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$TOP" || exit 1
out=$TOP/build/check-model
dir=tools/verification/vfio-migration
dot=tools/verification/models/vfio_migration.dot
traces=$dir/traces

# In Mbytes; the depth is some hundred steps.
memory=3500
depth=100000

# Each, and the configuration in which it does harm soonest.
bugs=(NO_WAKE:KICKS RESET_LOST:RESETS NO_SECOND_LOOK:BUS USE_AFTER_END:RESETS
	TWO_READERS:READERS PURGE_BUSY:CLOSES NO_REF:CLOSES NO_UNDEFER:RESETS
	BUSY_NO_WAKE:SETTERS CLOSE_KEEPS_RESET:BUS_CLOSES)

# verifier NAME CFLAGS DEFINE...: build one in a folder of its own. Its two biggest
# functions take minutes to optimise, and gain nothing by it.
verifier()
{
	local work=$out/$1 cflags=$2
	shift 2

	mkdir -p "$work"
	(cd "$work" && spin -o3 -a "$@" "$TOP/$dir/session.pml" > spin.log 2>&1) || return
	sed -i -E 's/^do_(transit|reverse)\(Trans \*/__attribute__((optimize("O0"))) &/' \
		"$work/pan.c"
	# shellcheck disable=SC2086 # they are several
	gcc $cflags -w -DCOLLAPSE -DVECTORSZ=512 -DMEMLIM=$memory \
		-o "$work/pan" "$work/pan.c" > "$work/gcc.log" 2>&1
}

# search NAME OPTION...: run it
search()
{
	local work=$out/$1
	shift

	(cd "$work" && ./pan -m$depth -w24 "$@" > pan.log 2>&1)
}

# explored NAME: did the search come to its end, without an error?
explored()
{
	local log=$out/$1/pan.log

	grep -q 'errors: 0$' "$log" || { grep -m 2 '^pan:1:' "$log"; return 1; }
	! grep -iE 'not completed|max search depth|out of memory|truncated' "$log"
}

# unreached NAME: code of the model that no run comes to
unreached()
{
	awk -f $dir/unreached.awk <("$out/$1/pan" -d) "$out/$1/pan.log"
}

stored() { awk '/states, stored/ { n += $1 } END { printf "%d", n }' "$out"/good*/pan.log; }

# good NAME CFLAGS DEFINES OPTION...: nothing wrong in any run
good()
{
	local name=$1 cflags=$2 defines=$3
	shift 3

	# shellcheck disable=SC2086 # they may be several
	verifier "$name" "$cflags" $defines && search "$name" "$@"
}

# bug NAME:CONFIGURATION: is it found?
bug()
{
	local name=BUG_${1%:*}

	verifier "$name" "-O0 -DSAFETY" "-D$name" "-DONLY=${1#*:}" &&
		search "$name"
}

judge_good()
{
	local left

	if explored good; then
		result ok model:search
	else
		result not model:search "see $out/good/pan.log"
	fi
	left=$(unreached good)
	if [ -z "$left" ] && grep -q 'unreached in' "$out/good/pan.log"; then
		result ok model:reached
	else
		echo "# ${left//$'\n'/$'\n# '}"
		result not model:reached "parts of the model that never run"
	fi
}

judge_cycles()
{
	if explored good-cycles; then
		result ok model:no_cycles
	else
		result not model:no_cycles "see $out/good-cycles/pan.log"
	fi
}

judge_bugs()
{
	local bug name why

	for bug in "${bugs[@]}"; do
		name=BUG_${bug%:*}
		why=$(sed -n 's/^pan:1: //p' "$out/$name/pan.log" 2>/dev/null)
		if [ -n "$why" ]; then
			echo "# $name: $why"
			result ok "model:$name"
		else
			result not "model:$name" "not found, see $out/$name"
		fi
	done
}

# trace NAME ok|not COMMAND...: what trace_check.py says of what the command prints
trace()
{
	local name=$1 want=$2 got=ok
	shift 2

	"$@" > "$out/$name.trace"
	$dir/trace_check.py $dot "$out/$name.trace" > "$out/$name.log" 2>&1 || got=not
	if [ $got = "$want" ] && ! grep -q Traceback "$out/$name.log"; then
		result ok "trace:$name"
	else
		sed 's/^/# /' "$out/$name.log"
		result not "trace:$name" "$got, wanted $want"
	fi
}

# Each broken trace is the good one with one line too many, too few or changed.
good_trace() { cat $traces/good.trace; }
first() { awk -v what="$1" "!done && \$0 ~ what { done = 1; $2 } 1" $traces/good.trace; }
drop() { first "$1" next; }
twice() { first "$1" print; }
wrong_arc() { first 'from=STOP to=STOP_COPY ret=0' 'sub(/from=STOP /, "from=RUNNING_P2P ")'; }
late_client()
{
	first 'event=closed' \
		'print; sub(/_session:/, "_stall:"); sub(/=closed/, "=no data")'
}
no_beginning() { sed '/^#/!{/in=RUNNING event=done/,$!d}; s/written: .*/written: 9\/99/' $traces/good.trace; }
gap() { first 'event=ended' 'print "CPU:0 [LOST 7 EVENTS]"; next'; }

judge_traces()
{
	trace good ok good_trace
	trace lost_beginning ok no_beginning
	trace gap ok gap
	trace arc_from_wrong_state not wrong_arc
	trace opened_twice not twice event=opened
	trace ended_twice not twice event=ended
	trace end_missing not drop event=ended
	trace arc_missing not drop 'to=STOP_COPY ret=0'
	trace closed_twice not twice event=closed
	trace data_after_end not late_client
	trace nothing not true
}

tools/testing/vm/deps.sh || exit 1
rm -rf "$out"
mkdir -p "$out"

echo "TAP version 13"
if [ -n "${VFM_ROUNDS:-}" ]; then
	depth=1000000
	good good "-O2 -DSAFETY" -DBIG
	judge_good
	good good-cycles "-O2 -DNP" "" -l
	judge_cycles
else
	good good "-O2 -DSAFETY" "" &
	for bug in "${bugs[@]}"; do bug "$bug"; done
	wait
	judge_good
fi
[ -z "${VFM_ROUNDS:-}" ] || for bug in "${bugs[@]}"; do bug "$bug"; done
judge_bugs
judge_traces

echo "# count model_states $(stored)" | tee "$out/model.tap"
echo "1..$NUMBER"
"$CHECK_DIR/reliability.sh" check-model "$out" || FAILED=$((FAILED + 1))
totals
