"""Calibration: finds what was put in, keeps the order, stays finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.errors import DataError
from training.models.calibration import Calibration, fit_calibration, identity_calibration


def test_recovers_slope_and_intercept() -> None:
    random = np.random.default_rng(0)
    raw = random.normal(-1, 2, 100_000)
    labels = random.random(100_000) < 1 / (1 + np.exp(-(0.6 * raw - 1.5)))
    found = fit_calibration("logit", raw, labels)
    assert found.slope == pytest.approx(0.6, abs=0.02)
    assert found.intercept == pytest.approx(-1.5, abs=0.03)
    assert found(raw).mean() == pytest.approx(labels.mean(), abs=1e-4)


def test_is_the_greatest_likelihood() -> None:
    random = np.random.default_rng(1)
    raw = random.beta(1, 8, 3000)
    labels = random.random(3000) < raw / 2
    best = fit_calibration("probability", raw, labels)

    def loss(slope: float, intercept: float) -> float:
        scores = Calibration("probability", slope, intercept)(raw)
        frauds = labels.sum()
        target = np.where(labels, (frauds + 1) / (frauds + 2), 1 / (3000 - frauds + 2))
        return float(-(target * np.log(scores) + (1 - target) * np.log(1 - scores)).sum())

    least = loss(best.slope, best.intercept)
    for step in (-1e-3, 1e-3):
        assert least < loss(best.slope + step, best.intercept)
        assert least < loss(best.slope, best.intercept + step)


def test_formula() -> None:
    calibration = Calibration("probability", 2.0, -1.0, shrink=0.01)
    inner = 0.01 + 0.98 * 0.3
    expected = 1 / (1 + np.exp(-(2 * np.log(inner / (1 - inner)) - 1)))
    assert calibration(np.array([0.3]))[0] == pytest.approx(expected, rel=1e-14)
    assert calibration(np.array([0.3], dtype=np.float32)).dtype == np.float64


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.floats(0.01, 10), st.floats(-10, 10))
def test_order_is_kept_and_0_and_1_stay_finite(raw: list[float], slope: float, intercept: float) -> None:
    scores = Calibration("probability", slope, intercept)(np.sort(raw))
    assert (np.diff(scores) >= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_scores_that_separate_the_classes_give_a_finite_slope() -> None:
    raw = np.concatenate([np.full(500, -3.0), np.full(20, 3.0)])
    found = fit_calibration("logit", raw, np.repeat([0, 1], [500, 20]))
    assert 0 < found.slope < 10
    assert found(np.array([-3.0, 3.0])) == pytest.approx([1 / 502, 21 / 22], rel=1e-3)


def test_a_model_that_ranks_backwards_is_refused() -> None:
    raw = np.linspace(-1, 1, 400)
    with pytest.raises(DataError, match="no better than chance"):
        fit_calibration("logit", raw, raw < -0.5)


@pytest.mark.parametrize("constant", [0.0, 0.5, 1.0])
def test_constant_scores_are_refused(constant: float) -> None:
    with pytest.raises(DataError, match="no better than chance"):
        fit_calibration("probability", np.full(100, constant), np.repeat([0, 1], [90, 10]))


@pytest.mark.parametrize("slope", [0.0, -1.0, np.nan, np.inf])
def test_slopes_that_are_none(slope: float) -> None:
    with pytest.raises(DataError, match="above 0"):
        Calibration("logit", slope, 0.0)


def test_identity() -> None:
    assert identity_calibration("logit")(np.array([0.0]))[0] == 0.5
    assert identity_calibration("probability")(np.array([0.3]))[0] == pytest.approx(0.3, abs=1e-4)
