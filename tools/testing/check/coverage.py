#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""coverage.py FOLDER SOURCE GAPS: what the tests have not reached.

FOLDER has the .gcno and .gcda files of a build, SOURCE is the folder that counts, as
the path of a source ends ("drivers/vfio/migration"), GAPS is the list of branches that
may stay untaken. A line of it is

	FILE: TEXT	REASON

where TEXT is a part of the source line, and FILE may be *. What is not on it is listed
as not explained; that fails if it is more than the few that depend on who comes first.
An entry fails that fits no line of the source. Prints a table, every branch that was not taken, with its
reason, and as the last two lines line_coverage=PERCENT and branch_coverage=PERCENT.
"""

import collections
import glob
import json
import os
import subprocess
import sys

# Branches that a run may miss by chance.
CHANCE = 12


class Line:
    """One of the source, whatever it was compiled into."""

    def __init__(self):
        self.count = 0
        self.branches = collections.Counter()

    def add(self, line):
        self.count += line["count"]
        for number, branch in enumerate(line["branches"]):
            # An inlined copy has the same ones in the same order.
            self.branches[number] += branch["count"]

    def untaken(self):
        return sum(not count for count in self.branches.values())


def measure(folder, source):
    """{file: {number: Line}}"""
    files = collections.defaultdict(lambda: collections.defaultdict(Line))
    for data in sorted(glob.glob(f"{folder}/**/*.gcda", recursive=True)):
        report = subprocess.run(
            ["gcov", "--branch-probabilities", "--json-format", "--stdout", data],
            check=True, capture_output=True, cwd=os.path.dirname(data)).stdout
        for file in json.loads(report)["files"]:
            path, name = os.path.split(file["file"])
            if not path.endswith(source):
                continue
            for line in file["lines"]:
                files[name][line["line_number"]].add(line)
    return files


def read_gaps(path):
    gaps = {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            text = text.rstrip("\n")
            if text and not text.startswith("#"):
                what, reason = text.rsplit("\t", 1)
                name, part = what.rstrip("\t").split(": ", 1)
                gaps[name, part] = reason
    return gaps


def percent(part, whole):
    return 100 * part / whole if whole else 100.0


def table(files):
    total = [0, 0, 0, 0]
    print(f"# {'file':16} {'lines':>12} {'branches':>12}")
    for name, lines in sorted(files.items()):
        row = [sum(line.count > 0 for line in lines.values()), len(lines),
               sum(len(line.branches) - line.untaken() for line in lines.values()),
               sum(len(line.branches) for line in lines.values())]
        total = [a + b for a, b in zip(total, row)]
        print(f"# {name:16} {row[0]:5} {percent(*row[:2]):5.1f}% "
              f"{row[2]:5} {percent(*row[2:]):5.1f}%")
    return percent(*total[:2]), percent(*total[2:])


def gap_of(gaps, name, text):
    for (file, part), reason in gaps.items():
        if file in (name, "*") and part in text:
            return reason
    return None


def lines_of(source, name):
    with open(os.path.join(source, name), encoding="utf-8") as file:
        return [""] + [text.strip() for text in file]


def judge(files, source, gaps):
    """Returns how many branches nobody has explained."""
    bad = 0
    for name, lines in sorted(files.items()):
        texts = lines_of(source, name)
        for number, line in sorted(lines.items()):
            if line.count and not line.untaken():
                continue
            reason = gap_of(gaps, name, texts[number])
            what = (f"{line.untaken()} of {len(line.branches)} branches"
                    if line.branches else "line")
            print(f"# {name}:{number}: {what}: {texts[number]}\n"
                  f"#     {reason or 'NOT EXPLAINED'}")
            if not reason:
                bad += line.untaken() or 1
    return bad


def stale(files, source, gaps):
    """Returns how many entries fit nothing, which it prints."""
    texts = [(name, text) for name in files for text in lines_of(source, name)]
    old = [f"{file}: {part}" for file, part in gaps
           if not any(file in (name, "*") and part in text for name, text in texts)]
    for entry in old:
        print(f"# fits no line: {entry}")
    return len(old)


def main():
    folder, source, gaps = sys.argv[1:]
    files = measure(folder, source)
    if not files:
        sys.exit(f"coverage.py: nothing of {source} in {folder}")
    lines, branches = table(files)
    gaps = read_gaps(gaps)
    bad = judge(files, source, gaps)
    print(f"# {bad} not explained")
    old = stale(files, source, gaps)
    print(f"line_coverage={lines:.1f}\nbranch_coverage={branches:.1f}")
    return 1 if bad > CHANCE or old else 0


if __name__ == "__main__":
    sys.exit(main())
