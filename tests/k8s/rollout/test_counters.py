"""Counters: never negative growth, restarts, gaps, a Prometheus that lost its past."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from k8s.rollout.counters import Snapshot, growth

VALUES = some.dictionaries(
    some.tuples(some.sampled_from(["pod-a", "pod-b"]), some.sampled_from(["requests", "errors"])),
    some.floats(0, 1e12),
)


def _at(seconds: float, started: dict[str, float] | None = None, **values: float) -> Snapshot:
    return Snapshot(seconds, {tuple(name.split("__")): value for name, value in values.items()}, started or {})


@given(VALUES, VALUES)
def test_growth_is_never_negative_and_never_more_than_the_counter(
    before: dict[tuple[str, ...], float], after: dict[tuple[str, ...], float]
) -> None:
    grown = growth(Snapshot(0, before), Snapshot(10, after))
    if grown is None:
        assert not before or not after
        return
    for name, value in grown.items():
        assert 0 <= value <= sum(item for series, item in after.items() if series[1:] == name)


@given(some.lists(some.integers(0, 1_000), min_size=2, max_size=20))
def test_growth_over_all_looks_is_all_that_was_counted(counted: list[int]) -> None:
    total, seen = 5.0, 0.0
    before = _at(0, a__requests=total)
    for look, more in enumerate(counted, 1):
        total += more
        now = _at(10.0 * look, a__requests=total)
        grown = growth(before, now)
        assert grown is not None
        seen, before = seen + grown["requests",], now
    assert seen == sum(counted)


def test_a_restart_counts_from_zero() -> None:
    assert growth(_at(0, a__requests=900), _at(10, a__requests=40)) == {("requests",): 40}


def test_the_first_error_of_a_process_that_was_there_counts() -> None:
    assert growth(_at(0, a__requests=9), _at(10, a__requests=9, a__errors=3)) == {("requests",): 0, ("errors",): 3}


def test_a_new_process_counts_if_it_started_since() -> None:
    before = _at(100, a__requests=9)
    assert growth(before, _at(110, {"b": 105}, a__requests=9, b__requests=7)) == {("requests",): 7}
    assert growth(before, _at(110, {"b": 50}, a__requests=9, b__requests=7)) == {("requests",): 0}
    assert growth(before, _at(110, a__requests=9, b__requests=10**6)) == {("requests",): 0}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (_at(0), _at(10, a__requests=5)),
        (_at(0, a__requests=5), _at(10)),
        (_at(0, a__requests=5), _at(601, a__requests=6)),
        (_at(10, a__requests=5), _at(10, a__requests=6)),
        (_at(10, a__requests=5), _at(5, a__requests=6)),
    ],
    ids=["wiped before", "wiped now", "too far apart", "same time", "clock went back"],
)
def test_no_evidence(before: Snapshot, after: Snapshot) -> None:
    assert growth(before, after) is None
