"""What the past says about each row of a batch: window statistics over the cells of one kind of key.

A cell is one exact event, or an hourly bucket of a busy key's oldest events. The statistics are defined here once;
the table (:mod:`.offline`) and the store (:mod:`.online`) differ only in how they find a row's cells.

A bucket stands at the time of the newest event folded into it: it is in a window or it is not, as a whole, so it
never tells of an event that the window's upper end excludes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.clock import DAY, HOUR, MINUTE
from bentos.core.features.windows import FloatArray, IntArray, range_squared_deviations, range_sums

__all__ = [
    "CATEGORY",
    "CUSTOMER",
    "EXACT_EVENTS",
    "KINDS",
    "LABEL_DELAY_DAYS",
    "LONGEST_WINDOW_DAYS",
    "MAXIMUM_MINUTES",
    "MERCHANT",
    "Amounts",
    "Cells",
    "History",
    "KeyKind",
    "Piece",
    "bucket_of",
    "minutes_between",
]

#: Newest events of a key that are kept exactly; older ones fold into hourly buckets.
EXACT_EVENTS: Final = 4096
LABEL_DELAY_DAYS: Final = 7
LONGEST_WINDOW_DAYS: Final = 30
MAXIMUM_MINUTES: Final = float(LONGEST_WINDOW_DAYS * 24 * 60)
#: Below this spread of amounts a deviation says nothing.
_SMALLEST_DEVIATION: Final = 0.01


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key that events are grouped by.

    Parameters
    ----------
    name
        In the store.
    column
        Of a transaction that names the key.
    delay_days
        How far its windows are shifted back, because labels are not known earlier.
    """

    name: str
    column: str
    delay_days: int

    @property
    def horizon(self) -> int:
        """Microseconds after which an event lies in no window any more."""
        return (self.delay_days + LONGEST_WINDOW_DAYS) * DAY


CUSTOMER: Final = KeyKind("customer", "customer_id", 0)
MERCHANT: Final = KeyKind("merchant", "merchant_id", LABEL_DELAY_DAYS)
CATEGORY: Final = KeyKind("merchant_category", "merchant_category", LABEL_DELAY_DAYS)
KINDS: Final = (CUSTOMER, MERCHANT, CATEGORY)


def bucket_of(time: IntArray) -> IntArray:
    """Number of the hour that an event folds into."""
    return time // HOUR


@dataclass(frozen=True, slots=True)
class Cells:
    """Amounts of m cells.

    Parameters
    ----------
    total
        float64 [m]; sum of the amounts in each cell.
    count, squares
        float64 [m]; amounts in each cell, and their squared deviations from the cell's own mean. None when every
        cell is one event.
    """

    total: FloatArray
    count: FloatArray | None = None
    squares: FloatArray | None = None

    def only(self, which: NDArray[np.bool_]) -> Cells:
        """The cells that ``which``, bool [m], names."""
        count = None if self.count is None else self.count[which]
        squares = None if self.squares is None else self.squares[which]
        return Cells(self.total[which], count, squares)


@dataclass(frozen=True, slots=True)
class Piece:
    """Ranges of cells, one for each of some rows. ``rows`` of None means every row of the batch."""

    cells: Cells
    starts: IntArray
    ends: IntArray
    rows: IntArray | None = None

    def pick(self, means: FloatArray) -> FloatArray:
        return means if self.rows is None else means[self.rows]


@dataclass(frozen=True, slots=True)
class Amounts:
    """The amounts in one window of each of n rows, spread over pieces that do not overlap."""

    size: int
    pieces: tuple[Piece, ...]

    def _add_up(self, parts: list[FloatArray]) -> FloatArray:
        result = np.zeros(self.size)
        for piece, part in zip(self.pieces, parts, strict=True):
            if piece.rows is None:
                result += part
            else:
                result[piece.rows] += part
        return result

    def count(self) -> FloatArray:
        """Amounts in each row's window."""
        return self._add_up(
            [
                (piece.ends - piece.starts).astype(np.float64)
                if piece.cells.count is None
                else range_sums(piece.cells.count, piece.starts, piece.ends)
                for piece in self.pieces
            ]
        )

    def total(self) -> FloatArray:
        """Their sum."""
        return self._add_up([range_sums(piece.cells.total, piece.starts, piece.ends) for piece in self.pieces])

    def squares(self, means: FloatArray) -> FloatArray:
        """Sum of their squared deviations from ``means``, float64 [n]."""
        return self._add_up(
            [
                range_squared_deviations(
                    piece.cells.total,
                    piece.starts,
                    piece.ends,
                    piece.pick(means),
                    piece.cells.count,
                    piece.cells.squares,
                )
                for piece in self.pieces
            ]
        )


class History(ABC):
    """Window statistics for the n rows of a batch. A window of w days is (t − delay − w, t − delay].

    Public methods return float64 [n] in the order of the batch. What a backend provides, it may provide in an order
    of its own, the same everywhere, that :meth:`_arrange` turns back. The row's own event is in no window unless said.
    """

    _own_amount: FloatArray
    """float64 [n]; the rows' own amounts."""

    @abstractmethod
    def _count(self, days: int) -> FloatArray:
        """Events in the window."""

    @abstractmethod
    def _frauds(self, days: int) -> FloatArray:
        """Events in the window whose fraud label had arrived by the row's time."""

    @abstractmethod
    def _amounts(self, days: int) -> Amounts:
        """Amounts in the window; for kinds whose windows are not shifted."""

    @abstractmethod
    def _minutes_since_last(self) -> FloatArray:
        """Minutes since the key's previous event; ``MAXIMUM_MINUTES`` when there is none."""

    def _arrange(self, values: FloatArray) -> FloatArray:
        """Back to the order of the batch."""
        return values

    def count(self, days: int) -> FloatArray:
        """Events in the window."""
        return self._arrange(self._count(days))

    def fraud_rate(self, days: int) -> FloatArray:
        """Share of the window's events known as fraud; 0 when there are none."""
        return self._arrange(self._frauds(days) / np.maximum(self._count(days), 1.0))

    def mean_amount(self, days: int) -> FloatArray:
        """Mean amount over the window and the row's own event."""
        amounts = self._amounts(days)
        return self._arrange((amounts.total() + self._own_amount) / (amounts.count() + 1.0))

    def amount_deviation(self, days: int) -> FloatArray:
        """How many sample standard deviations the row's amount lies from the window's mean.

        0 with fewer than two events or a deviation under 0.01.
        """
        amounts = self._amounts(days)
        count = amounts.count()
        means = amounts.total() / np.maximum(count, 1.0)
        spread = np.sqrt(amounts.squares(means) / np.maximum(count - 1.0, 1.0))
        telling = (count >= 2) & (spread >= _SMALLEST_DEVIATION)
        result = np.zeros(len(count))
        result[telling] = (self._own_amount - means)[telling] / spread[telling]
        return self._arrange(result)

    def minutes_since_last(self) -> FloatArray:
        """Minutes since the key's previous event, at most 43,200, which also stands for none."""
        return self._arrange(self._minutes_since_last())


def minutes_between(earlier: IntArray, later: IntArray) -> FloatArray:
    """Minutes from one instant to another, at most 43,200."""
    minutes: FloatArray = np.minimum((later - earlier) / MINUTE, MAXIMUM_MINUTES)
    return minutes
