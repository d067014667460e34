"""Features of a whole table at once.

Rows are sorted by key and time; a window of a row is then a range of rows, found by binary search. Equal to what
:mod:`.online` gives when the same transactions and labels arrive one after the other in order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bentos.core.errors import DataError
from bentos.core.features.clock import DAY, local_day_of_week, local_hour
from bentos.core.features.definitions import feature_matrix
from bentos.core.features.dominance import LateArrivals
from bentos.core.features.history import (
    CATEGORY,
    CUSTOMER,
    EXACT_EVENTS,
    MAXIMUM_MINUTES,
    MERCHANT,
    History,
    KeyKind,
    bucket_of,
    minutes_between,
)
from bentos.core.features.ranges import Cells, Piece, RangeAmounts
from bentos.core.features.running import running_by_bucket
from bentos.core.features.windows import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["feature_table", "instants", "labels"]


class _TableHistory(History[FloatArray]):
    """History of all rows of a table, for one kind of key.

    Parameters
    ----------
    kind
        Of the key.
    key
        int64 [n]; numbers the keys from 0.
    time
        int64 [n], ascending.
    amount
        float64 [n].
    label_time
        int64 [n]; when the row's fraud label arrived, 0 for in time. Only frauds are asked for theirs.
    is_fraud
        bool [n].
    """

    def __init__(
        self,
        kind: KeyKind,
        key: IntArray,
        time: IntArray,
        amount: FloatArray,
        is_fraud: NDArray[np.bool_],
        label_time: IntArray,
    ) -> None:
        self._delay = kind.delay_days * DAY
        self._order = np.argsort(key, kind="stable")
        self._key, self._time = key[self._order], time[self._order]
        self._own_amount = amount[self._order]
        self._cells = Cells(self._own_amount)
        # Binary search wants one ascending number for key and time: the rank of the time keeps it within 64 bits.
        self._times, rank = np.unique(time, return_inverse=True)
        self._rank = rank[self._order]
        self._searched = self._key * (len(self._times) + 1) + self._rank
        self._position = np.arange(len(key))
        group = np.flatnonzero(np.diff(self._key, prepend=-1))
        self._group = np.repeat(group, np.diff(np.append(group, len(key))))
        #: First of the exact events of each row; what lies before it in its key has folded.
        self._exact = np.maximum(self._position - EXACT_EVENTS, self._group)
        fraud = is_fraud[self._order]
        self._frauds_before = np.concatenate([[0], np.cumsum(fraud)])
        late = np.flatnonzero(fraud & (label_time[self._order] > self._time + self._delay))
        self._late = LateArrivals(late, label_time[self._order][late])
        self._hour_start: IntArray | None = None
        self._found: dict[int, tuple[IntArray, IntArray]] = {}

    def _after(self, shift: int) -> IntArray:
        """For each row, its key's first row later than its own time less ``shift``."""
        ranks = np.searchsorted(self._times, self._times - shift, side="right")
        return np.searchsorted(self._searched, self._key * (len(self._times) + 1) + ranks[self._rank])

    def _hours(self) -> IntArray:
        """For each row, the first row of its key in the same hour."""
        if self._hour_start is None:
            hour = bucket_of(self._time)
            first = np.flatnonzero((np.diff(self._key, prepend=-1) != 0) | (np.diff(hour, prepend=-1) != 0))
            self._hour_start = np.repeat(first, np.diff(np.append(first, len(hour))))
        return self._hour_start

    def _window(self, days: int) -> tuple[IntArray, IntArray]:
        """Ranges of rows in key order, bounds in the folded part moved to the border of their bucket."""
        if days not in self._found:
            starts = self._after(self._delay + days * DAY)
            # Rows of equal time come in order of arrival: the past ends at the row itself.
            ends = self._after(self._delay) if self._delay else self._position
            self._found[days] = (self._snap(starts), self._snap(ends))
        return self._found[days]

    def _snap(self, bound: IntArray) -> IntArray:
        folded = np.flatnonzero(bound < self._exact)
        if len(folded):
            bound = bound.copy()
            bound[folded] = self._hours()[bound[folded]]
        return bound

    def _arrange(self, values: FloatArray) -> FloatArray:
        result = np.empty_like(values)
        result[self._order] = values
        return result

    def _count(self, days: int) -> FloatArray:
        starts, ends = self._window(days)
        counts: FloatArray = (ends - starts).astype(np.float64)
        return counts

    def _frauds(self, days: int) -> FloatArray:
        starts, ends = self._window(days)
        frauds = self._frauds_before[ends] - self._frauds_before[starts]
        frauds -= self._late.pending(starts, ends, self._time)
        return np.asarray(frauds, dtype=np.float64)

    def _amounts(self, days: int) -> RangeAmounts:
        starts, _ = self._window(days)
        exact = Piece(self._cells, np.maximum(starts, self._exact), self._position)
        busy = np.flatnonzero(starts < self._exact)
        if len(busy) == 0:
            return RangeAmounts(len(starts), (exact,))
        return RangeAmounts(len(starts), (exact, *self._folded(busy, starts[busy])))

    def _folded(self, busy: IntArray, starts: IntArray) -> tuple[Piece, Piece]:
        """The buckets of busy rows: whole hours, and the part of the last hour that has folded by then."""
        rows = np.flatnonzero(np.isin(self._group, np.unique(self._group[busy])))
        running = running_by_bucket(self._cells.total, self._hours(), rows)
        last = np.append(self._hours()[1:] != self._hours()[:-1], True)
        whole_number = np.cumsum(last) - last  # number of the hour that a row lies in
        whole = running.only(last)
        border = self._exact[busy] - 1
        return (
            Piece(whole, whole_number[starts], whole_number[border], busy),
            Piece(running, border, border + 1, busy),
        )

    def _minutes_since_last(self) -> FloatArray:
        result = np.full(len(self._time), MAXIMUM_MINUTES)
        follows = np.flatnonzero(self._position > self._group)
        result[follows] = minutes_between(self._time[follows - 1], self._time[follows])
        return result


