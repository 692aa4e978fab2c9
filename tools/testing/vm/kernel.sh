#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Find and unpack the kernel that users have: the newest 6.12 of Debian 12,
# as it comes, into the cache. Nothing is installed: the headers depend on the
# image package, and that one writes into the machine's own /boot.
#
#   kernel.sh release   its release
#   kernel.sh image     folder with boot/vmlinuz-* and lib/modules/
#   kernel.sh headers   folder to build external modules against (KDIR)
#   kernel.sh source    folder with checkpatch.pl, kselftest headers and so on
#   kernel.sh samples   folder with samples/vfio-mdev/mtty.c
#   kernel.sh all       all of it, prints the release
#
# Each part is unpacked beside its place and renamed, so what has its name is
# complete. Without apt or network the newest complete one of the cache is used.

set -u
PATH=$PATH:/usr/sbin:/sbin	# depmod
cache=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}/debian
mkdir -p "$cache" || exit 1

say() { echo "kernel.sh: $*" >&2; }

newest_known()
{
	apt-cache pkgnames linux-image-6.12. 2>/dev/null |
		sed -n 's/^linux-image-\(6\.12\.[0-9]*+deb12-amd64\)$/\1/p' |
		sort -V | tail -n 1
}

newest_cached()
{
	find "$cache" -mindepth 2 -maxdepth 2 -name "$1" 2>/dev/null |
		sed 's,/[^/]*$,,; s,.*/,,' | sort -V | tail -n 1
}

# fetch DIR PACKAGE...: download and unpack packages into DIR
fetch()
{
	local dir=$1 deb
	shift

	mkdir -p "$dir/debs"
	(cd "$dir/debs" && timeout 300 apt-get -qq -o APT::Sandbox::User=root \
		-o Acquire::Retries=3 download "$@" >&2) || return 1
	for deb in "$dir"/debs/*.deb; do
		case $deb in
		*/linux-source-*) ;;
		*) dpkg-deb -x "$deb" "$dir" && rm "$deb" || return 1 ;;
		esac
	done
}

make_image()
{
	fetch "$2" "linux-image-$1" || return 1
	[ -d "$2/lib/modules/$1/kernel" ] && depmod -b "$2" "$1"
}

make_headers()
{
	local ver=${1%-amd64}

	fetch "$2" "linux-headers-$1" "linux-headers-$ver-common" \
		"linux-kbuild-$ver" || return 1
	# The one absolute path in them: the common Makefile.
	sed -i "s,/usr/src/linux-headers-$ver-common,$cache/$1/headers&," \
		"$2/usr/src/linux-headers-$1/Makefile"
	ln -sfn "usr/src/linux-headers-$1" "$2/kdir"
}

# unpack DIR FILE...: of the kernel's source
unpack()
{
	local dir=$1 name=linux-source-6.12
	shift

	fetch "$dir" "$name" || return 1
	dpkg-deb --fsys-tarfile "$dir/debs/$name"_*.deb |
		tar -xO "./usr/src/$name.tar.xz" |
		tar -xJ -C "$dir" --strip-components=1 "${@/#/$name/}" ||
		return 1
	rm -r "$dir/debs"
}

make_samples()
{
	unpack "$2" samples/vfio-mdev/mtty.c
}

make_source()
{
	unpack "$2" .clang-format COPYING LICENSES scripts/checkpatch.pl \
		scripts/const_structs.checkpatch scripts/spelling.txt \
		scripts/kernel-doc samples/vfio-mdev/mtty.c \
		tools/testing/selftests/kselftest.h \
		tools/testing/selftests/kselftest_harness.h \
		tools/testing/selftests/kselftest \
		tools/testing/selftests/lib.mk
}

# whole PART RELEASE DIR: what is used of it is there
whole()
{
	local file

	case $1 in
	image) set -- "$3" "boot/vmlinuz-$2" "lib/modules/$2/modules.dep.bin" ;;
	headers) set -- "$3" kdir/include/config/kernel.release \
			kdir/Module.symvers kdir/scripts/Makefile.build ;;
	source) set -- "$3" scripts/checkpatch.pl scripts/kernel-doc \
			tools/testing/selftests/kselftest_harness.h ;;
	samples) set -- "$3" samples/vfio-mdev/mtty.c ;;
	esac
	for file in "${@:2}"; do
		[ -s "$1/$file" ] || return 1
	done
}

# Older caches have it not in their source.
samples()
{
	part source && [ -s "$cache/$release/source/samples/vfio-mdev/mtty.c" ] &&
		echo "$cache/$release/source" && return
	part samples && echo "$cache/$release/samples"
}

# part NAME: make sure that it is there, set $release
part()
{
	local dir old tmp

	release=$known
	if [ -z "$release" ]; then
		release=$(newest_cached "$1")
		[ -n "$release" ] && return 0
		say "apt knows no linux-image-6.12.*+deb12-amd64 and the cache has none;" \
		    "run apt-get update"
		return 1
	fi
	dir=$cache/$release/$1
	whole "$1" "$release" "$dir" && return 0

	mkdir -p "$cache/$release"
	exec 9> "$cache/$release/.lock"
	flock 9
	whole "$1" "$release" "$dir" && return 0
	say "fetching the $1 of $release"
	rm -rf "$dir" "$dir".tmp.*
	tmp=$dir.tmp.$$
	if "make_$1" "$release" "$tmp" && whole "$1" "$release" "$tmp" &&
	   mv -T "$tmp" "$dir"; then
		return 0
	fi
	rm -rf "$tmp"
	old=$(newest_cached "$1")
	if [ -z "$old" ]; then
		say "cannot fetch the $1 of $release, and the cache has none"
		return 1
	fi
	say "cannot fetch the $1 of $release, taking that of $old"
	release=$old
}

known=${VFIO_MIGRATION_RELEASE:-$(newest_known)}
case ${1:-} in
release) part image && echo "$release" ;;
image) part image && echo "$cache/$release/image" ;;
headers) part headers && echo "$cache/$release/headers/kdir" ;;
source) part source && echo "$cache/$release/source" ;;
samples) samples ;;
all) part image && part headers && part source && echo "$release" ;;
*) sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2 ;;
esac
