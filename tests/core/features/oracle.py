"""The state of one key in plain Python, after the words of its definition: what the compiled store is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.clock import DAY
from bentos.core.features.history import EXACT_EVENTS, KeyKind, bucket_of
from bentos.core.features.state import BUCKET_LABEL, CELL, NO_LABEL


@dataclass(frozen=True, slots=True)
class Event:
    """What a state keeps of one transaction.

    Parameters
    ----------
    time
        Microseconds since 1970 UTC.
    amount
        In the account's currency.
    identity
        Hash of transaction_id, 1 to 2⁶⁴ − 1.
    label_time
        When its fraud label arrived; ``NO_LABEL`` when none has.
    """

    time: int
    amount: float
    identity: int
    label_time: int = NO_LABEL


@dataclass(frozen=True, slots=True)
class KeyState:
    """An immutable state; each change returns a new one.

    Parameters
    ----------
    cells
        ``CELL`` [m]: first the buckets, then the exact events, each in order of time.
    buckets
        How many of them are buckets.
    """

    cells: NDArray[np.void]
    buckets: int = 0

    @classmethod
    def empty(cls) -> KeyState:
        """The state of a key not seen yet."""
        return cls(np.empty(0, CELL))

    def holds(self, identity: int) -> bool:
        """Whether an exact event with this identity is in the state."""
        return bool((self.cells["identity"] == np.uint64(identity)).any())

    def without(self, identity: int) -> KeyState:
        """The state as it was before an event (one that still is exact)."""
        keep = self.cells["identity"] != np.uint64(identity)
        return self if keep.all() else KeyState(self.cells[keep], self.buckets)

    def add(self, event: Event, kind: KeyKind, now: int) -> KeyState:
        """Add one event at its own time, after those of equal time; does nothing if it is in the state already.

        The oldest events beyond the exact ones fold, cells that have left every window go.
        """
        if self.holds(event.identity):
            return self
        label = 1 if event.label_time != NO_LABEL else 0
        cell = np.array([(event.time, event.amount, 0.0, event.label_time, event.identity, 1, label)], CELL)
        newest = max(event.time, int(self.cells["time"][-1]) if len(self.cells) else event.time)
        until = min(newest, now + DAY) - kind.horizon
        exact = self.cells[self.buckets :]
        place = self.buckets + int(np.searchsorted(exact["time"], event.time, side="right"))
        if place == self.buckets and self.buckets:
            # Older than all exact events of a key that folds: its hour's bucket is where it belongs.
            folded = _fold(self.cells[: self.buckets], cell)
            return KeyState(np.concatenate([folded, exact]), len(folded))._expire(until)
        cells = np.concatenate([self.cells[:place], cell, self.cells[place:]])
        return KeyState(cells, self.buckets)._fold_excess()._expire(until)

    def label(self, identity: int, event_time: int, label_time: int) -> KeyState:
        """Note that an event is fraud, known since ``label_time``.

        An event that is exact keeps the earliest label. One that has folded counts in its hour's bucket at once;
        who calls must not send it twice. One that has left the state changes nothing.
        """
        found = np.flatnonzero(self.cells["identity"] == np.uint64(identity))
        cells = self.cells.copy()
        if len(found):
            cells["frauds"][found] = 1
            cells["label_time"][found] = np.minimum(cells["label_time"][found], label_time)
            return KeyState(cells, self.buckets)
        hour = bucket_of(np.array([event_time], np.int64))
        bucket = np.flatnonzero(bucket_of(cells["time"][: self.buckets]) == hour)
        cells["frauds"][bucket] += 1
        return KeyState(cells, self.buckets)

    def _fold_excess(self) -> KeyState:
        excess = len(self.cells) - self.buckets - EXACT_EVENTS
        if excess <= 0:
            return self
        border = self.buckets + excess
        folded = _fold(self.cells[: self.buckets], self.cells[self.buckets : border])
        return KeyState(np.concatenate([folded, self.cells[border:]]), len(folded))

    def _expire(self, until: int) -> KeyState:
        gone = int(np.searchsorted(self.cells["time"], until, side="right"))
        return self if gone == 0 else KeyState(self.cells[gone:].copy(), max(self.buckets - gone, 0))


def _fold(buckets: NDArray[np.void], events: NDArray[np.void]) -> NDArray[np.void]:
    """Fold exact events into the buckets of their hours, one after the other in order of time."""
    folded = buckets.copy()
    for event in events:
        hours = bucket_of(folded["time"])
        hour = bucket_of(event["time"])
        place = int(np.searchsorted(hours, hour))
        if place == len(folded) or hours[place] != hour:
            fresh = np.array([event], CELL)
            fresh["identity"], fresh["label_time"] = 0, BUCKET_LABEL
            folded = np.concatenate([folded[:place], fresh, folded[place:]])
            continue
        bucket = folded[place]
        before = bucket["amount"] / bucket["count"]
        bucket["count"] += 1
        bucket["amount"] += event["amount"]
        # Welford, "Note on a method for calculating corrected sums of squares and products" (1962).
        bucket["squares"] += (event["amount"] - before) * (event["amount"] - bucket["amount"] / bucket["count"])
        bucket["frauds"] += event["frauds"]
        bucket["time"] = max(bucket["time"], event["time"])
    return folded
