# SPDX-License-Identifier: GPL-2.0-only
"""A migsim instance as the guest sees it: a PCI function of machine pc."""

import struct
import time

RAM_DATA = 0x2000000        # guest memory for DMA, a part for each device
RAM_MESSAGES = 0x3000000    # where messages of MSI go
RAM_STEP = 0x100000
BAR_REGS = 0xc0000000
BAR_MEMORY = 0xc8000000
BAR_STEP = 0x2000000        # largest device memory of these tests
FIRST_SLOT = 4
DEADLINE = 60
WORKLOAD_WORDS = 64         # far less than a page has

VENDOR_DEVICE = 0x4d531234
COMMAND = 0x04
COMMAND_ON = 0x6            # memory and bus master
MSI = 0x40

# The interrupt router of machine pc: PIRQA to PIRQD.
ROUTER = 1 << 3
ROUTER_PIRQ = 0x60
PIRQ_PINS = (5, 9, 10, 11)

MAGIC = 0x4d49534d
REG_MAGIC = 0x00
REG_TICKS = 0x18
REG_INT_STATUS = 0x28
REG_INT_ENABLE = 0x30
REG_INT_RAISE = 0x38
REG_SCRATCH = 0x40
REG_DMA_IOVA = 0x80
REG_DMA_OFFSET = 0x88
REG_DMA_LENGTH = 0x90
REG_DMA_COMMAND = 0x98
REG_DMA_QUEUED = 0xa0
REG_DMA_DONE = 0xa8
REG_DMA_FAILED = 0xb0
REG_DMA_ERROR = 0xb8
REG_TOKENS = 0xc0
REGS_END = 0xd8
INT_DMA_DONE = 0x1
INT_DMA_FAILED = 0x2
INT_SOFTWARE = 0x4
DMA_READ = 1
DMA_WRITE = 2


class Broken(Exception):
    """What the guest would have noticed."""


def config_address(devfn, where):
    return 1 << 31 | devfn << 8 | where


