#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Inside the guest: guest-qemu.py QEMU ATTACH [SCENARIO...]

ATTACH is how QEMU gets at the devices: type1 for a group whose dirty pages type1
tracks, as on kernels without IOMMUFD; group or cdev for devices that log their DMA,
with default options.

Stock QEMU migrates machines with migsim devices, from one process to another.
Prints KTAP, a test for each scenario. Logs of all processes stay in $VM_OUT.
"""

import os
import re
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "qemu"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from function import (COMMAND, COMMAND_ON, DMA_WRITE, INT_DMA_DONE, INT_DMA_FAILED,
                      INT_SOFTWARE, REGS_END, REG_DMA_DONE, REG_DMA_FAILED,
                      REG_DMA_QUEUED, REG_INT_ENABLE, REG_INT_RAISE, REG_INT_STATUS,
                      REG_SCRATCH, REG_TICKS, REG_TOKENS, Broken, pattern)
from machine import SOCKETS, Machine, MigrationError
from mdev import Mdev, ring
from wire import NoAnswer, WireError

SIZE = 8 << 20
SMALL = 256 << 10           # what is compared by reading it from the BAR
PAGE = 4096
RATE = 2 << 20
AT_ONCE = 2000000           # downtime-limit that any device meets
NEVER = 1                   # and one that none does while it is written to
DEADLINE = 60
INCOMING = ("-incoming", "defer")
MULTIFD = ",x-migration-multifd-transfer=on"

# What QEMU may say of a migration that fails, and has to survive.
BROKEN_OFF = (
    "failed to save SaveStateEntry with id",
    "Unable to write to socket: (Connection reset by peer|Broken pipe)",
    "Channel error: Input/output error",
    "reading state buffer [0-9]+ failed: 5",
    "Sibling indicated error 1",
)
NOT_STOPPED = BROKEN_OFF + (
    "Failed setting device state to STOP_COPY. Recover state is ERROR. "
    "Resetting device: Input/output error",
)

# How many scenarios of an attach mode may meet a QEMU that is stuck in itself.
STUCK_LIMIT = 1

SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


# Options of QEMU, and of each device.
ATTACH = {
    "type1": ((), ",enable-migration=on"),
    "group": ((), ""),
    "cdev": (("-object", "iommufd,id=iommufd0"), ",iommufd=iommufd0"),
}

# With these nobody knows what the devices write to the guest's memory, and QEMU says so.
# Where they have no DMA logging, as on kernels without IOMMUFD, it also says so when
# enable-migration=on has it go by type1's dirty pages.
UNLOGGED = {
    "type1": ",enable-migration=auto",
    "group": ",x-device-dirty-page-tracking=off",
    "cdev": ",x-device-dirty-page-tracking=off",
}
NOT_TRACKED = "VFIO device doesn't support device and IOMMU dirty tracking"
TOLERATED = {"type1": (f"warning: .*: {NOT_TRACKED}",)}


class Failure(Exception):
    """A check that did not hold."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait(condition, otherwise):
    end = time.monotonic() + DEADLINE
    while not condition():
        check(time.monotonic() < end, otherwise)
        time.sleep(0.02)


def say(text):
    print(f"# {text}", flush=True)


