"""The compiled states keep what the definition in plain Python keeps, whatever comes in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR, MINUTE
from bentos.core.features.history import CUSTOMER, EXACT_EVENTS, KINDS, MERCHANT
from bentos.core.features.state import CELL
from bentos.core.features.window_statistics import PLACES, WIDTH
from tests.core.features.oracle import Event, KeyState
from tests.core.features.stored import NEVER, ROW, Stored

NOW = 1_800_000_000_000_000
KEY = "k"


class Both:
    """The same key in the store and in the oracle."""

    def __init__(self, base: KeyState | None = None, now: int = NEVER) -> None:
        self.store = Stored(now)
        base = KeyState.empty() if base is None else base
        self.expected = dict.fromkeys(KINDS, base)
        if len(base.cells):
            assert [self.store.fill(kind, KEY, base) for kind in KINDS] == [0, 0, 0]

    def add(self, event: Event) -> None:
        self.store.add(KEY, event)
        for kind in KINDS:
            self.expected[kind] = self.expected[kind].add(event, kind, self.store.now)

    def label(self, identity: int, event_time: int, label_time: int) -> None:
        self.store.label([KEY] * 3, identity, event_time, label_time)
        for kind in KINDS:
            self.expected[kind] = self.expected[kind].label(identity, event_time, label_time)

    def check(self) -> None:
        for kind in KINDS:
            found = self.store.state(kind, KEY)
            assert found.buckets == self.expected[kind].buckets
            assert found.cells.tobytes() == self.expected[kind].cells.tobytes()


def line(events: int, step: int) -> KeyState:
    """A state after so many events, one each step."""
    both = KeyState.empty()
    for number in range(events):
        both = both.add(Event(NOW + number * step, 1.0 + number % 7, number + 1), CUSTOMER, NEVER)
    return both


@pytest.fixture(scope="module")
def busy() -> KeyState:
    return line(EXACT_EVENTS + 300, 8 * MINUTE)


# Few times and identities: ties, repeats and late arrivals must be common.
STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(-50, 50), st.sampled_from([MINUTE, HOUR, DAY]), st.integers(1, 60)),
    st.tuples(st.just("label"), st.integers(-50, 50), st.sampled_from([MINUTE, HOUR, DAY]), st.integers(1, 60)),
)


def run(both: Both, steps: list[tuple[str, int, int, int]], middle: int, first_identity: int) -> None:
    for what, count, unit, number in steps:
        time = middle + count * unit
        if what == "add":
            both.add(Event(time, number / 3, first_identity + number))
        else:
            both.label(first_identity + number, time, time + number * HOUR)
    both.check()


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=80))
def test_any_events_and_labels(steps: list[tuple[str, int, int, int]]) -> None:
    run(Both(), steps, NOW, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=25), st.integers(0, EXACT_EVENTS + 350), st.integers(0, EXACT_EVENTS + 350))
def test_any_events_and_labels_of_a_busy_key(
    busy: KeyState, steps: list[tuple[str, int, int, int]], minutes: int, first_identity: int
) -> None:
    run(Both(busy), steps, NOW + minutes * 8 * MINUTE, first_identity)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_events_ahead_of_the_clock(steps: list[tuple[str, int, int, int]]) -> None:
    run(Both(now=NOW), steps, NOW, 0)


@pytest.mark.parametrize("seed", range(3))
def test_a_key_that_grows_busy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    both = Both()
    # Mostly in order, by up to a day late, some at the same instant.
    times = np.sort(generator.integers(0, 40 * 24 * 60, EXACT_EVENTS + 900)) * MINUTE + NOW
    times -= (generator.random(len(times)) < 0.1) * generator.integers(0, DAY, len(times))
    for number, time in enumerate(times):
        both.add(Event(int(time), float(generator.lognormal(3, 1)), number + 1))
        if generator.random() < 0.05:
            labelled = int(generator.integers(0, number + 1))
            both.label(labelled + 1, int(times[labelled]), int(time))
    assert both.expected[MERCHANT].buckets > 0
    both.check()


@given(st.permutations(range(12)))
@settings(max_examples=30, deadline=None)
def test_order_of_arrival_does_not_matter(order: list[int]) -> None:
    both = Both()
    for number in order:
        both.add(Event(NOW + number * HOUR, float(number), number + 1))
    assert both.store.state(CUSTOMER, KEY).cells["amount"].tolist() == list(range(12))
    both.check()


def test_a_state_is_bounded_whatever_its_traffic() -> None:
    store, used = Stored(), []
    for number in range(5 * EXACT_EVENTS):
        store.add(KEY, Event(NOW + number * 8 * MINUTE, 1.0, number + 1))
        used.append(store.states.stats()["used_bytes"])
    state = store.state(CUSTOMER, KEY)
    assert len(state.cells) - state.buckets == EXACT_EVENTS
    assert 0 < state.buckets <= 31 * 24
    assert (state.cells["time"] > state.cells["time"][-1] - CUSTOMER.horizon).all()
    # Its blocks are used again, not left behind.
    assert used[-1] == used[3 * EXACT_EVENTS]


def test_events_leave_with_the_longest_window() -> None:
    store = Stored()
    store.add(KEY, Event(NOW, 1.0, 1))
    store.add(KEY, Event(NOW + 37 * DAY - 1, 1.0, 2))
    assert len(store.state(MERCHANT, KEY).cells) == 2
    store.add(KEY, Event(NOW + 37 * DAY, 1.0, 3))
    assert len(store.state(MERCHANT, KEY).cells) == 2


def test_a_wrong_date_pushes_out_nothing() -> None:
    store = Stored(now=NOW + HOUR)
    for number in range(10):
        store.add(KEY, Event(NOW - number * HOUR, 1.0, number + 1))
    store.add(KEY, Event(NOW + 20_000 * DAY, 1.0, 99))
    assert len(store.state(CUSTOMER, KEY).cells) == 11
    # Time goes on, and the history leaves as if the wrong date were not there.
    store.now = NOW + 29 * DAY
    store.add(KEY, Event(store.now, 1.0, 100))
    assert store.state(CUSTOMER, KEY).cells["identity"].tolist() == [100, 99]


def test_wrong_dates_do_not_grow_without_bound() -> None:
    store = Stored(now=NOW)
    for number in range(200):
        store.add(KEY, Event(NOW - 200 * HOUR + number * HOUR, 1.0, number + 1))
    for number in range(EXACT_EVENTS + 2 * _states.MAXIMUM_BUCKETS):
        store.add(KEY, Event(NOW + (number + 30) * 3 * HOUR, 1.0, number + 1000))
    state = store.state(CUSTOMER, KEY)
    assert state.buckets == _states.MAXIMUM_BUCKETS
    # What is true stays.
    assert (state.cells["time"][:200] <= NOW).all()


def test_a_repeated_event_does_not_see_itself() -> None:
    store = Stored()
    for number in range(40):
        store.add(KEY, Event(NOW + number * HOUR, float(number), number + 1))
    for number in (0, 17, 39):
        again = Event(NOW + number * HOUR, float(number), number + 1)
        earlier = Stored()
        for other in range(number):
            earlier.add(KEY, Event(NOW + other * HOUR, float(other), other + 1))
        np.testing.assert_array_equal(store.add(KEY, again), earlier.add(KEY, again, record=False))
    assert len(store.state(CUSTOMER, KEY).cells) == 40


def test_an_event_that_is_said_to_be_new_is_not_searched_for() -> None:
    told, searched = Stored(), Stored()
    events = [Event(NOW + number * HOUR, float(number), number + 1) for number in range(40)]
    for event in events:
        fresh = told.add(KEY, event, record=_states.RECORD | _states.FRESH)
        np.testing.assert_array_equal(fresh, searched.add(KEY, event))
    np.testing.assert_array_equal(told.state(CUSTOMER, KEY).cells, searched.state(CUSTOMER, KEY).cells)
    # It is taken at its word.
    told.add(KEY, events[-1], record=_states.RECORD | _states.FRESH)
    assert len(told.state(CUSTOMER, KEY).cells) == 41


def test_stores_of_single_kinds_tell_together_what_one_store_tells() -> None:
    events = [Event(NOW + number % 7 * HOUR, float(number), number % 30 + 1) for number in range(60)]
    every = [_states.SKIP << place for place in range(len(KINDS))]
    parts = {kind: Stored() for kind in KINDS}
    whole = Stored()
    for event in events:
        expected = whole.add(KEY, event)
        for place, (kind, part) in enumerate(parts.items()):
            found = part.add(KEY, event, record=_states.RECORD | sum(every) - every[place])
            columns = list(PLACES[kind].values())
            np.testing.assert_array_equal(found[columns], expected[columns])
    for kind, part in parts.items():
        np.testing.assert_array_equal(part.state(kind, KEY).cells, whole.state(kind, KEY).cells)
        assert [len(part.state(other, KEY).cells) for other in KINDS if other is not kind] == [0, 0]


def test_cells_that_make_no_sense_are_refused(busy: KeyState) -> None:
    wrong = {
        "time": [("time", 5, 0), ("time", -1, -5), ("time", 3, np.iinfo(np.int64).max)],
        "amount": [("amount", 0, np.nan), ("amount", -1, np.inf), ("squares", 2, np.inf)],
        "count": [("count", 0, 0), ("count", -1, 2), ("frauds", 1, -1), ("frauds", -1, 1), ("identity", -1, 0)],
    }
    for part, index, value in (item for group in wrong.values() for item in group):
        cells = busy.cells.copy()
        cells[part][index] = value
        assert Stored().fill(CUSTOMER, KEY, KeyState(cells, busy.buckets)) == 1, (part, index)
    assert Stored().fill(CUSTOMER, KEY, KeyState(np.zeros(0, CELL))) == 1
    assert Stored().fill(CUSTOMER, KEY, busy) == 0


def test_numbers_that_both_languages_hold_agree() -> None:
    assert _states.EXACT_EVENTS == EXACT_EVENTS
    assert ROW.size == _states.ROW_BYTES
    assert Stored().states.width == WIDTH
    assert all(kind.horizon // HOUR < _states.MAXIMUM_BUCKETS for kind in KINDS)
