"""The copy on a disk of a store in memory: whole at any instant, whoever is killed."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bentos.core.features import _states
from bentos.fraud.store import copying
from bentos.fraud.store.copying import Copier, copy_round, drain, log_of, redo
from bentos.fraud.store.file import StateFile
from bentos.fraud.store.memory import MemoryPlace
from tests.core.features.test_changes import stable
from tests.fraud.store.payments import SECRET
from tests.fraud.store.test_pacing import eventually
from tests.fraud.store.test_processes import CATEGORIES, events_of, forked, record


@dataclass(frozen=True)
class Machine:
    """A store's file, and where it lies in memory."""

    file: StateFile

    @property
    def place(self) -> MemoryPlace:
        assert self.file.memory is not None
        return MemoryPlace(self.file.memory, self.file.path)

    def reboot(self) -> None:
        """Forget what lies in memory."""
        for path in (self.place.states, self.place.changes):
            path.unlink(missing_ok=True)

    def copied(self) -> bytes:
        return stable(self.file.path.read_bytes())

    def original(self) -> bytes:
        return stable(self.place.states.read_bytes())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "memory").mkdir()
    return Machine(StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30, tmp_path / "memory"))


def number_in(memory: mmap.mmap) -> int:
    return int(struct.unpack("=q", memory[:])[0])


def child(work: Callable[[], None]) -> int:
    """Work on in a process that is going to be killed."""
    process = os.fork()
    if process == 0:
        try:
            work()
        finally:
            os._exit(1)
    return process


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status)


def record_on(file: StateFile, first: int, recorded: mmap.mmap) -> None:
    """Record from the n-th event on, and tell how many there are."""
    states = file.open()
    for number in range(first, 10**9):
        record(states, number)
        recorded[:] = struct.pack("=q", number + 1)


def copy_on(file: StateFile, recorded: mmap.mmap, copied: mmap.mmap) -> None:
    """Copy again and again, and tell how many events the disk has at least."""
    states = file.open()
    while True:
        before = number_in(recorded)
        drain(states, file.path)
        copied[:] = struct.pack("=q", before)


def check(states: _states.States, least: int, most: int) -> int:
    """Find the first so many events, each once in all of its keys, and nothing else; returns how many."""
    found = events_of(states, 1, "m")
    assert least <= found <= most
    assert [events_of(states, 0, f"c{number}") for number in range(found + 2)] == [1] * found + [0, 0]
    assert sum(events_of(states, 2, f"k{number}") for number in range(CATEGORIES)) == found
    assert states.stats()["keys"] == found + CATEGORIES + 1
    return found


@pytest.mark.parametrize("reboot", [False, True], ids=["process", "machine"])
def test_whoever_is_killed_the_store_is_whole(machine: Machine, reboot: bool) -> None:
    generator = np.random.default_rng(5)
    known = 0
    for _ in range(12):
        recorded, copied = mmap.mmap(-1, 8), mmap.mmap(-1, 8)
        processes = [
            child(partial(record_on, machine.file, known, recorded)),
            child(partial(copy_on, machine.file, recorded, copied)),
        ]
        assert eventually(lambda copied=copied: number_in(copied) > 0)
        time.sleep(generator.uniform(0, 0.03))
        generator.shuffle(processes)
        kill(processes[0])
        time.sleep(generator.uniform(0, 0.01))
        kill(processes[1])
        least = number_in(recorded)
        if reboot:
            machine.reboot()
            least = number_in(copied)
        with closing(machine.file.open()) as states:
            known = check(states, least, number_in(recorded) + 1)
    assert known > 100


def test_who_is_killed_while_it_opens_loses_nothing(machine: Machine) -> None:
    generator = np.random.default_rng(6)
    with closing(machine.file.open()) as states:
        for number in range(2000):
            record(states, number)
        drain(states, machine.file.path)

    def open_on(ready: mmap.mmap) -> None:
        ready[:] = struct.pack("=q", 1)
        while True:
            machine.file.open().close()
            machine.reboot()

    for round_ in range(25):
        ready = mmap.mmap(-1, 8)
        process = child(partial(open_on, ready))
        assert eventually(lambda ready=ready: number_in(ready) == 1)
        time.sleep(generator.uniform(0, 0.05))
        kill(process)
        if round_ % 5 == 0:
            with closing(machine.file.open()) as states:
                assert check(states, 2000, 2000) == 2000


