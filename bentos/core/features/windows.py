"""Exact sums over ranges of events: the arithmetic that the table and the store share.

Every range is summed on its own, never as a difference of running totals, so an amount of 1e7 that has left a
window leaves nothing behind. A sum depends only on the values in its range and their order, so the same history
gives the same bits whichever side asks.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["FloatArray", "IntArray", "range_squared_deviations", "range_sums"]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

# Gathered elements per block: small enough to stay in a core's cache.
_BLOCK: Final = 1 << 17


def range_sums(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Sum ``values[start:end]`` for each pair.

    Parameters
    ----------
    values
        float64 [m].
    starts, ends
        int64 [n], with 0 ≤ start ≤ end ≤ m. Ranges may overlap.

    Returns
    -------
    float64 [n]; 0 for an empty range.
    """
    result = np.zeros(len(starts))
    filled = np.flatnonzero(ends > starts)
    if len(filled) == 0:
        return result
    bounds = np.empty(2 * len(filled), dtype=np.int64)
    bounds[0::2] = starts[filled]
    bounds[1::2] = ends[filled]
    # reduceat wants every bound inside the array; the padding is never part of a range.
    padded = np.append(values, 0.0)
    result[filled] = np.add.reduceat(padded, bounds)[0::2]
    return result


def range_squared_deviations(
    totals: FloatArray,
    starts: IntArray,
    ends: IntArray,
    means: FloatArray,
    counts: FloatArray | None = None,
    within: FloatArray | None = None,
) -> FloatArray:
    """Sum of squared deviations from ``means[i]`` over each range of cells (the second pass of a two-pass variance).

    Parameters
    ----------
    totals
        float64 [m]; the sum of the values in each cell. An exact event is a cell of one value.
    starts, ends
        int64 [n].
    means
        float64 [n]; what to measure from in each range.
    counts, within
        float64 [m]; values in each cell, and their squared deviations from the cell's own mean. None means that
        every cell holds one value.

    Returns
    -------
    float64 [n].

    Notes
    -----
    Cells combine by Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances" (1979): within + count × (cell mean − mean)².
    """
    result = np.zeros(len(starts))
    filled = np.flatnonzero(ends > starts)
    lengths = (ends - starts)[filled]
    # Rows are cut into blocks at multiples of _BLOCK of the gathered length.
    gathered = np.cumsum(lengths)
    cuts = np.flatnonzero(np.diff(gathered // _BLOCK, prepend=0)) if len(filled) else np.empty(0, np.int64)
    for block in np.split(np.arange(len(filled)), cuts):
        if len(block) == 0:
            continue
        rows, size = filled[block], lengths[block]
        offsets = np.cumsum(size) - size
        index = np.arange(size.sum()) + np.repeat(starts[rows] - offsets, size)
        deviations = totals[index] if counts is None else totals[index] / counts[index]
        deviations -= np.repeat(means[rows], size)
        deviations *= deviations
        if counts is not None and within is not None:
            deviations *= counts[index]
            deviations += within[index]
        result[rows] = np.add.reduceat(deviations, offsets)
    return result
