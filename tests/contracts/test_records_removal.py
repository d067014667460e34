"""What every database of the records has to forget: what is old, and who asks for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Unavailable
from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.records.filters import Filters
from bentos.fraud.records.labels import GivenLabel, apply_labels
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.retention import Removed, erase_customer, erase_labels, expire
from bentos.fraud.records.reviews import claim
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import CLAIMS, LABEL_HISTORY, LABEL_OUTBOX, LABELS
from tests.contracts.recorded import DAY, Store, all_ids, count, with_hashes
from tests.fraud.records.predicted import Book, now, opened, predicted
from tests.fraud.requests import transaction


def test_what_is_too_old_is_removed_with_its_labels(book: Book) -> None:
    at = now()
    book.keep(*(predicted(f"old-{number}") for number in range(1500)), at=at - 401 * DAY)
    book.keep(predicted("young"), predicted("old-1"), version="8", at=at)
    for name in ("old-0", "old-1", "young"):
        book.label(name, "fraud")
    claim(book.database, "old-0", "ann")
    assert expire(book.database, book.settings, at, lambda: False) == (Removed(predictions=1500, labels=1), True)
    assert sorted(all_ids(book)) == ["old-1", "young"]
    # The other model's prediction keeps its label.
    assert sorted(all_ids(book, label="fraud")) == ["old-1", "young"]
    assert count(book, LABELS) == count(book, LABEL_HISTORY) == count(book, LABEL_OUTBOX) == 2
    assert count(book, CLAIMS) == 0
    assert expire(book.database, book.settings, at, lambda: False) == (Removed(), True)


def test_a_label_that_waits_too_long_is_removed(book: Book) -> None:
    book.label("never seen", "fraud")
    assert expire(book.database, book.settings, now() + 89 * DAY, lambda: False) == (Removed(), True)
    assert expire(book.database, book.settings, now() + 91 * DAY, lambda: False) == (Removed(labels=1), True)
    assert count(book, LABELS) == count(book, LABEL_HISTORY) == 0


def test_a_customer_is_erased(book: Book) -> None:
    book.keep(predicted("t-1"), predicted("t-2", customer_id="c-2"))
    hashing = Book(RecordsSettings(**with_hashes(book.settings)))
    hashing.keep(predicted("t-3"))
    for name in ("t-1", "t-2", "t-3", "never seen"):
        book.label(name, "fraud")
    claim(book.database, "t-1", "ann")
    assert erase_customer(hashing.database, hashing.identifiers, "customer-1") == Removed(predictions=2, labels=2)
    assert all_ids(book) == ["t-2"]
    assert count(book, LABELS) == count(book, LABEL_HISTORY) == 2
    assert count(book, LABEL_OUTBOX) == 1
    assert count(book, CLAIMS) == 0
    assert erase_labels(book.database, ["never seen", "t-9"]) == Removed(labels=1)
    hashing.database.close()


def test_hashed_identifiers_are_found_and_labelled(book: Book) -> None:
    hashing = Book(RecordsSettings(**with_hashes(book.settings)))
    hashing.keep(predicted("t-1"))
    (kept,) = hashing.queries.predictions(Filters(customer_id="customer-1"), 10, features=False).predictions
    pseudonyms = Pseudonyms("secret")
    assert kept.customer_id == pseudonyms.key(CUSTOMER, "customer-1").hex()
    assert kept.merchant_id == pseudonyms.key(MERCHANT, "merchant-1").hex()
    # What was kept before stays, and is found as well.
    book.keep(predicted("t-0"))
    assert all_ids(hashing, customer_id="customer-1") == ["t-0", "t-1"]
    assert all_ids(hashing, merchant_id="merchant-1", customer_id="customer-1") == ["t-0", "t-1"]
    # Who has not the key does not find it by guessing the hash.
    assert all_ids(book, customer_id=kept.customer_id) == []
    hashing.labels(GivenLabel("t-1", "fraud", 1000))
    store = Store()
    Outbox(hashing.database, store).deliver()  # type: ignore[arg-type]
    assert store.told == [(pseudonyms.event(transaction(transaction_id="t-1")), 1000)]
    assert store.told[0][0].keys.endswith(pseudonyms.key(CATEGORY, "grocery"))
    hashing.database.close()


def test_what_is_too_old_is_removed_in_parts(book: Book) -> None:
    at = now()
    book.keep(*(predicted(f"old-{number}") for number in range(1500)), at=at - 401 * DAY)
    assert expire(book.database, book.settings, at, lambda: True) == (Removed(predictions=1000), False)
    assert expire(book.database, book.settings, at, lambda: True) == (Removed(predictions=500), True)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
@pytest.mark.parametrize("how", ["expire", "erase"])
def test_a_label_that_comes_meanwhile_goes_with_its_prediction(book: Book, how: str) -> None:
    at = now()
    book.keep(predicted("t-1"), at=at - 401 * DAY)

    def remove() -> None:
        if how == "expire":
            expire(book.database, book.settings, at, lambda: False)
        else:
            erase_customer(book.database, book.identifiers, "customer-1")

    with ThreadPoolExecutor(1) as threads:
        with book.database.begin() as connection:
            apply_labels(connection, book.identifiers, [GivenLabel("t-1", "fraud", 1000)], at)
            removing = threads.submit(remove)
            while not (removing.done() or _waits_for_a_lock(book)):
                time.sleep(0.01)
        removing.result()
    assert all_ids(book) == []
    assert count(book, LABELS) == count(book, LABEL_HISTORY) == count(book, LABEL_OUTBOX) == 0


def _waits_for_a_lock(book: Book) -> bool:
    with book.database.read() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(connection.exec_driver_sql(waiting).scalar_one())


@pytest.fixture
def file(settings: RecordsSettings) -> Path:
    """Of SQLite's database."""
    return settings.home / "serving" / "records.db"


def _holds(file: Path, name: str) -> bool:
    return any(name.encode() in path.read_bytes() for path in file.parent.glob(f"{file.name}*"))


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_nothing_of_the_erased_stays_in_the_file(book: Book, file: Path) -> None:
    at = now()
    book.keep(*(predicted(f"old-{number}", customer_id="somebody") for number in range(1500)), at=at - 401 * DAY)
    book.keep(predicted("young", customer_id="somebody"), predicted("t-1"))
    assert _holds(file, "somebody")
    # What goes for its age leaves free pages, which an erasure does not find.
    expire(book.database, book.settings, at, lambda: False)
    erase_customer(book.database, book.identifiers, "somebody")
    assert not _holds(file, "somebody")
    assert all_ids(book) == ["t-1"]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_an_erasure_that_the_journal_outlives_says_so(settings: RecordsSettings, file: Path) -> None:
    with opened(settings.model_copy(update={"records_timeout_seconds": 0.2})) as book:
        book.keep(predicted("t-1", customer_id="somebody"))
        with book.database.read() as reader:
            reader.exec_driver_sql("BEGIN")
            assert reader.exec_driver_sql("SELECT count(*) FROM predictions").scalar_one() == 1
            with pytest.raises(Unavailable, match="write-ahead log"):
                erase_customer(book.database, book.identifiers, "somebody")
        erase_customer(book.database, book.identifiers, "somebody")
        assert not _holds(file, "somebody")
