"""What the past says about each row of a batch: window statistics over the cells of one kind of key.

A cell is one exact event, or an hourly bucket of a busy key's oldest events. The statistics are defined here once;
the table (:mod:`.offline`) and the store (:mod:`.online`) differ only in how they find a row's cells.

A bucket stands at the time of the newest event folded into it: it is in a window or it is not, as a whole, so it
never tells of an event that the window's upper end excludes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol

from bentos.core.features.clock import DAY, HOUR, MINUTE
from bentos.core.features.values import Values, maximum, minimum, square_root, where
from bentos.core.features.windows import IntArray

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
    "History",
    "KeyKind",
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


class Amounts(Protocol[Values]):
    """The amounts in one window of each row."""

    def count(self) -> Values:
        """How many there are."""
        ...

    def total(self) -> Values:
        """Their sum."""
        ...

    def squares(self, means: Values) -> Values:
        """Sum of their squared deviations from ``means``, which are their own means."""
        ...


class History(ABC, Generic[Values]):
    """Window statistics for the n rows of a batch, or of one row. A window of w days is (t − delay − w, t − delay].

    Public methods return ``Values`` in the order of the batch. What a backend provides, it may provide in an order
    of its own, the same everywhere, that :meth:`_arrange` turns back. The row's own event is in no window unless said.
    """

    _own_amount: Values
    """The rows' own amounts."""

    @abstractmethod
    def _count(self, days: int) -> Values:
        """Events in the window."""

    @abstractmethod
    def _frauds(self, days: int) -> Values:
        """Events in the window whose fraud label had arrived by the row's time."""

    @abstractmethod
    def _amounts(self, days: int) -> Amounts[Values]:
        """Amounts in the window; for kinds whose windows are not shifted."""

    @abstractmethod
    def _minutes_since_last(self) -> Values:
        """Minutes since the key's previous event; ``MAXIMUM_MINUTES`` when there is none."""

    def _arrange(self, values: Values) -> Values:
        """Back to the order of the batch."""
        return values

    def count(self, days: int) -> Values:
        """Events in the window."""
        return self._arrange(self._count(days))

    def fraud_rate(self, days: int) -> Values:
        """Share of the window's events known as fraud; 0 when there are none."""
        return self._arrange(self._frauds(days) / maximum(self._count(days), 1.0))

    def mean_amount(self, days: int) -> Values:
        """Mean amount over the window and the row's own event."""
        amounts = self._amounts(days)
        return self._arrange((amounts.total() + self._own_amount) / (amounts.count() + 1.0))

    def amount_deviation(self, days: int) -> Values:
        """How many sample standard deviations the row's amount lies from the window's mean.

        0 with fewer than two events or a deviation under 0.01.
        """
        amounts = self._amounts(days)
        count = amounts.count()
        means = amounts.total() / maximum(count, 1.0)
        spread = square_root(amounts.squares(means) / maximum(count - 1.0, 1.0))
        deviation = (self._own_amount - means) / maximum(spread, _SMALLEST_DEVIATION)
        return self._arrange(where((count >= 2) & (spread >= _SMALLEST_DEVIATION), deviation, 0.0))

    def minutes_since_last(self) -> Values:
        """Minutes since the key's previous event, at most 43,200, which also stands for none."""
        return self._arrange(self._minutes_since_last())


def minutes_between(earlier: Any, later: Any) -> Any:
    """Minutes from one instant to another, at most 43,200; arrays or numbers."""
    return minimum((later - earlier) / MINUTE, MAXIMUM_MINUTES)
