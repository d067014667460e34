"""What every feature store keeps. A new backend adds itself to ``BACKENDS``."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bentos.core.errors import ArtifactIncompatible
from bentos.core.features import FEATURE_NAMES, feature_table
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import read_snapshot, write_snapshot
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store import EmbeddedStore, FeatureRows, FeatureStore
from bentos.fraud.store.file import now_microseconds
from bentos.fraud.store.redis_store import RedisPlace, RedisStore
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.servers.redis import RedisServer, running_redis

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


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that is empty, as its opener takes it."""
    if backend == "embedded":
        return str(tmp_path)
    return f"{request.getfixturevalue('redis_server').url} {{{tmp_path.name}}}:"


@pytest.fixture
def opened(backend: str, place: str) -> Iterator[Opener]:
    """Opens the same store as often as asked, as each worker does."""
    stores: list[FeatureStore] = []

    def open_store(**how: Any) -> FeatureStore:
        stores.append(BACKENDS[backend](place, **how))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def payment(number: int, **fields: object) -> Transaction:
    table = canonical([{"transaction_id": f"t{number}", "timestamp": START + number * DAY / 24, **fields}])
    return transactions(table)[0]


def look_up(store: FeatureStore, *items: Transaction, record: bool) -> FeatureRows:
    """Feature rows of transactions."""
    return asyncio.run(_looked_up(store, items, [record] * len(items)))


async def _looked_up(store: FeatureStore, items: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
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
    asyncio.run(_looked_up(store, items, [True, False, True, False]))
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
    store.label(SECRET.event(fraud), microseconds(START + 2 * DAY))
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


def _record(backend: str, place: str, part: int) -> None:
    store = BACKENDS[backend](place)
    for number in range(20):
        values(store, payment(0, transaction_id=f"{part}.{number}"), record=True)
    store.close()


def test_processes_lose_nothing(opened: Opener, backend: str, place: str) -> None:
    store = opened()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record, args=(backend, place, part)) for part in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert count_1d(store, payment(1)) == 61


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


def test_a_failing_store_gives_defaults_and_says_so(opened: Opener) -> None:
    store = opened()
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


def rate_7d(store: FeatureStore, number: int) -> float:
    return float(values(store, payment(number), record=False)[FEATURE_NAMES.index("merchant_fraud_rate_7d")])


def test_a_label_can_be_taken_back_and_given_again(opened: Opener) -> None:
    store = opened()
    fraud = payment(0)
    values(store, fraud, record=True)
    event = SECRET.event(fraud)
    store.label(event, microseconds(START + 9 * DAY))
    assert [rate_7d(store, 24 * days) for days in (8, 9)] == [0, 1]
    # The earliest counts.
    store.label(event, microseconds(START + 10 * DAY))
    assert rate_7d(store, 24 * 9) == 1
    store.label(event, None)
    assert rate_7d(store, 24 * 9) == 0
    store.label(event, microseconds(START + 10 * DAY))
    assert [rate_7d(store, 24 * days) for days in (9, 10)] == [0, 1]


def test_a_label_of_what_is_not_there_changes_nothing(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    for until in (microseconds(START), None):
        store.label(SECRET.event(payment(3)), until)
    assert rate_7d(store, 24 * 8) == 0


def test_a_key_is_forgotten(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    assert store.erase(CUSTOMER, payment(0).customer_id)
    assert not opened().erase(CUSTOMER, payment(0).customer_id)
    row = values(store, payment(24 * 8), record=False)
    assert row[FEATURE_NAMES.index("customer_transactions_30d")] == 1
    assert row[FEATURE_NAMES.index("merchant_transactions_30d")] == 1


def test_the_newest_event_is_known(opened: Opener) -> None:
    store = opened(clock=lambda: microseconds(START + 40 * DAY))
    assert store.newest() is None
    for number in (5, 2):
        values(store, payment(number), record=True)
    assert store.newest() == microseconds(payment(5).timestamp)
    values(store, payment(7), record=False)
    assert opened().newest() == microseconds(payment(5).timestamp)
    # A wrong date counts as a day ahead of the clock at most.
    values(store, payment(24 * 500), record=True)
    assert store.newest() == microseconds(START + 41 * DAY)


def test_a_date_far_ahead_pushes_out_no_history(opened: Opener) -> None:
    store = opened(clock=lambda: microseconds(START + 2 * DAY))
    values(store, payment(0), record=True)
    values(store, payment(24 * 500), record=True)
    assert count_1d(store, payment(1)) == 2


def test_what_left_every_window_leaves_the_store(opened: Opener) -> None:
    store = opened()
    values(store, payment(0), record=True)
    values(store, payment(24 * 38), record=True)
    taken = store.extract({kind: [getattr(payment(0), kind.column)] for kind in KINDS})
    assert [len(taken.states[kind.name].cells) for kind in KINDS] == [1, 1, 1]


def test_events_of_one_instant_keep_their_order_of_arrival(opened: Opener) -> None:
    store = opened()
    for number, amount in enumerate([1.0, 2.0, 3.0]):
        values(store, payment(0, transaction_id=f"t{number}", amount=amount), record=True)
    taken = store.extract({CUSTOMER: [payment(0).customer_id]})
    assert taken.states["customer"].cells["amount"].tolist() == [1.0, 2.0, 3.0]


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


def _record_the_same(backend: str, place: str, _: int) -> None:
    store = BACKENDS[backend](place)
    for number in range(20):
        values(store, payment(0, transaction_id=f"same{number}"), record=True)
    store.close()


def test_processes_that_send_the_same_count_it_once(opened: Opener, backend: str, place: str) -> None:
    store = opened()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_record_the_same, args=(backend, place, part)) for part in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert count_1d(store, payment(1)) == 21


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
