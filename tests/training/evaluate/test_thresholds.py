from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from bentos.core.artifact import Thresholds
from bentos.core.errors import ConfigError, DataError
from training.evaluate.thresholds import (
    CostModel,
    cost_curve,
    thresholds_by_cost,
    thresholds_by_f1,
    total_cost,
)


def _rows(seed: int, rows: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random(rows) < 0.3
    labels[:2] = [True, False]
    scores = np.round(np.clip(random.normal(0.3, 0.2, rows) + 0.3 * labels, 0.1, 0.9), 1)
    return labels, scores, random.exponential(60, rows)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), misses=st.sampled_from([0.0, 0.3]))
def test_thresholds_by_cost_beat_every_other_pair(seed: int, misses: float) -> None:
    labels, scores, amounts = _rows(seed)
    costs = CostModel(missed_share=0.8, review=4, blocked_customer=25, review_misses=misses)
    chosen = thresholds_by_cost(labels, scores, amounts, costs)
    cuts = np.unique(np.concatenate([scores, [0, 1]]))
    best = min(
        total_cost(labels, scores, amounts, Thresholds(review=low, block=high), costs)
        for low, high in itertools.combinations_with_replacement(cuts, 2)
    )
    assert 0 <= chosen.review <= chosen.block <= 1
    assert total_cost(labels, scores, amounts, chosen, costs) == pytest.approx(best)


def test_dear_reviews_leave_only_blocking_and_dear_blocking_only_reviews() -> None:
    labels, scores, amounts = _rows(1, 400)
    no_review = thresholds_by_cost(labels, scores, amounts, CostModel(review=1e6, blocked_customer=20))
    assert no_review.review == no_review.block < 1
    no_block = thresholds_by_cost(labels, scores, amounts, CostModel(review=3, blocked_customer=1e9))
    assert no_block.review < no_block.block
    assert not labels[scores >= no_block.block].size or labels[scores >= no_block.block].all()


def test_free_frauds_leave_customers_alone() -> None:
    labels, scores, amounts = _rows(2)
    assert thresholds_by_cost(labels, scores, np.zeros_like(amounts)) == Thresholds(review=1.0, block=1.0)


def test_cuts_lie_between_scores() -> None:
    labels = np.array([False, False, True, True])
    chosen = thresholds_by_cost(labels, np.array([0.1, 0.2, 0.6, 0.7]), np.full(4, 100.0), CostModel(review=5))
    assert chosen.block == pytest.approx(0.4)


def test_neighbouring_floats_are_cut_apart() -> None:
    low = 0.5
    high = np.nextafter(low, 1)
    labels, scores = np.array([False, True]), np.array([low, high])
    chosen = thresholds_by_cost(labels, scores, np.array([100.0, 100.0]))
    assert (scores >= chosen.review).tolist() == [False, True]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_review_by_f1_is_the_best_f1(seed: int) -> None:
    labels, scores, _ = _rows(seed)
    chosen = thresholds_by_f1(labels, scores)
    best = max(f1_score(labels, scores >= cut) for cut in np.unique(scores))
    assert f1_score(labels, scores >= chosen.review) == pytest.approx(best)
    blocked = scores >= chosen.block
    assert chosen.review <= chosen.block
    assert not blocked.any() or labels[blocked].mean() >= 0.9 or chosen.block == chosen.review


def test_unsure_scores_block_nothing_by_f1() -> None:
    labels = np.array([True, False, False, True, False, False])
    chosen = thresholds_by_f1(labels, np.array([0.5, 0.5, 0.5, 0.4, 0.4, 0.1]))
    assert chosen.block == 1.0


def test_cost_curve_is_the_cost_of_one_threshold() -> None:
    labels, scores, amounts = _rows(3)
    costs = CostModel()
    curve = cost_curve(labels, scores, amounts, costs)
    for place in range(len(curve.threshold)):
        cut = float(curve.threshold[place])
        per_thousand = 1000 / len(labels)
        blocked = total_cost(labels, scores, amounts, Thresholds(review=cut, block=cut), costs) * per_thousand
        reviewed = total_cost(labels, scores, amounts, Thresholds(review=cut, block=1.0), costs) * per_thousand
        assert curve.blocked[place] == pytest.approx(blocked)
        assert curve.reviewed[place] == pytest.approx(reviewed)


def test_impossible_costs_and_labels_are_refused() -> None:
    with pytest.raises(ConfigError, match="not be negative"):
        CostModel(review=-1)
    with pytest.raises(DataError, match="0 frauds"):
        thresholds_by_f1(np.zeros(3, dtype=bool), np.array([0.1, 0.2, 0.3]))
