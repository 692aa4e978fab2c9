#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# x86-build.sh [kasan|kcsan]: build the newest Debian kernel source in the cache,
# for QEMU, plain, or with everything that finds bugs, or with what finds data races;
# prints the build folder, of which "image" is what run.sh takes.
# shellcheck disable=SC2034 # for build-lib.sh

case ${1:-plain} in
plain)
	kind=plain configs=(x86.config) built=${PLAIN:-} minutes=four ;;
kasan)
	kind=kasan configs=(x86.config kasan.config) built=${KASAN:-} minutes=ten ;;
kcsan)
	kind=kcsan configs=(x86.config kcsan.config) built=${KCSAN:-} minutes=eight ;;
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
