"""What every feature store keeps: looking up and recording."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading

import numpy as np
import pytest

from bentos.core.features import FEATURE_NAMES, feature_table
from bentos.core.features.history import CUSTOMER
from bentos.core.transaction import microseconds
from tests.contracts.feature_stores import (
    BACKENDS,
    Opener,
    count_1d,
    look_up,
    looked_up,
    payment,
    values,
)
from tests.core.features.tables import DAY, START, canonical, transactions


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
    asyncio.run(looked_up(store, items, [True, False, True, False]))
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


def test_events_of_one_instant_keep_their_order_of_arrival(opened: Opener) -> None:
    store = opened()
    for number, amount in enumerate([1.0, 2.0, 3.0]):
        values(store, payment(0, transaction_id=f"t{number}", amount=amount), record=True)
    taken = store.extract({CUSTOMER: [payment(0).customer_id]})
    assert taken.states["customer"].cells["amount"].tolist() == [1.0, 2.0, 3.0]


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