class Function:
    """The device in slot FIRST_SLOT + index, through a machine's qtest."""

    def __init__(self, qtest, index, busy):
        self.qtest = qtest
        self.index = index
        self.busy = busy
        self.msi = False
        self.edges = 0
        self.devfn = (FIRST_SLOT + index) << 3
        self.regs = BAR_REGS + index * BAR_STEP
        self.memory = BAR_MEMORY + index * BAR_STEP
        self.ram = RAM_DATA + index * RAM_STEP
        self.message = RAM_MESSAGES + index * RAM_STEP
        # Slot 1 would have pin A at PIRQA.
        self.pin = PIRQ_PINS[(FIRST_SLOT + index - 1) % 4]

    def config_write(self, where, value, operation="outl"):
        self.qtest.put("outl", 0xcf8, config_address(self.devfn, where & ~3))
        self.qtest.put(operation, 0xcfc + (where & 3), value)

    def config_read(self, where):
        self.qtest.put("outl", 0xcf8, config_address(self.devfn, where))
        return self.qtest.get("inl", 0xcfc)

    def reg(self, register):
        return self.qtest.get("readq", self.regs + register)

    def set_reg(self, register, value):
        self.qtest.put("writeq", self.regs + register, value)

    def read_memory(self, offset, length):
        return self.qtest.read(self.memory + offset, length)

    def write_memory(self, offset, data):
        self.qtest.write(self.memory + offset, data)

    def expect(self, what, wanted, got):
        if wanted != got:
            raise Broken(f"device {self.index}: {what}: {got:#x}, "
                         f"wanted {wanted:#x}")

    def firmware(self):
        """What firmware does at boot."""
        self.expect("identity", VENDOR_DEVICE, self.config_read(0))
        self.config_write(0x10, self.regs)
        self.config_write(0x18, self.memory)
        self.config_write(0x1c, 0)
        self.config_write(COMMAND, COMMAND_ON, "outw")
        self.route()
        self.expect("magic", MAGIC, self.reg(REG_MAGIC) & 0xffffffff)

    def route(self):
        """All four pins of the router, and be told of them."""
        for number, pin in enumerate(PIRQ_PINS):
            where = ROUTER_PIRQ + number
            self.qtest.put("outl", 0xcf8, config_address(ROUTER, where & ~3))
            self.qtest.put("outb", 0xcfc + (where & 3), pin)

    def use_msi(self):
        """A message is a write to memory, so let it be one that is seen."""
        self.msi = True
        self.config_write(MSI + 4, self.message)
        self.config_write(MSI + 8, 0)
        self.config_write(MSI + 12, 0x4000 + self.index, "outw")
        self.config_write(MSI + 2, 0x81, "outw")

    def arm(self, bits):
        """From now on, let these interrupt."""
        self.set_reg(REG_INT_STATUS, bits)
        if self.msi:
            self.qtest.write(self.message, bytes(4))
        self.edges = self.qtest.edges.get(self.pin, 0)
        self.set_reg(REG_INT_ENABLE, bits)

    def wait_message(self):
        end = time.monotonic() + DEADLINE
        while self.qtest.get("readl", self.message) != 0x4000 + self.index:
            if time.monotonic() > end:
                raise Broken(f"device {self.index}: no MSI")
        self.qtest.write(self.message, bytes(4))

    def wait_edge(self):
        if not self.qtest.wait_edges(self.pin, self.edges + 1):
            raise Broken(f"device {self.index}: no INTx on {self.pin}")
        self.edges = self.qtest.edges[self.pin]

    def wait_interrupt(self):
        """The next one after arm(), or after the last that was waited for."""
        if self.msi:
            self.wait_message()
        else:
            self.wait_edge()

    def acknowledge(self, bits):
        """What interrupted. Returns which of the bits it was."""
        status = self.reg(REG_INT_STATUS) & bits
        self.set_reg(REG_INT_STATUS, bits)
        if not status:
            raise Broken(f"device {self.index}: an interrupt, and no reason")
        return status

    def queue(self, command, iova, offset, length):
        """Have a copy made."""
        self.set_reg(REG_DMA_IOVA, iova)
        self.set_reg(REG_DMA_OFFSET, offset)
        self.set_reg(REG_DMA_LENGTH, length)
        self.set_reg(REG_DMA_COMMAND, command)

    def check_done(self, status, done):
        """That there were so many copies, as an interrupt with this status said."""
        if status & INT_DMA_FAILED:
            raise Broken(f"device {self.index}: DMA failed with "
                         f"{self.reg(REG_DMA_ERROR)}")
        self.expect("copies done", done, self.reg(REG_DMA_DONE))

    def dma(self, command, iova, offset, length):
        """As drivers do: an interrupt tells of the end."""
        bits = INT_DMA_DONE | INT_DMA_FAILED
        done = self.reg(REG_DMA_DONE)
        self.arm(bits)
        self.queue(command, iova, offset, length)
        self.wait_interrupt()
        self.check_done(self.acknowledge(bits), done + 1)
        self.set_reg(REG_INT_ENABLE, 0)

    def check_interrupt(self):
        """Twice, as the first time would also come from a lost unmask."""
        for _ in range(2):
            self.arm(INT_SOFTWARE)
            self.set_reg(REG_INT_RAISE, INT_SOFTWARE)
            self.wait_interrupt()
            self.acknowledge(INT_SOFTWARE)
        self.set_reg(REG_INT_ENABLE, 0)

    def check_same(self, what, wanted, got):
        """The device's own workload, if any, writes a word here and there meanwhile."""
        words = differing_words(wanted, got)
        if words > (WORKLOAD_WORDS if self.busy else 0):
            raise Broken(f"device {self.index}: {what}: {words} words differ")

    def check_dma(self, seed):
        """Into the device and back to another place."""
        data = pattern(seed, 3 * 4096)
        here, there = self.ram + 0x123, self.ram + 0x8040
        self.qtest.write(here, data)
        self.qtest.write(there, bytes(len(data)))
        self.dma(DMA_READ, here, 0x1080, len(data))
        self.dma(DMA_WRITE, there, 0x1080, len(data))
        self.check_same("DMA and back", data,
                        self.qtest.read(there, len(data)))
        self.check_same("DMA and BAR2", data,
                        self.read_memory(0x1080, len(data)))


def differing_words(left, right):
    return sum(left[i:i + 8] != right[i:i + 8]
               for i in range(0, len(left), 8))


def pattern(seed, length):
    """Bytes that tell where they belong."""
    words = (seed * 0x9e3779b97f4a7c15 + i * 0xbf58476d1ce4e5b9
             for i in range(length // 8))
    return b"".join(struct.pack("<Q", word & (1 << 64) - 1) for word in words)
