"""Labels on their way from every database to every feature store: each counts once, whoever is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from pydantic import SecretStr

from bentos.core.features.pseudonyms import EventKey
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.store import Delivery, FeatureStore
from tests.contracts.feature_stores import BACKENDS, Opener, folded, frauds
from tests.fraud.records.predicted import Book, predicted


@pytest.fixture
def settings(settings: RecordsSettings) -> RecordsSettings:
    """Of records that name transactions as the stores do."""
    return settings.model_copy(update={"pseudonym_key": SecretStr("secret")})


class Between:
    """A store with something that happens before or after a label is told."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def before(self) -> None:
        """Happens before."""

    def after(self) -> None:
        """Happens after."""

    def label(self, event: EventKey, label_time: int | None, delivery: Delivery) -> None:
        self.before()
        self._store.label(event, label_time, delivery)
        self.after()


class _Deadly(Between):
    def after(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def _deliver_killed(backend: str, place: str, settings: RecordsSettings) -> None:
    """Tell the store of the first label, and be killed before the database knows."""
    Outbox(Book(settings).database, _Deadly(BACKENDS[backend](place))).deliver()  # type: ignore[arg-type]


def _label(book: Book, store: FeatureStore) -> None:
    item = folded(store)
    book.keep(
        predicted(
            "f0",
            customer_id="c0",
            merchant_id=item.merchant_id,
            timestamp=item.timestamp.isoformat(),
            merchant_category=item.merchant_category,
        )
    )
    book.label("f0", "fraud")


def test_a_killed_deliverer_counts_nothing_twice(opened: Opener, backend: str, place: str, book: Book) -> None:
    store = opened()
    _label(book, store)
    process = multiprocessing.get_context("spawn").Process(target=_deliver_killed, args=(backend, place, book.settings))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert frauds(store) == [1, 1]
    assert book.queries.status()["features to tell"] == 1
    outbox = Outbox(book.database, store)
    assert outbox.deliver() == 1
    assert outbox.deliver() == 0
    assert frauds(store) == [1, 1]
    # It is not deaf from now on.
    book.label("f0", "legitimate")
    assert outbox.deliver() == 1
    assert frauds(store) == [0, 0]


def test_two_deliverers_at_once_count_nothing_twice(opened: Opener, book: Book) -> None:
    store = opened()
    _label(book, store)
    book.label("f0", "legitimate")
    book.label("f0", "fraud")
    other = Outbox(book.database, store)

    class Slow(Between):
        """Stands still, long enough for its lease to end, with labels that it has read in its hands."""

        def before(self) -> None:
            other.deliver()

    Outbox(book.database, Slow(store)).deliver()  # type: ignore[arg-type]
    assert frauds(store) == [1, 1]
    assert book.queries.status()["features to tell"] == 0


def test_a_database_from_a_backup_is_heard(opened: Opener, book: Book) -> None:
    store = opened()
    _label(book, store)
    outbox = Outbox(book.database, store)
    outbox.deliver()
    with book.database.begin() as connection:
        # As it was before it gave the serials that the store has seen.
        connection.exec_driver_sql("UPDATE label_sources SET serial = 0")
    book.label("f0", "legitimate")
    assert outbox.deliver() == 1
    assert frauds(store) == [0, 0]
