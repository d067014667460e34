"""How much data verdicts need."""

from __future__ import annotations

import numpy as np
import pytest

from k8s.rollout.needed import Usual, fixed_sample, needed, sequential_ratio
from k8s.rollout.plan import Plan


def test_a_test_with_one_look() -> None:
    """A mean of half a standard deviation, 5 % and 90 %: 34.3 by every textbook's table."""
    assert fixed_sample(0.05, 0.5, 1.0, 1.0, power=0.9) == pytest.approx(34.26, abs=0.01)


def test_looking_always_takes_less_than_one_and_a_half_times_as_much() -> None:
    assert 1.0 < sequential_ratio(0.0075 / 9) < 1.5
    assert sequential_ratio(1e-6) < sequential_ratio(1e-3)


def test_the_time_until_a_line_is_crossed() -> None:
    """Against walks: within the data that is named, harm is found with the power that is named."""
    rng, alpha = np.random.default_rng(1), 0.01
    size = sequential_ratio(alpha, lost=0.0, power=0.95) * (2.3263 + 1.6449) ** 2
    steps = 2_000
    walks = rng.normal(0.48 * size / steps, 0.8 * np.sqrt(size / steps), (2_000, steps)).cumsum(1)
    assert (walks.max(1) >= -np.log(alpha)).mean() == pytest.approx(0.95, abs=0.02)


def test_of_the_default_plan() -> None:
    found = {(item.gate, item.weight): item for item in needed(Plan())}
    assert {weight for _, weight in found} == {0, 1, 5, 25, 50}
    assert found["errors", 1].fixed < found["errors", 50].fixed, "a larger champion is better known"
    assert found["errors", 1].seconds > found["errors", 50].seconds
    assert found["alerts", 0].fixed < found["alerts", 50].fixed, "pairs need less"
    assert found["recall", 0].seconds > 7 * 86_400
    for item in found.values():
        assert item.fixed < item.sequential < 1.5 * item.fixed


def test_rarer_errors_need_more() -> None:
    counts = [needed(Plan(), Usual(errors=errors))[0].fixed for errors in (0.01, 0.001)]
    assert counts[1] == pytest.approx(10 * counts[0], rel=0.001)
