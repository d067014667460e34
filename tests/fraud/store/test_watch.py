"""How old the features are, and what is said when they are too old."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from bentos.core.transaction import microseconds
from bentos.fraud.store.watch import STALE, StoreWatch, WatchedStore
from tests.fraud.store.payments import look_up, open_store, payment


def test_old_features_are_named(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    item = payment(0)
    look_up(store, item)
    told = threading.Event()
    ages: list[float] = []

    def on_age(age: float) -> None:
        ages.append(age)
        told.set()

    now = microseconds(item.timestamp) + 90_000_000
    watch = StoreWatch(store, on_age, limit_seconds=60, clock=lambda: now)
    watched = WatchedStore(store, watch)
    assert told.wait(10)
    assert ages[0] == 90
    rows = asyncio.run(watched.lookup_many([item], [False]))
    assert rows.degraded == [(STALE,)]
    assert "90 s old, allowed are 60 s" in str(watched.check())
    watched.close()


def test_fresh_features_and_no_limit_say_nothing(tmp_path: Path) -> None:
    item = payment(0)
    now = microseconds(item.timestamp) + 90_000_000
    for limit in (None, 100.0):
        store = open_store(tmp_path)
        look_up(store, item)
        told = threading.Event()
        watched = WatchedStore(store, StoreWatch(store, lambda _, told=told: told.set(), limit, clock=lambda: now))
        assert told.wait(10)
        assert asyncio.run(watched.lookup_many([item], [False])).degraded == [()]
        assert watched.check() is None
        watched.close()
