#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run a command under the unmodified newest Debian 12 6.12 kernel in QEMU, with
# the host's files below it, vfio, mdev and our modules loaded. VM_KERNEL names
# the image folder of another kernel, such as that of x86-build.sh.

# shellcheck source=tools/testing/vm/lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2034 # for lib.sh
VM_KIND=qemu VM_MEM=4G VM_TIMEOUT=300
vm_options "$@"

image=${VM_KERNEL:-$("$VM_DIR/kernel.sh" image)} || vm_die "no kernel"
krel=$(basename "$image"/lib/modules/*)
initrd=$(dirname "$image")/initramfs.cpio
vm_job "$image" "$krel"

# What the first kilobytes of user space need to reach the host's files.
initramfs()
{
	local root=$VM_JOB/initramfs module file

	[ -s "$initrd" ] && [ "$initrd" -nt "$0" ] && [ "$initrd" -nt "$image" ] &&
		return
	mkdir -p "$root"/{bin,mods,proc,sys,dev,mnt}
	cp /bin/busybox "$root/bin/"
	for module in virtio_pci 9p 9pnet_virtio overlay virtio_rng; do
		modprobe -d "$image" -S "$krel" --show-depends "$module"
	done | awk '$1 == "insmod" { print $2 }' | awk '!seen[$0]++' > "$VM_JOB/mods"
	: > "$root/mods/list"
	while read -r file; do
		module=$(basename "$file" .xz)
		case $file in
		*.xz) xz -dc "$file" > "$root/mods/$module" ;;
		*) cp "$file" "$root/mods/" ;;
		esac || vm_die "cannot unpack $file"
		echo "/mods/$module" >> "$root/mods/list"
	done < "$VM_JOB/mods"
	cat > "$root/init" <<-'INIT'
	#!/bin/busybox sh
	b() { /bin/busybox "$@"; }
	b mount -t proc proc /proc
	b mount -t devtmpfs dev /dev
	for m in $(b cat /mods/list); do b insmod $m; done
	for w in $(b cat /proc/cmdline); do
		case $w in vm_job=*) vm_job=${w#*=} ;; esac
	done
	o=trans=virtio,version=9p2000.L,msize=512000
	b mount -t tmpfs -o mode=755 tmpfs /mnt
	b mkdir /mnt/low /mnt/up /mnt/work /mnt/root
	b mount -t 9p -o ro,cache=loose,$o root /mnt/low
	b mount -t overlay -o lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work overlay /mnt/root
	b mkdir -p "/mnt/root$vm_job"
	b mount -t 9p -o cache=none,$o job "/mnt/root$vm_job"
	read -r vm_out < "/mnt/root$vm_job/outdir"
	b mkdir -p "/mnt/root$vm_out"
	b mount -t 9p -o cache=none,$o out "/mnt/root$vm_out"
	b umount /dev /proc
	exec /bin/busybox switch_root /mnt/root "$vm_job/guest.sh"
	INIT
	chmod +x "$root/init"
	(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) > "$initrd.$$" &&
		mv "$initrd.$$" "$initrd"
	rm -rf "$root"
}

# KVM only where it is known to work: /dev/kvm may open and still hang guests.
accelerator()
{
	local cached

	cached=$VM_CACHE/accel-$(uname -r)
	if ! [ -s "$cached" ]; then
		echo tcg > "$cached"
		if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo &&
		   kvm_probe; then
			echo kvm > "$cached"
		fi
	fi
	cat "$cached"
}

kvm_probe()
{
	local dir=$VM_JOB/probe

	mkdir -p "$dir/bin" "$dir/dev"
	cp /bin/busybox "$dir/bin/"
	printf '#!/bin/busybox sh\n%s\n%s\n%s\n' \
		'/bin/busybox mount -t devtmpfs dev /dev' \
		"echo $VM_TOKEN > /dev/ttyS0" \
		'/bin/busybox poweroff -f' > "$dir/init"
	chmod +x "$dir/init"
	(cd "$dir" && find . | cpio -o -H newc -R 0:0 --quiet) > "$VM_JOB/probe.cpio"
	timeout -k 1 10 qemu-system-x86_64 -accel kvm -cpu host -m 512 \
		-nodefaults -display none -no-reboot -serial stdio \
		-kernel "$image/boot/vmlinuz-$krel" -initrd "$VM_JOB/probe.cpio" \
		-append "console=ttyS0 quiet panic=-1" < /dev/null 2>&1 |
		grep -q "$VM_TOKEN"
}

initramfs
if [ "$(accelerator)" = kvm ]; then
	accel=(-accel kvm -cpu host)
else
	# Without erms and fsrm the guest does not copy by rep movsb, which
	# the translator does byte by byte. Page tables have four levels: an
	# interrupt that comes while 7.3 looks at its CPU forgets the fifth,
	# and KASAN takes all memory for wild then.
	accel=(-accel "tcg,thread=multi" -cpu "max,-erms,-fsrm,-la57")
fi

fs=local,security_model=none,multidevs=remap
vm_run qemu-system-x86_64 -machine q35 "${accel[@]}" -smp 2 -m "$VM_MEM" \
	-nodefaults -display none -no-reboot -serial stdio \
	-device virtio-rng-pci \
	-virtfs "$fs,readonly=on,path=/,mount_tag=root" \
	-virtfs "$fs,path=$VM_JOB,mount_tag=job" \
	-virtfs "$fs,path=$VM_OUT,mount_tag=out" \
	-kernel "$image/boot/vmlinuz-$krel" \
	-initrd "$initrd" \
	-append "console=ttyS0 vm_job=$VM_JOB $VM_CMDLINE ${VM_APPEND:-}"
