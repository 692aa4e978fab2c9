#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Unpack a QEMU that migrates VFIO devices (9 or newer, Debian 12 has 7.2) into
# the cache, from bookworm-backports. Prints the folder with it: the program
# "qemu" in there finds its own firmware and libraries. The packages come
# through an apt configuration of our own, the machine's sources stay as they
# are and nothing is installed.

set -eu
cache=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}
oldest=9
# shellcheck source=tools/testing/vm/apt-lib.sh
. "$(dirname "$0")/apt-lib.sh"

say() { echo "qemu-fetch.sh: $*" >&2; }

die()
{
	say "$*"
	exit 1
}

# The newest complete one: the program is its last file.
find_unpacked()
{
	local found

	found=$(find "$cache" -mindepth 2 -maxdepth 2 -path '*/qemu-*/qemu' |
		sort -V | tail -n 1)
	[ -n "$found" ] && dirname "$found"
}

# What installing it would install, libraries included: the machine's own
# packages are looked at, and not changed.
download()
{
	rm -f "$cache"/apt-qemu/archives/*.deb
	apt-get "${apt[@]}" -y --download-only --no-install-recommends --reinstall install \
		qemu-system-x86/bookworm-backports >&2 ||
		die "apt-get cannot get qemu-system-x86"
}

# Also finds the libraries and firmware that came with it.
write_program()
{
	cat > "$1/qemu.tmp" <<-'PROGRAM'
	#!/bin/sh
	# Made by qemu-fetch.sh.
	dir=$(dirname "$(realpath "$0")")
	LD_LIBRARY_PATH=$dir/usr/lib/x86_64-linux-gnu:$dir/lib/x86_64-linux-gnu
	QEMU_MODULE_DIR=$dir/usr/lib/x86_64-linux-gnu/qemu
	export LD_LIBRARY_PATH QEMU_MODULE_DIR
	exec "$dir/usr/bin/qemu-system-x86_64" -L "$dir/usr/share/qemu" \
		-L "$dir/usr/share/seabios" -L /usr/share/seabios \
		-L /usr/lib/ipxe/qemu "$@"
	PROGRAM
	chmod +x "$1/qemu.tmp"
}

check()
{
	local missing version

	missing=$(LD_LIBRARY_PATH=$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu \
		ldd "$1/usr/bin/qemu-system-x86_64" | grep 'not found') &&
		die "libraries are missing: $missing"
	version=$("$1/qemu.tmp" --version | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
	[ "${version:-0}" -ge $oldest ] ||
		die "version $oldest is needed, backports have ${version:-none}"
}

unpack()
{
	local tmp=$cache/qemu.tmp deb version

	rm -rf "$tmp"
	mkdir -p "$tmp"
	for deb in "$cache"/apt-qemu/archives/*.deb; do
		dpkg-deb -x "$deb" "$tmp"
	done
	write_program "$tmp"
	check "$tmp"
	version=$("$tmp/qemu.tmp" --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')
	mv "$tmp/qemu.tmp" "$tmp/qemu"
	rm -rf "$cache/qemu-$version" "$cache"/apt-qemu/archives/*.deb
	mv "$tmp" "$cache/qemu-$version"
}

mkdir -p "$cache"
find_unpacked && exit
exec 9> "$cache/qemu.lock"
flock 9
find_unpacked && exit
say "fetching QEMU from bookworm-backports"
private_apt "$cache/apt-qemu" bookworm bookworm-backports
apt+=(-o "Debug::NoLocking=1" -o "APT::Default-Release=bookworm-backports")
update_apt
download
unpack
find_unpacked
