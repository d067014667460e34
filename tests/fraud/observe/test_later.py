"""Counting waits until answers have left, but not for ever."""

from __future__ import annotations

import asyncio

import pytest

from bentos.fraud.observe import later as module
from bentos.fraud.observe.later import Later


def test_without_a_loop_it_is_done_at_once() -> None:
    done: list[int] = []
    Later().add(lambda: done.append(1))
    assert done == [1]


def test_many_are_done_before_their_time_though_not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 3600.0)
    monkeypatch.setattr(module, "_MOST", 3)
    done: list[int] = []

    async def run() -> None:
        later = Later()
        for number in range(3):
            later.add(lambda number=number: done.append(number))  # type: ignore[misc]
        assert done == []
        await asyncio.sleep(0)
        assert done == [0, 1, 2]
        later.add(lambda: done.append(3))
        await asyncio.sleep(0)
        assert done == [0, 1, 2]
        later.run()

    asyncio.run(run())
    assert done == [0, 1, 2, 3]


def test_one_that_fails_takes_no_other_with_it() -> None:
    done: list[int] = []

    def fail() -> None:
        raise RuntimeError("no")

    later = Later()
    later.add(fail)
    later.add(lambda: done.append(1))
    assert done == [1]
