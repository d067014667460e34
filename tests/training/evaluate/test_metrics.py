from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from bentos.core.errors import DataError
from training.evaluate.metrics import (
    calibration_bins,
    card_precision_at_k,
    confusion,
    day_of,
    expected_calibration_error,
    quantile_edges,
    score_metrics,
)
from training.evaluate.weighted import WeightedMetrics


def _scores(rows: int = 400, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random(rows) < 0.2
    # Few digits, so that there are many ties.
    return labels, np.round(np.clip(random.normal(0.3, 0.2, rows) + 0.2 * labels, 0.01, 0.99), digits)


def _handbook_card_precision(frame: pd.DataFrame, k: int) -> list[float]:
    """The handbook's definition, step by step and slowly: per day, per card, over a table."""
    detected: list[object] = []
    daily = []
    for _, day in frame.groupby("day", sort=True):
        open_cards = day[~day.customer.isin(detected)]
        cards = (
            open_cards.groupby("customer")[["score", "label"]]
            .max()
            .sort_values("score", ascending=False, kind="stable")
        )
        hits = list(cards.head(k).index[cards.head(k).label])
        daily.append(len(hits) / k)
        detected += hits
    return daily


@pytest.mark.parametrize("k", [1, 3, 10, 200])
def test_card_precision_is_the_handbooks(k: int) -> None:
    random = np.random.default_rng(k)
    frame = pd.DataFrame(
        {
            "day": random.integers(0, 6, 900),
            "customer": random.integers(0, 60, 900),
            "score": random.random(900).round(2),
            "label": random.random(900) < 0.1,
        }
    )
    found = card_precision_at_k(
        frame.label.to_numpy(), frame.score.to_numpy(), frame.customer.to_numpy(), frame.day.to_numpy(), k
    )
    expected = _handbook_card_precision(frame, k)
    assert found.per_day == pytest.approx(expected)
    assert found.mean == pytest.approx(np.mean(expected))
    assert max(expected) > 0


def test_card_precision_forgets_cards_that_were_found() -> None:
    labels = np.array([True, True, False, True])
    scores = np.array([0.9, 0.9, 0.5, 0.4])
    cards, days = np.array(["a", "a", "b", "c"]), np.array([0, 1, 1, 1])
    found = card_precision_at_k(labels, scores, cards, days, 1)
    # On the second day card a is known, b leads and is honest, c comes second.
    assert found.per_day == (1.0, 0.0)
    assert found.compromised_per_day == (1, 1)
    kept = card_precision_at_k(labels, scores, cards, days, 1, remove_detected=False)
    assert kept.per_day == (1.0, 1.0)


def test_card_precision_divides_by_k_even_with_fewer_cards() -> None:
    found = card_precision_at_k(np.array([True]), np.array([0.2]), np.array([7]), np.array([0]), 4)
    assert found.mean == 0.25
    with pytest.raises(DataError, match="at least 1"):
        card_precision_at_k(np.array([True]), np.array([0.2]), np.array([7]), np.array([0]), 0)


def test_days_are_utc_days() -> None:
    times = pd.Series(pd.to_datetime(["2026-01-01T23:30:00+00:00", "2026-01-02T00:30:00+00:00"]))
    assert np.diff(day_of(times.dt.tz_convert("Asia/Tokyo"))).tolist() == [1]


def test_score_metrics_are_scikit_learns() -> None:
    labels, scores = _scores()
    found = score_metrics(labels, scores)
    assert found["roc_auc"] == roc_auc_score(labels, scores)
    assert found["average_precision"] == average_precision_score(labels, scores)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, scores))
    assert found["log_loss"] == pytest.approx(log_loss(labels, scores))


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([True, True], [0.1, 0.2], "2 rows hold 2 frauds"),
        ([False, False], [0.1, 0.2], "0 frauds"),
        ([True, False], [0.1, np.nan], "1 scores are not probabilities"),
        ([True, False], [0.1, 1.5], "the first is 1.5 at row 1"),
        ([True, False], [0.1], "one score per label"),
    ],
)
def test_what_cannot_be_measured_is_refused(labels: list[bool], scores: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_metrics(np.array(labels), np.array(scores))


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_weighted_metrics_are_scikit_learns_with_sample_weight(seed: int) -> None:
    labels, scores = _scores(120, seed, digits=1)
    weights = np.random.default_rng(seed).integers(0, 4, 120).astype(float)
    if not (weights[labels].any() and weights[~labels].any()):
        return
    found = WeightedMetrics(labels, scores)
    assert found.roc_auc(weights) == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    expected = average_precision_score(labels, scores, sample_weight=weights)
    assert found.average_precision(weights) == pytest.approx(expected)
    assert found.brier(weights) == pytest.approx(brier_score_loss(labels, scores, sample_weight=weights))
    assert found.log_loss(weights) == pytest.approx(log_loss(labels, scores, sample_weight=weights))
    ones = np.ones(120)
    assert found.calibration_error(ones) == pytest.approx(expected_calibration_error(labels, scores))


def test_calibration_bins_count_every_row_once() -> None:
    labels, scores = _scores()
    found = calibration_bins(labels, scores, quantile_edges(scores, 8))
    assert found.rows.sum() == len(labels)
    assert found.frauds.sum() == labels.sum()
    assert (np.diff(found.predicted) > 0).all()
    constant = calibration_bins(labels, np.full(400, 0.2), quantile_edges(np.full(400, 0.2)))
    assert constant.rows.tolist() == [400]


def test_calibration_error_tells_honest_from_boastful() -> None:
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    labels = random.random(20_000) < scores
    assert expected_calibration_error(labels, scores) < 0.02
    assert expected_calibration_error(labels, np.sqrt(scores)) > 0.1


def test_confusion_decides_with_at_least() -> None:
    labels = np.array([False, True, False, True, True])
    found = confusion(labels, np.array([0.1, 0.2, 0.5, 0.5, 0.8]), review=0.2, block=0.5)
    assert (found.approved_legitimate, found.approved_fraud) == (1, 0)
    assert (found.reviewed_legitimate, found.reviewed_fraud) == (0, 1)
    assert (found.blocked_legitimate, found.blocked_fraud) == (1, 2)
    assert (found.precision, found.recall, found.alert_rate) == (0.75, 1.0, 0.8)
