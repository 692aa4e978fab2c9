#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Fetch the newest Debian kernel source there is and build it as User Mode
# Linux in the cache; prints the build folder. The packages come through an
# apt configuration of our own, the machine's sources stay as they are.

set -eu
PATH=$PATH:/usr/sbin:/sbin	# depmod
cache=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}
config=$(dirname "$(realpath "$0")")/uml.config
log=$cache/uml-build.log

for build in "${UML:-}" "$cache"/uml-*; do
	# Newer than the wanted configuration: nothing to do.
	if [ -d "$build/image" ] && [ -x "$build/linux" ] &&
	   grep -vE '^(#|$)' "$config" | grep -qvxFf "$build/.config"; then
		echo "uml-build.sh: $build has another configuration" >&2
	elif [ -d "$build/image" ] && [ -x "$build/linux" ]; then
		echo "$build"
		exit 0
	fi
done

backports()
{
	local apt=$cache/apt-bpo key=/usr/share/keyrings/debian-archive-keyring.gpg
	local url=http://deb.debian.org/debian suite

	mkdir -p "$apt"/{lists/partial,archives/partial,etc}
	for suite in trixie trixie-backports; do
		echo "deb [signed-by=$key] $url $suite main"
	done > "$apt/etc/sources.list"
	apt=(-qq -o "Dir::Etc::sourcelist=$apt/etc/sources.list"
	     -o "Dir::Etc::sourceparts=-" -o "Dir::State::lists=$apt/lists"
	     -o "Dir::Cache=$apt" -o "Dir::Cache::archives=$apt/archives"
	     -o "APT::Sandbox::User=root")
	apt-get "${apt[@]}" update >&2
	name=$(apt-cache "${apt[@]}" pkgnames linux-source- |
		grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
	if [ -d "$cache/src/$name" ]; then
		return
	fi
	rm -rf "$cache/src.tmp"
	mkdir -p "$cache/src.tmp/deb" "$cache/src"
	(cd "$cache/src.tmp/deb" && apt-get "${apt[@]}" download "$name" >&2)
	dpkg-deb --fsys-tarfile "$cache/src.tmp/deb/$name"_*.deb |
		tar -xO "./usr/src/$name.tar.xz" | tar -xJ -C "$cache/src.tmp"
	mv "$cache/src.tmp/$name" "$cache/src/"
	rm -rf "$cache/src.tmp"
}

backports
src=$cache/src/$name
build=$cache/uml-${name#linux-source-}
echo "uml-build.sh: building $build (about five minutes), log in $log" >&2
mkdir -p "$build"
exec 3>&1 > "$log" 2>&1
trap '[ $? -eq 0 ] || tail -n 20 "$log" >&3' EXIT
cd "$src"
make ARCH=um O="$build" defconfig
scripts/kconfig/merge_config.sh -m -O "$build" "$build/.config" "$config"
make ARCH=um O="$build" olddefconfig
# An option whose dependencies are missing is dropped without a word.
if grep -vE '^(#|$)' "$config" | grep -vxFf "$build/.config"; then
	echo "These options did not survive."
	exit 1
fi
make ARCH=um O="$build" -j"$(nproc)" linux modules
rm -rf "$build/image"
make ARCH=um O="$build" INSTALL_MOD_PATH="$build/image.tmp" modules_install
mv "$build/image.tmp" "$build/image"
echo "$build" >&3
