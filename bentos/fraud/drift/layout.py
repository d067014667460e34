"""What is counted of a prediction: one bin of each feature, of the score and of the merchant's category.

Bins are those of the artifact's reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.artifact.categories import HOURS, Categories
from bentos.core.artifact.distributions import Distributions, Histogram
from bentos.core.drift import MERCHANT_CATEGORY, SCORE
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.core.features.history import MAXIMUM_MINUTES
from bentos.core.transaction import Transaction

__all__ = ["MISSING", "Layout"]

#: What stands in a row for something that is not there: no pair of coordinates, no earlier payment.
MISSING: Final = {"distance_km": -1.0, "minutes_since_last_transaction": float(MAXIMUM_MINUTES)}
#: What stands for a category that was not sent.
_NO_CATEGORY: Final = Transaction.model_fields[MERCHANT_CATEGORY].default
_HOUR: Final = FEATURE_NAMES.index("hour")


@dataclass(frozen=True, slots=True)
class _Part:
    reference: Histogram
    edges: NDArray[np.float64]
    start: int


class Layout:
    """Places of all bins in one row of counts: features, score, how often something is missing, hours, categories.

    Parameters
    ----------
    distributions
        Of the training rows. Without categories none are counted.
    """

    def __init__(self, distributions: Distributions) -> None:
        self._parts: dict[str, _Part] = {}
        start = 0
        for name, reference in {**distributions.features, SCORE: distributions.score}.items():
            self._parts[name] = _Part(reference, np.asarray(reference.edges, np.float64), start)
            start += len(reference.counts)
        self._missing = {name: start + place for place, name in enumerate(MISSING)}
        start += len(MISSING)
        self._categories = distributions.merchant_category
        if self._categories is not None:
            self._missing[MERCHANT_CATEGORY] = start
            self._hours = slice(start + 1, start + 1 + HOURS)
            self._bins = slice(self._hours.stop, self._hours.stop + len(self._categories.names) + 1)
            self._places = {name: self._bins.start + place for place, name in enumerate(self._categories.names)}
            start = self._bins.stop
        #: Numbers in a row of counts.
        self.size = start
        #: Of all parts: the score, the features, and the category when the artifact has its reference.
        self.names: Final = (SCORE, *FEATURE_NAMES, *([] if self._categories is None else [MERCHANT_CATEGORY]))

    def count(
        self, rows: NDArray[np.float64], scores: NDArray[np.float64], categories: Sequence[str] = ()
    ) -> NDArray[np.int64]:
        """Counts of some predictions, int64 [size].

        Parameters
        ----------
        rows
            Feature rows, float64 [n, 21].
        scores
            float64 [n].
        categories
            Of the merchants, n of them; not looked at when they are not counted.
        """
        columns = rows.T
        bins = np.empty((len(FEATURE_NAMES) + 1, len(rows)), np.int64)
        for place, part in enumerate(self._parts.values()):
            values = scores if place == len(FEATURE_NAMES) else columns[place]
            np.add(part.edges.searchsorted(values), part.start, out=bins[place])
        counts = np.bincount(bins.ravel(), minlength=self.size)
        for name, value in MISSING.items():
            counts[self._missing[name]] = np.count_nonzero(columns[FEATURE_NAMES.index(name)] == value)
        if self._categories is not None:
            self._count_categories(counts, columns[_HOUR], categories)
        return counts

    def _count_categories(
        self, counts: NDArray[np.int64], hours: NDArray[np.float64], categories: Sequence[str]
    ) -> None:
        others = self._bins.stop - 1
        places = np.fromiter(map(self._places.get, categories, repeat(others)), np.int64, len(hours))
        counts += np.bincount(places, minlength=self.size)
        counts[self._hours] = np.bincount(hours.astype(np.int64).clip(0, HOURS - 1), minlength=HOURS)
        counts[self._missing[MERCHANT_CATEGORY]] = sum(category == _NO_CATEGORY for category in categories)

    def histogram(self, counts: NDArray[Any], name: str) -> NDArray[Any]:
        """The bins of a part in a row of counts."""
        if name == MERCHANT_CATEGORY:
            return counts[self._bins]
        part = self._parts[name]
        return counts[part.start : part.start + len(part.reference.counts)]

    def reference(self, name: str) -> Histogram | Categories:
        """The same in training."""
        if name == MERCHANT_CATEGORY and self._categories is not None:
            return self._categories
        return self._parts[name].reference

    def expected(self, counts: NDArray[Any], name: str) -> NDArray[np.float64]:
        """Training rows in each bin of a part; categories as they would be at the hours of these predictions."""
        reference = self.reference(name)
        if isinstance(reference, Categories) and self.rows(counts):
            return reference.expected(counts[self._hours])
        return np.asarray(reference.counts, np.float64)

    def missing(self, counts: NDArray[Any], name: str) -> float | None:
        """Share of the predictions without a part; None where it is never missing, or where there are none."""
        rows = self.rows(counts)
        return int(counts[self._missing[name]]) / rows if name in self._missing and rows else None

    def unseen(self, counts: NDArray[Any], name: str) -> float | None:
        """Share of the predictions whose category the reference does not name; None for what is no category."""
        rows = self.rows(counts)
        return int(counts[self._bins.stop - 1]) / rows if name == MERCHANT_CATEGORY and rows else None

    def rows(self, counts: NDArray[Any]) -> int:
        """Predictions in a row of counts."""
        return int(self.histogram(counts, SCORE).sum())
