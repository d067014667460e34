"""The compiled store in memory, and what it holds of a key in the words of the oracle."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

import numpy as np

from bentos.core.features import _states
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import feature_rows
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.state import CELL
from bentos.core.features.window_statistics import SPECIFICATION, WIDTH
from bentos.core.transaction import Transaction, microseconds
from tests.core.features.oracle import Event, KeyState

SECRET = Pseudonyms("secret")
#: A clock that no event is ahead of.
NEVER = 7_000_000_000_000_000
ROW = struct.Struct("=16s16s16sQqdq")


def new_states(fd: int, how: str = "create", capacity: int = 1 << 32, boot: bytes = bytes(16)) -> _states.States:
    """Open a store without any of the service's checks."""
    return _states.States(fd, how, capacity, bytes(32), bytes(16), boot, SPECIFICATION, 100)


class Stored:
    """A store in memory."""

    def __init__(self, now: int = NEVER) -> None:
        self.now = now
        descriptor = os.memfd_create("states")
        self.states = new_states(descriptor)
        os.close(descriptor)

    def ask(self, items: Sequence[Transaction], identities: Sequence[int], *, record: bool = True) -> np.ndarray:
        """Feature rows float64 [n, 21] of transactions, which are then recorded."""
        times = [microseconds(item.timestamp) for item in items]
        rows = b"".join(
            ROW.pack(*keys_of(item), identity, time, item.amount, record)
            for item, identity, time in zip(items, identities, times, strict=True)
        )
        return feature_rows(items, times, self._lookup(rows, len(items)))

    def add(self, name: str, event: Event, *, record: int = _states.RECORD) -> np.ndarray:
        """Record an event with a key of this name in every kind; returns the statistics before it."""
        keys = (SECRET.key(kind, name) for kind in KINDS)
        return self._lookup(ROW.pack(*keys, event.identity, event.time, event.amount, record), 1)[:, 0]

    def _lookup(self, rows: bytes, count: int) -> np.ndarray:
        statistics, outcomes = np.empty((WIDTH, count)), bytearray(count)
        assert self.states.lookup(rows, statistics, outcomes, self.now) == _states.DONE
        return statistics

    def label(self, names: Sequence[str], identity: int, event_time: int, label_time: int) -> None:
        """Note a fraud in the customer, merchant and category of these names."""
        keys = b"".join(SECRET.key(kind, name) for kind, name in zip(KINDS, names, strict=True))
        assert self.states.label(keys, identity, event_time, label_time) == _states.DONE

    def state(self, kind: KeyKind, name: str) -> KeyState:
        """What is kept of a key."""
        return read_state(self.states, SECRET.key(kind, name))

    def fill(self, kind: KeyKind, name: str, state: KeyState) -> int:
        """Take over a state; returns how many made no sense."""
        hashes = np.frombuffer(SECRET.key(kind, name), np.uint8)
        offsets = np.array([0, len(state.cells)])
        outcome, unsound = self.states.fill(
            KINDS.index(kind), hashes, offsets, np.array([state.buckets]), np.ascontiguousarray(state.cells)
        )
        assert outcome == _states.DONE
        return unsound


def keys_of(item: Transaction) -> tuple[bytes, bytes, bytes]:
    """Keys of a transaction's customer, merchant and category."""
    return (
        SECRET.key(CUSTOMER, item.customer_id),
        SECRET.key(MERCHANT, item.merchant_id),
        SECRET.key(CATEGORY, item.merchant_category),
    )


def read_state(states: _states.States, key: bytes) -> KeyState:
    """A key's state."""
    cells, buckets = states.read(key)
    return KeyState(np.frombuffer(cells, CELL), buckets)
