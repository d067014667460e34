"""Work that is done ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from bentos.fraud.bulk.threads import ahead


def test_what_is_made_comes_in_order() -> None:
    last = threading.Event()

    def made(item: int) -> int:
        # The first one is ready after the last one has begun.
        assert item != 0 or last.wait(60)
        if item == 2:
            last.set()
        return item * item

    assert list(ahead(made, range(20), threads=3)) == [item * item for item in range(20)]


def test_no_more_is_taken_than_there_are_threads() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    with closing(ahead(str, items(), threads=2)) as made:
        assert next(made) == "0"
        assert taken == [0, 1, 2]
        assert next(made) == "1"
        assert taken == [0, 1, 2, 3]


def test_what_is_too_heavy_is_waited_for() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in (7, 1, 1, 1, 9):
            taken.append(item)
            yield item

    with closing(ahead(str, items(), threads=2, weigh=int, room=3)) as made:
        seen = [(one, len(taken)) for one in made]
    assert seen == [("7", 1), ("1", 4), ("1", 5), ("1", 5), ("9", 5)]


def test_an_error_comes_when_its_turn_does_and_ends_the_rest() -> None:
    def made(item: int) -> int:
        if item == 1:
            raise ValueError("no such item")
        return item

    results = ahead(made, range(5), threads=2)
    assert next(results) == 0
    with pytest.raises(ValueError, match="no such item"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_an_error_of_the_items_comes_through() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("cannot be read")

    with pytest.raises(ValueError, match="cannot be read"):
        list(ahead(str, items()))


def test_who_leaves_early_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with closing(ahead(str, range(100), threads=2)) as made:
        next(made)
    assert set(threading.enumerate()) == before
