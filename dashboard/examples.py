"""Transactions to begin with, of customers that the synthetic data knows."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["EXAMPLES"]

_HOME: Final = {"customer_latitude": 52.53877, "customer_longitude": 11.92512}

#: Name → fields of a transaction.
EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "Three at night, 1,600 km from home": {
        "customer_id": "c016",
        "merchant_id": "m047",
        "merchant_category": "nightlife",
        "amount": 1890.0,
        "timestamp": "2026-05-30T03:12:00+02:00",
        **_HOME,
        "merchant_latitude": 40.26457,
        "merchant_longitude": 23.22580,
    },
    "Groceries round the corner": {
        "customer_id": "c016",
        "merchant_id": "m000",
        "merchant_category": "grocery",
        "amount": 38.4,
        "timestamp": "2026-05-30T17:40:00+02:00",
        **_HOME,
        "merchant_latitude": 52.60063,
        "merchant_longitude": 11.84261,
    },
    "A card tested with nothing": {
        "customer_id": "c016",
        "merchant_id": "m047",
        "merchant_category": "digital_goods",
        "amount": 0.0,
        "timestamp": "2026-05-30T04:02:00+02:00",
    },
    "Dinner on a journey": {
        "customer_id": "c021",
        "merchant_id": "m059",
        "merchant_category": "restaurant",
        "amount": 86.5,
        "timestamp": "2026-05-30T20:15:00+03:00",
        "customer_latitude": 40.15406,
        "customer_longitude": 23.23583,
        "merchant_latitude": 50.82126,
        "merchant_longitude": 7.18118,
    },
    "A customer nobody has seen": {
        "customer_id": "new-customer",
        "merchant_id": "new-merchant",
        "merchant_category": "unknown",
        "amount": 420.0,
        "timestamp": "2026-05-30T11:00:00+02:00",
    },
}
