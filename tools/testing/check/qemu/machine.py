# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU process with migsim devices, and a CPU that does nothing.

What the guest does is done by qtest. Debian's QEMU does not have the accelerator of
this name, so there is a CPU, but all that its firmware does is to halt it.
"""

import glob
import itertools
import os
import re
import subprocess
import time

from function import FIRST_SLOT, Function
from wire import Qmp, Qtest, WireError

NUMBERS = itertools.count(1)
DEADLINE = 120
MEMORY = 64 << 20
SOCKETS = "/run"            # the folder for logs may have none, and is slow

FIRMWARE_SIZE = 0x10000
RESET_VECTOR = 0xfff0
HALT = bytes((0xfa, 0xf4, 0xeb, 0xfd))      # cli; 1: hlt; jmp 1b


def firmware():
    """The file with it."""
    path = f"{SOCKETS}/firmware"
    if not os.path.exists(path):
        image = bytearray(FIRMWARE_SIZE)
        image[RESET_VECTOR:RESET_VECTOR + len(HALT)] = HALT
        with open(path, "wb") as file:
            file.write(image)
    return path


class MigrationError(Exception):
    """A migration that ended otherwise than it should."""


class Machine:
    """Running from construction to quit(), of use from connect() on."""

    def __init__(self, qemu, where, name, mdevs, options, properties, tolerated):
        self.name = f"{next(NUMBERS)}-{name}"
        self.path = os.path.join(SOCKETS, self.name)
        self.mdevs = mdevs
        self.tolerated = tolerated      # what QEMU may say when all goes well
        self.log = os.path.join(where, f"{self.name}.err")
        self.process = self.start(qemu, options, properties)
        self.qmp = self.qtest = None
        self.functions = []

    def connect(self):
        self.qmp = Qmp(f"{self.path}.qmp", self.alive)
        self.qtest = Qtest(f"{self.path}.qtest", self.alive)
        self.qtest("irq_intercept_in ioapic")
        self.functions = [Function(self.qtest, i, mdev.number("dirty_rate") > 0)
                          for i, mdev in enumerate(self.mdevs)]

    def start(self, qemu, options, properties):
        command = [qemu, "-machine", "pc", "-accel", "tcg", "-m", f"{MEMORY >> 20}M",
                   "-bios", firmware(),
                   "-nodefaults", "-display", "none", "-vga", "none",
                   "-qmp", f"unix:{self.path}.qmp,server=on,wait=off",
                   "-qtest", f"unix:{self.path}.qtest,server=on,wait=off",
                   "-qtest-log", "/dev/null", *options]
        for i, mdev in enumerate(self.mdevs):
            command += ["-device",
                        f"vfio-pci,id=dev{i},sysfsdev={mdev.path},"
                        f"addr={FIRST_SLOT + i:#x},migration-events=on"
                        f"{properties}"]
        with open(self.log, "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def alive(self):
        return self.process.poll() is None

    def silence_timer(self):
        """Let it tick once more, and not 18 times a second.

        QEMU tells of each tick, and hangs when 280 of them were not read.
        """
        for port, value in (0x43, 0x30), (0x40, 0xff), (0x40, 0xff):
            self.qtest.put("outb", port, value)

    def boot(self):
        self.silence_timer()
        for function in self.functions:
            function.firmware()

    def quit(self):
        if self.alive():
            try:
                self.qmp("quit")
            except WireError:
                pass
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MigrationError(f"{self.name}: does not quit") from None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            # Which options it was started with is no news.
            return [re.sub(r" -device \S+", "", line)
                    for line in file.read().splitlines()]

    def waits(self):
        """Where in the kernel the process' threads are."""
        for task in glob.glob(f"/proc/{self.process.pid}/task/*"):
            try:
                with open(f"{task}/comm", encoding="ascii") as comm, \
                     open(f"{task}/stack", encoding="ascii") as stack:
                    calls = re.findall(r"\] ([^+\n]*)", stack.read())
                    yield f"{comm.read().strip()} in {' '.join(calls[:5])}"
            except OSError:
                pass

    def complaints(self, tolerated=()):
        patterns = self.tolerated + tuple(tolerated)
        return [line for line in self.said()
                if not any(re.search(pattern, line) for pattern in patterns)]

    def set(self, **parameters):
        self.qmp("migrate-set-parameters", **parameters)

    def capabilities(self, **states):
        self.qmp("migrate-set-capabilities", capabilities=[
            {"capability": name.replace("_", "-"), "state": state}
            for name, state in states.items()])

    def read_memory(self, address, length):
        """So much of the guest's that qtest would take long."""
        path = f"{self.path}.memory"
        self.qmp("pmemsave", val=address, size=length, filename=path)
        with open(path, "rb") as saved:
            data = saved.read()
        os.unlink(path)
        return data

    def running(self):
        return self.qmp("query-status")["status"] == "running"

    def device_states(self, index=0):
        """All that the device went through, oldest first."""
        events = self.qmp.events if self.qmp else []
        return [event["data"]["device-state"] for event in events
                if event["event"] == "VFIO_MIGRATION"
                and event["data"]["device-id"] == f"dev{index}"]

    def migration(self):
        return self.qmp("query-migrate")

    def moved(self):
        """Bytes of device state that have left."""
        return self.migration().get("vfio", {}).get("transferred", 0)

    def memory_left(self):
        """Whether all pages of the guest's memory have, once."""
        ram = self.migration()["ram"]
        return ram["normal"] + ram["duplicate"] >= MEMORY // ram["page-size"]

    def wait_migration(self, *wanted, until=None):
        """Until the migration has one of these states, or until() holds."""
        end = time.monotonic() + DEADLINE
        while True:
            info = self.migration()
            status = info.get("status", "none")
            if status in wanted or (until and until()):
                return info
            if status in ("failed", "cancelled", "completed"):
                raise MigrationError(f"{self.name}: {status}: "
                                     f"{info.get('error-desc', '')}")
            if time.monotonic() > end:
                raise MigrationError(f"{self.name}: still {status}")
            time.sleep(0.02)

    def wait_running(self):
        end = time.monotonic() + DEADLINE
        while not self.running():
            if time.monotonic() > end:
                status = self.qmp("query-status")["status"]
                raise MigrationError(f"{self.name}: does not run: {status}")
            time.sleep(0.02)
