"""Features of single transactions from the statistics that the compiled store gives for their keys."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from math import nan
from typing import Final

import numpy as np

from bentos.core.features.clock import local_day_of_week, local_hour
from bentos.core.features.definitions import FEATURES
from bentos.core.features.formulas import Formulas, Symbol
from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT, History, KeyKind, minutes_between
from bentos.core.features.window_statistics import COUNT, FRAUDS, LAST, PLACES, SQUARES, TOTAL, Place
from bentos.core.features.windows import FloatArray, IntArray
from bentos.core.transaction import Transaction

__all__ = ["feature_columns", "feature_rows", "utc_offset_seconds"]

#: What a transaction says by itself, in the order in which :data:`_FACTS` packs it.
_FACT_NAMES: Final = (
    "time",
    "hour",
    "day_of_week",
    "amount",
    "customer_latitude",
    "customer_longitude",
    "merchant_latitude",
    "merchant_longitude",
)
_FACTS: Final = struct.Struct(f"={len(_FACT_NAMES)}d")


class _StoredAmounts:
    """Amounts in one window, as the store added them up."""

    def __init__(self, statistics: dict[Place, Symbol], days: int) -> None:
        self._statistics = statistics
        self._days = days

    def count(self) -> Symbol:
        return self._statistics[self._days, COUNT]

    def total(self) -> Symbol:
        return self._statistics[self._days, TOTAL]

    def squares(self, means: Symbol) -> Symbol:  # noqa: ARG002 # the store measured from the same means
        return self._statistics[self._days, SQUARES]


class _StoredHistory(History[Symbol]):
    """History of a row from the store's columns."""

    def __init__(self, kind: KeyKind, formulas: Formulas, time: Symbol, amount: Symbol) -> None:
        self._statistics = {place: formulas.column(number) for place, number in PLACES[kind].items()}
        self._time = time
        self._own_amount = amount

    def _count(self, days: int) -> Symbol:
        return self._statistics[days, COUNT]

    def _frauds(self, days: int) -> Symbol:
        return self._statistics[days, FRAUDS]

    def _amounts(self, days: int) -> _StoredAmounts:
        return _StoredAmounts(self._statistics, days)

    def _minutes_since_last(self) -> Symbol:
        # Minus infinity stands for none.
        minutes: Symbol = minutes_between(self._statistics[0, LAST], self._time)
        return minutes


class _Row:
    """A transaction with its past (see :class:`.definitions.Batch`)."""

    def __init__(self, formulas: Formulas) -> None:
        facts = {name: formulas.fact(place) for place, name in enumerate(_FACT_NAMES)}
        time = facts.pop("time")
        self.amount: Symbol = facts["amount"]
        self.hour: Symbol = facts["hour"]
        self.day_of_week: Symbol = facts["day_of_week"]
        self.customer_latitude: Symbol = facts["customer_latitude"]
        self.customer_longitude: Symbol = facts["customer_longitude"]
        self.merchant_latitude: Symbol = facts["merchant_latitude"]
        self.merchant_longitude: Symbol = facts["merchant_longitude"]
        self.customer: History[Symbol] = _StoredHistory(CUSTOMER, formulas, time, self.amount)
        self.merchant: History[Symbol] = _StoredHistory(MERCHANT, formulas, time, self.amount)
        self.category: History[Symbol] = _StoredHistory(CATEGORY, formulas, time, self.amount)


def _program() -> Callable[[FloatArray, bytes, FloatArray], None]:
    formulas = Formulas()
    row = _Row(formulas)
    return formulas.compiled([feature.compute(row) for feature in FEATURES])


#: The definitions of the features.
_COMPUTE: Final = _program()


def utc_offset_seconds(transaction: Transaction) -> int:
    """Offset of the transaction's own clock."""
    offset = transaction.timestamp.utcoffset()
    return 0 if offset is None else offset.days * 86_400 + offset.seconds


def _coordinates(item: Transaction) -> tuple[float, float, float, float]:
    customer, merchant = item.customer_latitude, item.merchant_latitude
    if customer is None or merchant is None or item.customer_longitude is None or item.merchant_longitude is None:
        return nan, nan, nan, nan
    return customer, item.customer_longitude, merchant, item.merchant_longitude


def feature_columns(
    time: IntArray, offset: IntArray, amount: FloatArray, coordinates: FloatArray, statistics: FloatArray
) -> FloatArray:
    """Features of n transactions that come as columns.

    Parameters
    ----------
    time, offset
        int64 [n]; instants, microseconds since 1970 UTC, and the offsets of their own clocks, seconds.
    amount
        float64 [n].
    coordinates
        float64 [4, n]; the customer's latitude and longitude, then the merchant's, degrees. NaN when missing.
    statistics
        float64 [s, n]; see :func:`feature_rows`.

    Returns
    -------
    float64 [n, 21] in the order of ``FEATURES``.
    """
    facts = np.column_stack(
        [time.astype(np.float64), local_hour(time, offset), local_day_of_week(time, offset), amount, *coordinates]
    )
    return _computed(np.ascontiguousarray(statistics), facts.tobytes(), len(time))


def _computed(statistics: FloatArray, facts: bytes, count: int) -> FloatArray:
    rows = np.empty((count, len(FEATURES)))
    _COMPUTE(statistics, facts, rows)
    return rows


def feature_rows(transactions: Sequence[Transaction], times: Sequence[int], statistics: FloatArray) -> FloatArray:
    """Features of n transactions.

    Parameters
    ----------
    transactions
        n of them.
    times
        Their instants, microseconds since 1970 UTC.
    statistics
        float64 [s, n]; what the store knew before each of them, rows as :data:`.window_statistics.PLACES` says.

    Returns
    -------
    float64 [n, 21] in the order of ``FEATURES``.
    """
    return _computed(statistics, b"".join(map(_facts, transactions, times)), len(transactions))


def _facts(item: Transaction, time: int) -> bytes:
    # The clock that the customer looked at is the timestamp's own: see :mod:`.clock` for columns.
    clock = item.timestamp
    return _FACTS.pack(time, clock.hour, clock.weekday(), item.amount, *_coordinates(item))
