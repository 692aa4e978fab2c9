#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# make check-model: search all runs of the model of the core's concurrency, prove
# that the search notices planted mistakes, and that trace_check.py notices traces
# that the automaton does not allow. With ROUNDS=, a bigger model is searched as well,
# keeping a hash of each state only, and all of the small one for cycles.

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
bugs=(NO_WAKE:KICKS RESET_LOST:BUS NO_SECOND_LOOK:BUS USE_AFTER_END:RESETS
	TWO_READERS:READERS PURGE_BUSY:CLOSES NO_REF:CLOSES NO_UNDEFER:RESETS
	BUSY_NO_WAKE:SETTERS CLOSE_KEEPS_RESET:BUS_CLOSES CLOSE_ENDS_BUS:BUS_CLOSES
	RESET_TOO_EARLY:BUS_AND_IOCTL)
# Configurations that are searched for cycles in any case, and a mistake that is one.
cycles=(RESETS SETTERS)
spin_bug=RESET_SPINS:RESETS

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
	gcc $cflags -w -DVECTORSZ=512 -DMEMLIM=$memory \
		-o "$work/pan" "$work/pan.c" > "$work/gcc.log" 2>&1
}

# search NAME OPTION...: run it
search()
{
	local work=$out/$1
	shift

	(cd "$work" && ./pan -w24 -m$depth "$@" > pan.log 2>&1)
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

# Each state once: the searches for cycles go through some of those of "good" again, and
# the bigger model through all of them.
stored()
{
	cat "$out"/good/pan.log "$out"/good-big/pan.log 2>/dev/null |
		awk '/states, stored/ && $1 > n { n = $1 } END { printf "%d", n }'
}

# A search that is cut short, and one of a part of the model, are told from others.
judge_the_judge()
{
	local part=good-cycles-${cycles[0]}

	mkdir -p "$out/short"
	cp "$out/$part/pan" "$out/short/"
	search short -l -m50
	if ! explored short > /dev/null && [ -n "$(unreached "$part")" ]; then
		result ok model:incomplete_is_noticed
	else
		result not model:incomplete_is_noticed
	fi
}

# look NAME CFLAGS OPTION DEFINE...: build and run
look()
{
	local name=$1 cflags=$2 option=$3
	shift 3

	# shellcheck disable=SC2086 # there may be none
	verifier "$name" "$cflags" "$@" && search "$name" $option
}

look_for_bugs()
{
	local bug name

	for bug in "${bugs[@]}"; do
		look "BUG_${bug%:*}" "-O0 -DSAFETY -DCOLLAPSE" "" \
			"-DBUG_${bug%:*}" "-DONLY=${bug#*:}"
	done
	look "BUG_${spin_bug%:*}" "-O0 -DNP -DCOLLAPSE" -l \
		"-DBUG_${spin_bug%:*}" "-DONLY=${spin_bug#*:}"
	for name in "${cycles[@]}"; do
		look "good-cycles-$name" "-O0 -DNP -DCOLLAPSE" -l "-DONLY=$name"
	done
}

# judge_search NAME: did it find nothing, having looked everywhere?
judge_search()
{
	if explored "$1"; then
		result ok "model:$1"
	else
		result not "model:$1" "see $out/$1/pan.log"
	fi
}

judge_good()
{
	local left

	judge_search good
	left=$(unreached good)
	if [ -z "$left" ] && grep -q 'unreached in' "$out/good/pan.log"; then
		result ok model:reached
	else
		echo "# ${left//$'\n'/$'\n# '}"
		result not model:reached "parts of the model that never run"
	fi
}

judge_bugs()
{
	local bug name why

	for bug in "${bugs[@]}" "$spin_bug"; do
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
rm -rf "$out" "$RELIABILITY/check-model.json"
mkdir -p "$out"

echo "TAP version 13"
look good "-O2 -DSAFETY -DCOLLAPSE" "" &
look_for_bugs
wait
judge_good
for name in "${cycles[@]}"; do
	judge_search "good-cycles-$name"
done
judge_the_judge
if [ -n "${VFM_ROUNDS:-}" ]; then
	look good-cycles "-O2 -DNP -DCOLLAPSE" -l
	judge_search good-cycles
	look good-big "-O2 -DSAFETY -DBITSTATE" -w33 -DBIG
	judge_search good-big
fi
judge_bugs
judge_traces

echo "# count model_states $(stored)" | tee "$out/model.tap"
echo "1..$NUMBER"
"$CHECK_DIR/reliability.sh" check-model "$out" || FAILED=$((FAILED + 1))
totals
