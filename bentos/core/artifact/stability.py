"""The population stability index: how far one distribution is from another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError

__all__ = ["population_stability_index"]


def population_stability_index(reference: NDArray[Any], current: NDArray[Any]) -> float:
    """Population stability index of two rows of counts over the same bins.

    Sum over the bins of (p - q) ln(p / q); an empty bin counts as half an observation, so that the index stays finite.
    Below 0.1 is commonly read as stable, above 0.25 as a shift (Siddiqi, "Credit Risk Scorecards", 2006).

    Raises
    ------
    DataError
        The numbers of bins differ or nothing was counted.
    """
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if p.shape != q.shape or p.sum() <= 0 or q.sum() <= 0:
        raise DataError(f"a stability index needs counts over the same bins, got {p.size} and {q.size} bins")
    p, q = np.maximum(p, 0.5) / p.sum(), np.maximum(q, 0.5) / q.sum()
    return float(((p - q) * np.log(p / q)).sum())
