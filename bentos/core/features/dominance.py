"""Labels that come later than the label delay: how many of a range of rows are still unknown at a time."""

from __future__ import annotations

import numpy as np

from bentos.core.features.windows import IntArray

__all__ = ["LateArrivals"]


class LateArrivals:
    """Counts, for many queries at once, the late labels of a range of rows that have not arrived by a time.

    A merge sort tree: on level j the arrivals are sorted within blocks of 2ʲ, so a prefix of any length is at most
    one block of each level, and a query costs one binary search a level: O(log² k) for k late labels.

    Parameters
    ----------
    rows
        int64 [k], ascending; the rows whose labels are late.
    arrivals
        int64 [k]; when each arrives.
    """

    def __init__(self, rows: IntArray, arrivals: IntArray) -> None:
        self._rows = rows
        self._times, rank = np.unique(arrivals, return_inverse=True)
        self._stride = len(self._times) + 1
        index = np.arange(len(rows))
        levels = range(len(rows).bit_length())
        self._levels = [np.sort((index >> level) * self._stride + rank) for level in levels]

    def pending(self, starts: IntArray, ends: IntArray, times: IntArray) -> IntArray:
        """Late labels of rows ``start`` to ``end`` (excluded) that arrive after ``time``; int64 [n] for n queries."""
        result = np.zeros(len(starts), dtype=np.int64)
        first, last = np.searchsorted(self._rows, starts), np.searchsorted(self._rows, ends)
        asked = np.flatnonzero(last > first)
        if len(asked):
            ranks = np.searchsorted(self._times, times[asked], side="right")
            result[asked] = self._in_prefix(last[asked], ranks) - self._in_prefix(first[asked], ranks)
        return result

    def _in_prefix(self, length: IntArray, ranks: IntArray) -> IntArray:
        count = np.zeros(len(length), dtype=np.int64)
        for level, keys in enumerate(self._levels):
            has = np.flatnonzero(length >> level & 1)
            block = (length[has] >> level) - 1
            end = (block + 1) << level
            count[has] += end - np.searchsorted(keys, block * self._stride + ranks[has])
        return count
