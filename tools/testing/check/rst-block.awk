# SPDX-License-Identifier: GPL-2.0-only
#
# One literal block of a text, without its indentation.
#   -v n=NUMBER -v kind=xml: of those that are said to be XML
#   -v n=NUMBER -v kind=: of those that are said to be nothing

/^[^ ]/ {
	inside = starts = 0
}

starts && /^ / {
	starts = 0
	inside = ++seen == n
}

inside {
	sub(/^    /, "")
	print
}

/^\.\. code-block:: / {
	starts = $3 == kind
}

/::$/ && kind == "" && !/^\.\./ {
	starts = 1
}
