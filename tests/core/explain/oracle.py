"""Path-dependent TreeSHAP written down from its definition, leaf by leaf: slow, and unlike the kernel."""

from __future__ import annotations

from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray


def contributions(arrays: dict[str, NDArray[Any]], rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shapley values of the mean over trees of E[leaf | features in S], by sums over the size of S."""
    out = np.zeros(rows.shape)
    offsets = arrays["offsets"]
    for tree in range(len(offsets) - 1):
        own = {name: values[offsets[tree] : offsets[tree + 1]] for name, values in arrays.items() if name != "offsets"}
        for leaf in _leaves(own, 0, {}):
            value, path = leaf
            for r, row in enumerate(rows):
                _add(out[r], value / (len(offsets) - 1), path, row)
    return out


Path = dict[int, tuple[float, float, float]]


def _leaves(tree: dict[str, NDArray[Any]], start: int, path: Path) -> list[tuple[float, Path]]:
    """Every leaf's value and, per feature on its path, (share of cover, lower bound, upper bound)."""
    waiting, leaves = [(start, path)], []
    while waiting:
        node, path = waiting.pop()
        right = int(tree["right"][node])
        if right < 0:
            leaves.append((float(tree["value"][node]), path))
            continue
        feature, split = int(tree["feature"][node]), float(tree["threshold"][node])
        share, low, high = path.get(feature, (1.0, -np.inf, np.inf))
        for child, bounds in ((node + 1, (low, min(high, split))), (right, (max(low, split), high))):
            part = share * float(tree["cover"][child] / tree["cover"][node])
            waiting.append((child, {**path, feature: (part, *bounds)}))
    return leaves


def _add(out: NDArray[np.float64], value: float, path: Path, row: NDArray[np.float32]) -> None:
    features = list(path)
    zero = np.array([path[f][0] for f in features])
    one = np.array([float(path[f][1] < row[f] <= path[f][2]) for f in features])
    d = len(features)
    for i, feature in enumerate(features):
        # Coefficient k: the sum over subsets of size k of the products of o inside and z outside.
        sums = np.array([1.0])
        for j in range(d):
            if j != i:
                sums = np.convolve(sums, [zero[j], one[j]])
        weights = [factorial(k) * factorial(d - k - 1) / factorial(d) for k in range(d)]
        out[feature] += value * (one[i] - zero[i]) * float(sums @ weights)
