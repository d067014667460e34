"""Counts of the last week in slices of ten minutes, which the workers of a server share through files.

As with metrics (:mod:`bentos.fraud.observe.values`), a file belongs to a slot: the successor of a worker goes on with
its counts, and whoever is asked adds all files up. A worker writes its own only, without a lock; who reads while a
slice begins may see a part of it, and sees all of it the next time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.fraud.drift.layout import Layout
from bentos.fraud.observe.values import Slot
from bentos.fraud.rows import Row

__all__ = ["SLICES", "SLICE_SECONDS", "DriftCounts", "count_file"]

SLICE_SECONDS: Final = 600
#: Of a week, and the one that has begun.
SLICES: Final = 7 * 86_400 // SLICE_SECONDS + 1
#: Of a worker, in the folder of the metrics.
_FOLDER: Final = "drift"
#: Counting some hundred together takes a microsecond each, one alone forty.
_TOGETHER: Final = 256
_SECONDS: Final = 1.0


class DriftCounts:
    """Counts what one worker predicts. Belongs to one event loop; any thread may read.

    Parameters
    ----------
    layout
        What is counted.
    folder
        That the workers of a server share; None counts in memory.
    clock
        Seconds since 1970 UTC.
    """

    def __init__(self, layout: Layout, folder: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.layout = layout
        self._clock = clock
        self._folder = None if folder is None else folder / _FOLDER
        #: In each row the slice's number since 1970, then its counts.
        self._slices: NDArray[np.int32] = np.zeros((SLICES, 1 + layout.size), np.int32)
        self._slot: Slot | None = None
        if self._folder is not None:
            self._slot = Slot(self._folder)
            self._slices = count_file(self._folder / f"counts_{self._slot.number}.bin", self._slices.shape)
        self._waiting: list[Row] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, rows: Sequence[Row]) -> None:
        """Count predictions, together with others; what was not recorded, or is not the model's, does not count."""
        self._waiting += [row for row in rows if row.ask.record and row.error is None and row.rules is None]
        if len(self._waiting) >= _TOGETHER:
            self.count()
        elif self._timer is None and self._waiting:
            try:
                self._timer = asyncio.get_running_loop().call_later(_SECONDS, self.count)
            except RuntimeError:
                self.count()

    def count(self) -> None:
        """Count what waits, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._waiting = self._waiting, []
        if rows:
            self.count_values(
                np.array([row.values for row in rows]),
                np.array([row.score for row in rows]),
                [row.ask.transaction.merchant_category for row in rows],
            )

    def close(self) -> None:
        """Count what waits, and leave the file to a successor."""
        self.count()
        if self._slot is not None:
            self._slot.close()

    def count_values(
        self, values: NDArray[np.float64], scores: NDArray[np.float64], categories: Sequence[str] = ()
    ) -> None:
        """Count predictions; for the parameters see :meth:`Layout.count`."""
        number = int(self._clock() // SLICE_SECONDS)
        mine = self._slices[number % SLICES]
        if mine[0] != number:
            # Nobody takes old counts for new ones: a slice that is 0 is of no time.
            mine[:] = 0
            mine[0] = number
        mine[1:] += self.layout.count(values, scores, categories).astype(np.int32)

    def last(self, slices: int) -> NDArray[np.int64]:
        """Counts of all workers over the last slices, the one that has begun included; int64 [size].

        Parameters
        ----------
        slices
            1 to ``SLICES``.
        """
        newest = int(self._clock() // SLICE_SECONDS)
        total = np.zeros(self.layout.size, np.int64)
        for counted in self._all():
            chosen = (counted[:, 0] > newest - slices) & (counted[:, 0] <= newest)
            total += counted[chosen, 1:].sum(axis=0, dtype=np.int64)
        return total

    def slices(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Slices of the last week in which something was counted, in order of time.

        Returns
        -------
        tuple
            Their numbers since 1970, int64 [slices]; counts of all workers, int64 [slices, size].
        """
        newest = int(self._clock() // SLICE_SECONDS)
        every = np.concatenate([*self._all(), np.zeros((0, 1 + self.layout.size), np.int32)]).astype(np.int64)
        every = every[(every[:, 0] > newest - SLICES) & (every[:, 0] <= newest)]
        numbers, places = np.unique(every[:, 0], return_inverse=True)
        counts = np.zeros((numbers.size, self.layout.size), np.int64)
        np.add.at(counts, places, every[:, 1:])
        return numbers, counts

    def reach(self) -> int:
        """Over how many slices the counts go back, the one that has begun included."""
        newest = int(self._clock() // SLICE_SECONDS)
        numbers = np.concatenate([counted[:, 0] for counted in self._all()] or [np.zeros(0, np.int32)])
        known = numbers[(numbers > newest - SLICES) & (numbers <= newest)]
        return newest - int(known.min()) + 1 if known.size else 0

    def _all(self) -> list[NDArray[np.int32]]:
        if self._folder is None:
            return [self._slices]
        found = [np.fromfile(file, np.int32) for file in sorted(self._folder.glob("counts_*.bin"))]
        # One that starts makes its file, then its room.
        return [one.reshape(self._slices.shape) for one in found if one.size == self._slices.size]


def count_file(path: Path, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Counts in a file; zeros where it is new, or of other counts."""
    size = int(np.prod(shape)) * 4
    with path.open("ab") as file:
        if file.tell() != size:
            file.truncate(0)
            file.truncate(size)
    return np.memmap(path, np.int32, "r+", shape=shape)
