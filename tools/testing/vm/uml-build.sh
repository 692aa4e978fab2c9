#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Build the newest Debian kernel source as User Mode Linux in the cache; prints
# the build folder, the kernel is "linux" in it.
# shellcheck disable=SC2034 # for build-lib.sh

kind=uml arch=um configs=(uml.config) minutes=five built=${UML:-} flags=()
# shellcheck source=tools/testing/vm/build-lib.sh
. "$(dirname "$0")/build-lib.sh"

configure()
{
	"$@" defconfig &&
	scripts/kconfig/merge_config.sh -m -O "$build" "$build/.config" "$here/uml.config" &&
	"$@" olddefconfig
}

install()
{
	"$@" linux modules &&
	"$@" INSTALL_MOD_PATH="$build/image.tmp" modules_install
}

build_kernel
