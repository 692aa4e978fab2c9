#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs inside the guest as its process 1, from the job folder, with the host's
# files underneath: mounts what tests need, loads the modules, runs the
# command, and writes token and status last.

JOB=$(dirname "$0")
# shellcheck source=/dev/null
. "$JOB/env"
export PATH=$VM_PATH:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
export VM_OUT VM_KIND VM_IMAGE VM_MODULES KSFT_MACHINE_SLOW=yes LC_ALL=C

finish()
{
	sync
	dmesg > "$JOB/dmesg"
	sync
	# shellcheck disable=SC2154 # from the job's env
	echo "$VM_TOKEN $1" > "$JOB/status"
	sync
	echo o > /proc/sysrq-trigger
	# Process 1 may not end, however long that takes.
	while :; do
		sleep 60
	done
}

mounts()
{
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mount -t devtmpfs dev /dev 2>/dev/null
	mkdir -p /dev/shm /dev/pts
	mount -t tmpfs shm /dev/shm
	mount -t devpts devpts /dev/pts
	mount -t tmpfs run /run
	mount -t debugfs debugfs /sys/kernel/debug
	mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	echo +memory > /sys/fs/cgroup/cgroup.subtree_control
	ln -sfn /proc/self/fd /dev/fd
	ip link set lo up 2>/dev/null
	ulimit -n 65536
}

# load MODULE: ours from VM_MODULES, the kernel's from VM_IMAGE
load()
{
	local name=${1//-/_} dep file

	[ -d "/sys/module/$name" ] && return 0
	file=$(find "$VM_MODULES" -maxdepth 1 \( -name "$name.ko" -o \
		-name "${name//_/-}.ko" \) 2>/dev/null)
	if [ -z "$file" ]; then
		modprobe -d "$VM_IMAGE" "$name"
		return
	fi
	for dep in $(modinfo -F depends "$file" | tr , ' '); do
		load "$dep" || return
	done
	insmod "$file"
}

kernel_modules()
{
	load vfio || return
	if ! [ -e /dev/iommu ]; then
		load vfio_iommu_type1 || return
	fi
	load mdev
}

our_modules()
{
	local file

	[ -n "$VM_MODULES" ] || return 0
	for file in "$VM_MODULES"/*.ko; do
		[ -e "$file" ] || continue
		load "$(basename "$file" .ko)" || return
	done
}

# find_leaks AGE: of objects that are so many seconds old. Twice, as an object's content
# has to be the same in two scans. What is found is in the kernel's log, and ends in
# failure.
KMEMLEAK=/sys/kernel/debug/kmemleak
find_leaks()
{
	[ -w $KMEMLEAK ] || return 0
	sleep "$1"
	echo scan > $KMEMLEAK && echo scan > $KMEMLEAK || return
	cat $KMEMLEAK
}

# All of it is read before any of it runs: the shell would go back to the file, which
# is the host's, after each command.
main()
{
	local rc

	mounts
	: > "$JOB/began"
	exec > "$JOB/stdout" 2>&1 < /dev/null
	# What is lost up to there is the kernel's own.
	if ! kernel_modules || ! find_leaks 0 || ! our_modules; then
		echo "guest: loading the modules, or the search for leaks, failed"
		finish 125
	fi

	cd "$VM_CWD" || finish 125
	bash -c "$(cat "$JOB/command")"
	rc=$?
	# No object is taken for a leak before it is five.
	find_leaks 6 || finish 125
	finish $rc
}

main
