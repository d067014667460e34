"""The compiled store over the few states that a call is about, in memory, for stores that only keep bytes.

States are put on it, looked up and changed by the same code that the embedded store runs, and taken off again. So there
is no second set of rules.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.features import _states
from bentos.core.features.definitions import FEATURE_SCHEMA
from bentos.core.features.history import KINDS, KeyKind
from bentos.core.features.pseudonyms import EventKey
from bentos.core.features.state import CELL, NO_LABEL
from bentos.core.features.window_statistics import SPECIFICATION, WIDTH
from bentos.core.features.windows import FloatArray

__all__ = ["Workbench"]

#: Only what is used of it takes memory: a few hundred kB for the largest state.
_CAPACITY_BYTES: Final = 1024**3
_LOCK_MILLISECONDS: Final = 100


class Workbench:
    """Room for states. Not safe for use by several threads at once: who puts states on it clears them away."""

    def __init__(self) -> None:
        fd = os.memfd_create("fraud-workbench", os.MFD_CLOEXEC)
        try:
            self._states = _states.States(
                fd,
                "create",
                _CAPACITY_BYTES,
                bytes.fromhex(FEATURE_SCHEMA),
                bytes(16),
                os.urandom(16),
                SPECIFICATION,
                _LOCK_MILLISECONDS,
            )
        finally:
            os.close(fd)

    @property
    def latest(self) -> int:
        """Time of the newest event that was recorded here, microseconds since 1970 UTC; 0 for none."""
        return self._states.latest

    def note_latest(self, time: int) -> None:
        """Take over a newer one."""
        self._states.note_latest(time)

    def put(self, kind: KeyKind, key: bytes, cells: NDArray[np.void], buckets: int) -> bool:
        """Put a state down; returns whether it makes sense."""
        hashes = np.frombuffer(key, np.uint8).reshape(1, -1)
        ends = np.array([0, len(cells)])
        number = KINDS.index(kind)
        outcome, unsound = self._states.fill(number, hashes, ends, np.array([buckets]), np.ascontiguousarray(cells))
        return outcome == _states.DONE and not unsound

    def look_up(self, rows: bytes, count: int, now: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Statistics of rows, in order; a later one sees an earlier one that was recorded.

        Parameters
        ----------
        rows
            ``count`` of :data:`.embedded.ROW`.
        count
            How many.
        now
            Microseconds since 1970 UTC.

        Returns
        -------
        float64 [WIDTH, count], and bool [count]: whether a row failed.
        """
        statistics, outcomes = np.empty((WIDTH, count)), bytearray(count)
        self._states.lookup(rows, statistics, outcomes, now)
        return statistics, np.frombuffer(outcomes, np.uint8) != _states.DONE

    def label(self, event: EventKey, label_time: int | None) -> None:
        """See :meth:`.base.FeatureStore.label`; of the states that are here."""
        until = NO_LABEL if label_time is None else label_time
        self._states.label(event.keys, event.identity, event.time, until)

    def state(self, key: bytes) -> tuple[NDArray[np.void], int]:
        """Cells of a key, and how many of them are buckets; none when it is not here."""
        cells, buckets = self._states.read(key)
        return np.frombuffer(cells, CELL), buckets

    def clear(self, keys: Iterable[bytes]) -> None:
        """Take states away, those that are not here too."""
        for key in keys:
            self._states.erase(key)

    def close(self) -> None:
        """Give the memory back."""
        self._states.close()
