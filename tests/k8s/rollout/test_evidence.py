"""Evidence: kept as JSON, joined block by block, bounded, and refused when it does not fit."""

from __future__ import annotations

import json
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bentos.core.errors import DataError
from k8s.rollout.evidence import Block, Evidence, LabelBlock, Outcomes, Pairs, Side, plus
from tests.k8s.rollout.made import EMPTY, block, label_block, pairs, side

COUNT = some.integers(0, 10**9).map(float)
BOUNDS = (0.01, 0.1)
HISTOGRAM = some.one_of(some.just(()), some.tuples(COUNT, COUNT, COUNT))
SIDES = some.builds(Side, COUNT, COUNT, COUNT, COUNT, COUNT, HISTOGRAM, HISTOGRAM)
PAIRS = some.builds(Pairs, *[COUNT] * 9, champion_scores=HISTOGRAM, challenger_scores=HISTOGRAM)
OUTCOMES = some.builds(Outcomes, *[COUNT] * 9)
FOUR = some.tuples(COUNT, COUNT, COUNT, COUNT)
STEPS = some.integers(0, 5)
BLOCKS = some.builds(Block, some.integers(-9, 9), STEPS, some.integers(0, 100), SIDES, SIDES, PAIRS)
LABELS = some.builds(
    LabelBlock, some.integers(0, 9), STEPS, OUTCOMES, OUTCOMES, COUNT, FOUR, FOUR, some.just(0.25), COUNT, COUNT
)


def _in_order(blocks: list[Block]) -> list[Block]:
    return sorted(blocks, key=lambda item: (item.step, item.number))


@given(some.lists(BLOCKS, max_size=4), some.lists(LABELS, max_size=4))
def test_json_round_trip(blocks: list[Block], labels: list[LabelBlock]) -> None:
    evidence = Evidence(BOUNDS, BOUNDS, tuple(blocks), tuple(labels))
    assert Evidence.from_json(evidence.to_json()) == evidence


@given(some.lists(BLOCKS, max_size=8))
def test_nothing_is_lost_or_counted_twice(blocks: list[Block]) -> None:
    evidence = reduce(Evidence.seen, _in_order(blocks), Evidence(BOUNDS, BOUNDS))
    assert sum(item.champion.requests for item in evidence.blocks) == sum(item.champion.requests for item in blocks)
    keys = [(item.step, item.number) for item in evidence.blocks]
    assert keys == sorted(set(keys))


def test_looks_within_a_block_are_one_block() -> None:
    one = EMPTY.seen(block(3, side(1_000), side(100))).seen(block(3, side(500), side(50)))
    assert one.blocks == (plus(block(3, side(1_000), side(100)), block(3, side(500), side(50))),)
    assert one.blocks[0].champion.requests == 1_500
    assert len(one.seen(block(3, side(1), side(1), step=2)).blocks) == 2


def test_a_long_rollout_stays_small_enough_for_a_config_map() -> None:
    evidence = EMPTY
    both = side(123_456), side(12_345)
    for number in range(3_000):
        evidence = evidence.seen(block(number, *both, step=number // 1_000))
    assert len(evidence.blocks) <= 256
    assert sum(item.champion.requests for item in evidence.blocks) == 3_000 * 123_456
    assert {item.step for item in evidence.blocks} == {0, 1, 2}
    assert len(evidence.to_json()) < 300_000


def test_what_does_not_fit_is_refused() -> None:
    evidence = EMPTY.seen(block(3, side(10), side(10)))
    with pytest.raises(DataError, match="block 2 of step 1 came after block 3 of step 1: the clock went back"):
        evidence.seen(block(2, side(10), side(10)))
    with pytest.raises(DataError, match="latency came with 2 buckets, and this rollout began with 21"):
        evidence.seen(block(4, Side(latency=(1.0, 2.0)), side(10)))
    with pytest.raises(DataError, match="scores came with 3 buckets"):
        evidence.seen(Block(4, 1, 0, pairs=Pairs(champion_scores=(1.0, 1.0, 1.0))))


def test_labels_of_another_sampling_are_a_block_of_their_own() -> None:
    evidence = EMPTY.labelled(label_block(1, (1, 0, 0, 0))).labelled(label_block(1, (1, 0, 0, 0), sampling=0.5))
    assert [item.sampling for item in evidence.labels] == [1.0, 0.5]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"latency_bounds":1}', '{"latency_bounds":[],"score_bounds":[],"blocks":[{"champion":{"x":1}}]}'],
    ids=["nothing", "a list", "no bounds", "a number", "an unknown field"],
)
def test_other_text_is_no_evidence(text: str) -> None:
    with pytest.raises(DataError, match="the evidence of a rollout cannot be read"):
        Evidence.from_json(text)


def test_json_has_no_blanks_and_no_zeros() -> None:
    text = EMPTY.seen(Block(0, 0, 0, Side(requests=5.0), pairs=pairs(0))).to_json()
    assert " " not in text
    assert json.loads(text)["blocks"][0]["champion"] == {"requests": 5.0}
