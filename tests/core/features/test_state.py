"""States stay bounded, take events in any order, and survive being written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.errors import DataError
from bentos.core.features.clock import DAY, HOUR
from bentos.core.features.history import CUSTOMER, EXACT_EVENTS, MERCHANT
from bentos.core.features.state import Event, KeyState

NOW = 1_800_000_000_000_000


def filled(events: list[Event]) -> KeyState:
    state = KeyState.empty()
    for event in events:
        state = state.add(event, CUSTOMER)
    return state


@given(st.permutations(range(12)))
@settings(max_examples=30, deadline=None)
def test_order_of_arrival_does_not_matter(order: list[int]) -> None:
    events = [Event(NOW + number * HOUR, float(number), number + 1) for number in range(12)]
    expected = filled(events)
    assert filled([events[number] for number in order]).to_bytes() == expected.to_bytes()


def test_a_repeated_event_counts_once() -> None:
    state = filled([Event(NOW, 5.0, 7)])
    assert state.add(Event(NOW, 5.0, 7), CUSTOMER) is state
    assert len(state.without(7).cells) == 0


def test_a_state_is_bounded_whatever_its_traffic() -> None:
    state = KeyState.empty()
    for number in range(EXACT_EVENTS + 600):
        state = state.add(Event(NOW + number * 8 * 60_000_000, 1.0, number + 1), CUSTOMER)
    assert len(state.cells) - state.buckets == EXACT_EVENTS
    assert 0 < state.buckets <= 31 * 24
    horizon = int(state.cells["time"][-1]) - CUSTOMER.horizon
    assert (state.cells["time"] > horizon).all()


def test_a_late_event_of_a_busy_key_folds_into_its_hour() -> None:
    state = KeyState.empty()
    for number in range(EXACT_EVENTS + 100):
        state = state.add(Event(NOW + number * 60_000_000, 2.0, number + 1), CUSTOMER)
    before = state.cells["count"].sum()
    late = state.add(Event(NOW + 30_000_000, 4.0, 10**9), CUSTOMER)
    assert late.cells["count"].sum() == before + 1
    assert late.cells["amount"].sum() == state.cells["amount"].sum() + 4.0
    assert len(late.cells) == len(state.cells)


def test_events_leave_with_the_longest_window() -> None:
    state = KeyState.empty().add(Event(NOW, 1.0, 1), MERCHANT)
    assert len(state.add(Event(NOW + 37 * DAY - 1, 1.0, 2), MERCHANT).cells) == 2
    assert len(state.add(Event(NOW + 37 * DAY, 1.0, 2), MERCHANT).cells) == 1


def test_a_label_keeps_its_earliest_arrival() -> None:
    state = filled([Event(NOW, 5.0, 7)]).label(7, NOW, NOW + DAY).label(7, NOW, NOW + 2 * DAY)
    assert state.cells["label_time"][0] == NOW + DAY
    assert state.cells["frauds"].sum() == 1


def test_a_label_of_a_folded_event_counts_in_its_bucket() -> None:
    state = KeyState.empty()
    for number in range(EXACT_EVENTS + 10):
        state = state.add(Event(NOW + number * 60_000_000, 1.0, number + 1), MERCHANT)
    assert state.label(1, NOW, NOW + DAY).cells["frauds"][: state.buckets].sum() == 1


def test_bytes_come_back_as_they_were() -> None:
    state = filled([Event(NOW, 5.0, 7), Event(NOW + 1, 6.0, 8, NOW + DAY)])
    again = KeyState.from_bytes(state.to_bytes())
    assert again.buckets == state.buckets
    np.testing.assert_array_equal(again.cells, state.cells)


@pytest.mark.parametrize("data", [b"", b"abc", b"\x00" * 5, b"\x09\x00\x00\x00" + b"\x00" * 48])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="stored state"):
        KeyState.from_bytes(data)
