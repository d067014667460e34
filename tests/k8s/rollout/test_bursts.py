"""Bursts: what one stall of a pod can have done decides nothing, what lasts is found, and an outage at once."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from scipy.stats import poisson

from k8s.rollout.evidence import BLOCK_SECONDS, Block, Evidence, Side
from k8s.rollout.gates import judge
from k8s.rollout.gates.betting import conditional_bets
from k8s.rollout.gates.bursts import DOWN, UP, cut, cut_alone
from k8s.rollout.margins import Margins
from k8s.rollout.spell import SPELL_SECONDS, Spell
from k8s.rollout.verdict import GateName
from tests.k8s.rollout.made import EMPTY, block, side, verdict

MULTIPLES = np.array([1.3, 2.5, 5.0])
ONE = np.array(1.0)
STEADY = reduce(Evidence.seen, (block(number, side(15_000), side(15_000), weight=50) for number in range(6)), EMPTY)
KINDS: tuple[GateName, ...] = ("errors", "degraded", "latency")


def _stalled(look: Side, count: float, gate: GateName) -> Side:
    """With so many requests failed, degraded, or slower than any bound."""
    if gate == "errors":
        return replace(look, errors=look.errors + count)
    if gate == "degraded":
        return replace(look, degraded=look.degraded + count)
    fast = np.maximum(np.array(look.latency[:-1]) - count, 0)
    return replace(look, latency=(*map(float, fast), look.latency[-1]))


def _looked(
    evidence: Evidence, looks: list[tuple[Side, Side]], seconds: float, weight: int = 50, step: int = 1
) -> Evidence:
    spell, begun = Spell(), (evidence.blocks[-1].number + 1 if evidence.blocks else 0)
    for number, (champion, challenger) in enumerate(looks):
        place = begun + int(number * seconds // BLOCK_SECONDS)
        look = block(place, champion, challenger, weight=weight, step=step)
        evidence = evidence.seen(spell.weighed(look, seconds, evidence, Margins()))
    return evidence


counts = some.floats(0, 500)


@given(counts, counts, some.floats(1, 10**5), some.floats(1, 10**5), some.floats(1, 30), some.sampled_from([1.0, 2.0]))
def test_no_spell_weighs_more_than_it_may(
    k0: float, k1: float, n0: float, n1: float, phi: float, seconds: float
) -> None:
    k0, k1 = min(k0, n0), min(k1, n1)
    left0, left1 = cut((k0, n0, k1, n1), MULTIPLES, np.array(phi), seconds)
    assert 0 <= left0 <= k0
    assert 0 <= left1 <= k1
    worse = conditional_bets(k0 - left0, n0, k1 - left1, n1, 1.0, MULTIPLES) / phi
    better = conditional_bets(k1 - left1, n1, k0 - left0, n0, 1.0, MULTIPLES) / phi
    assert worse.max() <= UP + 1e-9
    assert better.max() <= DOWN + 1e-9


@given(some.floats(0.05, 40), some.floats(0.02, 5), some.sampled_from([0.9, 1.1, 2.0]), some.booleans())
@settings(deadline=None, max_examples=40)
def test_independent_events_are_bet_on_no_better_than_fairly(
    events: float, ratio: float, null: float, fewer: bool
) -> None:
    """Means over all outcomes of a spell: a champion's count, and a challenger's of ``null`` times its rate."""
    multiples = 1 / MULTIPLES if fewer else MULTIPLES
    k0, k1 = (np.arange(int(item + 8 * np.sqrt(item)) + 25, dtype=float) for item in (events, events * ratio * null))
    chances = poisson.pmf(k0, events)[:, None] * poisson.pmf(k1, events * ratio * null)
    k0, k1 = np.meshgrid(k0, k1, indexing="ij")
    n0, n1 = np.full_like(k0, 10**6), np.full_like(k0, 10**6 * ratio)
    left0, left1 = cut((k0, n0, k1, n1), MULTIPLES, np.ones_like(k0), 10.0, null)
    bets = np.exp(conditional_bets(k0 - left0, n0, k1 - left1, n1, null, multiples))
    means = (chances[..., None] * bets).sum((0, 1))
    assert means.max() <= 1 + 1e-3
    # What is cut is little, where little happens.
    assert events * max(1, ratio) > 5 or means[0] == pytest.approx(1, abs=0.1)


def test_few_events_are_left_as_they_are() -> None:
    left = cut((1.0, 1_000.0, 3.0, 1_000.0), MULTIPLES, ONE, 10.0)
    assert (float(left[0]), float(left[1])) == (0, 0)
    for n0, n1 in ((0.0, 1_000.0), (1_000.0, 0.0)):
        assert not any(item.any() for item in cut((n0 / 10, n0, n1 / 10, n1), MULTIPLES, ONE, 10.0))


def test_alone_a_burst_weighs_no_more() -> None:
    left = float(cut_alone(7.0, 3_500.0, np.array(1e-6), MULTIPLES, ONE, 10.0))
    assert (7 - left) * np.log(5) - 3_500 * 1e-6 * 4 == pytest.approx(UP, abs=0.01)
    assert float(cut_alone(1.0, 3_500.0, np.array(1e-6), MULTIPLES, ONE, 10.0)) == 0
    # What the champion's rate explains is no burst, and what lasts for the whole spell neither.
    assert float(cut_alone(70.0, 3_500.0, np.array(0.02), MULTIPLES, ONE, 10.0)) == 0
    assert float(cut_alone(3_500.0, 3_500.0, np.array(1e-6), MULTIPLES, ONE, 10.0)) < 1_000


@pytest.mark.parametrize("gate", KINDS)
@pytest.mark.parametrize("seconds", [1.0, 10.0])
def test_a_stall_of_one_pod_fails_no_challenger(gate: GateName, seconds: float) -> None:
    """At little traffic and at even, with a champion, and alone: none of it happens to the champion."""
    per_second = 60
    for weight, champion, challenger in ((10, 540, 60), (50, per_second, per_second), (100, 0, per_second)):
        calm = tuple(side(seconds * item, errors=0, degraded=0) for item in (champion, challenger))
        looks = [calm] * int(60 / seconds)
        looks[int(20 / seconds)] = calm[0], _stalled(calm[1], min(challenger * 1.5, challenger * seconds), gate)
        without = _looked(STEADY, [calm] * len(looks), seconds, weight, 2)
        with_one = _looked(STEADY, looks, seconds, weight, 2)
        first, second = (verdict(evidence, gate) for evidence in (without, with_one))
        assert second.outcome != "fail"
        # What a burst can add, mixtures and φ aside; it does add something.
        assert first.fail_evidence < second.fail_evidence <= first.fail_evidence + UP + 1


@pytest.mark.parametrize(("gate", "every"), [("errors", 6), ("degraded", 6), ("latency", 2)])
def test_stalls_that_only_the_challenger_has_are_found(gate: GateName, every: int) -> None:
    """Slow answers have to come more often: a hundredth of all answers is slow anyway."""
    calm = side(600, errors=0, degraded=0), side(600, errors=0, degraded=0)
    looks = [calm if number % every else (calm[0], _stalled(calm[1], 100, gate)) for number in range(120)]
    assert verdict(_looked(STEADY, looks, 10.0, step=2), gate).outcome == "fail"


@pytest.mark.parametrize("gate", KINDS)
@pytest.mark.parametrize(("weight", "champion", "challenger"), [(10, 540, 60), (50, 60, 60), (100, 0, 60)])
@pytest.mark.parametrize("seconds", [1.0, 2.0, 10.0])
def test_an_outage_is_found_within_ten_seconds(
    gate: GateName, weight: int, champion: int, challenger: int, seconds: float
) -> None:
    calm = side(seconds * champion), side(seconds * challenger)
    outage = calm[0], _stalled(calm[1], challenger * seconds, gate)
    evidence = _looked(STEADY, [outage] * int(10 / seconds), seconds, weight, 2)
    assert verdict(evidence, gate).outcome == "fail"


def test_a_tenth_of_requests_that_fail_are_found_within_a_minute() -> None:
    evidence = _looked(STEADY, [(side(600), side(600, errors=0.1))] * 6, 10.0, step=2)
    assert verdict(evidence, "errors").outcome == "fail"


def test_looks_of_a_second_weigh_like_one_of_ten() -> None:
    burst = _stalled(side(60, errors=0), 60, "errors"), side(60, errors=0)
    looks = [(side(60, errors=0), item) for item in (*[burst[0]] * 2, *[burst[1]] * 8)]
    often = _looked(STEADY, looks, 1.0, step=2)
    whole = side(600, errors=0), replace(side(600, errors=0), errors=120.0)
    once = _looked(STEADY, [whole], SPELL_SECONDS, step=2)
    found = [verdict(evidence, "errors").fail_evidence for evidence in (often, once)]
    assert found[0] == pytest.approx(found[1], abs=1e-9)
    assert often.blocks[-1].challenger.burst_errors == pytest.approx(once.blocks[-1].challenger.burst_errors)


def test_what_is_left_out_is_kept_and_is_part_of_what_is_shown() -> None:
    looks = [(side(600, errors=0), replace(side(600, errors=0), errors=100.0))]
    evidence = _looked(STEADY, looks, 10.0, step=2)
    assert Evidence.from_json(evidence.to_json()) == evidence
    assert evidence.blocks[-1].challenger.errors == 100
    assert evidence.blocks[-1].challenger.burst_errors > 80
    shown = verdict(evidence, "errors")
    assert shown.estimate is not None
    assert shown.estimate > 2
    assert judge(Evidence.from_json(evidence.to_json())) == judge(evidence)


def test_evidence_from_before_counts_as_it_is() -> None:
    text = EMPTY.seen(Block(0, 1, 50, Side(requests=100.0, errors=1.0), Side(requests=100.0))).to_json()
    assert "burst" not in text
    assert Evidence.from_json(text).blocks[0].champion.burst_errors == 0
