#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The runner's own test: what has gone wrong in a machine must never pass.
# selftest.sh [RUNNER], default run.sh. Prints KTAP. The verdict is the same code for both
# runners, so most of its tests are for uml.sh, which boots at once.
# shellcheck disable=SC2016 # the guest's shell expands, not this one

# shellcheck source=tools/testing/vm/lib.sh
. "$(dirname "$0")/lib.sh"
dir=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$dir/../../.." && pwd)
run=${1:-$dir/run.sh}
work=$top/build/vm-selftest
rm -rf "$work"
mkdir -p "$work/warn"

# status NAME WANTED ARGS...: run a machine, compare the exit status
status()
{
	local name=$1 wanted=$2 got=0
	shift 2

	mkdir -p "$work/$name"
	"$run" -n -o "$work/$name" "$@" > "$work/$name.out" 2>&1 || got=$?
	if [ "$got" -ne "$wanted" ]; then
		echo "status $got instead of $wanted" >> "$work/$name.out"
		return 1
	fi
}

good()
{
	status good 0 -- sh -c 'uname -r; echo file > "$VM_OUT/file";
		test -d /sys/module/mdev && test -d /sys/module/vfio &&
		test "$(cat /proc/sys/kernel/panic_on_warn)" = 1' &&
		grep -q file "$work/good/file"
}

failing() { status failing 7 -- sh -c 'exit 7'; }

# The console of a machine that died has to be shown.
panics()
{
	status panics 125 -- sh -c 'echo c > /proc/sysrq-trigger' &&
		grep -q 'sysrq.*crash' "$work/panics.out"
}

# The command has to have begun; how long that takes depends on the load.
hangs()
{
	local seconds

	for seconds in 15 90; do
		status hangs 124 -t "$seconds" -- sh -c \
			'echo up > "$VM_OUT/up"; sleep 600' || return 1
		# That it had to be killed is all that is wrong with the machine.
		grep -q "no end after $seconds s\. From" "$work/hangs.out" || return 1
		[ -s "$work/hangs/up" ] && return 0
	done
	return 1
}

# A splat that the machine survives, if only in the log.
complains()
{
	status complains 125 -- sh -c \
		'echo "BUG: sleeping function called" > /dev/kmsg' &&
		grep -q 'the kernel complained' "$work/complains.out"
}

# What kernels print is known for what it is, and so is what they print every day.
words()
{
	local line

	while read -r line; do
		grep -qE "$VM_SPLAT" <<< "$line" || { echo "missed: $line" >&2; return 1; }
	done <<-'BAD'
	BUG: KASAN: slab-use-after-free in vfio_mig_read+0x1/0x2
	BUG kmalloc-64 (Not tainted): Poison overwritten
	BUG vfio_mig_session (Tainted: G    B      O     ): Redzone overwritten
	usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-8' !
	usercopy: Kernel memory overwrite attempt detected to vmalloc (offset 0, size 4)!
	WARNING: CPU: 0 PID: 1 at kernel/fork.c:1 foo+0x1/0x2
	BAD
	while read -r line; do
		! grep -E "$VM_SPLAT" <<< "$line" >&2 || return 1
	done <<-'GOOD'
	warn: module verification failed: signature missing - tainting kernel
	Kernel memory protection not selected by kernel config.
	Spectre V2 : BUG handling (none) in use
	check: conf_hostile_test
	GOOD
}

# A real warning, by a module that does nothing else.
warns()
{
	local kdir

	kdir=${KDIR:-$("$dir/kernel.sh" headers)} || return 1
	cp "$top/tools/testing/check/meta/warn.c" "$work/warn/"
	echo 'obj-m := warn.o' > "$work/warn/Kbuild"
	make -s -C "$kdir" M="$work/warn" CONFIG_DEBUG_INFO_BTF_MODULES= \
		modules > "$work/warns.out" 2>&1 || return 1
	status warns 125 -- insmod "$work/warn/warn.ko" &&
		grep -q 'panic_on_warn set' "$work/warns.out"
}

# A machine that dies before it began is none of the command's doing. The first
# two that are started are no machines at all.
reboots()
{
	local real dir=$work/reboots

	mkdir -p "$dir/bin"
	real=$(command -v qemu-system-x86_64) || return 1
	cat > "$dir/bin/qemu-system-x86_64" <<-FAKE
	#!/bin/bash
	mkdir $dir/one 2>/dev/null && echo "Kernel panic - not syncing" && exit
	mkdir $dir/two 2>/dev/null && exit 1
	exec $real "\$@"
	FAKE
	chmod +x "$dir/bin/qemu-system-x86_64"
	PATH=$dir/bin:$PATH status reboots 0 -- true &&
		grep -q 'booting again (2)' "$dir.out"
}

tests=(hangs good panics)
if [ "$run" = "$dir/run.sh" ]; then
	tests+=(reboots)
else
	tests+=(failing complains warns words)
fi
# Two at a time; most of a boot is waiting.
for test in "${tests[@]}"; do
	while [ "$(jobs -pr | wc -l)" -ge 2 ]; do
		wait -n
	done
	{ "$test" && : > "$work/$test.passed"; } 2> "$work/$test.err" &
done
wait

echo "TAP version 13"
echo "1..${#tests[@]}"
n=0 failed=0
for test in "${tests[@]}"; do
	n=$((n + 1))
	if [ -e "$work/$test.passed" ]; then
		echo "ok $n $test"
	else
		cat "$work/$test.out" "$work/$test.err" 2>/dev/null | sed 's/^/# /'
		echo "not ok $n $test"
		failed=1
	fi
done
exit $failed
