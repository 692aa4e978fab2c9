# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What uml-build.sh and x86-build.sh share: fetch the newest Debian kernel
# source there is and build it in the cache, in a folder KIND-VERSION. The
# folder "image" in it is the last thing to be there. They set
#	kind		of the kernel
#	arch		ARCH of its make
#	configs		files whose options have to be in its configuration
#	built		folder to take if it is there, may be empty
#	minutes		that it takes
#	flags		more arguments for its make
# and the functions configure and install, which run in the source and get
# MAKE... as their arguments.

set -eu
# shellcheck source=tools/testing/vm/apt-lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt-lib.sh"
PATH=$PATH:/usr/sbin:/sbin	# depmod
cache=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}
: "${kind:?}" "${arch:?}" "${configs:?}" "${built=}" "${minutes:?}"
here=$(dirname "$(realpath "$0")")
name='' build=''

say() { echo "$(basename "$0"): $*" >&2; }

wanted() { (cd "$here" && cat "${configs[@]}"); }

# An option whose dependencies are missing is dropped without a word.
dropped() { wanted | grep -vE '^(#|$)' | grep -vxFf "$1/.config"; }

find_built()
{
	for build in "$built" "$cache/$kind"-*; do
		[ -d "${build:-none}/image" ] || continue
		if dropped "$build" > /dev/null; then
			say "$build has another configuration"
		else
			echo "$build"
			return
		fi
	done
	return 1
}

# newest_source: set name, of what is in $cache/src then
newest_source()
{
	mkdir -p "$cache/src"
	private_apt "$cache/apt-bpo" trixie trixie-backports
	update_apt
	name=$(apt-cache "${apt[@]}" pkgnames linux-source- |
		grep -E '^linux-source-[0-9.]+$' | sort -V | tail -n 1)
	[ -n "$name" ] || { say "apt knows no linux-source"; return 1; }
	[ ! -d "$cache/src/$name" ] || return 0
	rm -rf "$cache/src.tmp"
	mkdir -p "$cache/src.tmp/deb"
	(cd "$cache/src.tmp/deb" && apt-get "${apt[@]}" download "$name" >&2)
	dpkg-deb --fsys-tarfile "$cache/src.tmp/deb/$name"_*.deb |
		tar -xO "./usr/src/$name.tar.xz" | tar -xJ -C "$cache/src.tmp"
	mv "$cache/src.tmp/$name" "$cache/src/"
	rm -rf "$cache/src.tmp"
}

# What is printed is for the log.
compile()
{
	local make=(make "ARCH=$arch" "O=$build" "${flags[@]}")

	cd "$cache/src/$name" || return
	rm -rf "$build/image" "$build/image.tmp"
	configure "${make[@]}" || return
	if dropped "$build"; then
		echo "These options did not survive."
		return 1
	fi
	install "${make[@]}" -j"$(nproc)" || return
	mv "$build/image.tmp" "$build/image"
}

# build_kernel: print the folder with it
build_kernel()
{
	local log=$cache/$kind-build.log

	find_built 2>/dev/null && return
	mkdir -p "$cache"
	# Whoever waits here finds what the other has built.
	exec 9> "$cache/build.lock"
	flock 9
	find_built && return
	newest_source
	build=$cache/$kind-${name#linux-source-}
	say "building $build (about $minutes minutes), log in $log"
	mkdir -p "$build"
	(compile) > "$log" 2>&1 || { tail -n 20 "$log" >&2; return 1; }
	echo "$build"
}
