"""Reference distributions: every value has a bin, and drift is measured against them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import ValidationError

from bentos.core.artifact import Histogram, population_stability_index, reference_histogram
from bentos.core.errors import DataError

FINITE = st.floats(-1e9, 1e9, allow_nan=False)
VALUES = npst.arrays(np.float64, st.integers(1, 200), elements=FINITE | st.sampled_from([0.0, -1.0, 1.0]))


@given(VALUES, VALUES)
def test_every_value_is_counted_once(values: np.ndarray, others: np.ndarray) -> None:
    histogram = reference_histogram(values)
    assert sum(histogram.counts) == len(values)
    assert all(histogram.counts), "a bin of the reference is empty"
    assert histogram.count(values).tolist() == histogram.counts
    assert histogram.count(others).sum() == len(others)
    assert Histogram.model_validate_json(histogram.to_bytes()) == histogram


def test_continuous_values_fill_ten_equal_bins() -> None:
    histogram = reference_histogram(np.random.default_rng(0).normal(size=10_000))
    assert histogram.counts == [1000] * 10


def test_a_frequent_value_has_its_own_bin() -> None:
    values = np.concatenate([np.full(700, -1.0), np.linspace(0, 10, 300)])
    histogram = reference_histogram(values)
    assert -1.0 < histogram.edges[0] < 0.0
    assert histogram.counts[0] == 700


def test_rare_flags_are_told_apart() -> None:
    flags = np.array([0.0] * 999 + [1.0])
    assert reference_histogram(flags) == Histogram(edges=[0.5], counts=[999, 1])


def test_a_constant_has_one_bin() -> None:
    assert reference_histogram(np.full(5, 3.0)) == Histogram(edges=[], counts=[5])


@pytest.mark.parametrize("values", [np.array([]), np.array([1.0, np.nan]), np.array([np.inf])])
def test_unusable_values_are_refused(values: np.ndarray) -> None:
    with pytest.raises(DataError, match="finite"):
        reference_histogram(values)


def test_nan_is_refused_when_counting() -> None:
    with pytest.raises(DataError, match="NaN"):
        Histogram(edges=[0.0], counts=[1, 1]).count(np.array([np.nan]))


@pytest.mark.parametrize(
    ("edges", "counts"), [([1.0, 1.0], [1, 1, 1]), ([1.0], [1]), ([float("nan")], [1, 1]), ([0.0], [1, -1])]
)
def test_a_malformed_histogram_is_refused(edges: list[float], counts: list[int]) -> None:
    with pytest.raises(ValidationError):
        Histogram(edges=edges, counts=counts)


def test_the_stability_index_is_the_published_formula() -> None:
    # p = (.5, .5), q = (.25, .75): .25 ln 2 + .25 ln 1.5
    expected = 0.25 * np.log(2) + 0.25 * np.log(1.5)
    assert population_stability_index(np.array([50, 50]), np.array([25, 75])) == pytest.approx(expected)
    assert population_stability_index(np.array([5, 95]), np.array([50, 950])) == 0
    assert np.isfinite(population_stability_index(np.array([0, 10]), np.array([10, 0])))


def test_the_stability_index_needs_the_same_bins() -> None:
    with pytest.raises(DataError, match="2 and 3 bins"):
        population_stability_index(np.array([1, 1]), np.array([1, 1, 1]))
    with pytest.raises(DataError, match="stability index"):
        population_stability_index(np.array([0, 0]), np.array([1, 1]))


def test_another_last_bit_stays_in_its_bin() -> None:
    scores = np.repeat([0.0012, 0.0345, 0.6], [574, 33, 20])
    histogram = reference_histogram(scores)
    for towards in (-np.inf, np.inf):
        assert histogram.count(np.nextafter(scores, towards)).tolist() == histogram.counts
