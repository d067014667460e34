"""Text of others, and small conversions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bentos.core.errors import FieldError, InvalidInput, NotFound, Unavailable
from bentos.core.transaction import Transaction
from dashboard.access import claimed_roles
from dashboard.troubles import trouble_of
from dashboard.what_if import at_distance, at_hour, distance_km, varied
from dashboard.words import ago, percent, plain

PAYMENT = Transaction.model_validate(
    {
        "customer_id": "c1",
        "merchant_id": "m1",
        "amount": 20.0,
        "timestamp": "2026-05-30T23:40:00+02:00",
        "customer_latitude": -12.0,
        "customer_longitude": 170.0,
        "merchant_latitude": -12.5,
        "merchant_longitude": 170.5,
    }
)


@pytest.mark.parametrize(
    "text",
    ["<b>bold</b>", "**bold**", "![x](http://127.0.0.1/x)", "$x^2$", ":red[x]", "a\n# b", "`x`", "https://example.org"],
)
def test_nothing_of_others_is_markup(text: str) -> None:
    shown = plain(text)
    assert "\n" not in shown
    # Every sign that could begin something has a backslash before it.
    for sign in "<*[!$:#`/":
        assert sign not in shown.replace(f"\\{sign}", "")
    assert shown.replace("\\", "") == " ".join(text.split())


def test_times_and_shares() -> None:
    now = datetime(2026, 5, 30, tzinfo=UTC)
    passed = [ago(now - timedelta(seconds=seconds), now) for seconds in (5, 120, 7200, 200_000, -5)]
    assert passed == ["5 s ago", "2 min ago", "2 h ago", "2 d ago", "0 s ago"]
    assert percent(None) == "–"
    assert percent(0.1234) == "12.3 %"


@pytest.mark.parametrize("kilometres", [0.0, 3.0, 900.0, 5000.0])
def test_a_merchant_is_moved_to_its_distance(kilometres: float) -> None:
    assert distance_km(at_distance(PAYMENT, kilometres)) == pytest.approx(kilometres, abs=1e-6)


def test_an_hour_is_moved_on_the_customers_day() -> None:
    moved = at_hour(PAYMENT, 3)
    assert moved.timestamp.isoformat() == "2026-05-30T03:40:00+02:00"
    assert moved.customer_id == PAYMENT.customer_id


def test_every_variant_is_a_transaction_that_the_service_takes() -> None:
    variants = varied(PAYMENT)
    assert set(variants) == {"amount", "hour", "distance"}
    for values in variants.values():
        for _, row in values:
            assert Transaction.model_validate_json(row.model_dump_json()) == row
    assert "distance" not in varied(PAYMENT.model_copy(update={"merchant_latitude": None, "merchant_longitude": None}))


@pytest.mark.parametrize(
    ("claims", "path", "roles"),
    [
        ({"roles": ["analyst", "king"]}, "roles", {"analyst"}),
        ({"roles": "analyst operator"}, "roles", {"analyst", "operator"}),
        ({"realm_access": {"roles": ["scientist"]}}, "realm_access.roles", {"scientist"}),
        ({"roles": {"analyst": True}}, "roles", set()),
        ({"roles": "analysts"}, "roles", set()),
        ({}, "realm_access.roles", set()),
        ({"realm_access": "x"}, "realm_access.roles", set()),
    ],
    ids=["list", "words", "within", "an object", "another word", "none", "text"],
)
def test_roles_come_from_the_claim_alone(claims: dict[str, object], path: str, roles: set[str]) -> None:
    assert claimed_roles(claims, path) == roles


def test_a_trouble_says_what_to_do() -> None:
    down = trouble_of(Unavailable("http://x cannot be reached"))
    assert "FRAUD_DASHBOARD_SERVICE_URL" in down.advice
    assert not down.gone
    assert trouble_of(NotFound("no such job")).gone
    assert "amount" in trouble_of(InvalidInput([FieldError("amount", "must be positive")])).detail