class Trial:
    """The machines and devices of a scenario; all go at its end."""

    def __init__(self, qemu, attach, where):
        self.qemu = qemu
        self.attach = attach
        self.where = where
        self.mdevs = []
        self.machines = []

    def mdev(self, kind, seed, **attributes):
        mdev = Mdev(kind, **{"state_size": SIZE, "seed": seed, **attributes})
        self.mdevs.append(mdev)
        return mdev

    def sources(self, kind="full", count=1, **attributes):
        attributes.setdefault("dirty_rate", RATE)
        return [self.mdev(kind, 100 + i, **attributes) for i in range(count)]

    def destinations(self, sources, **attributes):
        """Of the same types and sizes, with other content, and idle."""
        return [self.mdev(source.kind, 200 + i,
                          state_size=source.number("state_size"), **attributes)
                for i, source in enumerate(sources)]

    def machine(self, name, mdevs, options=(), properties=""):
        objects, attach = ATTACH[self.attach]
        machine = Machine(self.qemu, self.where, name, mdevs,
                          (*objects, *options), attach + properties,
                          TOLERATED.get(self.attach, ()))
        self.machines.append(machine)
        machine.connect()
        return machine

    def booted(self, mdevs, properties=""):
        """A machine whose guest uses its devices."""
        machine = self.machine("source", mdevs, properties=properties)
        machine.boot()
        for i, function in enumerate(machine.functions):
            function.set_reg(REG_SCRATCH, 0x1111 * (i + 1))
            function.check_dma(i)
            function.check_interrupt()
        return machine

    def pair(self, sources, incoming=INCOMING, properties="", **attributes):
        """A machine in use, and one that waits for it."""
        source = self.booted(sources, properties)
        target = self.machine("target", self.destinations(sources, **attributes),
                              incoming, properties)
        return source, target

    def address(self):
        return f"unix:{self.machines[-1].path}.migration"

    def connect(self, source, target, downtime=AT_ONCE):
        for machine in source, target:
            machine.capabilities(events=True)
        source.set(downtime_limit=downtime, max_bandwidth=0)
        target.qmp("migrate-incoming", uri=self.address())
        source.qmp("migrate", uri=self.address())

    def explain(self):
        """What the processes said, and what became of the devices."""
        for machine in self.machines:
            for line in machine.said():
                say(f"{machine.name}: {line}")
            for line in machine.waits():
                say(f"{machine.name}: {line}")
            for i, mdev in enumerate(machine.mdevs):
                say(f"{machine.name}: device {i} is {mdev.get('mig_state')}, "
                    f"was {machine.device_states(i)}")

    def end(self):
        for machine in self.machines:
            if machine.alive():
                machine.kill()
        for mdev in self.mdevs:
            mdev.remove()


def hashes(machine):
    return [mdev.get("state_hash") for mdev in machine.mdevs]


def compare(source, target):
    """What left and what arrived, both stopped."""
    left, arrived = hashes(source), hashes(target)
    check(left == arrived, f"hashes left {left}, arrived {arrived}")
    for name in "tokens", "tokens_lost", "position":
        left = [mdev.number(name) for mdev in source.mdevs]
        arrived = [mdev.number(name) for mdev in target.mdevs]
        check(left == arrived, f"{name}: left {left}, arrived {arrived}")


def check_guest(machine, seed):
    """The guest's drivers find their devices as they left them."""
    for i, function in enumerate(machine.functions):
        function.expect("scratch", 0x1111 * (i + 1),
                        function.reg(REG_SCRATCH))
        function.check_dma(seed + i)
        function.check_interrupt()


def check_quiet(*machines, tolerated=()):
    for machine in machines:
        complaints = machine.complaints(tolerated)
        check(not complaints, f"{machine.name} says: {'; '.join(complaints)}")


def in_order(source, target, tolerated=()):
    """The guest at its new place, and what QEMU has to say in the end."""
    check_guest(target, 1000)
    for machine in target, source:
        machine.quit()
    check_quiet(source, target, tolerated=tolerated)


def arrived(source, target, guest=None):
    """After a migration that succeeded: all that has to hold."""
    target.wait_running()
    target.qmp("stop")
    compare(source, target)
    target.qmp("cont")
    target.wait_running()
    if guest:
        guest()
    in_order(source, target)


def goes_on(machine, seed=2000):
    """After a migration that failed: the source as if nothing had been."""
    machine.wait_running()
    for i, mdev in enumerate(machine.mdevs):
        wait(lambda mdev=mdev: mdev.get("mig_state") == "RUNNING",
             f"device {i} does not run again")
    ticks = [function.reg(REG_TICKS) for function in machine.functions]
    check_guest(machine, seed)
    for function, before in zip(machine.functions, ticks):
        check(function.reg(REG_TICKS) > before, "the workload stands still")


