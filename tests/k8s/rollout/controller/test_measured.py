"""Labels of pairs: counted once, blocks accounted for, never negative."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as some

from k8s.rollout.measured import Place, label_block
from k8s.rollout.outcomes import Costs, Label, LabelledPair, LabelledPrediction, pair_block
from k8s.rollout.reading import Labels
from tests.k8s.rollout.made import EMPTY, verdict

PLACE = Place(0, 0, 0)


def _cells(
    *cells: tuple[str, str, str, str, float, float], budget: str = "own", amount: float = 100.0
) -> dict[Labels, float]:
    """Of pairs that are all of one amount."""
    found = {}
    for label, champion, challenger, blocked, pairs, weight in cells:
        labels = {"label": label, "champion": champion, "challenger": challenger, "blocked": blocked}
        labels |= {"budget": budget, "challenger_version": "2"}
        amounts = ("amount", amount * pairs), ("amount_squared", amount**2 * pairs)
        for name, value in (("pairs", pairs), ("weight", weight), *amounts):
            found[tuple(sorted({**labels, "__name__": f"fraud_shadow_labelled_{name}"}.items()))] = value
    return found


def test_growth_of_cells() -> None:
    before = _cells(("fraud", "alert", "alert", "no", 10, 10), ("fraud", "alert", "none", "no", 5, 5))
    after = _cells(("fraud", "alert", "alert", "no", 40, 40), ("fraud", "alert", "none", "no", 4, 4))
    found = label_block(PLACE, before, after, {}, "2")
    assert found is not None
    # What left the window is no negative label.
    assert found.frauds == (30, 0, 0, 0)
    assert (found.champion.caught, found.challenger.caught, found.pairs) == (30, 30, 30)


def test_a_sample_stands_for_what_was_blocked() -> None:
    after = _cells(("fraud", "alert", "none", "sampled", 3, 30), ("fraud", "alert", "alert", "yes", 9, 9))
    found = label_block(PLACE, {}, after, {}, "2")
    assert found is not None
    assert (found.sampled, found.frauds, found.sampling) == ((0, 3, 0, 0), (0, 0, 0, 0), 0.1)
    assert (found.champion.caught, found.champion.caught_squared, found.challenger.missed) == (30, 300, 30)
    assert found.unseen == 0


def test_blocks_without_an_outcome_are_unseen() -> None:
    decisions = {
        ("fraud_shadow_decisions_total", "champion=block", "challenger=approve", "challenger_version=2"): 4.0,
        ("fraud_shadow_decisions_total", "champion=block", "challenger=block", "challenger_version=2"): 6.0,
        ("fraud_shadow_decisions_total", "champion=review", "challenger=approve", "challenger_version=2"): 99.0,
    }
    found = label_block(PLACE, {}, _cells(("fraud", "none", "alert", "no", 1, 1)), decisions, "2")
    assert found is not None
    assert (found.unseen, found.champion.unseen, found.challenger.unseen) == (4, 10, 6)


def test_others_are_not_counted() -> None:
    cell = ("fraud", "alert", "alert", "no", 10.0, 10.0)
    assert label_block(PLACE, {}, _cells(cell, budget="equal"), {}, "2") is None
    assert label_block(PLACE, {}, _cells(cell), {}, "3") is None
    assert label_block(PLACE, _cells(cell), _cells(cell), {}, "2") is None


def test_pairs_with_an_earlier_champion_are_left_out() -> None:
    cell = ("fraud", "alert", "none", "no", 9.0, 9.0)
    first, second = (
        {(*key, ("model_version", champion)): value * share for key, value in _cells(cell).items()}
        for champion, share in (("5", 1.0), ("6", 2.0))
    )
    for after in ({**first, **second}, {**second, **first}):
        found = label_block(PLACE, {}, after, {}, "2", "6")
        assert found is not None
        assert found.frauds == (0, 18, 0, 0)
    assert label_block(PLACE, {}, first, {}, "2", "6") is None


def test_lost_recall_fails_and_costs() -> None:
    after = _cells(
        ("fraud", "alert", "alert", "no", 400, 400),
        ("fraud", "alert", "none", "no", 200, 200),
        ("fraud", "none", "none", "no", 100, 100),
        ("legitimate", "alert", "alert", "no", 2_000, 2_000),
    )
    pairs = {("fraud_shadow_pairs_total", "challenger_version=2"): 100_000.0}
    found = label_block(PLACE, {}, after, pairs, "2")
    assert found is not None
    evidence = EMPTY.labelled(found)
    assert verdict(evidence, "recall").outcome == "fail"
    cost = verdict(evidence, "cost")
    assert cost.outcome == "fail"
    # An alert is a review of 3, a missed fraud its amount of 100.
    assert cost.estimate == pytest.approx((2_400 * 3 + 300 * 100) / (2_600 * 3 + 100 * 100) - 1)
    same = label_block(PLACE, {}, _cells(("fraud", "none", "none", "no", 500, 500)), pairs, "2")
    assert same is not None
    assert verdict(EMPTY.labelled(same), "cost").outcome == "pass"


@given(some.lists(some.tuples(some.booleans(), some.booleans(), some.booleans(), some.booleans()), max_size=20))
def test_costs_of_cells_are_those_of_their_pairs(rows: list[tuple[bool, bool, bool, bool]]) -> None:
    """The same labelled pairs, one by one: fraud, alerts of both, and a review by chance of one block in four."""
    cells, found = [], []
    for fraud, first, second, sampled in rows:
        by_chance = sampled and first
        label: Label = "fraud" if fraud else "legitimate"
        alerts = ("alert" if alert else "none" for alert in (first, second))
        champion, challenger = alerts
        cells.append((label, champion, challenger, "sampled" if by_chance else "no"))
        row = LabelledPrediction("review" if first else "approve", label, 100.0, by_chance)
        found.append(LabelledPair(row, "review" if second else "approve"))
    counts = Counter(cells)
    after = _cells(*((*cell, n, 4 * n if cell[-1] == "sampled" else n) for cell, n in counts.items()))
    read = label_block(PLACE, {}, after, {}, "2")
    assert (read is None) == (not rows)
    if read is None:
        return
    told = pair_block(0, 0, found, 0, (0, 0), Costs(), 0.25 if any(cell[-1] == "sampled" for cell in cells) else None)
    assert read == told
