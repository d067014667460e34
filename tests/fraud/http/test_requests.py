from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bentos.core.errors import Overloaded
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import Disconnected, read_body
from bentos.fraud.room import Room


def _read(parts: list[bytes | None], room: Room, limit: int = 100) -> bytes | HttpAnswer:
    """Read a body of these parts; None is a client that leaves."""
    waiting: Iterator[bytes | None] = iter(parts)
    left = len(parts)

    async def receive() -> dict[str, Any]:
        nonlocal left
        part = next(waiting)
        left -= 1
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": left > 0}

    return asyncio.run(read_body(receive, {}, "id", limit, room))


def test_parts_are_joined() -> None:
    assert _read([b"one"], Room(0)) == b"one"
    assert _read([b"one", b"", b"two", b"three"], Room(100)) == b"onetwothree"


@pytest.mark.parametrize("parts", [[b"x" * 101], [b"x" * 60, b"x" * 41], [b"", b"x" * 101, b""]])
def test_a_long_body_is_refused(parts: list[bytes | None]) -> None:
    answer = _read(parts, Room(1000))
    assert isinstance(answer, HttpAnswer)
    assert answer.status == 413


def test_unfinished_bodies_share_their_room() -> None:
    room = Room(50)
    for _ in range(3):
        with pytest.raises(Overloaded):
            _read([b"x" * 30, b"x" * 30, b""], room)
        with pytest.raises(Disconnected):
            _read([b"x" * 30, None], room)
        assert isinstance(_read([b"x" * 40, b"x" * 5, b"x" * 200], room), HttpAnswer)
        assert _read([b"x" * 40, b"x" * 10], room) == b"x" * 50
