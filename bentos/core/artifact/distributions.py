"""Distributions of the training rows: what drift is measured against."""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from bentos.core.artifact.card import Document
from bentos.core.artifact.categories import Categories
from bentos.core.artifact.stability import population_stability_index
from bentos.core.errors import DataError

__all__ = ["Distributions", "FeatureFile", "Histogram", "reference_histogram"]

#: The earlier half is left out: the first weeks of a history know no customer yet.
_PARTS: Final = 40
#: Of fewer, an index is chance.
_PART_VALUES: Final = 100


class Histogram(Document):
    """Counts of values in bins that cover the whole line.

    Bin i holds ``edges[i - 1] < x <= edges[i]``; the first is open to the left, the last to the right, so that a value
    never seen in training has a bin too.
    """

    edges: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=1000)]
    counts: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=1001)]
    #: Largest stability index of parts of the values against all of them: what moves by itself. None when not known.
    usual: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _fit(self) -> Histogram:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins, not {len(self.counts)}")
        if any(later <= earlier for earlier, later in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must increase")
        return self

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Counts of other values in the same bins, int64 [bins].

        Raises
        ------
        DataError
            There is a NaN among them.
        """
        if np.isnan(values).any():
            raise DataError("a value is NaN, which no feature or score ever is")
        bins = np.searchsorted(np.asarray(self.edges, dtype=np.float64), values.astype(np.float64), side="left")
        return np.bincount(bins, minlength=len(self.counts)).astype(np.int64)


class Distributions(Document):
    """Histograms of the training rows, in the order of the features, and of their scores."""

    features: dict[str, Histogram]
    score: Histogram
    #: Of no feature row, but of the payments that these are of. None in artifacts that were made before it was kept.
    merchant_category: Categories | None = None


class FeatureFile(Document):
    """``features.json``: the columns of a row."""

    feature_schema: str = Field(description="Digest of the features' definitions.")
    names: list[str] = Field(description="In the order of the columns.")
    defaults: list[float] = Field(description="Values when the feature store cannot be asked, in the same order.")
    distributions: Distributions

    @model_validator(mode="after")
    def _fit(self) -> FeatureFile:
        if len(self.defaults) != len(self.names) or set(self.distributions.features) != set(self.names):
            raise ValueError("names, defaults and distributions name different features")
        return self


def reference_histogram(values: NDArray[Any], bins: int = 10) -> Histogram:
    """Histogram whose bins hold about the same number of values each.

    Edges lie halfway between values that occur, equal ones taken once: a frequent value (a flag, a default) gets its
    own bin, and one that comes back with another last bit, as a score from ONNX does, stays in it.

    Parameters
    ----------
    values
        [n], at least one, in the order of time: what is usual is learnt from the later half, of 4,000 or more.
    bins
        The most bins to make.

    Raises
    ------
    DataError
        There are no values, or one is not finite.
    """
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError(f"a reference distribution needs finite values, at least one; got {values.size} values")
    if bins < 2:
        raise DataError(f"a reference distribution needs 2 bins or more, got {bins}")
    given = values.astype(np.float64)
    occurring = np.unique(given)
    quantiles = np.quantile(given, np.arange(1, bins) / bins, method="inverted_cdf")
    below = np.unique(np.searchsorted(occurring, quantiles))
    below = below[below < occurring.size - 1]
    if below.size == 0 and occurring.size > 1:
        below = np.array([0])
    edges = (occurring[below] + occurring[below + 1]) / 2
    # -0.0 and 0.0 compare equal but are written differently.
    empty = Histogram(edges=(edges + 0.0).tolist(), counts=[0] * (edges.size + 1))
    counts = empty.count(given)
    return Histogram(edges=empty.edges, counts=counts.tolist(), usual=_usual(empty, counts, given))


def _usual(histogram: Histogram, counts: NDArray[np.int64], values: NDArray[np.float64]) -> float | None:
    if values.size < _PARTS * _PART_VALUES:
        return None
    later = np.array_split(values, _PARTS)[_PARTS // 2 :]
    return max(population_stability_index(counts, histogram.count(part)) for part in later)
