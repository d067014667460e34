"""Verdicts: each harm is found by its gate, equal challengers pass, and nothing is said without data."""

from __future__ import annotations

from functools import reduce
from math import inf, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from prometheus_client import CollectorRegistry

from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import declare_metrics
from k8s.rollout.evidence import Block, Evidence, LabelBlock, Outcomes, Pairs, Side, plus
from k8s.rollout.gates import judge
from k8s.rollout.margins import Margin, Margins, Rates
from k8s.rollout.verdict import GATE_NAMES, SERVICE_GATES, GateName, Verdict
from tests.benchmarks.rollouts.scenarios import LATENCY_BOUNDS, SCORE_BOUNDS
from tests.k8s.rollout.made import EMPTY, block, label_block, pairs, side, verdict


def _canary(challenger: Side, blocks: int = 40) -> Evidence:
    seen = (block(number, side(90_000), challenger) for number in range(blocks))
    return reduce(Evidence.seen, seen, EMPTY)


def test_the_simulation_has_the_buckets_of_the_service() -> None:
    registry = CollectorRegistry()
    declare_metrics(registry, ModelVersion(name="fraud", version="1"), "champion")
    for name, bounds in (("fraud_prediction_latency_seconds", LATENCY_BOUNDS), ("fraud_score", SCORE_BOUNDS)):
        (family,) = (item for item in registry.collect() if item.name == name)
        found = [float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels]
        assert found == [*bounds, inf]


def test_without_data_every_gate_is_inconclusive() -> None:
    verdicts = judge(EMPTY)
    assert tuple(item.gate for item in verdicts) == GATE_NAMES
    assert {item.outcome for item in verdicts} == {"inconclusive"}
    for item in verdicts:
        assert (item.estimate, item.low, item.high, item.needed, item.samples) == (None, None, None, None, 0)
        assert item.text == f"nothing to compare yet (0 {item.counted} of the challenger)"


@pytest.mark.parametrize("which", ["champion", "challenger"])
def test_without_the_other_side_every_gate_is_inconclusive(which: str) -> None:
    evidence = EMPTY.seen(Block(0, 1, 25, **{which: side(1_000)}))
    failed = [item.gate for item in judge(evidence) if item.outcome == "fail"]
    assert not failed
    assert verdict(evidence, "alerts").outcome == "inconclusive"


def test_an_equal_challenger_passes_every_gate_without_labels() -> None:
    outcomes = {item.gate: item.outcome for item in judge(_canary(side(30_000))) if item.gate in SERVICE_GATES}
    assert outcomes == dict.fromkeys(SERVICE_GATES, "pass")


@pytest.mark.parametrize(
    ("gate", "challenger"),
    [
        ("errors", side(30_000, errors=0.002)),
        ("latency", side(30_000, latency=0.008)),
        ("alerts", side(30_000, flagged=0.03)),
        ("alerts", side(30_000, flagged=0.013)),
        ("degraded", side(30_000, degraded=0.005)),
        ("scores", side(30_000, shift=1.0)),
        ("scores", side(30_000, shift=-1.0)),
    ],
    ids=["errors", "latency", "more alerts", "fewer alerts", "degraded", "higher scores", "lower scores"],
)
def test_harm_is_found_by_its_gate_alone(gate: GateName, challenger: Side) -> None:
    verdicts = judge(_canary(challenger))
    assert [item.gate for item in verdicts if item.outcome == "fail"] == [gate]
    found = next(item for item in verdicts if item.gate == gate)
    assert found.fail_evidence >= found.fail_at == pytest.approx(-log(Rates().fail_share(gate)))
    assert "worse than the tolerated" in found.text
    assert found.needed is None


@pytest.mark.parametrize(
    ("gate", "challenger"),
    [
        ("errors", side(30_000, errors=0.0002)),
        ("latency", side(30_000, latency=0.002)),
        ("degraded", side(30_000, degraded=0.0)),
    ],
    ids=["errors", "latency", "degraded"],
)
def test_better_passes(gate: GateName, challenger: Side) -> None:
    assert verdict(_canary(challenger), gate).outcome == "pass"


def test_a_few_errors_against_none_do_not_fail_below_the_floor() -> None:
    seen = (block(n, side(1_000_000, errors=0.0), side(100_000, errors=0.00005)) for n in range(10))
    found = verdict(reduce(Evidence.seen, seen, EMPTY), "errors")
    assert found.outcome == "pass"
    assert found.estimate is None


def test_latency_below_the_floor_is_no_harm() -> None:
    seen = (block(n, side(90_000, latency=0.0003), side(30_000, latency=0.0009)) for n in range(10))
    assert verdict(reduce(Evidence.seen, seen, EMPTY), "latency").outcome != "fail"


