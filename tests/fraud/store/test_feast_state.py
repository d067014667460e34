"""States as the bytes that Feast keeps; needs no Feast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.errors import DataError
from bentos.core.features.history import EXACT_EVENTS
from bentos.core.features.state import BUCKET_LABEL, CELL, NO_LABEL
from bentos.fraud.store import Delivery
from bentos.fraud.store.feast_state import NOTHING, State, packed_state, unpacked_state

TIMES = st.integers(0, 2**53 - 1)


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any buckets, any events, some labelled."""
    buckets, events = draw(st.integers(0, 5)), draw(st.integers(0, 8))
    cells = np.zeros(buckets + events, CELL)
    for number in range(buckets + events):
        cells["time"][number] = draw(TIMES)
        cells["amount"][number] = draw(st.floats(0, 1e7))
    for number in range(buckets):
        cells["squares"][number] = draw(st.floats(0, 1e14))
        cells["count"][number] = draw(st.integers(1, 2**31 - 1))
        cells["frauds"][number] = draw(st.integers(0, 2**31 - 1))
    cells["label_time"][:buckets] = BUCKET_LABEL
    cells["count"][buckets:] = 1
    for number in range(buckets, buckets + events):
        cells["identity"][number] = draw(st.integers(1, 2**64 - 1))
        labelled = draw(st.one_of(st.none(), TIMES))
        cells["label_time"][number] = NO_LABEL if labelled is None else labelled
        cells["frauds"][number] = labelled is not None
    delivery = draw(st.one_of(st.none(), st.builds(Delivery, st.binary(min_size=16, max_size=16), TIMES)))
    return State(cells, buckets, delivery)


@given(state=states())
def test_a_state_comes_back_whole(state: State) -> None:
    found = unpacked_state(packed_state(state))
    np.testing.assert_array_equal(found.cells, state.cells)
    if len(state.cells):
        assert (found.buckets, found.delivery) == (state.buckets, state.delivery)


def test_nothing_takes_no_bytes() -> None:
    assert packed_state(NOTHING) == b""
    assert unpacked_state(b"") is NOTHING


def _full() -> State:
    buckets = 37 * 24 + 1
    cells = np.zeros(buckets + EXACT_EVENTS, CELL)
    cells["count"], cells["frauds"] = 1, 1
    cells["label_time"][:buckets] = BUCKET_LABEL
    return State(cells, buckets)


def test_the_largest_state_is_as_large_as_documented() -> None:
    # All events labelled.
    assert len(packed_state(_full())) == 40 + 889 * 32 + 4096 * 36


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:20], "too short"),
        (lambda data: data[:-1], "cannot be read"),
        (lambda data: data + b"\0", "cannot be read"),
        (lambda data: b"\7\0" + data[2:], "format 7"),
        (lambda data: data[:-12] + b"\xff" * 4 + data[-8:], "does not hold"),
    ],
    ids=["short", "cut", "longer", "format", "label"],
)
def test_other_bytes_are_refused(damage: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(DataError, match=words):
        unpacked_state(damage(packed_state(_full())))
