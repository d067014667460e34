"""Checks that explainers share: arrays of an artifact are not trusted, nor are rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import ArtifactCorrupt, FieldError, InvalidInput

__all__ = ["checked_rows", "require"]


def require(arrays: Mapping[str, NDArray[Any]], expected: Mapping[str, tuple[str, int]]) -> None:
    """Refuse arrays that are missing, unknown, or of another dtype or number of dimensions.

    Parameters
    ----------
    expected
        Name to (dtype, dimensions).

    Raises
    ------
    ArtifactCorrupt
        Names the array, what it is and what it must be.
    """
    if arrays.keys() != expected.keys():
        raise ArtifactCorrupt(f"explainer.npz holds the arrays {sorted(arrays)}, needed are {sorted(expected)}")
    for name, (dtype, dimensions) in expected.items():
        array = arrays[name]
        if array.dtype != np.dtype(dtype) or array.ndim != dimensions:
            raise ArtifactCorrupt(
                f"explainer.npz: {name} is {array.dtype} with {array.ndim} dimensions, needed is {dtype} with"
                f" {dimensions}"
            )


def checked_rows(rows: NDArray[Any], features: int) -> NDArray[np.float32]:
    """Rows as contiguous float32 [n, features], which is what the model sees.

    Raises
    ------
    InvalidInput
        Another number of dimensions or columns.
    """
    if rows.ndim != 2 or rows.shape[1] != features:
        raise InvalidInput(
            [FieldError("features", f"rows have the shape {list(rows.shape)}, needed is [n, {features}]")]
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinity here as it is for the model
        return np.ascontiguousarray(rows, dtype=np.float32)
