#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Run a command under the newest kernel as User Mode Linux: a process that is
# up in half a second and copies memory at native speed. The inner loop; what
# users have is run.sh. The kernel comes from uml-build.sh.

# shellcheck source=tools/testing/vm/lib.sh
. "$(dirname "$0")/lib.sh"

# shellcheck disable=SC2034 # for lib.sh
VM_KIND=uml VM_MEM=2G VM_TIMEOUT=120
vm_options "$@"

for build in "${UML:-}" "$VM_CACHE"/uml-*; do
	[ -x "$build/linux" ] && break
done
[ -x "$build/linux" ] || vm_die "no kernel: run $VM_DIR/uml-build.sh"
krel=$(cat "$build/include/config/kernel.release")

vm_job "$build/image" "$krel"

# Its memory is a file, and containers come with a /dev/shm of 64 MiB.
if [ "$(df -k --output=avail /dev/shm 2>/dev/null | tail -n 1)" -lt \
     "$(($(numfmt --from=iec "$VM_MEM") >> 10))" ] 2>/dev/null; then
	export TMPDIR=$VM_JOB
fi

# The root is the host's, read-only; an overlay makes it look writable.
cat > "$VM_JOB/init" <<INIT
#!/bin/bash
PATH=/usr/sbin:/usr/bin:/sbin:/bin
J=$(printf %q "$VM_JOB") O=$(printf %q "$VM_OUT")
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir -p /mnt/low /mnt/up /mnt/work /mnt/root
mount -t hostfs -o ro,/ none /mnt/low
mount -t overlay -o lowerdir=/mnt/low,upperdir=/mnt/up,workdir=/mnt/work overlay /mnt/root
for d in "\$J" "\$O"; do
	mkdir -p "/mnt/root\$d"
	mount -t hostfs -o "\$d" none "/mnt/root\$d"
done
exec chroot /mnt/root "\$J/guest.sh"
INIT
chmod +x "$VM_JOB/init"

# shellcheck disable=SC2086 # the command line is meant to be split
vm_run "$build/linux" mem="$VM_MEM" ncpus=2 seccomp=on rootfstype=hostfs \
	rootflags=/ root=none ro init="$VM_JOB/init" uml_dir="$VM_JOB/" \
	umid=uml con=null con0=null,fd:1 $VM_CMDLINE
