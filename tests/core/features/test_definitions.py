"""The list of features is the contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.features import FEATURE_NAMES, FEATURES
from bentos.core.features.clock import great_circle_km
from bentos.core.features.dominance import LateArrivals

CONTRACT = (
    "amount hour day_of_week is_weekend is_night minutes_since_last_transaction amount_deviation"
    " customer_transactions_1d customer_transactions_7d customer_transactions_30d"
    " customer_average_amount_1d customer_average_amount_7d customer_average_amount_30d"
    " merchant_transactions_1d merchant_transactions_7d merchant_transactions_30d"
    " merchant_fraud_rate_1d merchant_fraud_rate_7d merchant_fraud_rate_30d"
    " merchant_category_fraud_rate_30d distance_km"
)


def test_names_and_order() -> None:
    assert " ".join(FEATURE_NAMES) == CONTRACT


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("amount_deviation", 8.21, "amount is 8.2 standard deviations above this customer's 30-day mean"),
        ("amount_deviation", -2.0, "amount is 2.0 standard deviations below this customer's 30-day mean"),
        ("customer_transactions_1d", 1.0, "1 transaction by this customer in the last day"),
        ("minutes_since_last_transaction", 3.2, "3 minutes since this customer's last transaction"),
        ("minutes_since_last_transaction", 43_200.0, "this customer's first transaction in 30 days"),
        (
            "merchant_fraud_rate_7d",
            0.25,
            "25.0% of this merchant's transactions in the 7 days that ended a week ago were fraud",
        ),
        ("distance_km", -1.0, "distance between customer and merchant is not known"),
        ("amount", 1234.5, "amount is 1,234.50"),
    ],
)
def test_reasons_are_readable(name: str, value: float, text: str) -> None:
    assert FEATURES[FEATURE_NAMES.index(name)].reason_text(value) == text


def test_every_feature_has_words_for_its_default() -> None:
    for feature in FEATURES:
        assert feature.reason_text(feature.default)
        assert feature.description.endswith(".")


@pytest.mark.parametrize(
    ("places", "kilometres"),
    [
        ((0, 0, 0, 180), 20_015.114),  # half the equator
        ((52.52, 13.405, 48.137, 11.575), 504.4),  # Berlin to Munich
        ((10.0, 20.0, 10.0, 20.0), 0.0),
        ((90, 0, -90, 77), 20_015.114),
    ],
)
def test_distances(places: tuple[float, float, float, float], kilometres: float) -> None:
    assert great_circle_km(*(np.array([part], float) for part in places))[0] == pytest.approx(kilometres, abs=0.1)


@given(st.lists(st.integers(0, 8), max_size=40), st.integers(0, 40), st.integers(0, 40), st.integers(-1, 9))
def test_late_labels_are_counted(arrivals: list[int], start: int, end: int, time: int) -> None:
    rows = np.arange(len(arrivals)) * 2
    late = LateArrivals(rows, np.array(arrivals, np.int64))
    found = late.pending(*(np.array([part], np.int64) for part in (start, end, time)))[0]
    assert found == sum(start <= row < end and arrival > time for row, arrival in zip(rows, arrivals, strict=True))
