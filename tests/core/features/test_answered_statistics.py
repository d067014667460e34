"""A row's statistics from another store's answer, made by the compiled store's code."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from bentos.core.features import _states
from bentos.core.features.clock import HOUR
from bentos.core.features.history import CUSTOMER
from bentos.core.features.window_statistics import PLACES, SPECIFICATION, WIDTH

CUSTOMERS = len(PLACES[CUSTOMER])
OTHERS = [float(number) for number in range(WIDTH - CUSTOMERS)]
NOW = 1_000 * HOUR
EVENTS = [(NOW - 3 * HOUR, 5.0, 1), (NOW - 2, 7.0, 2), (NOW, 11.0, 3)]


def answer(events: list[tuple[int, float, int]], own: int, before: bytes = b"") -> bytes:
    pieces = before + b"".join(struct.pack("<qdQ", *event) for event in events)
    head = struct.pack("<7i", len(pieces), len(before), len(events), 0, 0, 0, own)
    return head + pieces + struct.pack(f"<{len(OTHERS)}d", *OTHERS)


def statistics(given: bytes, rows: int) -> np.ndarray:
    out = np.full((WIDTH, rows), -1.0)
    _states.answered_statistics(SPECIFICATION[0], given, np.full(rows, NOW), out)
    return out


def test_each_row_is_made_from_its_own_piece() -> None:
    found = statistics(answer(EVENTS[:1], -1) + answer(EVENTS, 2, before=bytes(32)) + answer([], -1), 3)
    # Time of the event before, first; a row's own is none of its events.
    np.testing.assert_array_equal(found[0], [EVENTS[0][0], EVENTS[1][0], -np.inf])
    np.testing.assert_array_equal(found[CUSTOMERS:], np.tile(OTHERS, (3, 1)).T)
    assert {5.0, 12.0}.isdisjoint(found[:CUSTOMERS, 2])
    assert 5.0 in found[:CUSTOMERS, 0]
    assert 12.0 in found[:CUSTOMERS, 1]


def test_an_answer_that_is_cut_off_or_lies_is_refused() -> None:
    whole = answer(EVENTS, 2)
    for size in range(len(whole)):
        with pytest.raises(ValueError, match="do not fit together"):
            statistics(whole[:size], 1)
    for wrong in ((72, 1, 3), (72, -24, 3), (72, 0, 2**31 - 1), (-1, 0, 0), (72, 2**31 - 1, 1)):
        with pytest.raises(ValueError, match="do not fit together"):
            statistics(struct.pack("<7i", *wrong, 0, 0, 0, -1) + whole[28:], 1)
    with pytest.raises(ValueError, match="do not fit together"):
        statistics(whole + b"\0", 1)
    with pytest.raises(ValueError, match="do not fit together"):
        statistics(whole, 2)
