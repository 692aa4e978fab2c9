#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# table.sh FILE: what make bench has written, as a text for people, who find the same
# in Documentation/ (make bench-doc)

# shellcheck disable=SC2016 # the variables are those of jq

set -u
json=${1:?usage: table.sh FILE}

# Numbers as short as they are good for, and what all programs here use.
defs='
def n: if . == null then "-" elif . >= 100 then round
	elif . >= 10 then (. * 10 | round / 10)
	else (. * 1000 | round / 1000) end | tostring;
def mib: . / 1048576 * 10 | round / 10 | tostring;
def cpu: .process + .kworkers;
def goal: if .goal == null then "" else
	"\(.goal) " + if .met then "met" else "short" end end;
def figures: to_entries[] | select(.key != "about");'

# columns FILTER: what prints rows of tab separated values, in columns
columns() { jq -r "$defs $1" "$json" | column -t -s $'\t' | sed 's/^/  /; s/ *$//'; }

# has KEY FIELD
has() { jq -e --arg key "$1" --arg field "$2" '.[$key][$field]' "$json" > /dev/null; }

about()
{
	jq -r '.about |
	"Kernel \(.kernel) in \(if .environment == "uml" then "User Mode Linux"
		else "QEMU" end) with \(.cpus) CPUs (\(.cpu)) and \(.memory_mib) MiB,\n" +
	"on \(.host_cpu), \(.host_cpus) CPUs, busy for \(.host_busy_before) % of the " +
	"minute before.\n" +
	"Commit \(.commit), \(.rounds) rounds by turns" +
	if .quick then ", of small sizes: no measurement, only a try." else "." end +
	if .host_busy_before >= 10 then
		"\nThe machine was busy: look at best, and measure again." else "" end' "$json"
}

# Ratios are ours to the other; lower is better for us and bytes.
figures()
{
	columns '
	def row(name): [name, (.ratio, .min, .max, .best | n), goal, (.ours, .other | n),
			.unit, (.ours_cpu_s, .other_cpu_s | cpu | n)];
	(["figure", "ratio", "min", "max", "best", "goal", "ours", "other", "unit",
	  "cpu s", "other"],
	 (figures | .key as $key | .value | row($key),
	  (.rows // [] | .[] | select(.donate == 1) | row("  donated pages")))) |
	map(if . == "" then "-" else . end) | @tsv'
}

sessions()
{
	has uring_256 iowq_control || return
	printf '\nuring_256\n'
	jq -r "$defs"' .uring_256 |
	"  io-wq: \(.iowq) requests of \(.sessions) sessions; " +
	"\(.iowq_control) of \(.control_sessions) without FMODE_NOWAIT, to see it count\n" +
	"  memory: at most \(.held_bytes_max | mib) MiB held, windows are " +
	"\(.windows_bytes | mib) MiB, the state \(.state_bytes | mib) MiB\n" +
	"  ratio with reads under way: \([.rows // [] | .[] |
	"\(.under_way) \(.ratio | n)"] | join(", "))\(
	if .short_of then "\n  short of: \(.short_of)" else "" end)"' "$json"
}

modes()
{
	has vs_qemu_mode rows || return
	printf '\nvs_qemu_mode: latencies in us of RUNNING_P2P, STOP, and the first byte\n'
	columns '
	(["form", "p2p", "stop", "save", "ratio", "min", "max", "best", "ours", "other"],
	 (.vs_qemu_mode.rows[] | [.form, (.p2p_latency_us, .stop_latency_us,
		.save_latency_us, .ratio, .min, .max, .best, .ours, .other | n)])) | @tsv'
}

styles()
{
	has async_styles rows || return
	printf '\nasync_styles: the ratio is to io_uring; CPU s, client, calls, and context\n'
	printf 'switches of the client and of the machine are for each GiB\n'
	columns '
	(["devices", "style", "GB/s", "min", "max", "ratio", "min", "max", "cpu s",
	  "client", "calls", "switches", "machine"],
	 (.async_styles.rows[] | [(.devices | tostring), .style, (.ours, .ours_min,
		.ours_max, .ratio, .min, .max, .cpu_s_per_gib, .client_cpu_s_per_gib,
		.syscalls_per_gib, .switches_per_gib, .machine_switches_per_gib |
		n)])) | @tsv'
}

overhead()
{
	has overhead_bytes rows || return
	printf '\noverhead_bytes: of a session, beside its window\n'
	columns '
	(["state MiB", "bytes", "min", "max", "ratio", "min", "max", "held MiB",
	  "window MiB"],
	 (.overhead_bytes.rows[] | [(.state_bytes | mib), (.ours, .ours_min, .ours_max |
		n), (.ratio, .min, .max | n), (.held_bytes, .window_bytes | mib)])) |
	@tsv'
}

about || exit 1
echo
figures
sessions
modes
styles
overhead
exit 0
