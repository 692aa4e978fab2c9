#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build the newest Debian kernel source with everything that finds bugs in the
# cache, for QEMU; prints the build folder, "image" in it is what run.sh takes.
# shellcheck disable=SC2034 # for build-lib.sh

kind=kasan arch=x86_64 config=kasan.config minutes=ten built=${KASAN:-}
# shellcheck source=tools/testing/vm/build-lib.sh
. "$(dirname "$0")/build-lib.sh"

configure() { "$@" KCONFIG_ALLCONFIG="$config" allnoconfig; }

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
