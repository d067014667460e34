"""Rows on which an export is compared with the trained model: ordinary ones, and those where exports go wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.features import FEATURE_NAMES, FEATURES
from bentos.core.transaction import MAXIMUM_AMOUNT

__all__ = ["parity_rows", "threshold_rows", "training_sample"]

Rows = NDArray[np.float32]


def training_sample(rows: Rows, labels: NDArray[np.bool_], count: int, rng: np.random.Generator) -> Rows:
    """At most ``count`` training rows, up to half of them frauds, which are rare but are what is explained."""
    frauds, others = np.flatnonzero(labels), np.flatnonzero(~labels)
    some = rng.permutation(frauds)[: count // 2]
    rest = rng.permutation(others)[: count - len(some)]
    sample: Rows = rows[np.sort(np.concatenate([some, rest]))]
    return sample


def threshold_rows(sample: Rows, forest: Any, count: int, rng: np.random.Generator) -> Rows:
    """Copies of sampled rows with one feature exactly at a split of the forest, or one float32 beside it."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    features = np.concatenate([tree.feature[tree.feature >= 0] for tree in trees])
    splits = np.concatenate([tree.threshold[tree.feature >= 0] for tree in trees])
    if not len(splits):
        return sample[:0]
    chosen = rng.integers(len(splits), size=count)
    exact = splits[chosen].astype(np.float32)
    values = np.stack([exact, np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))])
    result = np.repeat(sample[rng.integers(len(sample), size=count)], 3, axis=0)
    result[np.arange(3 * count), np.repeat(features[chosen], 3)] = values.T.ravel()
    return result


def parity_rows(sample: Rows, forest: Any | None, count: int, rng: np.random.Generator) -> Rows:
    """The sample, rows on the forest's splits if there is one, extreme amounts, and the defaults.

    Parameters
    ----------
    sample
        [n, 21] training rows.
    forest
        A fitted forest, or None.
    count
        How many splits to try.
    """
    amounts = np.repeat(sample[:2], 2, axis=0)
    amounts[:, FEATURE_NAMES.index("amount")] = np.tile([0.0, MAXIMUM_AMOUNT], len(amounts) // 2)
    defaults = np.array([[feature.default for feature in FEATURES]], dtype=np.float32)
    extremes = np.stack([np.zeros(len(FEATURES)), np.full(len(FEATURES), MAXIMUM_AMOUNT), np.full(len(FEATURES), -1.0)])
    parts = [defaults, extremes.astype(np.float32), amounts, sample]
    if forest is not None:
        parts.append(threshold_rows(sample, forest, count, rng))
    return np.ascontiguousarray(np.concatenate(parts))
