"""What a transaction may hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.errors import InvalidInput
from bentos.core.transaction import Transaction, microseconds, named, parse_transaction

GOOD: dict[str, Any] = {
    "customer_id": "c1",
    "merchant_id": "m1",
    "amount": 12.5,
    "timestamp": "2026-11-20T23:59:59.123456+01:00",
}


def test_the_least_that_is_needed() -> None:
    item = parse_transaction(json.dumps(GOOD))
    assert item.transaction_id is None
    assert item.merchant_category == "unknown"
    assert item.timestamp.utcoffset() == timedelta(hours=1)
    assert item.timestamp.microsecond == 123_456


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"amount": -0.01}, "amount"),
        ({"amount": 1e7 + 1}, "amount"),
        ({"amount": "much"}, "amount"),
        ({"amount": None}, "amount"),
        ({"customer_id": ""}, "customer_id"),
        ({"customer_id": "x" * 129}, "customer_id"),
        ({"customer_id": 5}, "customer_id"),
        ({"customer_id": "a\u0000b"}, "customer_id"),
        ({"merchant_id": ["m"]}, "merchant_id"),
        ({"timestamp": "2026-11-20T23:59:59"}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 1_700_000_000}, "timestamp"),
        ({"timestamp": "1700000000"}, "timestamp"),
        ({"timestamp": "2026-11-20T25:00:00Z"}, "timestamp"),
        ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59-23:59"}, "timestamp"),
        ({"customer_latitude": 91, "customer_longitude": 0}, "customer_latitude"),
        ({"merchant_latitude": 1, "merchant_longitude": -180.5}, "merchant_longitude"),
        ({"customer_latitude": 1}, "transaction"),
        ({"merchant_longitude": 1}, "transaction"),
        ({"amuont": 3}, "amuont"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_transaction(json.dumps({**GOOD, **change}))
    assert [error.path for error in caught.value.errors] == [path]


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_amounts_are_finite(literal: str) -> None:
    with pytest.raises(InvalidInput):
        parse_transaction(json.dumps(GOOD).replace("12.5", literal))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a":' * 3000])
def test_what_is_no_transaction_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_transaction(payload)


def test_messages_do_not_echo_the_input() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_transaction(json.dumps({**GOOD, "amount": "4111111111111111"}))
    assert "4111" not in str(caught.value)


def test_zero_amounts_are_real() -> None:
    assert Transaction(**{**GOOD, "amount": 0}).amount == 0.0


@given(
    st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2199, 12, 30)),
    st.integers(-23 * 60, 23 * 60),
)
def test_microseconds_are_exact(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert epoch + timedelta(microseconds=microseconds(aware)) == aware


def test_a_named_copy_is_what_pydantic_would_copy() -> None:
    item = parse_transaction(json.dumps(GOOD))
    copy = named(item, "t-1")
    assert copy == item.model_copy(update={"transaction_id": "t-1"})
    assert copy.model_dump_json(exclude_unset=True) == item.model_copy(
        update={"transaction_id": "t-1"}
    ).model_dump_json(exclude_unset=True)
    assert item.transaction_id is None
