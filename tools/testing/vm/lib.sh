# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What run.sh (QEMU) and uml.sh (User Mode Linux) share: options, the job
# folder that is the side channel to the guest, and the verdict.
#
# The guest proves success by writing the job's token and the command's exit
# status as its very last step. Whatever goes wrong, a hang, a panic, a
# warning, the token is missing or the log tells, and the run has failed.

PATH=$PATH:/usr/sbin:/sbin
VM_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VM_TOP=$(cd "$VM_DIR/../../.." && pwd)
# shellcheck disable=SC2034 # for those who source this
VM_CACHE=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}

# Nothing that goes on after one of these may be believed.
VM_SPLAT='WARNING:|BUG:|Oops|Kernel panic|possible recursive locking'
VM_SPLAT+='|suspicious RCU|INFO: task|rcu.*detected stall|kmemleak: [0-9]+ new'
VM_SPLAT+='|kmemleak: (Cannot allocate|Kernel memory leak detector disabled)'
VM_SPLAT+='|UBSAN:|possible (circular|irq lock inversion)|inconsistent lock'
VM_SPLAT+='|INFO: (lockdep|trying to register)|unreferenced object'
VM_SPLAT+='|general protection|Unable to handle|page allocation failure'
# slub, "BUG kmalloc-64 (Not tainted): Poison overwritten", and hardened usercopy.
VM_SPLAT+='|BUG [^ ]+ [(](Not tainted|Tainted: )|usercopy: Kernel memory (exp|overwr)'

# Turn any of these into a panic: the tests must not run on in a sick kernel.
# Hangs need their own options, panic_on_warn does not see them.
VM_CMDLINE="panic_on_warn=1 oops=panic panic=-1 hung_task_panic=1"
VM_CMDLINE+=" softlockup_panic=1 sysctl.kernel.panic_on_rcu_stall=1"
VM_CMDLINE+=" sysctl.kernel.hung_task_timeout_secs=60 loglevel=5 no_timer_check"

vm_die()
{
	echo "$(basename "$0"): $*" >&2
	exit 125
}

vm_usage()
{
	cat >&2 <<-USAGE
	usage: $(basename "$0") [-m MEM] [-t SECONDS] [-o OUTDIR] [-M MODDIR] [-n] [-q] [--] COMMAND...

	  -m MEM      guest memory (default $VM_MEM)
	  -t SECONDS  give up after this long (default $VM_TIMEOUT)
	  -o OUTDIR   folder that the guest can write to, at the same path; its
	              name is in \$VM_OUT there
	  -M MODDIR   modules to load instead of build/modules/<kernel release>
	  -n          load none of our modules
	  -q          no account of a failure

	COMMAND runs as root, in the current folder, on a copy of this machine's
	files that it may change and that is forgotten afterwards. Its exit status
	is this command's, 124 is a hang and 125 any other failure of the guest.
	USAGE
	exit 2
}

# vm_options ARGS...: set VM_MEM VM_TIMEOUT VM_OUT VM_MODULES VM_QUIET VM_COMMAND
vm_options()
{
	local opt

	VM_OUT='' VM_MODULES='' VM_LOAD=1 VM_QUIET=''
	while getopts m:t:o:M:nqh opt; do
		case $opt in
		m) VM_MEM=$OPTARG ;;
		t) VM_TIMEOUT=$OPTARG ;;
		o) VM_OUT=$OPTARG ;;
		M) VM_MODULES=$(realpath "$OPTARG") || exit 125 ;;
		n) VM_LOAD='' ;;
		q) VM_QUIET=1 ;;
		*) vm_usage ;;
		esac
	done
	shift $((OPTIND - 1))
	VM_COMMAND=("$@")
	[ $# -gt 0 ] || vm_usage
}

vm_cleanup()
{
	# Not in a subshell that a signal caught before it reset its traps.
	[ "$BASHPID" -eq $$ ] || return
	[ -z "${VM_PID:-}" ] || kill "$VM_PID" 2>/dev/null
	rm -rf "$VM_JOB"
}

