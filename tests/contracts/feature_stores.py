"""The feature stores that the contract suite runs on, and how they are asked. A new one adds itself to ``BACKENDS``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bentos.core.features import FEATURE_NAMES
from bentos.core.features.history import CATEGORY, EXACT_EVENTS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction
from bentos.fraud.store import EmbeddedStore, FeatureRows, FeatureStore
from bentos.fraud.store.file import now_microseconds
from bentos.fraud.store.redis_link import RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.feast.repositories import HAS_FEAST, open_feast

SECRET = Pseudonyms("secret")
Opener = Callable[..., FeatureStore]
Clock = Callable[[], int]


def _embedded(place: str, names: Pseudonyms = SECRET, clock: Clock = now_microseconds) -> FeatureStore:
    return EmbeddedStore(Path(place) / "features.states", names, clock=clock)


def _redis(place: str, names: Pseudonyms = SECRET, clock: Clock = now_microseconds) -> FeatureStore:
    url, prefix = place.split()
    # A machine that tests keep busy is no reason for defaults.
    return RedisStore(RedisPlace(url, prefix, timeout_seconds=30.0), names, clock)


BACKENDS: dict[str, Opener] = {"embedded": _embedded, "redis": _redis}
#: `make feast` installs it.
if HAS_FEAST:
    BACKENDS |= {"feast-sqlite": open_feast, "feast-redis": open_feast}


def payment(number: int, **fields: object) -> Transaction:
    """The payment of an hour."""
    table = canonical([{"transaction_id": f"t{number}", "timestamp": START + number * DAY / 24, **fields}])
    return transactions(table)[0]


def look_up(store: FeatureStore, *items: Transaction, record: bool) -> FeatureRows:
    """Feature rows of transactions."""
    return asyncio.run(looked_up(store, items, [record] * len(items)))


async def looked_up(store: FeatureStore, items: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
    """Feature rows of transactions, and the loop's connections given back."""
    try:
        return await store.lookup_many(items, record)
    finally:
        await store.leave()


def values(store: FeatureStore, item: Transaction, *, record: bool) -> np.ndarray:
    """Feature row of one transaction, float64 [21]; fails when it is degraded."""
    rows = look_up(store, item, record=record)
    assert rows.degraded == [()]
    return rows.values[0]


def count_1d(store: FeatureStore, item: Transaction) -> float:
    """Its customer's payments of a day, itself included; nothing is recorded."""
    return float(values(store, item, record=False)[FEATURE_NAMES.index("customer_transactions_1d")])


def rate_7d(store: FeatureStore, number: int) -> float:
    """What the merchant's fraud rate is for the payment of an hour; nothing is recorded."""
    return float(values(store, payment(number), record=False)[FEATURE_NAMES.index("merchant_fraud_rate_7d")])


def folded(store: FeatureStore) -> Transaction:
    """A payment that its merchant and its category hold in an hour only."""
    first = payment(0)
    for start in range(0, EXACT_EVENTS + 100, 500):
        items = [
            first.model_copy(
                update={
                    "transaction_id": f"f{number}",
                    "customer_id": f"c{number % 200}",
                    "timestamp": first.timestamp + number * DAY / 86_400,
                }
            )
            for number in range(start, start + 500)
        ]
        assert not any(look_up(store, *items, record=True).degraded)
    return first.model_copy(update={"transaction_id": "f0", "customer_id": "c0"})


def frauds(store: FeatureStore) -> list[int]:
    """How many the merchant and the category of all payments have."""
    taken = store.extract({kind: [getattr(payment(0), kind.column)] for kind in (MERCHANT, CATEGORY)})
    return [int(taken.states[kind.name].cells["frauds"].sum()) for kind in (MERCHANT, CATEGORY)]