def test_harm_after_a_good_day_is_found() -> None:
    evidence = _canary(side(30_000), 280)
    assert verdict(evidence, "errors").outcome == "pass"
    for number in range(280, 286):
        evidence = evidence.seen(block(number, side(90_000), side(30_000, errors=0.01)))
    found = verdict(evidence, "errors")
    assert found.outcome == "fail"
    assert found.estimate is not None
    assert found.estimate < 2


def test_harm_when_the_champion_has_no_traffic_any_more() -> None:
    evidence = _canary(side(30_000), 20)
    alone = [block(number, Side(), side(120_000), weight=100, step=2) for number in range(20, 26)]
    bad = [block(number, Side(), side(120_000, 0.01, latency=0.02), weight=100, step=2) for number in range(26, 30)]
    good = reduce(Evidence.seen, alone, evidence)
    assert [item.gate for item in judge(good) if item.outcome == "fail"] == []
    assert [item.gate for item in judge(reduce(Evidence.seen, bad, good)) if item.outcome == "fail"] == [
        "errors",
        "latency",
    ]


def test_a_growing_weight_by_night_is_no_shift() -> None:
    """Scores and alerts rise by night on both sides, and most of the challenger's traffic comes then."""
    day = [block(n, side(95_000), side(5_000), weight=5) for n in range(20)]
    night = [
        block(n, side(10_000, flagged=0.04, shift=1.0), side(10_000, flagged=0.04, shift=1.0), weight=50, step=2)
        for n in range(20, 40)
    ]
    verdicts = judge(reduce(Evidence.seen, day + night, EMPTY))
    assert {item.outcome for item in verdicts if item.gate in SERVICE_GATES} == {"pass"}


def _shadow(of_pairs: Pairs, blocks: int = 4) -> Evidence:
    both = side(of_pairs.pairs)
    return reduce(Evidence.seen, (Block(n, 0, 0, both, both, of_pairs) for n in range(blocks)), EMPTY)


def test_pairs_of_an_equal_challenger_pass() -> None:
    outcomes = {item.gate: item.outcome for item in judge(_shadow(pairs(50_000), 12))}
    assert {gate for gate, outcome in outcomes.items() if outcome == "pass"} == {*SERVICE_GATES, "score_difference"}


def test_pairs_find_more_alerts_with_less_data_than_two_samples() -> None:
    """The same shares: 2 % and 3 % of 3,000 transactions in all."""
    assert verdict(_shadow(pairs(750, 0.001, 0.011)), "alerts").outcome == "fail"
    split = (block(n, side(750), side(750, flagged=0.03), weight=50) for n in range(4))
    assert verdict(reduce(Evidence.seen, split, EMPTY), "alerts").outcome == "inconclusive"


@pytest.mark.parametrize("ratio", [0.5, 1.7])
def test_pairs_find_a_shift_of_the_mean(ratio: float) -> None:
    failed = [item.gate for item in judge(_shadow(pairs(20_000, ratio=ratio))) if item.outcome == "fail"]
    assert failed == ["score_difference"]


def test_what_copies_prove_is_proven_anew_by_customers() -> None:
    evidence = _shadow(pairs(50_000), 12)
    assert verdict(evidence, "errors").outcome == "pass"
    evidence = evidence.seen(block(12, side(990), side(10), weight=1))
    assert verdict(evidence, "errors").outcome == "inconclusive"
    assert verdict(evidence, "score_difference").outcome == "pass"


def _labelled(*blocks: LabelBlock) -> Evidence:
    return reduce(Evidence.labelled, blocks, EMPTY)


def test_recall_of_pairs() -> None:
    lost = [label_block(n, (50, 20, 4, 26)) for n in range(6)]
    equal = [label_block(n, (65, 5, 5, 25)) for n in range(12)]
    found = verdict(_labelled(*lost), "recall")
    assert (found.outcome, found.estimate) == ("fail", pytest.approx(1 - 54 / 70))
    assert verdict(_labelled(*equal), "recall").outcome == "pass"


def test_blocked_without_an_outcome_is_no_proof() -> None:
    """If the challenger would approve what the champion blocks, it may miss frauds that nobody ever sees."""
    seen = [label_block(n, (65, 5, 5, 25)) for n in range(12)]
    unseen = [label_block(n, (65, 5, 5, 25), unseen=10.0) for n in range(12)]
    assert verdict(_labelled(*seen), "recall").outcome == "pass"
    assert verdict(_labelled(*unseen), "recall").outcome == "inconclusive"