class _Table:
    """All rows of a table with their past (see :class:`.definitions.Batch`)."""

    def __init__(self, table: pd.DataFrame) -> None:
        # Here, because the service computes features too and does without pandas.
        import pandas as pd

        self.time = instants(table["timestamp"]).astype(np.int64)
        if (np.diff(self.time) < 0).any():
            raise DataError("the table is not in order of time; sort it by timestamp (stable) first")
        utc_offset_seconds = table["utc_offset_seconds"].to_numpy(np.int64)
        self.hour = local_hour(self.time, utc_offset_seconds)
        self.day_of_week = local_day_of_week(self.time, utc_offset_seconds)
        self.amount = table["amount"].to_numpy(np.float64)
        self.customer_latitude = table["customer_latitude"].to_numpy(np.float64)
        self.customer_longitude = table["customer_longitude"].to_numpy(np.float64)
        self.merchant_latitude = table["merchant_latitude"].to_numpy(np.float64)
        self.merchant_longitude = table["merchant_longitude"].to_numpy(np.float64)
        is_fraud, label_time = labels(table)

        def history(kind: KeyKind) -> History[FloatArray]:
            key = pd.factorize(table[kind.column])[0].astype(np.int64)
            return _TableHistory(kind, key, self.time, self.amount, is_fraud, label_time)

        self.customer = history(CUSTOMER)
        self.merchant = history(MERCHANT)
        self.category = history(CATEGORY)


def instants(column: pd.Series[pd.Timestamp]) -> NDArray[np.datetime64]:
    """UTC instants of a time zone aware column, datetime64[us]."""
    return column.dt.tz_convert(None).to_numpy("datetime64[us]")


def labels(table: pd.DataFrame) -> tuple[NDArray[np.bool_], IntArray]:
    """Which rows are fraud, and when their labels arrived (0 for in time)."""
    is_fraud = np.zeros(len(table), dtype=bool)
    label_time = np.zeros(len(table), dtype=np.int64)
    if "is_fraud" in table:
        is_fraud = table["is_fraud"].to_numpy(bool)
    if "label_timestamp" in table:
        arrived = instants(table["label_timestamp"])
        label_time = np.where(np.isnat(arrived), 0, arrived.astype(np.int64))
    return is_fraud, label_time


def feature_table(table: pd.DataFrame) -> FloatArray:
    """Features of every transaction of a table.

    Parameters
    ----------
    table
        n rows with the columns of ``TRANSACTION_COLUMNS``, in order of ``timestamp``; equal timestamps in order of
        arrival. With ``is_fraud`` and ``label_timestamp`` (NaT: in time) labels count; without, nothing is fraud.

    Returns
    -------
    float64 [n, 21] in the order of ``FEATURES``, rows as in the table.

    Raises
    ------
    DataError
        When the rows are not in order of time.
    """
    return feature_matrix(_Table(table))
