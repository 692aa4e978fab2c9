#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-guide.sh QEMU MODULES
# Does what Documentation/driver-api/migsim.rst says, with no other programs than Debian
# always has and those of the packages that it names. Only to fetch them, and to build the
# modules, is done by others: "apt-get" here looks whether they are what the machine has,
# "make" takes the folder MODULES, and QEMU is that of qemu-fetch.sh. Prints KTAP; what
# was said stays in $VM_OUT.

guide=Documentation/driver-api/migsim.rst
qemu=$1 modules=$2
bin=/run/guide
export bin modules

# block N: of the commands
block() { awk -v n="$1" -v kind= -f tools/testing/check/rst-block.awk $guide; }

# packages: that Debian always has, and that the guide names
packages()
{
	dpkg-query -W -f '${Priority} ${Package}\n' |
		awk '$1 == "required" || $1 == "important" { print $2 }'
	block 1 | sed -n 's/^apt-get install //p' | tr ' ' '\n'
}

# tool NAME: one of ours, from stdin, in place of the real one
tool()
{
	rm -f "$bin/$1"
	cat > "$bin/$1"
	chmod +x "$bin/$1"
}

tools()
{
	mkdir -p $bin
	packages | xargs dpkg -L 2> /dev/null | grep -E '^(/usr)?/s?bin/.' |
		xargs ln -sft $bin
	tool apt-get <<-'TOOL'
	#!/bin/bash
	# The kernel that the machine runs is there, its package is not.
	[ "$1" = install ] && dpkg -s $(printf '%s\n' "${@:2}" | grep -v ^linux-) > /dev/null
	TOOL
	tool make <<-'TOOL'
	#!/bin/bash
	[ "$*" = "modules KDIR=/lib/modules/$(uname -r)/build" ] || exit 1
	[ $modules -ef build/modules/$(uname -r) ] && exit
	rm -rf build/modules/$(uname -r)
	mkdir -p build/modules && ln -s $modules build/modules/$(uname -r)
	TOOL
	ln -sf "$qemu" $bin/qemu-system-x86_64
}

# follow NAME LINE: what the guide says, with a line more before the migration
follow()
{
	{
		block 1
		block 2
		echo "$2"
		block 3
	} > "$VM_OUT/$1.sh"
	env PATH=$bin /bin/bash "$VM_OUT/$1.sh" > "$VM_OUT/$1.log" 2>&1
}

# verdict NUMBER NAME STATUS
verdict()
{
	if [ "$3" -eq 0 ]; then
		echo "ok $1 $2"
	else
		sed 's/^/# /' "$VM_OUT/$2.log"
		echo "not ok $1 $2"
	fi
}

mkdir -p /lib/modules
ln -sfn "$VM_IMAGE/lib/modules/$(uname -r)" "/lib/modules/$(uname -r)"
tools
echo "TAP version 13"
echo "1..2"

# All of it works: no other errors than none.
follow migrates :
! grep -v '^migrated$' "$VM_OUT/migrates.log" && grep -qx migrated "$VM_OUT/migrates.log"
verdict 1 migrates $?
rmmod migsim vfio_migration

# shellcheck disable=SC2016 # what the guide calls its device
follow wrong_bit 'echo save_flip MEMORY 1 1 0 > /sys/kernel/debug/migsim/$SRC/faults'
grep -q differ "$VM_OUT/wrong_bit.log" && ! grep -qx migrated "$VM_OUT/wrong_bit.log"
verdict 2 wrong_bit $?
