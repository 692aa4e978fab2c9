#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Inside the guest: guest-demo.sh BIN
# Migrates eight devices to eight others, in parallel and then the way QEMU
# does it, and compares what arrived with what left: by the devices' own hash,
# and byte by byte through BAR2. Reports and verdicts go to $VM_OUT.

bin=$1
n=8 size=$((64 << 20))
mdev=/sys/bus/mdev/devices
create=/sys/class/mdev_bus/migsim/mdev_supported_types/migsim-full/create

uuid() { printf '%s0000000-0000-4000-8000-%012d' "$1" "$2"; }
src() { uuid a "$1"; }
dst() { uuid b "$1"; }
hash_of() { cat "$mdev/$1/migsim/state_hash"; }

die()
{
	echo "demo: $*"
	exit 1
}

# device UUID SEED DIRTY_RATE
device()
{
	local attr

	echo "$1" > $create || die "cannot create $1"
	for attr in state_size=$size seed="$2" dirty_rate="$3" \
		    save_latency_us=100000 load_latency_us=0; do
		echo "${attr#*=}" > "$mdev/$1/migsim/${attr%%=*}" ||
			die "$1: cannot set $attr"
	done
}

devices()
{
	local i

	for ((i = 1; i <= n; i++)); do
		device "$(src $i)" $((1000 + i)) $((8 << 20))
		device "$(dst $i)" $((2000 + i)) 0
		[ "$(hash_of "$(src $i)")" != "$(hash_of "$(dst $i)")" ] ||
			die "devices with different seeds have the same hash"
	done
}

remove()
{
	local i

	for ((i = 1; i <= n; i++)); do
		echo 1 > "$mdev/$(src $i)/remove"
		echo 1 > "$mdev/$(dst $i)/remove"
	done
}

# same SOURCE DESTINATION: hash and memory agree
same()
{
	local said

	[ "$(hash_of "$1")" = "$(hash_of "$2")" ] || { echo "hashes differ"; return 1; }
	said=$("$bin/barcmp" "$1" "$2") || { echo "memory: $said"; return 1; }
}

# verify MODE: one line a device, "DEVICE ok" or why not
verify()
{
	local i bytes why

	for ((i = 1; i <= n; i++)); do
		bytes=$(jq ".devices[$((i - 1))].stopcopy_bytes" "$VM_OUT/$1.json")
		# An open device runs: what is compared must not go on changing.
		echo 0 > "$mdev/$(src $i)/migsim/dirty_rate"
		if ! [ "${bytes:-0}" -gt 0 ]; then
			why="nothing sent in stop-copy"
		elif why=$(same "$(src $i)" "$(dst $i)"); then
			why=ok
		fi
		echo "$i $why"
	done > "$VM_OUT/$1.verified"
}

# A comparison that cannot fail is none: change one byte, it has to be seen
# both ways.
tamper()
{
	local i=3 before

	before=$(hash_of "$(dst $i)")
	"$bin/barcmp" --flip $((size - 12345)) "$(dst $i)" || return 1
	"$bin/barcmp" "$(src $i)" "$(dst $i)"
	[ $? -eq 1 ] || return 1
	[ "$(hash_of "$(dst $i)")" != "$before" ]
}

# migrate MODE OPTIONS...
migrate()
{
	local mode=$1 i pairs=()
	shift

	for ((i = 1; i <= n; i++)); do
		pairs+=("$(src $i)=$(dst $i)")
	done
	"$bin/vfio-migrate" local --keep-source --threshold $((1 << 20)) --quiet \
		--json "$VM_OUT/$mode.json" "$@" "${pairs[@]}" ||
		die "vfio-migrate failed ($mode)"
}

uname -r > "$VM_OUT/kernel"
devices
migrate parallel
verify parallel
tamper > "$VM_OUT/tamper.log" 2>&1 && echo noticed > "$VM_OUT/tamper"
remove

devices
migrate serial --serial
verify serial
remove
