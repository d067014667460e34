"""How payments of training spread over categories, hour by hour: what those of later payments are compared with.

Categories belong to the clock: at three in the morning it is nightlife, at noon groceries. So what is expected of some
payments follows from the hours at which they were made, and a window needs no whole day to be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bentos.core.artifact.card import Document
from bentos.core.artifact.stability import population_stability_index
from bentos.core.errors import DataError

__all__ = ["HOURS", "Categories", "reference_categories"]

HOURS: Final = 24
#: Named, the most frequent ones; the rest shares a bin with what training did not have.
_NAMED: Final = 50
#: As for histograms the earlier half is left out; a part has as many rows as a service looks at, or more.
_PARTS: Final = 40
_PART_ROWS: Final = 2000

Name = Annotated[str, Field(min_length=1, max_length=128)]
Counts = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=2, max_length=_NAMED + 1)]


class Categories(Document):
    """Counts of categories at each hour of the customers' clock, 0 to 23.

    Bin i holds category ``names[i]``; the last one all others.
    """

    names: Annotated[list[Name], Field(min_length=1, max_length=_NAMED)]
    by_hour: Annotated[list[Counts], Field(min_length=HOURS, max_length=HOURS)]
    #: Largest stability index of parts of training against what was expected of them. None when not known.
    usual: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _fit(self) -> Categories:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a category is named twice")
        if any(len(counts) != len(self.names) + 1 for counts in self.by_hour):
            raise ValueError(f"{len(self.names)} categories make {len(self.names) + 1} bins at each hour")
        if not any(map(any, self.by_hour)):
            raise ValueError("there are no training rows")
        return self

    @property
    def counts(self) -> list[int]:
        """Training rows in each bin."""
        return [sum(bins) for bins in zip(*self.by_hour, strict=True)]

    def expected(self, hours: NDArray[Any]) -> NDArray[np.float64]:
        """What training would have had in each bin, had its rows been made at other hours; float64 [bins].

        Parameters
        ----------
        hours
            Payments of each hour, [24].
        """
        known = np.asarray(self.by_hour, dtype=np.float64)
        total = known.sum(axis=0)
        rows = total.sum()
        # An hour of which training had few rows is taken for any: it gets as many rows more as there are bins.
        smoothed = known + total / rows * total.size
        shares: NDArray[np.float64] = smoothed / smoothed.sum(axis=1, keepdims=True)
        expected: NDArray[np.float64] = rows * (hours / hours.sum()) @ shares
        return expected


def reference_categories(categories: Sequence[str], hours: NDArray[Any]) -> Categories:
    """Count the categories of training.

    Parameters
    ----------
    categories
        n of them, at least one, in the order of time: what is usual is learnt from the later half, of 4,000 or more.
    hours
        Of the customers' clock, whole numbers of any type, [n].

    Raises
    ------
    DataError
        There are none, their numbers differ, or an hour is none.
    """
    given, clock = np.asarray(categories, dtype=object), np.asarray(hours).astype(np.int64)
    if given.size == 0 or given.shape != clock.shape or clock.min() < 0 or clock.max() >= HOURS:
        raise DataError(
            f"a reference of categories needs one at least, each with an hour from 0 to {HOURS - 1}; got {given.size}"
            f" categories and {clock.size} hours"
        )
    found, codes, counts = np.unique(given.astype(str), return_inverse=True, return_counts=True)
    # The most frequent first, equal ones by name.
    order = np.argsort(-counts, kind="stable")[:_NAMED]
    place = np.full(found.size, order.size)
    place[order] = np.arange(order.size)
    bins = place[codes]
    by_hour = np.zeros((HOURS, order.size + 1), np.int64)
    np.add.at(by_hour, (clock, bins), 1)
    known = Categories(names=found[order].tolist(), by_hour=by_hour.tolist())
    return known.model_copy(update={"usual": _usual(known, bins, clock)})


def _usual(known: Categories, bins: NDArray[np.int64], hours: NDArray[np.int64]) -> float | None:
    parts = min(_PARTS, bins.size // _PART_ROWS)
    if parts < 2:
        return None
    indices = [
        population_stability_index(
            known.expected(np.bincount(hours[part], minlength=HOURS)),
            np.bincount(bins[part], minlength=len(known.names) + 1),
        )
        for part in np.array_split(np.arange(bins.size), parts)[parts // 2 :]
    ]
    return max(indices)
