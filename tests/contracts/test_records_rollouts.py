"""What every database of the records does with rollouts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from bentos.fraud.records.database import Database, open_database, upgrade
from bentos.fraud.records.retention import Removed, expire
from bentos.fraud.records.rollouts import KeptLook, KeptRollout, keep_rollout, kept_rollouts
from bentos.fraud.records.settings import RecordsSettings

FIRST = KeptRollout("bank", "fraud", "first", 1_000, None, "running", "1", "2", 3, '{"writes": 3}')


@pytest.fixture
def database(settings: RecordsSettings) -> Iterator[Database]:
    upgrade(settings)
    with contextlib.closing(open_database(settings)) as database:
        yield database


def _looks(*times: int) -> tuple[KeptLook, ...]:
    return tuple(KeptLook(at, 0, 5, "hold", f'{{"at": {at}}}') for at in times)


def test_a_later_state_replaces_an_earlier_one_and_never_the_other_way(database: Database) -> None:
    ended = replace(FIRST, ended=9_000, phase="promoted", writes=5, document='{"writes": 5}')
    for state in (FIRST, ended, FIRST, replace(ended, document="a repeated one")):
        keep_rollout(database, state)
    assert kept_rollouts(database, "bank", "fraud") == [ended]


def test_looks_are_kept_once_and_all_of_them(database: Database) -> None:
    keep_rollout(database, replace(FIRST, looks=_looks(*range(1, 250))))
    # What was thinned out meanwhile stays.
    keep_rollout(database, replace(FIRST, writes=4, looks=_looks(100, 249, 250)))
    (found,) = kept_rollouts(database, "bank")
    assert found.writes == 4
    assert found.looks == _looks(*range(1, 251))


def test_a_rollout_is_told_from_others(database: Database) -> None:
    others = [
        replace(FIRST, began=2_000, looks=_looks(1)),
        replace(FIRST, release="other", began=3_000),
        replace(FIRST, namespace="elsewhere", began=4_000),
    ]
    for state in (FIRST, *others):
        keep_rollout(database, state)
    assert kept_rollouts(database, "bank", "fraud") == [others[0], FIRST]
    assert kept_rollouts(database, "bank") == [others[1], others[0], FIRST]
    assert kept_rollouts(database, "bank", limit=1) == [others[1]]
    assert kept_rollouts(database, "nowhere") == []


def test_looks_at_what_ended_long_ago_go_and_its_verdicts_stay(database: Database, settings: RecordsSettings) -> None:
    day, looks = 86_400_000_000, _looks(*range(1, 1_203))
    ended = replace(FIRST, ended=1_000 * day, phase="promoted", writes=5, document='{"verdicts": 9}', looks=looks)
    again = replace(ended, name="second", looks=looks[:3])
    young = replace(ended, name="third", ended=1_399 * day, looks=looks[:2])
    going = replace(FIRST, name="fourth", looks=looks[:2])
    for state in (ended, again, young, going):
        keep_rollout(database, state)
    at, pauses = 1_401 * day, []
    assert expire(database, settings, at, lambda: pauses.append(1) is None) == (Removed(looks=1_000), False)
    assert expire(database, settings, at, lambda: False) == (Removed(looks=205), True)
    assert len(pauses) == 1
    kept = {item.name: item for item in kept_rollouts(database, "bank")}
    assert kept == {
        "first": replace(ended, looks=()),
        "second": replace(again, looks=()),
        "third": young,
        "fourth": going,
    }
    assert expire(database, settings, at, lambda: False) == (Removed(), True)
