#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""coverage.py FOLDER SOURCE GAPS: what the tests have not reached.

FOLDER has the .gcno and .gcda files of a build, SOURCE is the folder that counts, as
the path of a source ends ("drivers/vfio/migration"), GAPS is the list of branches that
may stay untaken. A line of it is

	FILE:FUNCTION:NUMBER: LINE	REASON

where LINE is the whole line of the source but for the blanks around it, in FUNCTION,
and NUMBER how many of its branches may stay untaken (1 if it has none and is not run),
in all of the lines of FUNCTION that read the same.
An entry fails whose line is gone. One that excuses nothing, since all of it was taken, is
told, unless NUMBER ends in a "?": there it depends on who comes first. What is not
excused is listed as not explained; that fails if it is more than CHANCE. Prints a table,
every branch that was not taken, with its reason, and as the last two lines
line_coverage=PERCENT and branch_coverage=PERCENT.
"""

import collections
import glob
import json
import os
import re
import subprocess
import sys

# Branches that a run may miss by chance, beyond those that are known for it.
CHANCE = 10

Entry = collections.namedtuple("Entry", "file function text")


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


class Gap:
    """What may stay untaken, and whether it did."""

    def __init__(self, number, reason):
        self.chance = number.endswith("?")
        self.left = int(number.rstrip("?"))
        self.reason = reason
        self.used = False


def read_gaps(path):
    """{Entry: Gap}"""
    gaps = {}
    with open(path, encoding="utf-8") as file:
        for text in file:
            text = text.rstrip("\n")
            if text and not text.startswith("#"):
                what, reason = text.rsplit("\t", 1)
                name, function, number, line = what.split(":", 3)
                gaps[Entry(name, function, line.strip())] = Gap(number, reason)
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


def entries_of(source, name):
    """The Entry that each line of a file would have, by its number."""
    entries, function = [None], "-"
    with open(os.path.join(source, name), encoding="utf-8") as file:
        for text in file:
            head = re.match(r"(?=[A-Za-z_]).*?(\w+)\(", text)
            if head and not text.rstrip().endswith(";"):
                function = head[1]
            entries.append(Entry(name, function, text.strip()))
    return entries


def excuse(gap, missing):
    """Returns how many of them nobody has explained, and what there is to say."""
    if not gap:
        return missing, "NOT EXPLAINED"
    gap.used = True
    excused = min(missing, gap.left)
    gap.left -= excused
    if excused < missing:
        return missing - excused, f"NOT EXPLAINED but for {excused}: {gap.reason}"
    return 0, gap.reason


def judge(files, source, gaps):
    """Returns how many branches nobody has explained."""
    bad = 0
    for name, lines in sorted(files.items()):
        entries = entries_of(source, name)
        for number, line in sorted(lines.items()):
            if line.count and not line.untaken():
                continue
            entry = entries[number]
            more, said = excuse(gaps.get(entry), line.untaken() or 1)
            bad += more
            what = (f"{line.untaken()} of {len(line.branches)} branches"
                    if line.branches else "line")
            print(f"# {name}:{number}: {what}: {entry.function}(): {entry.text}\n"
                  f"#     {said}")
    return bad


def stale(files, source, gaps):
    """Returns how many entries are of no line; what excuses nothing is printed, too."""
    there = {entry for name in files for entry in entries_of(source, name)}
    old = [entry for entry, gap in gaps.items()
           if not (gap.used or gap.chance and entry in there)]
    for entry in old:
        print(f"# excuses {'nothing' if entry in there else 'no line'}: "
              f"{entry.file}:{entry.function}: {entry.text}")
    return sum(entry not in there for entry in old)


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
