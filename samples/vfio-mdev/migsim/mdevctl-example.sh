#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# mdevctl-example.sh TYPE UUID [ATTRIBUTE=VALUE...]
#
# A migsim device that is there whenever the module is: defines it with its
# attributes, to be started with its parent, and starts it now. TYPE is full,
# snapshot, precopy or basic. If anything fails, nothing is left.

set -eu

usage()
{
	cat <<-USAGE
	usage: $(basename "$0") TYPE UUID [ATTRIBUTE=VALUE...]

	  TYPE       full, snapshot, precopy or basic
	  UUID       of the new device, such as uuidgen gives
	  ATTRIBUTE  a file in its folder migsim/, such as state_size
	USAGE
}

case ${1:-} in
-h|--help)
	usage
	exit 0 ;;
esac
if [ $# -lt 2 ]; then
	usage >&2
	exit 2
fi
type=$1 uuid=$2
shift 2

mdevctl define --auto --uuid "$uuid" --parent migsim --type "migsim-$type"
# What was defined is of no use if it cannot be started.
trap 'mdevctl undefine --uuid "$uuid" --parent migsim' ERR
for attribute; do
	mdevctl modify --uuid "$uuid" --parent migsim \
		--addattr "migsim/${attribute%%=*}" --value "${attribute#*=}"
done
mdevctl start --uuid "$uuid" --parent migsim
