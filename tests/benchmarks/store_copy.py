"""CPU and bytes of the copy that follows an embedded store in memory, by the seconds between two rounds.

Run with ``python -m tests.benchmarks.store_copy [requests_per_second]``. Traffic and the million events that the store
holds before are those of :mod:`.store`. So many rows are recorded as come in that time, then a round is made: processor
time and bytes are counted, so that it does not matter how busy the machine is, nor how long a round takes.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bentos.core.features import _states
from bentos.core.features.window_statistics import WIDTH
from bentos.fraud.store import EmbeddedStore
from bentos.fraud.store.copying import copy_round
from tests.benchmarks.store import EVENTS, ROW, SECRET, packed

ROUNDS = 4


def recorded(states: _states.States, rows: bytes) -> float:
    """Record rows one by one; returns microseconds of processor time a row."""
    count = len(rows) // ROW.size
    out, outcomes = np.empty((WIDTH, 1)), bytearray(1)
    before = time.thread_time()
    for place in range(0, len(rows), ROW.size):
        states.lookup(rows[place : place + ROW.size], out, outcomes, time.time_ns() // 1000)
    return (time.thread_time() - before) / count * 1e6


def main() -> None:
    """Print the table."""
    per_second = int(sys.argv[1]) if len(sys.argv) > 1 else 6000
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        mapped = EmbeddedStore(Path(name) / "mapped.states", SECRET)
        store = EmbeddedStore(Path(name) / "features.states", SECRET, memory=Path(memory))
        for each in (mapped, store):
            recorded(each.states, packed(range(EVENTS), 0))
        log = os.open(Path(name) / "log", os.O_RDWR | os.O_CREAT)
        image = os.open(Path(name) / "features.states", os.O_RDWR)
        copy_round(store.states, log, image)
        print(f"{store.stats()['used_bytes'] / 1e6:.0f} MB, {per_second} rows a second")
        print(f"{'seconds between rounds':<26} {'MB a second':>12} {'CPU, % of a core':>18} {'of a round, ms':>16}")
        number = EVENTS
        for seconds in (1, 2, 5, 10):
            written = busy = 0.0
            for _ in range(ROUNDS):
                recorded(store.states, packed(range(number, number + per_second * seconds), number))
                number += per_second * seconds
                before = time.thread_time()
                written += copy_round(store.states, log, image)
                busy += time.thread_time() - before
            total = seconds * ROUNDS
            print(
                f"{seconds:<26} {written / total / 1e6:>12.1f} {busy / total * 100:>18.2f} {busy / ROUNDS * 1e3:>16.1f}"
            )
        for title, each in (("mapped file", mapped), ("memory", store)):
            micros = recorded(each.states, packed(range(number, number + 100_000), 7))
            print(f"a row in a {title}: {micros:.2f} us of CPU")
        os.close(log)
        os.close(image)
        mapped.close()
        store.close()


if __name__ == "__main__":
    main()
