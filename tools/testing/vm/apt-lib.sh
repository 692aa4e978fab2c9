# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Packages of other releases than the machine's, through an apt configuration of
# our own: the machine's sources stay as they are.

apt=()

# private_apt FOLDER SUITE...: set apt, the options to give to apt's programs; of
# packages of source with apt_type=deb-src
private_apt()
{
	local dir=$1 url=http://deb.debian.org/debian suite
	local key=/usr/share/keyrings/debian-archive-keyring.gpg
	shift

	mkdir -p "$dir"/{lists/partial,archives/partial,etc}
	for suite; do
		echo "${apt_type:-deb} [signed-by=$key] $url $suite main"
	done > "$dir/etc/sources.list"
	apt=(-qq -o "Dir::Etc::sourcelist=$dir/etc/sources.list"
	     -o "Dir::Etc::sourceparts=-" -o "Dir::State::lists=$dir/lists"
	     -o "Dir::Cache=$dir" -o "Dir::Cache::archives=$dir/archives"
	     -o "APT::Sandbox::User=root")
}

# Without a network, what was known before has to do.
update_apt()
{
	apt-get "${apt[@]}" update >&2 || say "no update, taking what is known"
}
