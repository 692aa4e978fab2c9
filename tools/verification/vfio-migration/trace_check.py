#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
#
# trace_check.py [-v] MODEL.dot TRACE...: has each device in recorded traces
# (/sys/kernel/tracing/trace with the events of vfio_migration on) behaved as the
# automaton allows?
#
# The automaton has what happens under state_mutex, whose order in the trace is the
# true one. Its event device_open has no tracepoint, and is taken to have happened
# wherever it can. All states in which a device may be are kept: one that is in none
# has done something wrong. What came before a trace that has lost its beginning, or
# a gap in it, is not known, so that there every state is possible.
#
# What is no matter of states is counted: a file is closed once, and nobody waits for
# data or room on a file that is closed.
#
# Record with the clock "counter" where others are coarse, or events of two CPUs
# change places.

import argparse
import re
import sys
from collections import Counter

UNSEEN = "device_open"
EVENT = re.compile(r": (vfio_mig_(?:arc|session|stall|reset)): (device=.*)")
FIELD = re.compile(r"(\w+)=(.*?)(?= \w+=|$)")
WRITTEN = re.compile(r"# entries-in-buffer/entries-written: (\d+)/(\d+)")
LOST = re.compile(r"LOST \d+ EVENTS")


class Automaton:
    """The edges of a .dot file as tools/verification/rvgen reads them."""

    EDGE = re.compile(r'"(\w+)" -> "(\w+)"\s*\[\s*label = "([^"]*)"')
    INIT = re.compile(r'"__init_(\w+)" ->')

    def __init__(self, path):
        with open(path, encoding="ascii") as f:
            text = f.read()
        self.next = {}
        self.states = set()
        for source, target, label in self.EDGE.findall(text):
            self.states |= {source, target}
            for event in label.split("\\n"):
                if self.next.setdefault((source, event), target) != target:
                    sys.exit(f"{path}: {event} in {source} is not one thing")
        self.events = {event for _, event in self.next}
        initial = self.INIT.search(text)
        if not initial or initial[1] not in self.states:
            sys.exit(f"{path}: no initial state")
        self.initial = {initial[1]}

    def step(self, states, event):
        """Where an event leads from any of some states."""
        found = {self.next[s, UNSEEN] for s in states if (s, UNSEEN) in self.next}
        return {self.next[s, event] for s in states | found if (s, event) in self.next}


class Device:
    """What is known of a device: its possible states, its open files."""

    def __init__(self, automaton, known):
        self.states = set(automaton.initial if known else automaton.states)
        self.files = Counter() if known else None


def event_of(name, fields):
    """The automaton's event for a line of the trace, or None."""
    if name == "vfio_mig_arc":
        if fields["ret"] != "0":
            return "fail_" + fields["from"]
        return f"arc_{fields['from']}_{fields['to']}"
    if name == "vfio_mig_session" and fields["event"] != "closed":
        return f"{fields['event']}_{fields['direction']}"
    if name == "vfio_mig_reset" and fields["event"] == "done":
        return "reset_done"
    return None


def client_waits(name, fields):
    """A reader or writer waits, not the worker."""
    return name == "vfio_mig_stall" and \
        (fields["direction"], fields["event"]) in \
        {("saving", "no data"), ("resuming", "no room")}


def count_files(device, name, fields):
    """Return: what is wrong, or None."""
    if device.files is None:
        return None
    way = fields.get("direction")
    if name == "vfio_mig_session" and fields["event"] == "opened":
        device.files[way] += 1
    elif name == "vfio_mig_session" and fields["event"] == "closed":
        device.files[way] -= 1
        if device.files[way] < 0:
            return "more files closed than opened"
    elif client_waits(name, fields) and not device.files[way]:
        return "a client of a file that is closed"
    return None


class Judge:
    """Goes through traces, line by line."""

    def __init__(self, automaton, verbose):
        self.automaton = automaton
        self.verbose = verbose
        self.seen = Counter()
        self.bad = 0

    def complain(self, where, line, why):
        self.bad += 1
        print(f"{where}: {why}\n\t{line.strip()}")

    def judge_event(self, device, where, line, name, fields):
        wrong = count_files(device, name, fields)
        if wrong:
            self.complain(where, line, wrong)
        event = event_of(name, fields)
        if not event:
            return
        self.seen[event] += 1
        states = self.automaton.step(device.states, event)
        if not states:
            self.complain(where, line, f"{event} in {'|'.join(sorted(device.states))}")
            states = set(self.automaton.states)
        device.states = states

    def judge_trace(self, path):
        devices = {}
        known = True
        with open(path, encoding="utf-8", errors="replace") as f:
            for number, line in enumerate(f, 1):
                written = WRITTEN.search(line)
                if written:
                    known = written[1] == written[2]
                elif LOST.search(line):
                    known = False
                    devices.clear()
                event = EVENT.search(line)
                if not event:
                    continue
                fields = dict(FIELD.findall(event[2]))
                device = devices.setdefault(fields["device"],
                                            Device(self.automaton, known))
                self.judge_event(device, f"{path}:{number}", line, event[1], fields)

    def tell(self):
        missing = self.automaton.events - set(self.seen) - {UNSEEN}
        print(f"{sum(self.seen.values())} events, {self.bad} wrong, "
              f"{len(missing)} kinds not seen")
        if self.verbose and missing:
            print("not seen:", *sorted(missing))


def main():
    parser = argparse.ArgumentParser(description="Judge traces by an automaton.")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="name the events that did not occur")
    parser.add_argument("model")
    parser.add_argument("trace", nargs="+")
    args = parser.parse_args()
    judge = Judge(Automaton(args.model), args.verbose)
    for path in args.trace:
        judge.judge_trace(path)
    judge.tell()
    if not judge.seen:
        sys.exit("no events")
    sys.exit(judge.bad > 0)


if __name__ == "__main__":
    main()
