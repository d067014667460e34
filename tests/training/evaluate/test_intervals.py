from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bentos.core.errors import DataError
from training.evaluate.intervals import bootstrap_interval, interval_over_folds, paired_difference
from training.evaluate.overfitting import check_overfitting
from training.evaluate.weighted import WeightedMetrics


def test_interval_over_folds_is_students() -> None:
    values = [0.61, 0.67, 0.70, 0.72]
    found = interval_over_folds(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert found.units == 4


def test_one_fold_has_no_interval_and_none_is_an_error() -> None:
    found = interval_over_folds([0.7])
    assert found.mean == 0.7
    assert np.isnan(found.low)
    with pytest.raises(DataError, match="at least one fold"):
        interval_over_folds([])


def test_seeds_do_not_make_a_difference_surer() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(0.7, 0.02, (4, 1)), random.normal(0.69, 0.02, (4, 1))
    once = paired_difference(first, second)
    many = paired_difference(np.repeat(first, 25, axis=1), np.repeat(second, 25, axis=1))
    assert (many.low, many.high) == pytest.approx((once.low, once.high))
    low, high = stats.ttest_rel(first[:, 0], second[:, 0]).confidence_interval(0.95)
    assert (once.low, once.high) == pytest.approx((low, high))


def test_overlapping_training_sets_widen_the_interval() -> None:
    first, second = np.array([0.70, 0.72, 0.69, 0.71]), np.array([0.68, 0.69, 0.69, 0.70])
    plain, corrected = paired_difference(first, second), paired_difference(first, second, test_train_ratio=0.25)
    # 1/n becomes 1/n + n_test/n_train: √(1/4 + 1/4) / √(1/4).
    assert (corrected.high - corrected.mean) / (plain.high - plain.mean) == pytest.approx(np.sqrt(2))
    assert "Nadeau" in corrected.method


def test_different_folds_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="got 3 and 2"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(DataError, match="finite"):
        paired_difference([1, np.nan], [1, 2])


def _spree(seed: int, customers: int = 150, spree: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each customer's rows share a score and a label, so that only customers are independent."""
    random = np.random.default_rng(seed)
    label = random.random(customers) < 0.3
    score = 1 / (1 + np.exp(-random.normal(0, 1, customers) - label))
    return np.repeat(label, spree), np.repeat(score, spree), np.repeat(np.arange(customers), spree)


def test_customers_are_redrawn_not_rows() -> None:
    labels, scores, customers = _spree(0)
    metric = WeightedMetrics(labels, scores).roc_auc
    by_customer = bootstrap_interval(metric, labels, customers)
    by_row = bootstrap_interval(metric, labels, np.arange(len(labels)))
    assert by_customer.mean == by_row.mean
    # Eight equal rows a customer: rows pretend eight times the data, an interval √8 too narrow.
    assert by_customer.std / by_row.std == pytest.approx(np.sqrt(8), rel=0.25)


@pytest.mark.slow
def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    truth = WeightedMetrics(*_spree(999, customers=40_000, spree=1)[:2]).roc_auc(np.ones(40_000))
    inside = 0
    for seed in range(60):
        labels, scores, customers = _spree(seed)
        found = bootstrap_interval(WeightedMetrics(labels, scores).roc_auc, labels, customers)
        inside += found.low <= truth <= found.high
    assert 51 <= inside <= 60  # 57 expected; the percentile method is a little short


def test_no_difference_has_no_width_and_few_frauds_are_refused() -> None:
    labels, scores, customers = _spree(1)
    one = WeightedMetrics(labels, scores)
    found = bootstrap_interval(lambda w: one.brier(w) - one.brier(w), labels, customers)
    assert (found.low, found.mean, found.high) == (0, 0, 0)
    nothing = np.zeros(len(labels), dtype=bool)
    with pytest.raises(DataError, match="too few frauds"):
        bootstrap_interval(one.brier, nothing, customers)


def test_overfitting_tells_a_gap_from_a_collapse() -> None:
    assert check_overfitting({"roc_auc": 0.95}, {"roc_auc": 0.90}).status == "ok"
    warned = check_overfitting({"roc_auc": 1.0}, {"roc_auc": 0.80})
    assert warned.status == "warn"
    assert "1.000 on training rows and 0.800 on unseen rows, a gap of +0.200" in warned.message
    assert check_overfitting({"roc_auc": 1.0}, {"roc_auc": 0.55}).status == "fail"
    # The same gap inside the noise of few frauds is no news.
    assert check_overfitting({"roc_auc": 1.0}, {"roc_auc": 0.80}, noise=0.15).status == "ok"
