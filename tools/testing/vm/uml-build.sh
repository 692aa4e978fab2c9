#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# uml-build.sh [bench]: build the newest Debian kernel source as User Mode Linux in
# the cache, with what tests need, or for measuring, without what that costs; prints
# the build folder, the kernel is "linux" in it.
# shellcheck disable=SC2034 # for build-lib.sh

case ${1:-test} in
test)
	kind=uml configs=(uml.config uml-debug.config) built=${UML:-} ;;
bench)
	kind=bench configs=(uml.config) built='' ;;
*)
	echo "uml-build.sh: what kind is $1?" >&2
	exit 1 ;;
esac
arch=um minutes=five flags=()
# shellcheck source=tools/testing/vm/build-lib.sh
. "$(dirname "$0")/build-lib.sh"

configure()
{
	"$@" defconfig &&
	wanted > "$build/wanted.config" &&
	scripts/kconfig/merge_config.sh -m -O "$build" "$build/.config" "$build/wanted.config" &&
	"$@" olddefconfig
}

install()
{
	"$@" linux modules &&
	"$@" INSTALL_MOD_PATH="$build/image.tmp" modules_install
}

build_kernel
