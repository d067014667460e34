"""What is counted of a prediction: one bin of each feature and of the score, as the artifact's reference has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.artifact.distributions import Distributions, Histogram
from bentos.core.drift import SCORE
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.core.features.history import MAXIMUM_MINUTES

__all__ = ["MISSING", "SCORE", "Layout"]

#: What stands in a row for something that is not there: no pair of coordinates, no earlier payment.
MISSING: Final = {"distance_km": -1.0, "minutes_since_last_transaction": float(MAXIMUM_MINUTES)}


@dataclass(frozen=True, slots=True)
class _Part:
    reference: Histogram
    edges: NDArray[np.float64]
    start: int


class Layout:
    """Places of all bins in one row of counts: features, score, then how often something is missing.

    Parameters
    ----------
    distributions
        Of the training rows.
    """

    def __init__(self, distributions: Distributions) -> None:
        self._parts: dict[str, _Part] = {}
        start = 0
        for name, reference in {**distributions.features, SCORE: distributions.score}.items():
            self._parts[name] = _Part(reference, np.asarray(reference.edges, np.float64), start)
            start += len(reference.counts)
        self._missing = {name: start + place for place, name in enumerate(MISSING)}
        #: Numbers in a row of counts.
        self.size = start + len(MISSING)

    def count(self, rows: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Counts of some predictions, int64 [size].

        Parameters
        ----------
        rows
            Feature rows, float64 [n, 21].
        scores
            float64 [n].
        """
        columns = rows.T
        bins = np.empty((len(FEATURE_NAMES) + 1, len(rows)), np.int64)
        for place, part in enumerate(self._parts.values()):
            values = scores if place == len(FEATURE_NAMES) else columns[place]
            np.add(part.edges.searchsorted(values), part.start, out=bins[place])
        counts = np.bincount(bins.ravel(), minlength=self.size)
        for name, place in self._missing.items():
            counts[place] = np.count_nonzero(columns[FEATURE_NAMES.index(name)] == MISSING[name])
        return counts

    def histogram(self, counts: NDArray[Any], name: str) -> NDArray[Any]:
        """The bins of a feature, or of the score, in a row of counts."""
        part = self._parts[name]
        return counts[part.start : part.start + len(part.reference.counts)]

    def reference(self, name: str) -> Histogram:
        """The same in training."""
        return self._parts[name].reference

    def missing(self, counts: NDArray[Any], name: str) -> int:
        """How often a feature of :data:`MISSING` stood for nothing."""
        return int(counts[self._missing[name]])

    def rows(self, counts: NDArray[Any]) -> int:
        """Predictions in a row of counts."""
        return int(self.histogram(counts, SCORE).sum())
