"""Transactions for tests of the embedded store, and short ways to ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from bentos.core.features import FEATURE_NAMES
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction
from bentos.fraud.store import EmbeddedStore, FeatureRows
from bentos.fraud.store.file import now_microseconds

SECRET = Pseudonyms("secret")
#: Place in the file's header of the boot it was last used in; see _states.h.
BOOT = 64
START = datetime(2026, 3, 1, tzinfo=UTC)


def payment(number: int, customer: str = "c0", merchant: str = "m0") -> Transaction:
    """The n-th transaction, a minute after the one before."""
    return Transaction(
        transaction_id=f"t{number}",
        customer_id=customer,
        merchant_id=merchant,
        amount=10.0,
        timestamp=START + timedelta(minutes=number),
    )


def open_store(
    folder: Path, capacity_bytes: int = 1 << 30, clock: Callable[[], int] = now_microseconds
) -> EmbeddedStore:
    """The store in a folder."""
    return EmbeddedStore(folder / "features.states", SECRET, capacity_bytes, clock)


def look_up(store: EmbeddedStore, *items: Transaction, record: bool = True) -> FeatureRows:
    """Feature rows of transactions."""
    return asyncio.run(store.lookup_many(items, [record] * len(items)))


def count_30d(store: EmbeddedStore, customer: str = "c0") -> int:
    """Recorded transactions of a customer, of those that :func:`payment` makes."""
    item = payment(40_000, customer).model_copy(update={"timestamp": START + timedelta(days=29)})
    rows = look_up(store, item, record=False)
    assert list(rows.degraded) == [()]
    return int(rows.values[0][FEATURE_NAMES.index("customer_transactions_30d")]) - 1


def historic(rows: FeatureRows) -> np.ndarray:
    """Counts of the customers' transactions in 30 days."""
    return rows.values[:, FEATURE_NAMES.index("customer_transactions_30d")]
