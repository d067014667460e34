"""From labelled predictions to evidence."""

from __future__ import annotations

import pytest

from bentos.core.errors import DataError
from k8s.rollout.outcomes import Costs, LabelledPair, LabelledPrediction, pair_block, side_outcomes

COSTS = Costs(review=3, blocked_customer=30, largest=1_000)
ROWS = [
    LabelledPrediction("approve", "fraud", 200.0),
    LabelledPrediction("approve", "fraud", 9_000.0),
    LabelledPrediction("approve", "legitimate", 50.0),
    LabelledPrediction("review", "fraud", 80.0),
    LabelledPrediction("review", "legitimate", 80.0),
]
SAMPLED = [
    LabelledPrediction("block", "fraud", 500.0, sampled=True),
    LabelledPrediction("block", "legitimate", 500.0, sampled=True),
]


def test_of_one_side() -> None:
    found = side_outcomes(ROWS, 1_000, 7, COSTS)
    assert (found.decided, found.unseen) == (1_000, 7)
    assert (found.caught, found.missed, found.false_alerts) == (1, 2, 1)
    assert found.cost == 200 + 1_000 + 3 + 3
    assert found.cost_squared == 200**2 + 1_000**2 + 9 + 9


def test_randomised_reviews_stand_for_what_was_blocked() -> None:
    found = side_outcomes([*ROWS, *SAMPLED], 1_000, 7, COSTS, sampling=0.1)
    assert (found.caught, found.caught_squared, found.false_alerts) == (11, 101, 11)
    assert (found.unseen, found.cost) == (0, 1_206 + 10 * 30)


def test_a_randomised_review_without_its_probability() -> None:
    with pytest.raises(DataError, match="the probability of these reviews is not given"):
        side_outcomes(SAMPLED, 10, 0, COSTS)


def test_of_pairs() -> None:
    rows = [
        LabelledPair(ROWS[0], "review"),
        LabelledPair(ROWS[1], "approve"),
        LabelledPair(ROWS[3], "block"),
        LabelledPair(ROWS[3], "approve"),
        LabelledPair(ROWS[4], "approve"),
        LabelledPair(SAMPLED[0], "approve"),
    ]
    found = pair_block(4, 0, rows, 1_000, (5, 2), COSTS, sampling=0.5)
    assert (found.frauds, found.sampled) == ((1, 1, 1, 1), (0, 1, 0, 0))
    assert (found.pairs, found.unseen) == (7, 0)
    assert (found.champion.caught, found.challenger.caught, found.challenger.missed) == (4, 2, 1 + 1 + 2)
    assert found.cost_product == 200 * 3 + 1_000 * 1_000 + 3 * 80
    assert pair_block(4, 0, rows[:5], 1_000, (5, 2), COSTS).unseen == 2
    assert pair_block(4, 0, rows[:5], 1_000, (5, 2), COSTS).champion.unseen == 7
