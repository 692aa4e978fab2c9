#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# guest.sh FOLDER ARGUMENT...: in the machine, with all modules loaded; figures and
# machine, which tells where they are from, are written to the folder

out=$1
shift

jq -n --arg kernel "$(uname -r)" --arg cpus "$(nproc)" \
	--arg cpu "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
	--arg memory "$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)" '
	{ kernel: $kernel, cpu: $cpu, cpus: ($cpus | tonumber),
	  memory_mib: ($memory | tonumber) }' > "$out/machine"

# crc32c takes the best that is there when its library is loaded, which was before
# anybody asked for the one with the CPU's instruction.
if [ "$VM_KIND" = qemu ]; then
	rmmod vfio_mig_sums libcrc32c
	modprobe -d "$VM_IMAGE" crc32c_intel
	modprobe -d "$VM_IMAGE" libcrc32c
	insmod "$VM_MODULES/vfio-mig-sums.ko" || exit 1
fi

# The host gives a machine its memory at the first touch, which costs more than a
# copy. Whoever allocates more would pay for that: so all of it is touched before.
free=$(awk '/^MemAvailable/ { print int($2 / 1024 * 0.85) }' /proc/meminfo)
mount -t tmpfs -o "size=${free}m" tmpfs /mnt
dd if=/dev/zero of=/mnt/touched bs=1M count="$free" status=none
umount /mnt
exec build/bin/vfio-mig-bench -o "$out/figures" "$@"