def in_precopy(source):
    states = source.device_states()
    return "pre-copy" in states and not {"pre-copy-p2p", "stop-copy",
                                         "stop"} & set(states)


def check_states(machine, *wanted):
    """That all devices went through these, in this order."""
    for i in range(len(machine.mdevs)):
        states = iter(machine.device_states(i))
        check(all(state in states for state in wanted),
              f"device {i} of {machine.name} went through "
              f"{machine.device_states(i)}, wanted {list(wanted)}")


def precopied(source, least, count=None):
    """Go on until that much left while the device ran. Returns how much."""
    count = count or source.moved
    source.wait_migration(until=lambda: count() >= least)
    moved = count()
    check(in_precopy(source) and source.running(),
          f"not in pre-copy after {moved} bytes: {source.device_states()}")
    return moved


def report(source, moved=0):
    info = source.migration()
    say(f"{moved} bytes of {source.moved()} left while the devices ran, "
        f"total {info['total-time']} ms, downtime {info['downtime']} ms")


@scenario
def precopy(trial):
    """One device, all of whose memory leaves while it runs, and more."""
    # It writes faster than that can be sent, or it might converge.
    sources = trial.sources(bandwidth=SIZE, dirty_rate=4 * SIZE)
    source, target = trial.pair(sources)
    trial.connect(source, target, downtime=NEVER)
    moved = precopied(source, SIZE + RATE // 4)
    wait(lambda: source.memory_left(), "the guest's memory does not leave")
    # So it has to be noticed what DMA writes now.
    source.functions[0].dma(DMA_WRITE, 0x1800000, 0x4000, 0x3000)
    written = source.qtest.read(0x1800000, 0x3000)
    check(any(written), "DMA wrote nothing")
    source.functions[0].set_reg(REG_INT_RAISE, INT_SOFTWARE)
    source.set(downtime_limit=AT_ONCE)
    source.wait_migration("completed")
    report(source, moved)
    check(source.moved() > moved, "nothing left in stop-copy")
    check_states(source, "pre-copy", "pre-copy-p2p", "stop-copy")

    def guest():
        function = target.functions[0]
        check(target.qtest.read(0x1800000, 0x3000) == written,
              "the guest's memory is not what DMA wrote")
        function.expect("pending interrupts", INT_SOFTWARE,
                        function.reg(REG_INT_STATUS) & INT_SOFTWARE)
        function.set_reg(REG_INT_STATUS, INT_SOFTWARE)

    arrived(source, target, guest)


def quiet_and_busy(trial, **attributes):
    """A device that does nothing by itself, and one because of which pre-copy goes on."""
    return (trial.sources(dirty_rate=0, **attributes) +
            trial.sources(bandwidth=SIZE, dirty_rate=4 * SIZE))


@scenario
def guest_writes(trial):
    """What the guest writes to the mapped memory after it has left, leaves again."""
    sources = quiet_and_busy(trial)
    source, target = trial.pair(sources)
    function = source.functions[0]
    # After an INTx, QEMU has it unmapped for a second.
    wait(lambda: "BAR 2 mmaps[0]" in source.qmp("human-monitor-command",
                                                command_line="info mtree"),
         "QEMU does not map the device's memory")
    trial.connect(source, target, downtime=NEVER)
    before = precopied(source, SIZE, sources[0].left)
    places = (0, 5 * PAGE, SIZE // 2)
    for place in places:
        function.write_memory(place, pattern(place + 1, PAGE))
    moved = precopied(source, before + len(places) * PAGE, sources[0].left)
    for place in places:
        function.write_memory(place, pattern(place + 2, PAGE))
    source.set(downtime_limit=AT_ONCE)
    source.wait_migration("completed")
    report(source, moved)

    def guest():
        for place in places:
            check(target.functions[0].read_memory(place, PAGE) ==
                  pattern(place + 2, PAGE), f"what was written to {place:#x} is lost")

    arrived(source, target, guest)


@scenario
def untracked(trial):
    """QEMU refuses without a log of DMA, so that is what it goes by elsewhere."""
    source = trial.machine("source", trial.sources(),
                           properties=UNLOGGED[trial.attach])
    said = "nothing"
    try:
        source.qmp("migrate", uri="unix:/nowhere")
    except WireError as error:
        said = str(error)
    check(NOT_TRACKED in said, f"QEMU says: {said}")
    check(source.running(), "the machine does not run")
    source.quit()
    check_quiet(source)


# The longest copies by DMA that there are, and room in the guest's memory for them.
LONG = 16 << 20
AREAS = (LONG, 2 * LONG, 3 * LONG)
COPIED = INT_DMA_DONE | INT_DMA_FAILED


def stop_amid_copies(trial, source, start):
    """
    Migrate up to where the source has stopped, with a copy begun that ended there or not.
    They copy the device's memory from start on, one page later each time.
    """
    target = trial.machine("target", trial.destinations(source.mdevs), INCOMING)
    for machine in source, target:
        machine.capabilities(pause_before_switchover=True)
    source.qmp.events.clear()
    trial.connect(source, target, downtime=NEVER)
    precopied(source, LONG, source.mdevs[0].left)
    wait(source.memory_left, "the guest's memory does not leave")
    source.functions[0].arm(COPIED)
    for i, area in enumerate(AREAS):
        source.functions[0].queue(DMA_WRITE, area, start + i * PAGE, LONG)
    wanted = source.functions[0].read_memory(start, PAGE)
    wait(lambda: source.qtest.read(AREAS[0], PAGE) == wanted, "no copy begins")
    source.set(downtime_limit=AT_ONCE)
    source.wait_migration("pre-switchover")
    return target


def finish_copies(function, done):
    """As a driver does: interrupt by interrupt, until so many are done."""
    while True:
        function.wait_interrupt()
        function.set_reg(REG_INT_STATUS, COPIED)
        function.expect("copies failed", 0, function.reg(REG_DMA_FAILED))
        if function.reg(REG_DMA_DONE) == done:
            break
    function.set_reg(REG_INT_ENABLE, 0)


def check_copies(machine, start):
    """Each has what the one before it had a page later, and the first the device's."""
    first = machine.read_memory(AREAS[0], LONG)
    for i, area in enumerate(AREAS):
        check(machine.read_memory(area, LONG) == first[i * PAGE:] + bytes(i * PAGE),
              f"copy {i} is wrong")
    for at in range(0, LONG - start, LONG // 64):
        check(first[at:at + PAGE] ==
              machine.functions[0].read_memory(start + at, PAGE),
              f"the copies are wrong at {at:#x}")


@scenario
def dma_in_flight(trial):
    """A long copy begins at the source and ends at the destination, as do others."""
    source = trial.booted(quiet_and_busy(trial, state_size=LONG))
    function = source.functions[0]
    done = function.reg(REG_DMA_DONE) + len(AREAS)
    start = 0
    target = stop_amid_copies(trial, source, start)
    # Where all were faster than QEMU, try once more.
    while not function.reg(REG_DMA_QUEUED):
        check(start < 9 * PAGE, "the copies always end before the machine stops")
        source.qmp("migrate_cancel")
        source.wait_migration("cancelled")
        target.kill()
        source.wait_running()
        done, start = done + len(AREAS), start + PAGE
        target = stop_amid_copies(trial, source, start)
    queued = function.reg(REG_DMA_QUEUED)
    say(f"{queued} of {len(AREAS)} copies are not over")
    source.qmp("migrate-continue", state="pre-switchover")
    source.wait_migration("completed")
    report(source)
    target.wait_running()
    finish_copies(target.functions[0], done)
    check_copies(target, start)
    function.expect("copies that wait at the source", queued,
                    function.reg(REG_DMA_QUEUED))
    in_order(source, target, BROKEN_OFF if start else ())


def simple(trial, sources, **options):
    """Migrate, and nothing else."""
    source, target = trial.pair(sources, **options)
    trial.connect(source, target)
    source.wait_migration("completed")
    report(source)
    arrived(source, target)
    return source


@scenario
def type_full(trial):
    """Two devices that can all."""
    source = simple(trial, trial.sources("full", 2))
    check_states(source, "pre-copy", "pre-copy-p2p", "stop-copy")


@scenario
def type_snapshot(trial):
    """Two devices without pre-copy."""
    source = simple(trial, trial.sources("snapshot", 2))
    check_states(source, "running-p2p", "stop", "stop-copy")


@scenario
def type_precopy(trial):
    """A device without P2P."""
    source = simple(trial, trial.sources("precopy"))
    check_states(source, "pre-copy", "stop-copy")


@scenario
def type_basic(trial):
    """A device that can only stop and copy."""
    source = simple(trial, trial.sources("basic"))
    check_states(source, "stop", "stop-copy")


def four(trial, kind="full", rate=0, size=SIZE):
    """Four devices that pass tokens to each other: sources and targets."""
    sources = trial.sources(kind, 4, token_rate=1000, state_size=size)
    sources[0].set("token_count", 1000)
    targets = trial.destinations(sources, token_rate=rate)
    for mdevs in sources, targets:
        ring(mdevs)
    return sources, targets


def connect(trial, source, target, multifd, downtime=AT_ONCE):
    for machine in (source, target) if multifd else ():
        machine.capabilities(multifd=True)
        machine.set(multifd_channels=4)
    trial.connect(source, target, downtime)


def by_multifd(source):
    """
    Bytes that went through multifd channels, and how many of them are devices' at least:
    those that the main channel has not had.
    """
    info = source.migration()
    through = info["ram"]["multifd-bytes"]
    main = info["ram"]["transferred"] - through
    say(f"{through} bytes through multifd, {main} through the main channel, "
        f"{info['vfio']['transferred']} of devices")
    return through, info["vfio"]["transferred"] - main


def tokens(machine):
    return [mdev.number("tokens") for mdev in machine.mdevs]


def count_tokens(machine):
    """How many there are, and how many each device lost; they must not move."""
    return (sum(tokens(machine)),
            [mdev.number("tokens_lost") for mdev in machine.mdevs])


def booted_four(trial, sources, properties=""):
    """Also says what count_tokens() has to say from now on.

    Some are lost or made while the machine resets one device after the other.
    """
    source = trial.booted(sources, properties)
    source.qmp("stop")
    counted = count_tokens(source)
    check(counted[0], "there are no tokens")
    source.qmp("cont")
    source.wait_running()
    return source, counted


def check_tokens(machine, wanted):
    counted = count_tokens(machine)
    check(counted == wanted, f"{machine.name}: tokens and those lost are "
          f"{counted}, were {wanted}")


def migrate_four(trial, kind="full", multifd=False):
    sources, targets = four(trial, kind)
    properties = MULTIFD if multifd else ""
    source, counted = booted_four(trial, sources, properties)
    target = trial.machine("target", targets, INCOMING, properties)
    connect(trial, source, target, multifd)
    source.wait_migration("completed")
    report(source)
    target.wait_running()
    for machine in source, target:
        check_tokens(machine, counted)
    say(f"tokens {tokens(target)}, lost at boot {counted[1]}")
    through = by_multifd(source)
    arrived(source, target)
    return through


@scenario
def four_devices(trial):
    """With tokens that would be lost if one stopped before all are quiet."""
    through, _ = migrate_four(trial)
    check(through == 0, f"{through} bytes went through multifd")


@scenario
def four_devices_multifd(trial):
    """What leaves in stop-copy, which is nearly all, goes through multifd channels."""
    _, least = migrate_four(trial, multifd=True)
    check(least >= 2 * SIZE, f"{least} bytes of devices went through multifd")


@scenario
def four_snapshots_multifd(trial):
    """All of the state goes through multifd channels."""
    through, least = migrate_four(trial, "snapshot", multifd=True)
    check(through >= 4 * SIZE, f"only {through} bytes went through multifd")
    check(least >= 3 * SIZE, f"{least} bytes of devices went through multifd")


def compare_but_tokens(source, target):
    """As compare() does, for devices that have passed tokens on meanwhile."""
    for left, came in zip(source.functions, target.functions):
        for register in range(0, REGS_END, 8):
            if register != REG_TOKENS:
                came.expect(f"register {register:#x}", left.reg(register),
                            came.reg(register))
        check(left.read_memory(0, SMALL) == came.read_memory(0, SMALL),
              f"device {left.index}: the memory differs")


@scenario
def four_devices_busy(trial):
    """Tokens go round before, during and after."""
    sources, targets = four(trial, rate=1000, size=SMALL)
    source, counted = booted_four(trial, sources)
    target = trial.machine("target", targets, INCOMING)
    trial.connect(source, target)
    source.wait_migration("completed")
    target.wait_running()
    before = tokens(target)
    wait(lambda: tokens(target) != before, "tokens stand still")
    target.qmp("stop")
    check_tokens(source, counted)
    check_tokens(target, counted)
    compare_but_tokens(source, target)
    target.qmp("cont")
    target.wait_running()
    in_order(source, target)


@scenario
def msi(trial):
    """A device that interrupts by messages."""
    source, target = trial.pair(trial.sources())
    for machine in source, target:
        machine.functions[0].msi = True
    source.functions[0].use_msi()
    source.functions[0].check_interrupt()
    trial.connect(source, target)
    source.wait_migration("completed")
    arrived(source, target)


@scenario
def target_paused(trial):
    """As libvirt has it: the target waits for a command to run."""
    source, target = trial.pair(trial.sources(), INCOMING + ("-S",))
    trial.connect(source, target)
    source.wait_migration("completed")
    target.wait_migration("completed")
    check(not target.running(), "the target runs")
    check(target.device_states()[-1] == "resuming",
          f"the device went through {target.device_states()}")
    target.qmp("cont")
    arrived(source, target)


def slow(trial, kind="full", **options):
    """A device that takes two seconds or more."""
    return trial.pair(trial.sources(kind, bandwidth=SIZE // 2, **options))


def again(trial, source, tolerated=BROKEN_OFF):
    """After a migration that failed, another one that does not.

    The source may have said what is tolerated, of the first one.
    """
    goes_on(source)
    source.capabilities(multifd=False)
    target = trial.machine("retry", trial.destinations(source.mdevs), INCOMING,
                           ",x-migration-multifd-transfer=off")
    for i in range(len(source.mdevs)):
        source.qmp("qom-set", path=f"/machine/peripheral/dev{i}",
                   property="x-migration-multifd-transfer", value="off")
    source.qmp.events.clear()
    trial.connect(source, target)
    source.wait_migration("completed")
    target.wait_running()
    target.qmp("stop")
    compare(source, target)
    target.qmp("cont")
    check_guest(target, 3000)
    target.quit()
    check_quiet(target)
    source.quit()
    check_quiet(source, tolerated=tolerated)


@scenario
def cancel_in_precopy(trial):
    source, target = slow(trial)
    trial.connect(source, target, downtime=NEVER)
    say(f"{precopied(source, 65536)} bytes had left")
    source.qmp("migrate_cancel")
    source.wait_migration("cancelled")
    again(trial, source)


@scenario
def cancel_before_switchover(trial):
    """When all devices have stopped: QMP is served then, and not after that."""
    source, target = trial.pair(trial.sources("full", 2))
    for machine in source, target:
        machine.capabilities(pause_before_switchover=True)
    trial.connect(source, target)
    source.wait_migration("pre-switchover")
    check(not source.running(), "the machine has not stopped")
    check_states(source, "pre-copy", "pre-copy-p2p", "stop-copy")
    source.qmp("migrate_cancel")
    source.wait_migration("cancelled")
    source.capabilities(pause_before_switchover=False)
    again(trial, source)


@scenario
def target_dies_in_precopy(trial):
    source, target = slow(trial)
    trial.connect(source, target, downtime=NEVER)
    precopied(source, 65536)
    target.kill()
    source.wait_migration("failed")
    again(trial, source)


def sysfs_state(machine):
    return machine.mdevs[0].get("mig_state")


def target_dies(trial, multifd=False):
    """While the device is in stop-copy, in which QEMU does not serve QMP."""
    properties = MULTIFD if multifd else ""
    sources = trial.sources("snapshot", bandwidth=SIZE // 2)
    source, target = trial.pair(sources, properties=properties)
    connect(trial, source, target, multifd)
    wait(lambda: sysfs_state(source) == "STOP_COPY", "no stop-copy")
    time.sleep(0.5)
    check(sysfs_state(source) == "STOP_COPY", "stop-copy is over already")
    target.kill()
    source.wait_migration("failed")
    again(trial, source)


@scenario
def target_dies_in_stop_copy(trial):
    target_dies(trial)


@scenario
def target_dies_multifd(trial):
    target_dies(trial, multifd=True)


def check_fired(mdev):
    check("fired 1" in mdev.faults(), f"the fault did not happen: "
          f"{mdev.faults()}")


def save_fails(trial, rule, multifd=False, downtime=AT_ONCE):
    """A migration that fails because of the source's device, and another one."""
    properties = MULTIFD if multifd else ""
    source, target = trial.pair(trial.sources(), properties=properties)
    source.mdevs[0].fault(rule)
    connect(trial, source, target, multifd, downtime)
    info = source.wait_migration("failed")
    say(f"QEMU says: {info.get('error-desc', 'nothing')}")
    check_fired(source.mdevs[0])
    source.mdevs[0].fault("clear")
    return source


@scenario
def save_fails_in_stop_copy(trial):
    source = save_fails(trial, "save_fail REGS 1 1 5")
    check_states(source, "pre-copy", "pre-copy-p2p", "stop-copy")
    again(trial, source)


@scenario
def save_fails_multifd(trial):
    source = save_fails(trial, "save_fail REGS 1 1 5", multifd=True)
    check_states(source, "pre-copy", "pre-copy-p2p", "stop-copy")
    again(trial, source)


@scenario
def save_fails_in_precopy(trial):
    source = save_fails(trial, "save_fail MEMORY 2 1 5", downtime=NEVER)
    check(in_precopy(source), f"the device went through {source.device_states()}")
    again(trial, source)


@scenario
def load_fails(trial):
    """With more to come: the target gives up, and so the source does."""
    source, target = trial.pair(trial.sources(bandwidth=SIZE))
    target.mdevs[0].fault("load_fail MEMORY 2 1 5")
    trial.connect(source, target, downtime=NEVER)
    source.wait_migration("failed")
    check_fired(target.mdevs[0])
    again(trial, source)


@scenario
def load_fails_at_the_end(trial):
    """Nothing comes after it, but the target is told, and tells the source."""
    source, target = trial.pair(trial.sources())
    target.mdevs[0].fault("load_fail REGS 1 1 5")
    for machine in source, target:
        machine.capabilities(return_path=True)
    trial.connect(source, target)
    source.wait_migration("failed")
    check_fired(target.mdevs[0])
    wait(lambda: not target.alive(), "the target did not give up")
    again(trial, source)


@scenario
def load_fails_untold(trial):
    """
    The same without a way back: the source waits, and nobody runs. Unless its last
    bytes meet a socket that is closed already, which tells it, too.
    """
    source, target = trial.pair(trial.sources())
    target.mdevs[0].fault("load_fail REGS 1 1 5")
    trial.connect(source, target)
    info = source.wait_migration("completed", "failed")
    check_fired(target.mdevs[0])
    wait(lambda: not target.alive(), "the target did not give up")
    if info["status"] == "completed":
        check(not source.running(), "the source runs")
        source.qmp("cont")
    else:
        say(f"the source knows: {info.get('error-desc', 'nothing')}")
    again(trial, source)


@scenario
def stop_fails(trial):
    """QEMU resets a device that does not stop: its content is gone, no more."""
    source = save_fails(trial, "arc_fail PRE_COPY_P2P->STOP_COPY 1 1 5")
    source.wait_running()
    function = source.functions[0]
    function.expect("scratch", 0, function.reg(REG_SCRATCH))
    function.expect("command register", COMMAND_ON,
                    function.config_read(COMMAND) & COMMAND_ON)
    function.set_reg(REG_SCRATCH, 0x1111)
    again(trial, source, NOT_STOPPED)


@scenario
def file(trial):
    """Stored in a file, and restored when the first machine is gone."""
    sources = trial.sources("full", 2)
    targets = trial.destinations(sources)
    source = trial.booted(sources)
    path = f"{SOCKETS}/stored"
    source.capabilities(events=True)
    source.set(downtime_limit=AT_ONCE, max_bandwidth=0)
    source.qmp("migrate", uri=f"file:{path}")
    source.wait_migration("completed")
    report(source)
    source.quit()
    target = trial.machine("target", targets, INCOMING)
    target.qmp("migrate-incoming", uri=f"file:{path}")
    arrived(source, target)
    os.unlink(path)


@scenario
def wrong_bit_noticed(trial):
    """The comparison of these tests itself: it has to fail here."""
    sources = trial.sources()
    source, target = trial.pair(sources)
    sources[0].fault("save_flip MEMORY 1 1 0")
    trial.connect(source, target)
    source.wait_migration("completed")
    check_fired(sources[0])
    target.wait_running()
    target.qmp("stop")
    said = "nothing"
    try:
        compare(source, target)
    except Failure as failure:
        said = str(failure)
    check(said.startswith("hashes left"), f"the comparison says: {said}")
    say(said)


def stuck_in_itself(trial):
    """All channels of QEMU's multifd are full, nobody empties them, and no thread is in
    one of our calls: the threads that save devices can overtake a flush of its own."""
    waits = [line for machine in trial.machines for line in machine.waits()]
    return (any("unix_stream_sendmsg" in line for line in waits) and
            not any(re.search("vfio|migsim", line) for line in waits))


def attempt(name, qemu, attach, where):
    """What went wrong, or nothing, and whether QEMU is to blame for it."""
    trial = Trial(qemu, attach, where)
    os.makedirs(trial.where)
    why, qemus = "", False
    try:
        SCENARIOS[name](trial)
    except (Failure, Broken, MigrationError, WireError) as error:
        why = str(error)
        qemus = isinstance(error, NoAnswer) and stuck_in_itself(trial)
    except Exception:  # pylint: disable=broad-exception-caught
        traceback.print_exc()
        why = "an exception"
    try:
        if why:
            trial.explain()
        trial.end()
    except OSError as error:
        why = why or str(error)
        say(f"left behind: {error}")
    return why, qemus


def run(number, name, qemu, attach, where, stuck):
    """One line of KTAP. Returns whether it is a good one."""
    start = time.monotonic()
    place = os.path.join(where, f"{attach}.{name}")
    why, qemus = attempt(name, qemu, attach, place)
    if qemus:
        say(f"{name}: {why}, QEMU is stuck in itself")
        stuck.append(name)
    if qemus and len(stuck) <= STUCK_LIMIT:
        why, _ = attempt(name, qemu, attach, place + ".again")
    say(f"{name}: {time.monotonic() - start:.1f} s")
    print(f"not ok {number} {name} # {why}" if why else f"ok {number} {name}",
          flush=True)
    return not why


def main():
    qemu, attach = sys.argv[1:3]
    names = sys.argv[3:] or list(SCENARIOS)
    where = os.environ["VM_OUT"]
    print(f"TAP version 13\n1..{len(names)}", flush=True)
    stuck = []
    good = [run(i + 1, name, qemu, attach, where, stuck)
            for i, name in enumerate(names)]
    say(f"{attach}: {len(stuck)} scenarios met a QEMU that was stuck in itself"
        f"{': ' if stuck else ''}{' '.join(stuck)}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