# vm_job IMAGE KREL: fill the job folder
vm_job()
{
	VM_JOB=$(mktemp -d "${TMPDIR:-/tmp}/vm.XXXXXX") || exit 125
	trap vm_cleanup EXIT
	trap 'exit 130' INT TERM
	VM_TOKEN=$(od -An -tx8 -N16 /dev/urandom | tr -d ' \n')
	VM_OUT=${VM_OUT:-$VM_JOB/out}
	mkdir -p "$VM_OUT"
	VM_OUT=$(realpath "$VM_OUT")
	[ -n "$VM_LOAD" ] || VM_MODULES=
	if [ -n "$VM_LOAD" ] && [ -z "$VM_MODULES" ]; then
		VM_MODULES=$VM_TOP/build/modules/$2
	fi
	cp "$VM_DIR/guest.sh" "$VM_JOB/"
	: > "$VM_JOB/stdout"
	echo "$VM_OUT" > "$VM_JOB/outdir"
	{
		declare -p VM_TOKEN VM_OUT VM_MODULES VM_KIND
		printf 'VM_IMAGE=%q\nVM_PATH=%q\nVM_CWD=%q\n' \
			"$1" "$PATH" "$PWD"
	} > "$VM_JOB/env"
	printf '%q ' "${VM_COMMAND[@]}" > "$VM_JOB/command"
}

# vm_account CONSOLE: its last lines, or, with a splat, those from the first one on
vm_account()
{
	{
		grep -aE -m1 -B5 -A"${VM_TAIL:-60}" "$VM_SPLAT" "$1" ||
			tail -n "${VM_TAIL:-60}" "$1"
	} | tr -d '\r'
}

# vm_verdict STATUS: STATUS is that of timeout(1) around the machine
vm_verdict()
{
	local why='' token='' rc=''

	[ -s "$VM_JOB/status" ] && read -r token rc < "$VM_JOB/status"
	if [ "$1" -eq 124 ] || [ "$1" -eq 137 ]; then
		why="no end after $VM_TIMEOUT s" rc=124
	elif [ "$token" != "$VM_TOKEN" ] || [ -z "$rc" ]; then
		why="the guest died before its last step" rc=125
	fi
	if cat "$VM_JOB/console" "$VM_JOB/dmesg" 2>/dev/null |
	   grep -aqE "$VM_SPLAT"; then
		why="${why:+$why; }the kernel complained"
		[ "$rc" -ne 0 ] && [ "$rc" -ne 124 ] || rc=${rc/#0/125}
	fi
	if [ -n "$why" ] && [ -z "$VM_QUIET" ]; then
		{
			echo "--- $VM_KIND: $why. From the console:"
			vm_account "$VM_JOB/console"
			if [ -s "$VM_JOB/dmesg" ]; then
				echo "--- from the kernel log:"
				vm_account "$VM_JOB/dmesg"
			fi
			echo "---"
		} >&2
	fi
	cp "$VM_JOB/console" "$VM_OUT/${VM_CONSOLE:=console.log}" 2>/dev/null
	[ ! -s "$VM_JOB/dmesg" ] ||
		cp "$VM_JOB/dmesg" "$VM_OUT/${VM_CONSOLE/console/dmesg}"
	exit "$rc"
}

# vm_boot COMMAND...: one machine from start to end; sets rc, or returns 1 for a
# machine that never came as far as the command
vm_boot()
{
	local end=$((SECONDS + VM_BOOT_TIMEOUT)) began=''

	rm -f "$VM_JOB"/{began,status,dmesg}
	# User Mode Linux has last words at any other signal, which are no complaint.
	timeout -s KILL "$VM_TIMEOUT" "$@" < /dev/null > "$VM_JOB/console" 2>&1 &
	VM_PID=$!
	tail -s 0.1 -c +1 -f --pid=$VM_PID "$VM_JOB/stdout" &
	while [ ! -e "$VM_JOB/began" ] && kill -0 $VM_PID 2>/dev/null; do
		if [ $SECONDS -gt $end ] ||
		   grep -aqsE "$VM_BAD_BOOT" "$VM_JOB/console"; then
			kill $VM_PID
			wait
			return 1
		fi
		sleep 0.2
	done
	[ ! -e "$VM_JOB/began" ] || began=1
	rc=0
	wait $VM_PID 2>/dev/null || rc=$?
	VM_PID=
	wait
	[ -n "$began" ] || [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]
}

# vm_run COMMAND...: the machine itself; its output is the console. On a loaded
# host an emulated one may measure the speed of its timers wrongly, hang or die
# before it has seen anything of ours: another one is taken.
VM_BAD_BOOT='PM-Timer: [0-4]?[0-9]ms instead of 100ms'
VM_BOOT_TIMEOUT=${VM_BOOT_TIMEOUT:-300}
vm_run()
{
	local rc=125 try

	for try in 1 2 3 4 5; do
		vm_boot "$@" && break
		echo "$(basename "$0"): no good boot, booting again ($try):" >&2
		{ grep -aE -m1 -A8 "$VM_SPLAT" "$VM_JOB/console" ||
			tail -n 5 "$VM_JOB/console"; } |
			tr -d '\r' | sed 's/^/# /' >&2
		sleep "$try"
	done
	vm_verdict "$rc"
}