def test_randomised_reviews_show_what_blocks_hide() -> None:
    """Of the frauds that the champion would block and the challenger approve, one in ten was reviewed."""
    hidden = [label_block(n, (65, 5, 5, 25), sampled=(3, 3, 0, 0), sampling=0.1) for n in range(10)]
    assert verdict(_labelled(*hidden), "recall").outcome == "fail"
    fine = [label_block(n, (65, 5, 5, 25), sampled=(6, 0, 0, 0), sampling=0.1) for n in range(60)]
    assert verdict(_labelled(*fine), "recall").outcome == "pass"


def _outcomes(decided: float, caught: float, missed: float, false_alerts: float, cost: float = 0.0) -> Outcomes:
    # Costs as if each transaction that costs anything cost 30.
    return Outcomes(decided, caught, missed, false_alerts, caught, false_alerts, 0.0, cost, 30 * cost)


def test_recall_of_customers_on_either_side() -> None:
    champion = _outcomes(100_000, 140, 60, 400)
    worse, equal = _outcomes(50_000, 45, 55, 200), _outcomes(50_000, 70, 30, 200)
    assert verdict(_labelled(*(LabelBlock(n, 2, champion, worse) for n in range(10))), "recall").outcome == "fail"
    assert verdict(_labelled(*(LabelBlock(n, 2, champion, equal) for n in range(90))), "recall").outcome == "pass"


def test_precision() -> None:
    champion = _outcomes(100_000, 200, 60, 400)
    worse, equal = _outcomes(100_000, 200, 60, 700), _outcomes(100_000, 200, 60, 400)
    found = verdict(_labelled(*(LabelBlock(n, 2, champion, worse) for n in range(10))), "precision")
    assert (found.outcome, found.estimate) == ("fail", pytest.approx(1 - (2 / 9) / (1 / 3)))
    assert verdict(_labelled(*(LabelBlock(n, 2, champion, equal) for n in range(10))), "precision").outcome == "pass"


def test_cost() -> None:
    champion = _outcomes(100_000, 200, 60, 400, cost=9_000)
    worse, equal = _outcomes(100_000, 200, 60, 400, cost=12_000), _outcomes(100_000, 200, 60, 400, cost=9_000)
    found = verdict(_labelled(*(LabelBlock(n, 2, champion, worse) for n in range(10))), "cost")
    assert (found.outcome, found.estimate) == ("fail", pytest.approx(1 / 3))
    assert verdict(_labelled(*(LabelBlock(n, 2, champion, equal) for n in range(10))), "cost").outcome == "pass"


@settings(max_examples=8, deadline=None)
@given(some.sets(some.integers(0, 19), max_size=3))
def test_looking_often_changes_nothing(looks: set[int]) -> None:
    """A verdict is of what was seen, whoever looked at it in between, and however often its blocks were added to."""
    part = side(9_000, errors=0.01), side(3_000, errors=0.01)
    whole = often = EMPTY
    for number in range(20):
        half = block(number // 4, *part)
        whole = whole.seen(plus(half, half))
        often = often.seen(half).seen(half)
        if number in looks:
            judge(often)
            often = Evidence.from_json(often.to_json())
    assert judge(whole) == judge(often)


COUNT = some.integers(0, 10_000).map(float)


@settings(max_examples=60, deadline=None)
@given(some.lists(some.tuples(COUNT, COUNT, COUNT, COUNT), min_size=1, max_size=5), some.integers(0, 100))
def test_any_counts_give_verdicts_with_numbers(rows: list[tuple[float, ...]], weight: int) -> None:
    evidence = EMPTY
    for number, (n0, k0, n1, k1) in enumerate(rows):
        one, other = Side(n0, min(k0, n0), n0, 0, min(k1, n0)), Side(n1, min(k1, n1), n1, 0, min(k0, n1))
        evidence = evidence.seen(Block(number, 0, weight, one, other))
    for item in judge(evidence):
        assert item.fail_evidence == item.fail_evidence, "not a number"
        assert item.pass_evidence == item.pass_evidence, "not a number"
        assert Verdict.from_dict(item.to_dict()) == item
        assert item.text


def test_margins_and_rates_can_be_chosen() -> None:
    evidence = _canary(side(30_000, errors=0.002))
    margins = Margins(errors=Margin(tolerated=3, margin=4, harm=5))
    assert judge(evidence, margins)[0].outcome == "pass"
    strict = judge(evidence, None, Rates(false_alarm=1e-300))[0]
    assert (strict.outcome, strict.needed is not None) == ("inconclusive", True)
    assert "more requests at this pace" in strict.text


@pytest.mark.parametrize("values", [(2, 1.5, 3), (1.1, 3, 2), (0, 1, 2)])
def test_margins_are_ordered(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match=r"tolerated < margin <= harm is needed|greater than 0"):
        Margin(tolerated=values[0], margin=values[1], harm=values[2])
