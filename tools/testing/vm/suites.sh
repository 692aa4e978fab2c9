#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Find and unpack other people's test suites, from the distribution's packages of
# source, into the cache:
#
#   suites.sh liburing  folder with the newest liburing that Debian has
#   suites.sh epoll     folder with the kernel's selftests of epoll
#
# Without a network, the newest that is there is taken.

set -u
# shellcheck source=tools/testing/vm/apt-lib.sh
. "$(dirname "$0")/apt-lib.sh"
cache=${VFIO_MIGRATION_CACHE:-$HOME/.cache/vfio-migration}
suites=$cache/suites
mkdir -p "$suites" || exit 1

say() { echo "suites.sh: $*" >&2; }

newest() { find "$suites" -maxdepth 1 -name "$1" | sort -V | tail -n 1; }

# fetch_liburing TMP: unpacked beside its place and renamed, so what is there is whole
fetch_liburing()
{
	local dir

	(cd "$1" && timeout 300 apt-get "${apt[@]}" source --download-only liburing >&2 &&
		tar -xf liburing_*.orig.tar.*z) || return
	dir=$(basename "$1"/liburing-*/)
	[ -s "$1/$dir/test/read-mshot.c" ] || return
	[ -d "$suites/$dir" ] || mv -T "$1/$dir" "$suites/$dir"
}

liburing()
{
	local tmp found

	exec 9> "$suites/.lock"
	flock 9
	# Once a day is enough, so that a second run does not ask again.
	if [ -z "$(find "$suites" -maxdepth 1 -name .asked -mtime -1)" ]; then
		apt_type=deb-src private_apt "$cache/apt-sid" sid
		update_apt
		tmp=$(mktemp -d "$suites/.tmp.XXXXXX")
		if fetch_liburing "$tmp"; then
			: > "$suites/.asked"
		else
			say "cannot fetch liburing"
		fi
		rm -rf "$tmp"
	fi
	found=$(newest 'liburing-*')
	[ -n "$found" ] || { say "there is no liburing"; return 1; }
	echo "$found"
}

# The kernel's source is there since User Mode Linux was built from it.
epoll()
{
	local file

	file=$(find "$cache/src" -path '*/selftests/filesystems/epoll/epoll_wakeup_test.c' |
		sort -V | tail -n 1)
	[ -n "$file" ] || { say "there is no kernel source in $cache/src"; return 1; }
	dirname "$file"
}

case ${1:-} in
liburing | epoll) "$1" ;;
*) sed -n '/^#   /s/^# *//p' "$0" >&2; exit 2 ;;
esac
