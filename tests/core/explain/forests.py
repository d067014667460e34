"""Forests and rows to explain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

FEATURES = 21


def data(rows: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rows with continuous, counted and two-valued columns, and labels that depend on a few."""
    rng = np.random.default_rng(seed)
    X = rng.gamma(1.0, 30.0, size=(rows, FEATURES))
    X[:, 1:8] = np.round(X[:, 1:8] / 10)
    X[:, 8:10] = X[:, 8:10] > 40
    y = X[:, 0] + 8 * X[:, 1] + 40 * X[:, 8] + rng.normal(scale=20, size=rows) > 75
    return X.astype(np.float32), y


def forest(rows: int = 1000, seed: int = 0, *, extra: bool = False, **parameters: Any) -> Any:
    """A small fitted forest."""
    X, y = data(rows, seed)
    kind = ExtraTreesClassifier if extra else RandomForestClassifier
    return kind(**{"n_estimators": 5, "random_state": seed, "n_jobs": 1, **parameters}).fit(X, y)


def chain(levels: int, features: int = FEATURES, seed: int = 0) -> dict[str, NDArray[Any]]:
    """One tree that is a chain: at every level a leaf on one side, the rest of the tree on the other."""
    rng = np.random.default_rng(seed)
    right: list[int] = []
    feature: list[int] = []
    threshold: list[float] = []
    cover: list[float] = []
    value: list[float] = []

    def add(*node: float) -> None:
        for column, entry in zip((right, feature, threshold, cover, value), node, strict=True):
            column.append(entry)  # type: ignore[arg-type]

    total = 1e6
    pending: list[tuple[int, float]] = []
    for level in range(levels):
        add(0, int(rng.integers(features)) if level >= features else level, float(rng.normal(scale=2)), total, 0.0)
        leaf = total * float(rng.uniform(0.02, 0.3))
        total -= leaf
        if rng.random() < 0.5:  # the leaf on the left: the chain goes on at the right
            right[-1] = len(right) + 1
            add(-1, -1, 0.0, leaf, rng.random())
        else:
            pending.append((len(right) - 1, leaf))
    for parent, weight in [(-1, total), *reversed(pending)]:
        if parent >= 0:
            right[parent] = len(right)
        add(-1, -1, 0.0, weight, rng.random())
    return {
        "offsets": np.array([0, len(right)], dtype=np.int64),
        "right": np.array(right, dtype=np.int32),
        "feature": np.array(feature, dtype=np.int16),
        "threshold": np.array(threshold, dtype=np.float32),
        "cover": np.array(cover, dtype=np.float64),
        "value": np.array(value, dtype=np.float64),
    }
