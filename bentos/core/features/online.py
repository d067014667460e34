"""Features of single transactions from the statistics that the compiled store gives for their keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan
from typing import Final, Generic

import numpy as np

from bentos.core.features.clock import local_day_of_week, local_hour
from bentos.core.features.definitions import FEATURES, feature_matrix
from bentos.core.features.formulas import Formulas, Symbol
from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT, History, KeyKind, minutes_between
from bentos.core.features.values import Values
from bentos.core.features.window_statistics import COUNT, FRAUDS, LAST, PLACES, SQUARES, TOTAL, WIDTH, Place
from bentos.core.features.windows import FloatArray, IntArray
from bentos.core.transaction import Transaction

__all__ = ["feature_columns", "feature_rows", "utc_offset_seconds"]

#: Up to so many rows one after the other are faster than columns.
_FEW: Final = 8


class _StoredAmounts(Generic[Values]):
    """Amounts in one window, as the store added them up."""

    __slots__ = ("_days", "_places", "_statistics")

    def __init__(self, places: dict[Place, int], statistics: Sequence[Values], days: int) -> None:
        self._places = places
        self._statistics: Sequence[Values] = statistics
        self._days = days

    def count(self) -> Values:
        return self._statistics[self._places[self._days, COUNT]]

    def total(self) -> Values:
        return self._statistics[self._places[self._days, TOTAL]]

    def squares(self, means: Values) -> Values:  # noqa: ARG002 # the store measured from the same means
        return self._statistics[self._places[self._days, SQUARES]]


class _StoredHistory(History[Values]):
    """History of rows from the store's columns, or of one row from its numbers."""

    def __init__(self, kind: KeyKind, statistics: Sequence[Values], time: Values, amount: Values) -> None:
        self._places: dict[Place, int] = PLACES[kind]
        self._statistics: Sequence[Values] = statistics
        self._time: Values = time
        self._own_amount = amount

    def _count(self, days: int) -> Values:
        return self._statistics[self._places[days, COUNT]]

    def _frauds(self, days: int) -> Values:
        return self._statistics[self._places[days, FRAUDS]]

    def _amounts(self, days: int) -> _StoredAmounts[Values]:
        return _StoredAmounts(self._places, self._statistics, days)

    def _minutes_since_last(self) -> Values:
        # Minus infinity stands for none.
        minutes: Values = minutes_between(self._statistics[self._places[0, LAST]], self._time)
        return minutes


class _Rows(Generic[Values]):
    """Transactions with their past, or one of them (see :class:`.definitions.Batch`)."""

    def __init__(
        self,
        statistics: Sequence[Values],
        time: Values,
        hour: Values,
        day_of_week: Values,
        amount: Values,
        places: Sequence[Values],
    ) -> None:
        self.amount: Values = amount
        self.hour: Values = hour
        self.day_of_week: Values = day_of_week
        self.customer_latitude: Values = places[0]
        self.customer_longitude: Values = places[1]
        self.merchant_latitude: Values = places[2]
        self.merchant_longitude: Values = places[3]
        self.customer: History[Values] = _StoredHistory(CUSTOMER, statistics, time, amount)
        self.merchant: History[Values] = _StoredHistory(MERCHANT, statistics, time, amount)
        self.category: History[Values] = _StoredHistory(CATEGORY, statistics, time, amount)


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
    hour, day = local_hour(time, offset), local_day_of_week(time, offset)
    return feature_matrix(
        _Rows[FloatArray](list(statistics), time.astype(np.float64), hour, day, amount, list(coordinates))
    )


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
    offsets = [utc_offset_seconds(item) for item in transactions]
    if len(transactions) > _FEW:
        time, offset = np.array(times, np.int64), np.array(offsets, np.int64)
        amount = np.array([item.amount for item in transactions])
        coordinates = np.array([_coordinates(item) for item in transactions]).T
        return feature_columns(time, offset, amount, coordinates, statistics)
    numbers = statistics.T.tolist()
    return np.array(
        [
            _ROW(
                numbers[index],
                moment * 1.0,
                local_hour(moment, shift),
                local_day_of_week(moment, shift),
                item.amount,
                *_coordinates(item),
            )
            for index, (item, moment, shift) in enumerate(zip(transactions, times, offsets, strict=True))
        ]
    ).reshape(-1, len(FEATURES))


def _row_formulas() -> Callable[..., list[float]]:
    parameters = ("time", "hour", "day_of_week", "amount", "latitude_a", "longitude_a", "latitude_b", "longitude_b")
    formulas = Formulas("statistics", *parameters)
    time, hour, day_of_week, amount, *places = (Symbol(formulas, name) for name in parameters)
    statistics = [formulas.symbol(f"statistics[{place}]") for place in range(WIDTH)]
    row = _Rows[Symbol](statistics, time, hour, day_of_week, amount, places)
    return formulas.compiled([feature.compute(row) for feature in FEATURES])


#: The definitions of the features, for one row.
_ROW: Final = _row_formulas()
