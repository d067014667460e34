"""What every feature store keeps: whole states, taken over, read, forgotten, bounded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bentos.core.errors import ArtifactIncompatible
from bentos.core.features import FEATURE_NAMES
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from bentos.fraud.store import EmbeddedStore
from tests.contracts.feature_stores import (
    SECRET,
    Opener,
    count_1d,
    look_up,
    payment,
    values,
)
from tests.core.features.tables import DAY, START, canonical


def test_a_snapshot_fills_a_new_store_once(opened: Opener, tmp_path: Path) -> None:
    write_snapshot(canonical([{"timestamp": START, "transaction_id": "t0"}]), tmp_path / "s.npz", SECRET)
    snapshot = read_snapshot(tmp_path / "s.npz")
    store = opened()
    assert store.fill(snapshot)
    assert not store.fill(snapshot)
    assert not opened().fill(snapshot)
    assert count_1d(store, payment(1)) == 2


def test_a_snapshot_with_another_key_is_refused(opened: Opener, tmp_path: Path) -> None:
    write_snapshot(canonical([{"timestamp": START}]), tmp_path / "s.npz", Pseudonyms("other"))
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        opened().fill(read_snapshot(tmp_path / "s.npz"))


def test_a_store_with_another_key_is_refused(opened: Opener) -> None:
    opened()
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        opened(names=Pseudonyms("other"))


def test_a_key_is_forgotten(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    assert store.erase(CUSTOMER, payment(0).customer_id)
    assert not opened().erase(CUSTOMER, payment(0).customer_id)
    row = values(store, payment(24 * 8), record=False)
    assert row[FEATURE_NAMES.index("customer_transactions_30d")] == 1
    assert row[FEATURE_NAMES.index("merchant_transactions_30d")] == 1


def test_what_left_every_window_leaves_the_store(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    values(store, payment(24 * 38), record=True)
    taken = store.extract({kind: [getattr(payment(0), kind.column)] for kind in KINDS})
    assert [len(taken.states[kind.name].cells) for kind in KINDS] == [1, 1, 1]


def test_extracted_states_fill_another_store(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    for number in range(5):
        values(store, payment(number), record=True)
    item = payment(6)
    taken = store.extract({kind: [getattr(item, kind.column), "unknown"] for kind in KINDS})
    other = EmbeddedStore(tmp_path / "other.states", SECRET)
    assert other.fill(taken)
    np.testing.assert_array_equal(values(other, item, record=False), values(store, item, record=False))
    assert other.newest() == store.newest()
    other.close()


def test_adding_a_snapshot_again_changes_nothing(opened: Opener, tmp_path: Path) -> None:
    write_snapshot(canonical([{"timestamp": START, "transaction_id": "t0"}]), tmp_path / "s.npz", SECRET)
    store = opened()
    values(store, payment(1, customer_id="begun"), record=True)
    for _ in range(2):
        store.add(read_snapshot(tmp_path / "s.npz"))
    assert count_1d(store, payment(1)) == 2
    assert count_1d(store, payment(2, customer_id="begun")) == 2


def test_a_key_of_100_000_events_stays_bounded(opened: Opener) -> None:
    store = opened()
    start = payment(0)
    for first in range(0, 100_000, 2_000):
        items = [
            start.model_copy(
                update={
                    "transaction_id": f"b{first + number}",
                    "customer_id": f"c{number % 50}",
                    "timestamp": start.timestamp + (first + number) * DAY / 2_500,
                }
            )
            for number in range(2_000)
        ]
        rows = look_up(store, *items, record=True)
        assert not any(rows.degraded)
    taken = store.extract({kind: [getattr(start, kind.column)] for kind in KINDS})
    for kind in (MERCHANT, CATEGORY):
        states = taken.states[kind.name]
        assert states.buckets[0] <= 37 * 24 + 1
        assert len(states.cells) - states.buckets[0] == 4096
