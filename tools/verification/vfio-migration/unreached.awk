# SPDX-License-Identifier: GPL-2.0-only
#
# Lines of the model that no run comes to, in any copy of the inline that they are
# in: awk -f unreached.awk <(./pan -d) pan.log. The verifier has to be made with
# "spin -o3", or it does not know of all.

function line_of(text)
{
	return match(text, /session\.pml:[0-9]+/) ? substr(text, RSTART, RLENGTH) : ""
}

FNR == 1 { files++ }
/^proctype/ { process = $2 }
/^unreached in proctype/ { process = $4 }
files == 1 && /^\tstate/ { place[process, $2] = line_of($0) }
# A worker has no end.
files == 2 && /, state [0-9]+, / && !(process == "worker" && /"-end-"/) {
	match($0, /, state [0-9]+/)
	dead[process, substr($0, RSTART + 8, RLENGTH - 8)] = 1
	line = line_of($0)
	sub(/.*, state [0-9]+, /, "")
	text[line] = $0
}
END {
	for (state in place)
		if (!(state in dead))
			alive[place[state]] = 1
	for (line in text)
		if (!(line in alive))
			print line, text[line]
}
