"""A short form of tests/benchmarks/rollouts: the same gates, decisions and traffic, a few rollouts of each kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from k8s.rollout.plan import Plan, Step
from tests.benchmarks.rollouts.compare import thresholds, watched
from tests.benchmarks.rollouts.labels import planned_errors, planned_recall
from tests.benchmarks.rollouts.page import margins_table
from tests.benchmarks.rollouts.play import play
from tests.benchmarks.rollouts.scenarios import SCENARIOS, Harm, Scenario, World

PLAN = Plan(
    steps=(
        Step(weight=0, shortest_seconds=600),
        Step(weight=50, shortest_seconds=300),
        Step(weight=100, shortest_seconds=300),
    )
)
#: So many requests that minutes are enough.
WORLD = World(requests_per_second=1_000.0, customers=500_000)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def test_an_equal_challenger_is_promoted() -> None:
    played = play(BY_NAME["equal"], PLAN, WORLD, 12, 7, 10_800)
    assert played.promoted.all()
    assert (played.answered > 0).all()
    assert (played.harmed == 0).all()


def test_pods_that_stall_on_either_side_roll_hardly_anything_back() -> None:
    """Every pod stalls for a second or so, ten times an hour; as events of their own these would fail every third.

    Of 400 six were rolled back, with either way to share the rate of false alarms.
    """
    world = World(requests_per_second=300.0, customers=500_000, stalls_per_hour=10.0)
    played = play(BY_NAME["equal"], PLAN, world, 200, 7, 14_400)
    assert played.rolled_back.mean() <= 0.03
    assert played.promoted.mean() >= 0.95
    bad = play(BY_NAME["errors × 10"], PLAN, world, 20, 7, 3_600)
    assert bad.rolled_back.all()


@pytest.mark.parametrize("name", ["errors × 10", "p99 doubled", "alerts × 1.5", "scores shifted"])
def test_harm_that_copies_show_reaches_no_customer(name: str) -> None:
    played = play(BY_NAME[name], PLAN, WORLD, 12, 7, 3_600)
    assert played.rolled_back.all()
    assert (played.answered == 0).all()
    assert (played.seconds <= 1_800).all()


@pytest.mark.parametrize("name", ["errors × 10, live only", "alerts × 1.5, live only"])
def test_harm_that_only_customers_see_is_rolled_back(name: str) -> None:
    played = play(BY_NAME[name], PLAN, WORLD, 12, 7, 7_200)
    assert played.rolled_back.all()
    assert (played.harmed > 0).all()


def test_harm_that_comes_when_the_champion_has_gone() -> None:
    late = Scenario("late", Harm(errors=10.0), live_only=True)
    plan = Plan(steps=(Step(weight=50, shortest_seconds=300), Step(weight=100, shortest_seconds=1_800)))
    played = play(Scenario("good", Harm()), plan, WORLD, 4, 7, 7_200)
    assert played.promoted.all()
    alone = Plan(steps=(*plan.steps[:1], plan.steps[1].model_copy(update={"shortest_seconds": 7_200})))
    played = play(late, alone, WORLD, 4, 7, 7_200)
    assert played.rolled_back.all()


def test_the_same_seed_plays_the_same() -> None:
    first, second = (play(BY_NAME["errors × 10"], PLAN, WORLD, 5, 3, 1_200) for _ in range(2))
    assert np.array_equal(first.copied, second.copied)


def test_planned_harm_is_found_in_time() -> None:
    for planned in (planned_errors(2.0, 150, 1), planned_recall(0.2, 150, 1)):
        assert planned.found(1.5) >= 147
    for planned in (planned_errors(1.0, 150, 1), planned_recall(0.0, 150, 1)):
        assert np.isinf(planned.failed).all()
    assert np.isinf(planned_recall(0.0, 50, 1, unseen=0.1).passed).all()


def test_gates_need_fewer_requests_than_tuned_thresholds() -> None:
    equal = watched(Harm(), 25, WORLD, 40, 1, 1_800)
    limits = thresholds(equal, 0.05)
    assert equal.by_thresholds(limits).size == 40
    assert np.isfinite(equal.by_thresholds(limits)).mean() <= 0.05
    bad = watched(Harm(errors=10.0), 25, WORLD, 20, 2, 900)
    assert np.median(bad.failed) < np.median(bad.by_thresholds(limits))


def test_the_page_tells_the_defaults() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rollout_verdicts.md").read_text()
    assert margins_table() in page
