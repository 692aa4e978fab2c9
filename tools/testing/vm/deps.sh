#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Make sure that the packages are there which building and testing need on
# Debian 12. Root gets them installed; anyone else gets their names.

packages=(
	# building
	build-essential gcc-12 bc bison flex libelf-dev libssl-dev python3
	liburing-dev libjson-c-dev libxxhash-dev
	# kernels: unpacking, module dependencies, initramfs
	kmod xz-utils cpio busybox-static iproute2 procps
	# machines
	qemu-system-x86 seabios
	# checking
	perl sparse shellcheck jq bsdextrautils mdevctl spin python3-docutils
	# libvirt's schemas, and what reads them
	libvirt0 libxml2-utils
	# fuzzing
	clang-14 libclang-rt-14-dev
)

missing=()
for package in "${packages[@]}"; do
	[ -e "/var/lib/dpkg/info/$package.list" ] ||
		[ -e "/var/lib/dpkg/info/$package:amd64.list" ] ||
		missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "Packages are missing. As root:" >&2
		echo "  apt-get install --no-install-recommends ${missing[*]}" >&2
		exit 1
	fi
	echo "Installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update &&
	apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends \
		"${missing[@]}" > /dev/null || exit 1
fi

# Kernel packages are resolved through apt, which knows none before its first
# update: not in a fresh container, where that may happen without a missing
# package too.
if [ "$(id -u)" -eq 0 ] &&
   [ -z "$(apt-cache pkgnames linux-image-6.12. 2>/dev/null)" ]; then
	apt-get -qq update || echo "deps.sh: apt-get update failed" >&2
fi
exit 0
