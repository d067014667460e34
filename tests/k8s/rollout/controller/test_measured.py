"""Labels of pairs: counted once, blocks accounted for, never negative."""

from __future__ import annotations

from k8s.rollout.measured import Place, label_block
from k8s.rollout.reading import Labels
from tests.k8s.rollout.made import EMPTY, verdict

PLACE = Place(0, 0, 0)


def _cells(*cells: tuple[str, str, str, str, float, float], budget: str = "own") -> dict[Labels, float]:
    found = {}
    for label, champion, challenger, blocked, pairs, weight in cells:
        labels = {"label": label, "champion": champion, "challenger": challenger, "blocked": blocked}
        labels |= {"budget": budget, "challenger_version": "2"}
        for name, value in (("pairs", pairs), ("weight", weight)):
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


def test_lost_recall_fails_and_cost_says_nothing() -> None:
    after = _cells(("fraud", "alert", "alert", "no", 400, 400), ("fraud", "alert", "none", "no", 200, 200))
    found = label_block(PLACE, {}, after, {}, "2")
    assert found is not None
    evidence = EMPTY.labelled(found)
    assert verdict(evidence, "recall").outcome == "fail"
    assert verdict(evidence, "cost").outcome == "inconclusive"
