"""What every feature store keeps. A new backend adds itself to ``BACKENDS``."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bentos.core.errors import ArtifactIncompatible
from bentos.core.features import FEATURE_NAMES, feature_table
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import EmbeddedStore, FeatureRows, FeatureStore
from tests.core.features.tables import DAY, START, canonical, transactions

SECRET = Pseudonyms("secret")
Opener = Callable[[], FeatureStore]


def _embedded(folder: Path) -> FeatureStore:
    return EmbeddedStore(folder / "features.states", SECRET)


BACKENDS: dict[str, Callable[[Path], FeatureStore]] = {"embedded": _embedded}


@pytest.fixture(params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same store as often as asked, as each worker does."""
    stores: list[FeatureStore] = []

    def open_store() -> FeatureStore:
        stores.append(BACKENDS[request.param](tmp_path))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def payment(number: int, **fields: object) -> Transaction:
    table = canonical([{"transaction_id": f"t{number}", "timestamp": START + number * DAY / 24, **fields}])
    return transactions(table)[0]


def look_up(store: FeatureStore, *items: Transaction, record: bool) -> FeatureRows:
    """Feature rows of transactions."""
    return asyncio.run(store.lookup_many(items, [record] * len(items)))


def values(store: FeatureStore, item: Transaction, *, record: bool) -> np.ndarray:
    """Feature row of one transaction, float64 [21]; fails when it is degraded."""
    rows = look_up(store, item, record=record)
    assert rows.degraded == [()]
    return rows.values[0]


def count_1d(store: FeatureStore, item: Transaction) -> float:
    return float(values(store, item, record=False)[FEATURE_NAMES.index("customer_transactions_1d")])


def test_rows_equal_the_table(opened: Opener) -> None:
    generator = np.random.default_rng(0)
    table = canonical(
        [
            {
                "customer_id": f"c{generator.integers(3)}",
                "merchant_id": f"m{generator.integers(3)}",
                "amount": float(generator.lognormal(3, 1)),
                "timestamp": START + DAY * float(generator.uniform(0, 60)),
            }
            for _ in range(200)
        ]
    )
    store = opened()
    rows = [values(store, item, record=True) for item in transactions(table)]
    np.testing.assert_allclose(rows, feature_table(table), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [2, 7, 100])
def test_rows_of_a_batch_see_each_other(opened: Opener, size: int) -> None:
    rows = look_up(opened(), *(payment(0, transaction_id=f"t{n}") for n in range(size)), record=True)
    counts = rows.values[:, FEATURE_NAMES.index("customer_transactions_1d")]
    np.testing.assert_array_equal(counts, np.arange(size) + 1)
    assert list(rows.degraded) == [()] * size


def test_a_batch_records_what_it_is_told_to(opened: Opener) -> None:
    store = opened()
    items = [payment(0, transaction_id=f"t{n}") for n in range(4)]
    asyncio.run(store.lookup_many(items, [True, False, True, False]))
    assert count_1d(store, payment(1)) == 3


def test_what_one_worker_records_another_sees(opened: Opener) -> None:
    first, second = opened(), opened()
    values(first, payment(0), record=True)
    assert count_1d(second, payment(1)) == 2


def test_nothing_is_recorded_unless_asked(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=False)
    assert count_1d(store, payment(1)) == 1


def test_a_repeated_id_counts_once_and_does_not_see_itself(opened: Opener) -> None:
    store = opened()
    once = values(store, payment(0), record=True)
    again = values(store, payment(0), record=True)
    np.testing.assert_array_equal(once, again)
    assert count_1d(store, payment(1)) == 2


def test_a_late_transaction_is_scored_at_its_own_time(opened: Opener) -> None:
    store = opened()
    values(store, payment(5), record=True)
    late = values(store, payment(2), record=True)
    assert late[FEATURE_NAMES.index("customer_transactions_1d")] == 1
    assert count_1d(store, payment(6)) == 3


def test_labels_count_after_the_delay(opened: Opener) -> None:
    store = opened()
    fraud = payment(0)
    values(store, fraud, record=True)
    store.label(fraud, microseconds(START + 2 * DAY))
    rate = FEATURE_NAMES.index("merchant_fraud_rate_7d")
    assert values(store, payment(24 * 7 - 1), record=False)[rate] == 0
    assert values(store, payment(24 * 7), record=False)[rate] == 1


def test_threads_lose_nothing(opened: Opener) -> None:
    store = opened()
    threads = [
        threading.Thread(
            target=lambda part=part: [
                values(store, payment(0, transaction_id=f"{part}.{n}"), record=True) for n in range(20)
            ]
        )
        for part in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count_1d(store, payment(1)) == 81


def _record(folder: Path, part: int) -> None:
    store = _embedded(folder)
    for number in range(20):
        values(store, payment(0, transaction_id=f"{part}.{number}"), record=True)
    store.close()


def test_processes_lose_nothing(tmp_path: Path) -> None:
    _embedded(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record, args=(tmp_path, part)) for part in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    store = _embedded(tmp_path)
    assert count_1d(store, payment(1)) == 61
    store.close()


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


def test_an_embedded_store_with_another_key_is_refused(tmp_path: Path) -> None:
    _embedded(tmp_path).close()
    with pytest.raises(ArtifactIncompatible, match="FRAUD_PSEUDONYM_KEY"):
        EmbeddedStore(tmp_path / "features.states", Pseudonyms("other"))


def test_a_failing_store_gives_defaults_and_says_so(tmp_path: Path) -> None:
    store = _embedded(tmp_path)
    values(store, payment(0, amount=70.0), record=True)
    store.close()
    for count in (1, 9):
        rows = look_up(store, *(payment(number, amount=80.0) for number in range(count)), record=True)
        for row, degraded in zip(rows.values, rows.degraded, strict=True):
            assert row[FEATURE_NAMES.index("amount")] == 80.0
            assert row[FEATURE_NAMES.index("customer_transactions_1d")] == 1.0
            assert row[FEATURE_NAMES.index("minutes_since_last_transaction")] == 43_200.0
            assert "customer_average_amount_30d" in degraded
            assert "amount" not in degraded
    assert store.check() is not None
