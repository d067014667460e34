"""Bets are fair, or worse, under their hypotheses: means are computed exactly, over all outcomes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from scipy.stats import binom, hypergeom, poisson

from k8s.rollout.gates.alerts import paired_bets
from k8s.rollout.gates.betting import begin_proof, conditional_bets, grown, proven, rate_bets, stake, worth
from k8s.rollout.gates.dispersion import begin_dispersion, inflation, observed
from k8s.rollout.gates.gaussian import interval, normal_worth

ALTERNATIVES = np.array([0.2, 1.3, 2.0, 9.0])


@given(some.integers(1, 60), some.integers(1, 10**6), some.integers(1, 10**6), some.floats(0.2, 5))
def test_bets_on_sides_are_fair_at_the_edge_of_the_hypothesis(
    events: int, champions: int, challengers: int, null: float
) -> None:
    k1 = np.arange(events + 1)
    bets = conditional_bets(events - k1, champions, k1, challengers, null, ALTERNATIVES)
    share = null * challengers / (champions + null * challengers)
    mean = (binom.pmf(k1, events, share)[:, None] * np.exp(bets)).sum(0)
    assert mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("better", [0.3, 0.9])
def test_bets_lose_within_the_hypothesis(better: float) -> None:
    k1, worse = np.arange(41), np.array([1.2, 3.0])
    bets = conditional_bets(40 - k1, 1_000, k1, 500, 1.1, worse)
    share = 1.1 * better * 500 / (1_000 + 1.1 * better * 500)
    assert ((binom.pmf(k1, 40, share)[:, None] * np.exp(bets)).sum(0) < 1).all()


def test_shares_are_on_the_safe_side() -> None:
    """Given the sum, the count of one side of two equal shares is hypergeometric."""
    champions, challengers, events = 60, 40, 30
    k1 = np.arange(events + 1)
    bets = conditional_bets(events - k1, champions, k1, challengers, 1.0, ALTERNATIVES)
    chances = hypergeom(champions + challengers, challengers, events).pmf(k1)
    assert ((chances[:, None] * np.exp(bets)).sum(0) < 1).all()


def test_bets_on_a_rate_are_fair() -> None:
    k = np.arange(200)
    mean = (poisson.pmf(k, 20)[:, None] * np.exp(rate_bets(k, 1_000.0, 0.02, np.array([0.5, 2.0])))).sum(0)
    assert mean == pytest.approx(1, abs=1e-9)


@given(some.floats(0.1, 3), some.floats(0.0, 0.2), some.floats(0.001, 0.2))
def test_bets_on_pairs_are_fair_whatever_the_correlation(ratio: float, both: float, first: float) -> None:
    second = ratio * (both + first) - both
    if not 0 <= second <= 1 - both - first:
        return
    chances = np.array([both, first, second, 1 - both - first - second])
    flags = np.eye(4)[:, :3].T
    mean = (chances[:, None] * np.exp(paired_bets(*flags, ratio, np.array([0.1, 0.5, 0.9])))).sum(0)
    assert mean == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("champions", "challengers"), [(0, 0), (0, 50), (50, 0)])
def test_one_side_alone_is_no_comparison(champions: float, challengers: float) -> None:
    bets = conditional_bets(champions / 10, champions, challengers / 10, challengers, 1.1, ALTERNATIVES)
    assert bets == pytest.approx(0, abs=1e-12)


@given(some.lists(some.floats(-50, 50), max_size=30))
def test_capital_is_never_negative_and_never_more_than_its_bets(increments: list[float]) -> None:
    capital, weights, best = stake(1), np.array([1.0]), 0.0
    for number, increment in enumerate(increments):
        capital = grown(capital, number, np.array([increment]))
        best = max(best, best + increment, 0.0)
    value = float(worth(capital, weights))
    assert np.isfinite(value)
    assert value <= sum(max(item, 0) for item in increments) + 1e-9
    # What has not started yet cannot be lost.
    assert value >= np.log(0.1 / (len(increments) + 1)) - 1e-9


def test_nothing_is_bet_before_the_start() -> None:
    assert float(worth(grown(stake(2), -3, np.array([5.0, 5.0])), np.array([0.5, 0.5]))) == 0


def test_harm_that_comes_late_is_found() -> None:
    capital, weights = stake(1), np.array([1.0])
    for number in range(300):
        capital = grown(capital, number, np.array([-2.0]))
    for number in range(300, 310):
        capital = grown(capital, number, np.array([3.0]))
    assert float(worth(capital, weights)) > 30 - np.log(10 * 300**2)


def test_a_proof_begins_anew_with_the_first_customer() -> None:
    proof = proven(begin_proof(1), np.array(False), np.array([9.0]))
    assert float(worth(proof, np.array([1.0]))) == 9
    proof = proven(proof, np.array(True), np.array([2.0]))
    assert float(worth(proven(proof, np.array(True), np.array([1.0])), np.array([1.0]))) == 3


@pytest.mark.parametrize(("cluster", "least", "most"), [(1, 1.0, 1.2), (8, 6.0, 9.0)])
def test_inflation_of_clusters(cluster: int, least: float, most: float) -> None:
    rng = np.random.default_rng(1)
    state = begin_dispersion()
    for number in range(400):
        # A season of twice the traffic, which is no cluster.
        total = 10_000 * (1.5 + 0.5 * np.sin(number / 40))
        state = observed(state, np.array([cluster * rng.poisson(total * 0.01)], dtype=float), total)
    assert least <= float(inflation(state)) <= most


def test_inflation_of_nothing_is_one() -> None:
    assert float(inflation(begin_dispersion())) == 1


def test_intervals_hold_at_all_times() -> None:
    rng = np.random.default_rng(2)
    sums = rng.normal(0.3, 1, (500, 3_000)).cumsum(1)
    size = np.arange(1, 3_001)
    low, high = interval(sums / size, 1 / size, 0.2)
    assert ((low > 0.3) | (high < 0.3)).any(1).mean() < 0.05
    assert (high - low)[0, -1] < 0.2


def test_worth_of_an_estimate_of_which_nothing_is_known() -> None:
    value = normal_worth(np.array([0.5, np.nan]), np.array([np.inf, 1.0]), 0.0, [0.5], np.array([1.0]))
    assert value.tolist() == [0, 0]
