"""Transactions for requests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from bentos.core.transaction import Transaction

NOON = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))


def transaction_json(**changes: Any) -> dict[str, Any]:
    """A valid transaction as a caller sends it, with some fields changed; None removes one."""
    fields = {
        "customer_id": "customer-1",
        "merchant_id": "merchant-1",
        "merchant_category": "grocery",
        "amount": 42.5,
        "timestamp": NOON.isoformat(),
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def transaction(**changes: Any) -> Transaction:
    """The same, read."""
    return Transaction.model_validate(transaction_json(**changes))
