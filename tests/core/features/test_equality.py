"""The table, the store and the words of the definition give the same features."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES, feature_table
from bentos.core.features.history import CATEGORY, CUSTOMER, EXACT_EVENTS, MERCHANT
from tests.core.features.replay import replay
from tests.core.features.stored import Stored
from tests.core.features.tables import DAY, START, by_definition, canonical, transactions

AMOUNTS = st.one_of(st.floats(0, 500), st.sampled_from([0.0, 0.01, 1e7, 9_999_999.99, 50.0]))
PLACES = st.one_of(
    st.none(), st.tuples(*[st.floats(-90, 90), st.floats(-180, 180), st.floats(-90, 90), st.floats(-180, 180)])
)
# Few keys and coarse times: equal timestamps and bounds met exactly must be common.
MINUTES = st.one_of(
    st.integers(0, 60 * 24 * 60), st.sampled_from([0, 60, 1440, 7 * 1440, 8 * 1440, 14 * 1440, 30 * 1440, 37 * 1440])
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = []
    for _ in range(draw(st.integers(1, 40))):
        moment = START + timedelta(minutes=draw(MINUTES), microseconds=draw(st.sampled_from([0, 0, 1])))
        late = draw(st.one_of(st.none(), st.integers(0, 45 * 1440)))
        place = draw(PLACES)
        names = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
        rows.append(
            {
                "customer_id": draw(st.sampled_from(["c0", "c1", "c2"])),
                "merchant_id": draw(st.sampled_from(["m0", "m1"])),
                "merchant_category": draw(st.sampled_from(["food", "travel"])),
                "amount": draw(AMOUNTS),
                "timestamp": moment,
                "utc_offset_seconds": draw(st.sampled_from([0, 3600, -18_000, 20_700, 50_400])),
                "is_fraud": draw(st.booleans()),
                "label_timestamp": pd.NaT if late is None else moment + timedelta(minutes=late),
                **(dict(zip(names, place, strict=True)) if place else {}),
            }
        )
    return canonical(rows)


@settings(max_examples=80, deadline=None)
@given(tables())
def test_table_equals_definition(table: pd.DataFrame) -> None:
    expected = by_definition(table)
    # A deviation of nearly equal large amounts is ill-conditioned in any arithmetic; 1e-6 of it remain.
    np.testing.assert_allclose(feature_table(table), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(tables())
def test_store_equals_table_bit_for_bit(table: pd.DataFrame) -> None:
    rows, _ = replay(table)
    expected = feature_table(table)
    distance = FEATURE_NAMES.index("distance_km")
    # Sine and arcsine of numpy and of Python's math may differ in the last bit.
    np.testing.assert_allclose(rows[:, distance], expected[:, distance], rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(np.delete(rows, distance, axis=1), np.delete(expected, distance, axis=1))


@settings(max_examples=20, deadline=None)
@given(tables())
def test_a_batch_gives_the_rows_that_single_calls_give(table: pd.DataFrame) -> None:
    alone, _ = replay(table.assign(is_fraud=False))
    items = transactions(table)
    together = Stored().ask(items, range(1, len(items) + 1))
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-9)


def busy_table(events: int, seed: int) -> pd.DataFrame:
    """One customer, merchant and category with more events in a month than a state keeps exactly."""
    generator = np.random.default_rng(seed)
    seconds = np.sort(generator.integers(0, 30 * 86_400, events))
    is_fraud = generator.random(events) < 0.05
    delays = generator.integers(0, 20 * 86_400, events)
    moments = [START + timedelta(seconds=int(second)) for second in seconds]
    return canonical(
        [
            {
                "timestamp": moments[index],
                "amount": float(np.round(generator.lognormal(3, 1), 2)),
                "is_fraud": bool(is_fraud[index]),
                "label_timestamp": moments[index] + timedelta(seconds=int(delays[index])),
            }
            for index in range(events)
        ]
    )


def test_busy_keys_fold_alike_in_table_and_store() -> None:
    table = busy_table(EXACT_EVENTS + 1500, seed=1)
    offline = feature_table(table)
    online, store = replay(table)
    np.testing.assert_allclose(online, offline, rtol=1e-9, atol=1e-9)
    # The test is one only if keys did fold, and labels did come late.
    keys = ((CUSTOMER, "c0"), (MERCHANT, "m0"), (CATEGORY, "unknown"))
    assert all(store.state(kind, name).buckets > 0 for kind, name in keys)
    rates = offline[:, FEATURE_NAMES.index("merchant_fraud_rate_1d")]
    assert rates.max() > 0


def test_a_huge_amount_leaves_no_trace_once_it_has_left_the_window() -> None:
    later = [{"timestamp": START + 31 * DAY + timedelta(hours=hour), "amount": 10.0 + hour % 3} for hour in range(30)]
    with_spike = canonical([{"timestamp": START, "amount": 1e7, "merchant_id": "m9", "merchant_category": "x"}, *later])
    without = canonical(later)
    np.testing.assert_array_equal(feature_table(with_spike)[1:], feature_table(without))


def test_rows_out_of_order_are_refused() -> None:
    table = canonical([{"timestamp": START}, {"timestamp": START + DAY}])
    with pytest.raises(DataError, match="order of time"):
        feature_table(table.iloc[::-1])


def test_an_empty_table_has_no_rows() -> None:
    assert feature_table(canonical([{"timestamp": START}]).iloc[:0]).shape == (0, 21)
