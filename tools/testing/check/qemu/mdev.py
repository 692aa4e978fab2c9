# SPDX-License-Identifier: GPL-2.0-only
"""A migsim instance as the host sees it: sysfs and debugfs."""

import itertools
import os
import re

TYPES = "/sys/class/mdev_bus/migsim/mdev_supported_types"
DEVICES = "/sys/bus/mdev/devices"
FAULTS = "/sys/kernel/debug/migsim"
SESSIONS = "/sys/kernel/debug/vfio-migration"
NUMBERS = itertools.count(1)


def put(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{value}\n")


def get(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


class Mdev:
    """Exists from its construction until remove()."""

    def __init__(self, kind, **attributes):
        self.kind = kind
        self.uuid = f"c0000000-0000-4000-8000-{next(NUMBERS):012d}"
        self.path = f"{DEVICES}/{self.uuid}"
        put(f"{TYPES}/migsim-{kind}/create", self.uuid)
        for name, value in attributes.items():
            self.set(name, value)

    def set(self, name, value):
        put(f"{self.path}/migsim/{name}", value)

    def get(self, name):
        return get(f"{self.path}/migsim/{name}")

    def number(self, name):
        return int(self.get(name))

    def fault(self, rule):
        put(f"{FAULTS}/{self.uuid}/faults", rule)

    def faults(self):
        return get(f"{FAULTS}/{self.uuid}/faults")

    def left(self):
        """Bytes that were read of the stream, if there is one."""
        session = dict(re.findall(r"(\w+):\s+(\d+)",
                                  get(f"{SESSIONS}/{self.uuid}/session")))
        return int(session.get("bytes", 0)) - int(session.get("queued", 0))

    def remove(self):
        if os.path.exists(self.path):
            put(f"{self.path}/remove", 1)


def ring(mdevs):
    """Make the devices each other's peers."""
    for mdev in mdevs[1:]:
        mdev.set("peer", mdevs[0].uuid)
