"""Base value and contributions add up to the raw score: of any forest and any network, for any row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from bentos.core.explain import load_explainer, scale_rows
from tests.core.explain.forests import FEATURES, chain

#: Few different values, so that rows meet thresholds and each other.
CELLS = st.sampled_from([-1e30, -2.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 1e6, 3e38])
ROWS = npst.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(FEATURES)), elements=CELLS)
SHARES = st.floats(0.001, 0.999)

Arrays = dict[str, NDArray[Any]]


@st.composite
def trees(draw: st.DrawFn, cover: float = 1e4, depth: int = 0) -> list[tuple[int, int, float, float, float]]:
    """A tree in preorder: right child, feature, threshold, cover, value of each node."""
    # Half of the nodes near the root split, fewer further down: from single leaves to trees of some hundred nodes.
    if depth > 9 or draw(st.integers(0, 10)) < depth:
        return [(-1, -1, 0.0, cover, draw(st.floats(0, 1)))]
    part = cover * draw(SHARES)
    left = draw(trees(part, depth + 1))
    right = draw(trees(cover - part, depth + 1))
    feature = draw(st.integers(0, FEATURES - 1))
    below = 1 + len(left)
    split = (below, feature, float(np.float32(draw(CELLS))), cover, 0.0)
    return [split, *_moved(left, 1), *_moved(right, below)]


def _moved(nodes: list[tuple[int, int, float, float, float]], by: int) -> list[tuple[int, int, float, float, float]]:
    return [(right + by if right >= 0 else -1, *rest) for right, *rest in nodes]  # type: ignore[misc]


@st.composite
def forests(draw: st.DrawFn) -> Arrays:
    grown = draw(st.lists(trees(), min_size=1, max_size=4))
    columns = list(zip(*(node for tree in grown for node in tree), strict=True))
    names = {"right": np.int32, "feature": np.int16, "threshold": np.float32, "cover": np.float64, "value": np.float64}
    arrays: Arrays = {
        name: np.array(column, dtype) for (name, dtype), column in zip(names.items(), columns, strict=True)
    }
    arrays["offsets"] = np.cumsum([0, *(len(tree) for tree in grown)]).astype(np.int64)
    return arrays


def forest_scores(arrays: Arrays, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Walk every row down every tree."""
    starts = arrays["offsets"][:-1]
    scores = np.zeros(len(rows))
    for r, row in enumerate(rows):
        for start in starts:
            node = start
            while arrays["right"][node] >= 0:
                left = row[arrays["feature"][node]] <= arrays["threshold"][node]
                node = node + 1 if left else start + arrays["right"][node]
            scores[r] += arrays["value"][node]
    result: NDArray[np.float64] = scores / len(starts)
    return result


def check(kind: str, arrays: Arrays, rows: NDArray[np.float32], scores: NDArray[np.float64]) -> None:
    explainer = load_explainer(kind, arrays)
    totals = explainer.base_value + explainer.contributions(rows).sum(axis=1)
    np.testing.assert_allclose(totals, scores, rtol=0, atol=1e-10 * max(1.0, float(np.abs(scores).max())))


@settings(max_examples=150, deadline=None)
@given(forests(), ROWS)
def test_forests_add_up(arrays: Arrays, rows: NDArray[np.float32]) -> None:
    check("forest", arrays, rows, forest_scores(arrays, rows))


@pytest.mark.parametrize("levels", [1, 12, 40, 300])
def test_deep_chains_add_up(levels: int) -> None:
    arrays = chain(levels, seed=levels)
    rows = np.random.default_rng(levels).normal(scale=2, size=(37, FEATURES)).astype(np.float32)
    check("forest", arrays, rows, forest_scores(arrays, rows))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_forest_has_nothing_to_say(value: float) -> None:
    arrays = {**chain(30), "value": np.full(61, value)}
    rows = np.random.default_rng(0).normal(scale=2, size=(20, FEATURES)).astype(np.float32)
    explainer = load_explainer("forest", arrays)
    assert explainer.base_value == pytest.approx(value, abs=1e-14)
    np.testing.assert_allclose(explainer.contributions(rows), 0.0, atol=1e-13)


@st.composite
def networks(draw: st.DrawFn) -> Arrays:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = [FEATURES, *draw(st.lists(st.integers(1, 20), max_size=4)), 1]
    arrays: Arrays = {
        "log": rng.random(FEATURES) < 0.5,
        "mean": rng.normal(size=FEATURES),
        "scale": rng.uniform(0.1, 10.0, FEATURES),
        "clip": np.array(draw(st.sampled_from([1.0, 8.0, 1e6]))),
        "background": rng.normal(size=(draw(st.integers(1, 30)), FEATURES)),
    }
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        # Dead units and rows that do not change a unit are as likely as the rest.
        kept = rng.random((outputs, inputs)) < draw(st.sampled_from([0.1, 1.0]))
        arrays[f"weight_{layer}"] = rng.normal(size=(outputs, inputs)) * kept
        arrays[f"bias_{layer}"] = rng.normal(size=outputs)
    return arrays


def network_scores(arrays: Arrays, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    values = scale_rows(rows, arrays["log"], arrays["mean"], arrays["scale"], float(arrays["clip"]))
    last = sum(name.startswith("weight_") for name in arrays) - 1
    for layer in range(last + 1):
        values = values @ arrays[f"weight_{layer}"].T + arrays[f"bias_{layer}"]
        if layer < last:
            values = np.maximum(values, 0.0)
    return np.asarray(values[:, 0])


@settings(max_examples=100, deadline=None)
@given(networks(), ROWS)
def test_networks_add_up(arrays: Arrays, rows: NDArray[np.float32]) -> None:
    check("network", arrays, rows, network_scores(arrays, rows))