def test_processes_that_start_together_after_a_reboot_find_one_store(machine: Machine) -> None:
    with closing(machine.file.open()) as states:
        for number in range(1000):
            record(states, number)
        drain(states, machine.file.path)
    machine.reboot()

    def work(number: int) -> None:
        with closing(machine.file.open()) as own:
            record(own, number)
            drain(own, machine.file.path)

    children = [forked(partial(work, 1000 + number)) for number in range(6)]
    assert [os.waitpid(process, 0)[1] for process in children] == [0] * 6
    assert machine.copied() == machine.original()
    with closing(machine.file.open()) as states:
        check(states, 1006, 1006)


def test_a_round_that_was_not_applied_is_applied_by_the_next(machine: Machine) -> None:
    states = machine.file.open()
    for number in range(500):
        record(states, number)
    drain(states, machine.file.path)
    before = machine.file.path.read_bytes()
    for number in range(500, 1000):
        record(states, number)
    with ExitStack() as stack:
        log = os.open(log_of(machine.file.path), os.O_RDWR)
        stack.callback(os.close, log)
        image = os.open(machine.file.path, os.O_RDWR)
        stack.callback(os.close, image)
        # Every page of it is in the log, and the copy is as it was.
        full = os.open("/dev/full", os.O_RDWR)
        stack.callback(os.close, full)
        with pytest.raises(OSError, match=r"No space|Invalid argument"):
            copy_round(states, log, full)
        content = log_of(machine.file.path).read_bytes()
        assert machine.file.path.read_bytes() == before
        # One that another store wrote, or that is not complete, is none.
        for wrong in (content[:-1], content[:5000] + b"x" + content[5001:], content[:20]):
            os.ftruncate(log, 0)
            os.pwrite(log, wrong, 0)
            redo(log, image, states.identity)
            assert machine.file.path.read_bytes() == before
        os.pwrite(log, content, 0)
        redo(log, image, bytes(16))
        assert machine.file.path.read_bytes() == before
        redo(log, image, states.identity)
    assert machine.copied() == machine.original()


def test_a_thread_copies_and_the_next_takes_over(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_TURN_SECONDS", 0.02)
    states, second_states = machine.file.open(), machine.file.open()
    first = Copier(states, machine.file.path, interval_seconds=0.05)
    record(states, 0)
    assert eventually(lambda: machine.copied() == machine.original())
    second = Copier(second_states, machine.file.path, interval_seconds=0.05)
    first.stop()
    record(states, 1)
    assert eventually(lambda: machine.copied() == machine.original())
    second.stop()


def test_who_closes_is_served_before_the_round_is_due(machine: Machine) -> None:
    states, other = machine.file.open(), machine.file.open()
    copier = Copier(states, machine.file.path, interval_seconds=3600)
    for number in range(20):
        record(other, number)
        drain(other, machine.file.path)
        assert machine.copied() == machine.original()
    copier.stop()


def test_a_file_that_was_replaced_is_left_alone(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    states = machine.file.open()
    record(states, 0)
    aside = machine.file.path.with_name("aside")
    machine.file.path.replace(aside)
    other = replace(machine.file, memory=None).open()
    before = machine.file.path.read_bytes()
    copier = Copier(states, machine.file.path, interval_seconds=0.01)
    assert eventually(lambda: "has been replaced" in caplog.text)
    copier.stop()
    drain(states, machine.file.path)
    assert "lacks the last changes" in caplog.text
    assert machine.file.path.read_bytes() == before
    other.close()
    # It goes on when the file is back.
    aside.replace(machine.file.path)
    drain(states, machine.file.path)
    assert machine.copied() == machine.original()
