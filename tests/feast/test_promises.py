"""What the store in Feast promises beside the contract, and what it cannot (docs/feast.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.core.errors import ArtifactIncompatible, ConfigError, Unavailable
from bentos.core.features.history import EXACT_EVENTS, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import Delivery, EmbeddedStore
from bentos.fraud.store.feast_repository import OnlineStore, write_repository
from bentos.fraud.store.feast_store import FeastPlace, FeastStore
from bentos.fraud.store.feast_views import VIEWS, View
from tests.contracts.feature_stores import count_1d, look_up, payment, values
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.feast.conftest import Machines
from tests.feast.repositories import NEEDS_FEAST, SECRET
from tests.servers.redis import RedisServer

pytestmark = NEEDS_FEAST


def test_machines_may_lose_each_others_transactions(machine: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a promise: Feast has no step that reads and writes. On one machine the lock file sees to it."""
    one, other = machine("one"), machine("other")
    values(one, payment(0), record=True)
    rows = one._keys._rows
    write, between = rows.write, [payment(1)]

    def write_later(view: View, changed: Any) -> None:
        while between:
            values(other, between.pop(), record=True)
        write(view, changed)

    monkeypatch.setattr(rows, "write", write_later)
    values(one, payment(2), record=True)
    # The one in between is lost; what follows counts on.
    assert count_1d(one, payment(3)) == 3
    values(other, payment(1), record=True)
    assert count_1d(one, payment(3)) == 4


def test_any_history_gives_the_rows_and_states_of_the_embedded_store(machine: Machines, tmp_path: Path) -> None:
    stores = [machine(), EmbeddedStore(tmp_path / "beside.states", SECRET)]
    generator = np.random.default_rng(4)
    table = canonical(
        [
            {
                "transaction_id": f"t{number}",
                "customer_id": f"c{generator.integers(3)}",
                "merchant_id": f"m{generator.integers(3)}",
                "amount": float(generator.choice([0.0, 12.5, 1e7, generator.lognormal(3, 1)])),
                "timestamp": START + DAY * float(generator.choice([10, generator.uniform(0, 45)])),
            }
            for number in range(120)
        ]
    )
    items = transactions(table)
    generator.shuffle(items)
    for start in range(0, len(items), 5):
        part = items[start : start + 5]
        record = (generator.uniform(size=len(part)) < 0.8).tolist()
        first, second = (asyncio.run(store.lookup_many(part, record)) for store in stores)
        np.testing.assert_array_equal(first.values, second.values)
        item = items[generator.integers(len(items))]
        until = None if generator.uniform() < 0.3 else microseconds(START + DAY * float(generator.uniform(0, 50)))
        for store in stores:
            store.label(SECRET.event(item), until)
    keys = {kind: sorted({str(getattr(item, kind.column)) for item in items}) for kind in KINDS}
    first_states, second_states = (store.extract(keys).states for store in stores)
    for kind in KINDS:
        for part_name in ("hashes", "offsets", "buckets", "cells"):
            left, right = (getattr(states[kind.name], part_name) for states in (first_states, second_states))
            np.testing.assert_array_equal(left, right, err_msg=f"{kind.name}.{part_name}")
    stores[1].close()


def folded(store: FeastStore) -> Transaction:
    """A payment that its merchant and its category hold in an hour only."""
    first = payment(0)
    for start in range(0, EXACT_EVENTS + 100, 500):
        items = [
            first.model_copy(
                update={
                    "transaction_id": f"f{number}",
                    "customer_id": f"c{number % 20}",
                    "timestamp": first.timestamp + number * DAY / 86_400,
                }
            )
            for number in range(start, start + 500)
        ]
        assert not any(look_up(store, *items, record=True).degraded)
    return first.model_copy(update={"transaction_id": "f0", "customer_id": "c0"})


def test_a_label_that_was_broken_off_goes_on_when_told_again(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine()
    event = SECRET.event(folded(store))
    rows = store._keys._rows
    write = rows.write

    def break_off(view: View, changed: Any) -> None:
        if changed and view is not VIEWS[MERCHANT]:
            raise ConnectionError("away after the merchant")
        write(view, changed)

    delivery = Delivery(bytes(range(16)), 3)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "write", break_off)
        with pytest.raises(Unavailable):
            store.label(event, event.time, delivery)
    for _ in range(2):
        store.label(event, event.time, delivery)
    taken = store.extract({kind: [getattr(payment(0), kind.column)] for kind in KINDS[1:]})
    assert [int(taken.states[kind.name].cells["frauds"].sum()) for kind in KINDS[1:]] == [1, 1]


def test_a_transaction_that_was_broken_off_is_completed_by_its_repeat(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine()
    rows = store._keys._rows
    write = rows.write

    def break_off(view: View, changed: Any) -> None:
        if changed and view is VIEWS[MERCHANT]:
            raise ConnectionError("away after the customer")
        write(view, changed)

    with monkeypatch.context() as patch:
        patch.setattr(rows, "write", break_off)
        assert look_up(store, payment(0), record=True).degraded[0]
    values(store, payment(0), record=True)
    taken = store.extract({kind: [getattr(payment(0), kind.column)] for kind in KINDS})
    assert [len(taken.states[kind.name].cells) for kind in KINDS] == [1, 1, 1]


def test_a_repository_that_was_not_applied_is_refused(tmp_path: Path) -> None:
    write_repository(tmp_path, SECRET.fingerprint(), "fraud", "sqlite")
    with pytest.raises(ConfigError, match="feast apply"):
        FeastStore(FeastPlace(tmp_path, tmp_path / "lock"), SECRET)


def test_a_repository_of_another_key_is_refused(repository: Path) -> None:
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        FeastStore(FeastPlace(repository, repository / "lock"), Pseudonyms("other"))


@pytest.fixture
def own_server(
    feast_repository: Callable[[OnlineStore], Path], feast_redis: RedisServer, tmp_path: Path
) -> tuple[Path, RedisServer]:
    """A repository whose Redis may be killed."""
    repository = feast_repository("redis")
    server = RedisServer(tmp_path)
    settings = repository / "feature_store.yaml"
    text = settings.read_text().replace(f":{feast_redis.port}", f":{server.port}")
    settings.write_text(text.replace("timeout=30", "timeout=1"))
    return repository, server


def test_a_server_that_is_away_costs_features_only_and_is_found_again(own_server: tuple[Path, RedisServer]) -> None:
    repository, server = own_server
    store = FeastStore(FeastPlace(repository, repository / "lock", timeout_seconds=30.0), SECRET)
    try:
        for _ in range(100):
            assert look_up(store, payment(0), record=True).degraded[0]
            if "circuit open" in str(store.check()):
                break
        assert "circuit open" in str(store.check())
        with pytest.raises(Unavailable, match="in Feast"):
            store.label(SECRET.event(payment(0)), None)
        server.start()
        # As each worker does once a second.
        assert store.newest() is None
        assert store.check() is None
        values(store, payment(7), record=True)
        assert count_1d(store, payment(8)) == 2
    finally:
        store.close()
        server.stop()


def test_the_text_of_a_failure_names_no_address(own_server: tuple[Path, RedisServer]) -> None:
    repository, server = own_server
    store = FeastStore(FeastPlace(repository, repository / "lock", timeout_seconds=30.0), SECRET)
    look_up(store, payment(0), record=True)
    assert str(server.port) not in str(store.check())
    store.close()
