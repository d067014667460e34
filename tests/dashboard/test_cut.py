"""What thresholds decide: the numbers are those that training chooses thresholds by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from bentos.core.artifact import Thresholds
from dashboard.cut import Costs, Cuts, calibration, precision_recall
from training.evaluate.thresholds import CostModel, total_cost

COSTS = {"missed_share": 0.9, "review": 4.0, "blocked_customer": 25.0, "review_misses": 0.2}


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frauds = rng.random(3000) < 0.05
    scores = np.round(np.clip(rng.beta(1, 8, 3000) + 0.4 * frauds * rng.random(3000), 0, 1), 2)
    return pd.DataFrame({"score": scores, "is_fraud": frauds, "paid": rng.gamma(1, 80, 3000)})


@pytest.mark.parametrize("review", [0.0, 0.1, 0.37, 1.0])
@pytest.mark.parametrize("block", [0.37, 0.8, 1.0])
def test_a_cut_costs_what_training_says(frame: pd.DataFrame, review: float, block: float) -> None:
    if review > block:
        return
    labels, scores, paid = (frame[name].to_numpy() for name in ("is_fraud", "score", "paid"))
    here = Cuts(frame).outcome(review, block, Costs(**COSTS))
    expected = total_cost(labels, scores, paid, Thresholds(review=review, block=block), CostModel(**COSTS))
    assert here.cost == pytest.approx(expected)
    flagged = scores >= review
    assert here.reviewed + here.blocked == flagged.sum()
    assert here.blocked == (scores >= block).sum()
    assert here.approved_frauds == (labels & ~flagged).sum()
    assert here.recall == pytest.approx((labels & flagged).sum() / labels.sum())


def test_reviews_that_begin_above_blocks_do_not_happen(frame: pd.DataFrame) -> None:
    here = Cuts(frame).outcome(0.9, 0.5, Costs())
    assert here.reviewed == 0
    assert here.blocked == (frame["score"] >= 0.5).sum()


def test_the_curve_is_the_cost_of_each_cut(frame: pd.DataFrame) -> None:
    cuts = Cuts(frame)
    curve = cuts.curve(0.8, Costs(), points=5)
    assert curve["review"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert curve["cost"].tolist() == pytest.approx(
        [cuts.outcome(at, 0.8, Costs()).cost / 3 for at in (0, 0.2, 0.4, 0.6, 0.8)]
    )


def test_the_precision_recall_curve_has_the_area_of_sklearns(frame: pd.DataFrame) -> None:
    curve = precision_recall(frame, points=100_000)
    area = float(np.sum(np.diff(curve["recall"], prepend=0) * curve["precision"]))
    expected = average_precision_score(frame["is_fraud"].to_numpy(), frame["score"].to_numpy())
    assert area == pytest.approx(expected)
    assert precision_recall(frame.assign(is_fraud=False)).empty


def test_calibration_keeps_all_rows(frame: pd.DataFrame) -> None:
    bins = calibration(frame)
    assert bins["rows"].sum() == len(frame)
    assert (bins["found"] * bins["rows"]).sum() == pytest.approx(frame["is_fraud"].sum())
    assert bins["promised"].is_monotonic_increasing
