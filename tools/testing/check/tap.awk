# SPDX-License-Identifier: GPL-2.0-only
#
# One program's KTAP to one result a line: "ok|not|skip NAME REASON".
#   -v program=NAME -v rc=STATUS
# A program that dies without its plan, or before it is fulfilled, or whose
# exit status does not agree with its results, has failed.

function put(kind, name, reason)
{
	print kind, program ":" name, reason
	count[kind]++
}

/^1\.\.[0-9]+/ {
	split($1, range, /\.\./)
	plan = range[2] + 0
	planned = 1
	if (plan == 0 && /SKIP/) {
		sub(/.*SKIP */, "")
		put("skip", "all", $0)
	} else if (plan == 0) {
		put("not", "plan", "no tests, exit status " rc)
	}
}

/^(not )?ok [0-9]+/ {
	kind = /^not/ ? "not" : "ok"
	line = $0
	sub(/^(not )?ok [0-9]+ *(- )?/, "", line)
	reason = ""
	if (match(line, /#[ \t]*(SKIP|XFAIL|TODO)/)) {
		directive = substr(line, RSTART, RLENGTH)
		reason = substr(line, RSTART + RLENGTH)
		line = substr(line, 1, RSTART - 1)
		if (directive ~ /SKIP/)
			kind = "skip"
	}
	gsub(/[ \t]+$/, "", line)
	gsub(/[ \t]+/, "_", line)
	sub(/^[ \t]+/, "", reason)
	seen++
	put(kind, line == "" ? seen : line, reason)
}

END {
	if (!planned)
		put("not", "plan", "no plan, exit status " rc)
	else if (seen != plan)
		put("not", "plan", "planned " plan ", saw " seen + 0 ", exit status " rc)
	else if (rc != 0 && rc != 4 && !count["not"])
		put("not", "status", "exit status " rc)
}
