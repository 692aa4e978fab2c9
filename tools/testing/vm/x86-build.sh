#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# x86-build.sh [kasan]: build the newest Debian kernel source in the cache, for QEMU,
# plain, or with everything that finds bugs; prints the build folder, of which "image"
# is what run.sh takes. The plain one finds data races in modules: KCSAN's compiler
# flags are left out for the kernel itself, and are there for who builds modules,
# unless CFLAGS_KCSAN= is given again.
# shellcheck disable=SC2034 # for build-lib.sh

case ${1:-plain} in
plain)
	kind=plain configs=(x86.config plain.config) built=${PLAIN:-} minutes=four
	flags=(CFLAGS_KCSAN=) ;;
kasan)
	kind=kasan configs=(x86.config kasan.config) built=${KASAN:-} minutes=ten
	flags=() ;;
*)
	echo "x86-build.sh: what kind is $1?" >&2
	exit 1 ;;
esac
arch=x86_64
# shellcheck source=tools/testing/vm/build-lib.sh
. "$(dirname "$0")/build-lib.sh"

configure()
{
	wanted > "$build/wanted.config" &&
		"$@" KCONFIG_ALLCONFIG="$build/wanted.config" allnoconfig
}

install()
{
	local krel

	"$@" bzImage modules &&
	"$@" INSTALL_MOD_PATH="$build/image.tmp" modules_install &&
	krel=$(cat "$build/include/config/kernel.release") &&
	mkdir "$build/image.tmp/boot" &&
	cp "$build/arch/x86/boot/bzImage" "$build/image.tmp/boot/vmlinuz-$krel"
}

build_kernel
