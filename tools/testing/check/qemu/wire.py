# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's two line protocols: QMP to manage a machine, qtest to be its CPU."""

import base64
import json
import re
import socket
import time

DEADLINE = 60


class WireError(Exception):
    """What was said, or not said in time, by whom."""


class NoAnswer(WireError):
    """It may have lost itself."""


class Lines:
    """Lines from and to a unix socket that somebody else is about to create."""

    def __init__(self, path, alive):
        self.path = path
        self.data = b""
        self.alive = alive
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.connect(time.monotonic() + DEADLINE)

    def connect(self, deadline):
        while True:
            try:
                return self.sock.connect(self.path)
            except OSError as error:
                if not self.alive() or time.monotonic() > deadline:
                    raise WireError(f"{self.path}: {error}") from error
                time.sleep(0.05)

    def send(self, line):
        try:
            self.sock.sendall(line.encode() + b"\n")
        except OSError as error:
            raise WireError(f"{self.path}: {line}: {error}") from error

    def receive(self, timeout=DEADLINE):
        """The next line, or None if there is none in time."""
        self.sock.settimeout(timeout)
        while b"\n" not in self.data:
            try:
                more = self.sock.recv(1 << 20)
            except TimeoutError:
                return None
            except OSError as error:
                raise WireError(f"{self.path}: {error}") from error
            if not more:
                raise WireError(f"{self.path}: QEMU hung up")
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return line.decode()


class Qmp:
    """Commands, and the events that came meanwhile."""

    def __init__(self, path, alive):
        self.events = []
        self.lines = Lines(path, alive)
        self.answer("greeting")
        self("qmp_capabilities")

    def take(self, timeout=DEADLINE):
        """An answer; events are kept."""
        line = self.lines.receive(timeout)
        if line is None:
            return None
        message = json.loads(line)
        if "event" not in message:
            return message
        self.events.append(message)
        return {}

    def answer(self, what):
        while True:
            message = self.take()
            if message is None:
                raise NoAnswer(f"QMP: no answer to {what}")
            if "error" in message:
                raise WireError(f"QMP: {what}: {message['error']['desc']}")
            if message:
                return message.get("return")

    def __call__(self, command, **arguments):
        # Their names have dashes.
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        message = {"execute": command}
        if arguments:
            message["arguments"] = arguments
        self.lines.send(json.dumps(message))
        return self.answer(command)


class Qtest:
    """What a CPU does: port, memory, and interrupt pins."""

    def __init__(self, path, alive):
        self.raised = {}
        self.edges = {}
        self.lines = Lines(path, alive)

    def pin(self, line):
        """Interrupt pins are told of at any time."""
        match = re.fullmatch(r"IRQ (raise|lower) (\d+)", line)
        if not match:
            return False
        high, number = match[1] == "raise", int(match[2])
        if high and not self.raised.get(number):
            self.edges[number] = self.edges.get(number, 0) + 1
        self.raised[number] = high
        return True

    def __call__(self, command):
        self.lines.send(command)
        while True:
            line = self.lines.receive()
            if line is None:
                raise WireError(f"qtest: no answer to {command[:60]}")
            if self.pin(line):
                continue
            if not line.startswith("OK"):
                raise WireError(f"qtest: {command[:60]}: {line}")
            return line[3:]

    def wait_edges(self, number, count, timeout=DEADLINE):
        """Until a pin was raised that often in all. Returns whether."""
        end = time.monotonic() + timeout
        while self.edges.get(number, 0) < count:
            left = end - time.monotonic()
            if left <= 0:
                return False
            line = self.lines.receive(left)
            if line is not None and not self.pin(line):
                raise WireError(f"qtest: unexpected {line}")
        return True

    def read(self, address, length):
        return base64.b64decode(self(f"b64read {address:#x} {length:#x}"))

    def write(self, address, data):
        self(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def get(self, operation, address):
        return int(self(f"{operation} {address:#x}"), 16)

    def put(self, operation, address, value):
        self(f"{operation} {address:#x} {value:#x}")
