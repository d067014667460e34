"""How the hourly buckets of busy keys fill up, event by event, for all hours of a table side by side."""

from __future__ import annotations

import numpy as np

from bentos.core.features.ranges import Cells
from bentos.core.features.windows import FloatArray, IntArray

__all__ = ["running_by_bucket"]


def running_by_bucket(amount: FloatArray, hour_start: IntArray, rows: IntArray) -> Cells:
    """State of each row's bucket right after that row has folded into it, by the steps of :mod:`.state`.

    Parameters
    ----------
    amount
        float64 [n], in order of key and time.
    hour_start
        int64 [n]; first row of the same key and hour.
    rows
        int64 [k]; the rows to compute; whole hours, ascending.

    Returns
    -------
    Cells of n entries; those of other rows are 0.
    """
    total, count, squares = np.zeros(len(amount)), np.zeros(len(amount)), np.zeros(len(amount))
    nth = rows - hour_start[rows]
    by_step = np.argsort(nth, kind="stable")
    # One step for the k-th events of all hours together.
    for step in np.split(rows[by_step], np.flatnonzero(np.diff(nth[by_step])) + 1):
        first = step[hour_start[step] == step]
        total[first], count[first] = amount[first], 1.0
        later = step[hour_start[step] != step]
        before = total[later - 1] / count[later - 1]
        count[later] = count[later - 1] + 1.0
        total[later] = total[later - 1] + amount[later]
        squares[later] = squares[later - 1] + (amount[later] - before) * (amount[later] - total[later] / count[later])
    return Cells(total, count, squares)
