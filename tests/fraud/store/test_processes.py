"""Workers share a store: nothing is lost or counted twice, whoever is killed, stopped or forked, at any instant."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bentos.core.features import _states
from bentos.core.features.history import KINDS
from bentos.core.features.window_statistics import WIDTH
from bentos.fraud.store.embedded import ROW
from bentos.fraud.store.file import StateFile, now_microseconds
from tests.fraud.store.payments import BOOT, SECRET

STEP = 1_000_000
NOW = 1_780_000_000_000_000
CATEGORIES = 5


def event(number: int) -> bytes:
    """The n-th event: a customer of its own, one merchant for all, every third late."""
    names = (f"c{number}", "m", f"k{number % CATEGORIES}")
    keys = (SECRET.key(kind, name) for kind, name in zip(KINDS, names, strict=True))
    time_ = NOW + (number - (20 if number % 3 == 0 else 0)) * STEP
    return ROW.pack(*keys, SECRET.identity(f"t{number}"), time_, 1.0, 1)


def record(states: _states.States, number: int) -> None:
    outcome = states.lookup(event(number), np.empty((WIDTH, 1)), bytearray(1), NOW)
    assert outcome == _states.DONE


def killed_recorder(path: StateFile, first: int, seconds: float) -> int:
    """Record from the n-th event on in a process that is killed; returns how many events it had been told are in."""
    acknowledged = mmap.mmap(-1, 8)
    child = os.fork()
    if child == 0:
        try:
            states = path.open()
            for number in range(first, 10**9):
                record(states, number)
                acknowledged[:] = struct.pack("=q", number + 1 - first)
        finally:
            os._exit(1)
    while acknowledged[:] == bytes(8):
        time.sleep(0.0001)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    return struct.unpack("=q", acknowledged[:])[0]


def forked(work: Callable[[], None]) -> int:
    """Run in a child process, which ends with 0 if all went well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def events_of(states: _states.States, kind: int, name: str) -> int:
    cells, _ = states.read(SECRET.key(KINDS[kind], name))
    return int(np.frombuffer(cells, np.dtype([("rest", "V40"), ("count", "<i4"), ("frauds", "<i4")]))["count"].sum())


@pytest.mark.parametrize("joined", [False, True], ids=["alone", "beside another worker"])
def test_a_killed_worker_leaves_whole_transactions(tmp_path: Path, joined: bool) -> None:
    path = StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30)
    generator = np.random.default_rng(4)
    beside = path.open() if joined else None
    recorded = rolled_back = 0
    for _ in range(40):
        acknowledged = killed_recorder(path, recorded, generator.uniform(0, 0.008))
        states = beside or path.open()
        merchant = events_of(states, 1, "m")
        # What was acknowledged is there; of what was not, at most one event, and that in all of its keys.
        assert 0 <= merchant - recorded - acknowledged <= 1
        assert sum(events_of(states, 2, f"k{n}") for n in range(CATEGORIES)) == merchant
        assert [events_of(states, 0, f"c{n}") for n in (recorded, merchant - 1, merchant)] == [1, 1, 0]
        recorded = merchant
        stats = states.stats()
        assert stats["keys"] == recorded + CATEGORIES + 1
        rolled_back = stats["rolled_back"]
        if beside is None:
            states.close()
    assert rolled_back > 0
    # Every state is sound: a copy of the file keeps all of them.
    copy = StateFile(tmp_path / "copy.states", SECRET.fingerprint(), 1 << 30).open()
    with path.path.open("rb") as file:
        assert copy.carry(file.fileno(), now_microseconds()) == (_states.DONE, recorded + CATEGORIES + 1, 0)


def test_a_stopped_worker_makes_rows_degraded_and_no_call_hang(tmp_path: Path) -> None:
    path = StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30)
    states = path.open()
    out, outcomes = np.empty((WIDTH, 1)), bytearray(1)
    child = os.fork()
    if child == 0:
        try:
            own = path.open()
            batch = b"".join(event(number) for number in range(5_000))
            while True:
                own.lookup(batch, np.empty((WIDTH, 5_000)), bytearray(5_000), NOW)
        finally:
            os._exit(1)
    try:
        # Sooner or later it is stopped while it holds the lock.
        for _ in range(500):
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            stuck = states.lookup(event(0), out, outcomes, NOW) == _states.BUSY
            if stuck:
                break
            os.kill(child, signal.SIGCONT)
            time.sleep(0.002)
        assert stuck
        started = time.monotonic()
        for _ in range(100):
            assert states.lookup(event(0), out, outcomes, NOW) == _states.BUSY
        # Only one of many waits.
        assert time.monotonic() - started < 5
        assert states.check() == _states.BUSY
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        child = 0
        assert states.lookup(event(0), out, outcomes, NOW) == _states.DONE
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_forked_child_uses_the_same_store(tmp_path: Path) -> None:
    states = StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30).open()
    record(states, 0)

    def work(part: int) -> None:
        for number in range(1 + part, 2001, 2):
            record(states, number)
        states.close()

    children = [forked(partial(work, part)) for part in range(2)]
    for number in range(2001, 3001):
        record(states, number)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert events_of(states, 1, "m") == 3001


def test_workers_that_record_the_same_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path = StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30)

    def work(first: int) -> None:
        states = path.open()
        for number in range(first, first + 1500):
            record(states, number)

    # All of them open a file that is not there yet, and most events come from two of them.
    children = [forked(partial(work, first)) for first in (0, 500, 1000)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    states = path.open()
    assert events_of(states, 1, "m") == 2500
    assert [events_of(states, 0, f"c{number}") for number in (0, 1200, 2499)] == [1, 1, 1]


def test_workers_that_start_together_after_another_boot_find_one_store(tmp_path: Path) -> None:
    path = StateFile(tmp_path / "features.states", SECRET.fingerprint(), 1 << 30)
    states = path.open()
    for number in range(1000):
        record(states, number)
    states.close()
    with path.path.open("r+b") as file:
        file.seek(BOOT)
        file.write(b"another machine.")

    def work(number: int) -> None:
        own = path.open()
        record(own, number)

    children = [forked(partial(work, 1000 + number)) for number in range(6)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    assert events_of(path.open(), 1, "m") == 1006
