"""Features of single transactions from the stored state of their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bentos.core.features.clock import DAY
from bentos.core.features.definitions import feature_matrix
from bentos.core.features.history import (
    CATEGORY,
    CUSTOMER,
    MAXIMUM_MINUTES,
    MERCHANT,
    Amounts,
    Cells,
    History,
    KeyKind,
    Piece,
    minutes_between,
)
from bentos.core.features.state import KeyState
from bentos.core.features.windows import FloatArray, IntArray
from bentos.core.transaction import Transaction, microseconds

__all__ = ["Past", "feature_rows"]


@dataclass(frozen=True, slots=True)
class Past:
    """What the store knows of one transaction's keys."""

    customer: KeyState
    merchant: KeyState
    category: KeyState


class _StoredHistory(History):
    """History of n rows, each with the state of its own key, laid end to end."""

    def __init__(self, kind: KeyKind, states: Sequence[KeyState], time: IntArray, amount: FloatArray) -> None:
        self._delay = kind.delay_days * DAY
        self._own_amount = amount
        self._time = time
        self._states = states
        self._offsets = np.cumsum([0, *(len(state.cells) for state in states)])[:-1]
        cells = np.concatenate([state.cells for state in states])
        self._cells = Cells(cells["amount"].copy(), cells["count"].astype(np.float64), cells["squares"].copy())
        known = cells["label_time"] <= np.repeat(time, [len(state.cells) for state in states])
        self._events_before = np.concatenate([[0], np.cumsum(cells["count"])])
        self._frauds_before = np.concatenate([[0], np.cumsum(np.where(known, cells["frauds"], 0))])
        self._windows: dict[int, tuple[IntArray, IntArray]] = {}

    def _window(self, days: int) -> tuple[IntArray, IntArray]:
        if days not in self._windows:
            until = self._time - self._delay
            bounds = np.array(
                [
                    np.searchsorted(state.cells["time"], (end - days * DAY, end), side="right")
                    for state, end in zip(self._states, until, strict=True)
                ],
                dtype=np.int64,
            ).reshape(-1, 2)
            self._windows[days] = (self._offsets + bounds[:, 0], self._offsets + bounds[:, 1])
        return self._windows[days]

    def _count(self, days: int) -> FloatArray:
        starts, ends = self._window(days)
        return np.asarray(self._events_before[ends] - self._events_before[starts], dtype=np.float64)

    def _frauds(self, days: int) -> FloatArray:
        starts, ends = self._window(days)
        return np.asarray(self._frauds_before[ends] - self._frauds_before[starts], dtype=np.float64)

    def _amounts(self, days: int) -> Amounts:
        return Amounts(len(self._states), (Piece(self._cells, *self._window(days)),))

    def _minutes_since_last(self) -> FloatArray:
        result = np.full(len(self._states), MAXIMUM_MINUTES)
        for row, (state, time) in enumerate(zip(self._states, self._time, strict=True)):
            earlier = state.cells["time"][: np.searchsorted(state.cells["time"], time, side="right")]
            if len(earlier):
                result[row : row + 1] = minutes_between(earlier[-1:], self._time[row : row + 1])
        return result


class _Rows:
    """A batch of transactions with their past (see :class:`.definitions.Batch`)."""

    def __init__(self, transactions: Sequence[Transaction], past: Sequence[Past]) -> None:
        self.time = np.array([microseconds(item.timestamp) for item in transactions], dtype=np.int64)
        self.utc_offset_seconds = np.array([utc_offset_seconds(item) for item in transactions], dtype=np.int64)
        self.amount = _column(transactions, "amount")
        self.customer_latitude = _column(transactions, "customer_latitude")
        self.customer_longitude = _column(transactions, "customer_longitude")
        self.merchant_latitude = _column(transactions, "merchant_latitude")
        self.merchant_longitude = _column(transactions, "merchant_longitude")
        self.customer: History = _StoredHistory(CUSTOMER, [item.customer for item in past], self.time, self.amount)
        self.merchant: History = _StoredHistory(MERCHANT, [item.merchant for item in past], self.time, self.amount)
        self.category: History = _StoredHistory(CATEGORY, [item.category for item in past], self.time, self.amount)


def _column(transactions: Sequence[Transaction], name: str) -> FloatArray:
    # None becomes NaN.
    return np.array([getattr(item, name) for item in transactions], dtype=np.float64)


def utc_offset_seconds(transaction: Transaction) -> int:
    """Offset of the transaction's own clock."""
    offset = transaction.timestamp.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def feature_rows(transactions: Sequence[Transaction], past: Sequence[Past]) -> FloatArray:
    """Features of n transactions, each from the state of its keys as it stood before that transaction.

    Parameters
    ----------
    transactions, past
        n of each. A transaction that is in the state already (a repeated id) must have been taken out with
        :meth:`.state.KeyState.without`.

    Returns
    -------
    float64 [n, 21] in the order of ``FEATURES``.
    """
    return feature_matrix(_Rows(transactions, past))
