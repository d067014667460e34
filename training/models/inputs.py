"""Rows and labels as training and scoring take them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES

__all__ = ["FEWEST_FRAUDS", "checked_labels", "checked_rows"]

#: A model of fewer frauds is an anecdote.
FEWEST_FRAUDS: Final = 10


def checked_rows(rows: Any) -> NDArray[np.float32]:
    """Feature rows as float32 [n, 21], the form in which serving holds them.

    Raises
    ------
    DataError
        Another number of columns, no rows, or a value that is not finite: with its row and feature.
    """
    given = np.asarray(rows)
    if given.ndim != 2 or given.shape[1] != len(FEATURE_NAMES) or not len(given):
        raise DataError(
            f"feature rows of the shape {given.shape} arrived; needed is [n, {len(FEATURE_NAMES)}], n at least 1, in"
            " the order of bentos.core.features.FEATURE_NAMES"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.ascontiguousarray(given, dtype=np.float32)
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong))
        raise DataError(
            f"{int(wrong.sum())} feature values are not finite in float32, the first is {FEATURE_NAMES[column]} ="
            f" {given[row, column]} in row {row}; features are never missing: compute them with"
            " `python -m training features`"
        )
    return values


def checked_labels(labels: Any, rows: int, what: str = "the training rows") -> NDArray[np.int64]:
    """Labels as int64 [n], 1 for fraud.

    Raises
    ------
    DataError
        Another number than rows, values other than 0 and 1, one class only, or fewer than 10 frauds.
    """
    given = np.asarray(labels)
    if given.shape != (rows,):
        raise DataError(f"labels of the shape {given.shape} arrived for {rows} rows; needed is one per row")
    if given.dtype != bool and not np.isin(given, (0, 1)).all():
        raise DataError("labels are 0 or 1, or False or True, 1 for fraud; other values arrived")
    known = given.astype(np.int64)
    frauds = int(known.sum())
    if frauds in (0, rows):
        only = "frauds" if frauds else "legitimate rows"
        raise DataError(
            f"{what} are {rows} {only} only; a classifier needs both: choose a longer period, or check the label column"
        )
    fewest = min(frauds, rows - frauds)
    if fewest < FEWEST_FRAUDS:
        raise DataError(
            f"{what} hold {frauds} frauds among {rows}; needed are at least {FEWEST_FRAUDS} of either class: choose a"
            " longer period"
        )
    return known
