"""What every database of the records has to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Conflict, NotFound, Unavailable
from bentos.core.features.history import CATEGORY, CUSTOMER, MERCHANT
from bentos.core.features.pseudonyms import EventKey, Pseudonyms
from bentos.core.transaction import microseconds
from bentos.fraud.records.database import upgrade
from bentos.fraud.records.filters import Filters, read_cursor
from bentos.fraud.records.labels import GivenLabel
from bentos.fraud.records.leases import CHORES, Lease
from bentos.fraud.records.metadata import METADATA
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.pending import join_left
from bentos.fraud.records.quality import ModelKey, count_quality, keep_quality, kept_quality
from bentos.fraud.records.retention import Removed, erase_customer, erase_labels, expire
from bentos.fraud.records.reviews import claim
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import CLAIMS, LABEL_HISTORY, LABEL_OUTBOX, LABELS, PREDICTIONS
from tests.fraud.records.predicted import REASON, Book, now, opened, predicted
from tests.fraud.requests import NOON, transaction
from tests.servers.postgresql import PostgresServer, running_postgres

DAY = 86_400_000_000


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A server for the tests of this module."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> RecordsSettings:
    """Of an empty database."""
    options: dict[str, Any] = {"home": tmp_path}
    if request.param == "postgresql":
        options["records_url"] = request.getfixturevalue("postgres").new_database()
    return RecordsSettings(**options)


@pytest.fixture
def book(settings: RecordsSettings) -> Iterator[Book]:
    """The records."""
    with opened(settings) as book:
        yield book


class Store:
    """Remembers what it was told, as far as it works."""

    def __init__(self) -> None:
        self.told: list[tuple[EventKey, int | None]] = []
        self.room = 1_000_000

    def label(self, event: EventKey, label_time: int | None) -> None:
        if len(self.told) >= self.room:
            raise Unavailable("the store is down")
        self.told.append((event, label_time))


def _count(book: Book, table: Any) -> int:
    with book.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _all(book: Book, **filters: Any) -> list[str]:
    found = book.queries.predictions(Filters(**filters), 100, features=False)
    return [prediction.transaction_id for prediction in found.predictions]


def _deliver(book: Book) -> list[int | None]:
    store = Store()
    Outbox(book.database, store).deliver()  # type: ignore[arg-type]
    return [label_time for _, label_time in store.told]


def test_tables_are_those_of_the_migrations(book: Book) -> None:
    with book.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_an_upgrade_may_be_repeated(book: Book) -> None:
    book.keep(predicted("t-1"))
    upgrade(book.settings)
    assert _all(book) == ["t-1"]


def test_upgrades_at_once_wait_for_each_other(settings: RecordsSettings) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [settings] * 4))
    with opened(settings) as book:
        assert book.keep(predicted("t-1")) == []


def test_a_prediction_is_kept_as_it_was_made(book: Book) -> None:
    at = now()
    pair = predicted(
        "t-1", decision="review", score=0.5, reasons=(REASON,), degraded=("hour", "model"), merchant_id="мерчант-1"
    )
    book.keep(pair, at=at)
    (kept,) = book.queries.predictions(Filters(), 10, features=True).predictions
    row, answer = pair
    assert kept.model_dump(include=set(answer.model_fields_set) - {"thresholds"}) == answer.model_dump(
        exclude={"thresholds"}
    )
    assert (kept.customer_id, kept.merchant_id, kept.merchant_category) == ("customer-1", "мерчант-1", "grocery")
    assert (kept.amount, kept.raw_score, kept.role) == (42.5, 0.5, "champion")
    assert kept.timestamp.isoformat() == NOON.isoformat()
    assert list((kept.features or {}).values()) == row.values.tolist()
    assert microseconds(kept.created_at) == at
    assert kept.label is None
    assert kept.claim is None


def test_the_first_prediction_of_a_model_wins(book: Book) -> None:
    book.keep(predicted("t-1", score=0.25), predicted("t-1", score=0.5))
    book.keep(predicted("t-1", score=0.75))
    book.keep(predicted("t-1", score=0.875), version="8", role="challenger")
    found = book.queries.predictions(Filters(), 10, features=False).predictions
    assert sorted((one.model.version, one.role, one.score) for one in found) == [
        ("7", "champion", 0.25),
        ("8", "challenger", 0.875),
    ]


def test_any_number_of_predictions_is_one_batch(book: Book) -> None:
    book.keep(*(predicted(f"t-{number}") for number in range(301)))
    assert _count(book, PREDICTIONS) == 301


def test_writers_of_the_same_transactions_do_not_block_each_other(book: Book) -> None:
    pairs = [predicted(f"t-{number}") for number in range(200)]

    def keep(order: list[Any]) -> None:
        other = Book(book.settings)
        other.keep(*order)
        other.database.close()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            list(threads.map(keep, [pairs, pairs[::-1]] * 2))
    assert _count(book, PREDICTIONS) == 200


def test_a_label_is_recorded_once(book: Book) -> None:
    book.keep(predicted("t-1", decision="block"))
    first, second = (book.labels(GivenLabel("t-1", "fraud", time, "chargeback", "ann"))[0] for time in (1000, 2000))
    assert (first.outcome.outcome, first.outcome.pending) == ("recorded", False)
    assert first.counts == ("block", "fraud_detector", "7", "champion")
    assert (second.outcome.outcome, second.counts) == ("unchanged", None)
    assert _count(book, LABEL_HISTORY) == 1
    (kept,) = book.queries.predictions(Filters(), 10, features=False).predictions
    assert kept.label is not None
    assert (kept.label.label, kept.label.source, kept.label.analyst) == ("fraud", "chargeback", "ann")
    assert microseconds(kept.label.label_time) == 1000


def test_a_changed_label_keeps_its_history(book: Book) -> None:
    book.keep(predicted("t-1"))
    outcomes = [book.label("t-1", label).outcome for label in ("fraud", "legitimate", "fraud")]
    assert outcomes == ["recorded", "changed", "changed"]
    with book.database.read() as connection:
        rows = connection.execute(select(LABEL_HISTORY).order_by(LABEL_HISTORY.c.revision)).all()
    assert [(row.revision, row.label) for row in rows] == [(1, "fraud"), (2, "legitimate"), (3, "fraud")]


def test_labels_of_one_call_are_applied_in_order(book: Book) -> None:
    book.keep(predicted("t-1"))
    given = [GivenLabel("t-1", label, 1000) for label in ("fraud", "fraud", "legitimate")]
    assert [one.outcome.outcome for one in book.labels(*given)] == ["recorded", "unchanged", "changed"]
    assert _all(book, label="legitimate") == ["t-1"]


def test_a_label_waits_for_its_prediction(book: Book) -> None:
    assert book.label("t-1", "fraud", 1000).pending
    assert book.label("t-1", "fraud", 2000).model_dump(include={"outcome", "pending"}) == {
        "outcome": "unchanged",
        "pending": True,
    }
    assert _deliver(book) == []
    (joined,) = book.keep(predicted("t-1", decision="review"), predicted("t-2"))
    assert joined.counts == ("review", "fraud_detector", "7", "champion")
    assert not book.label("t-1", "fraud").pending
    assert _deliver(book) == [1000]
    assert book.keep(predicted("t-1"), version="8") == []


def test_a_pending_label_that_changes_tells_the_store_of_the_last_only(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    book.label("t-1", "legitimate", 2000)
    book.keep(predicted("t-1"))
    assert _deliver(book) == []


def test_an_overlooked_label_is_joined_later(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    values = book.values(predicted("t-1"))
    with book.database.begin() as connection:
        # Written by one that does not look for labels, as if it had not seen it.
        connection.execute(PREDICTIONS.insert(), [dict(zip(_columns(), values[0], strict=True))])
    with book.database.begin() as connection:
        (joined,) = join_left(connection, book.identifiers, 10)
        assert join_left(connection, book.identifiers, 10) == []
    assert joined.outcome.transaction_id == "t-1"
    assert _deliver(book) == [1000]


def _columns() -> list[str]:
    return [column.name for column in PREDICTIONS.columns if column.name != "id"]


def test_the_store_is_told_of_changes_in_their_order(book: Book) -> None:
    book.keep(predicted("t-1"), predicted("t-2"))
    book.label("t-1", "fraud", 1000)
    book.label("t-2", "legitimate", 2000)
    book.label("t-1", "legitimate", 3000)
    store = Store()
    outbox = Outbox(book.database, store)  # type: ignore[arg-type]
    assert outbox.deliver() == 2
    assert outbox.deliver() == 0
    expected = Pseudonyms("").event(transaction(transaction_id="t-1"))
    assert store.told == [(expected, 1000), (expected, None)]


def test_a_store_that_fails_is_told_later(book: Book) -> None:
    book.keep(predicted("t-1"), predicted("t-2"))
    book.labels(GivenLabel("t-1", "fraud", 1000), GivenLabel("t-2", "fraud", 2000))
    store = Store()
    store.room = 1
    outbox = Outbox(book.database, store)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        outbox.deliver()
    store.room = 10
    assert outbox.deliver() == 1
    assert [label_time for _, label_time in store.told] == [1000, 2000]


def test_the_same_label_at_once_counts_once(book: Book) -> None:
    ids = [f"t-{number}" for number in range(30)]
    book.keep(*(predicted(name) for name in ids))
    ready = threading.Barrier(4)

    def label(order: list[str]) -> list[str]:
        other = Book(book.settings)
        ready.wait()
        found = [one.outcome.outcome for one in other.labels(*(GivenLabel(name, "fraud", 1000) for name in order))]
        other.database.close()
        return found

    with ThreadPoolExecutor(4) as threads:
        outcomes = [one for found in threads.map(label, [ids, ids[::-1]] * 2) for one in found]
    assert sorted(outcomes) == ["recorded"] * 30 + ["unchanged"] * 90
    assert _count(book, LABEL_HISTORY) == _count(book, LABEL_OUTBOX) == 30


def test_first_labels_that_differ_at_once_make_one_history(book: Book) -> None:
    ready = threading.Barrier(2)

    def label(value: Any) -> str:
        other = Book(book.settings)
        ready.wait()
        outcome = other.label("t-1", value).outcome
        other.database.close()
        return outcome

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(label, ["fraud", "legitimate"])) == ["changed", "recorded"]
    assert _count(book, LABELS) == 1
    assert _count(book, LABEL_HISTORY) == 2


def test_filters(book: Book) -> None:
    at = now()
    book.keep(predicted("old", score=0.1), at=at - 10 * DAY)
    book.keep(predicted("review", decision="review", score=0.5, merchant_id="m-2"), at=at - 2)
    book.keep(predicted("block", decision="block", score=0.9, customer_id="c-2"), at=at - 1)
    book.keep(predicted("new", score=0.2), version="8", at=at)
    book.label("review", "legitimate")
    book.label("block", "fraud")
    assert _all(book) == ["new", "block", "review", "old"]
    for filters, expected in (
        ({"transaction_id": "review"}, ["review"]),
        ({"customer_id": "c-2"}, ["block"]),
        ({"merchant_id": "m-2"}, ["review"]),
        ({"merchant_id": "m-2", "customer_id": "c-2"}, []),
        ({"decision": "block"}, ["block"]),
        ({"decision": "approve"}, ["new", "old"]),
        ({"decision": "flagged"}, ["block", "review"]),
        ({"label": "fraud"}, ["block"]),
        ({"label": "legitimate"}, ["review"]),
        ({"label": "none"}, ["new", "old"]),
        ({"decision": "flagged", "label": "fraud"}, ["block"]),
        ({"model_version": "8"}, ["new"]),
        ({"since": at - 1}, ["new", "block"]),
        ({"until": at - 1}, ["review", "old"]),
        ({"score_from": 0.5, "score_to": 0.9}, ["block", "review"]),
    ):
        assert _all(book, **filters) == expected, filters


def test_pages_hold_everything_once(book: Book) -> None:
    at = now()
    for number in range(7):
        # Some at the same instant.
        book.keep(predicted(f"t-{number}"), at=at + number // 3)
    found, cursor = [], None
    for _ in range(4):
        page = book.queries.predictions(
            Filters(customer_id="customer-1"), 2, None if cursor is None else read_cursor(cursor), features=False
        )
        found += [one.transaction_id for one in page.predictions]
        cursor = page.next
        # What comes meanwhile does not shift the pages.
        book.keep(predicted(f"later-{len(found)}"))
    assert cursor is None
    assert found == [f"t-{number}" for number in range(6, -1, -1)]


def test_a_claim_is_one_analysts(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound):
        claim(book.database, "t-1", "ann")
    book.keep(predicted("t-1"))
    first = claim(book.database, "t-1", "ann")
    assert 290 < (microseconds(first.expires_at) - now()) / 1e6 <= 300
    with pytest.raises(Conflict, match="ann looks at this transaction until"):
        claim(book.database, "t-1", "bob")
    again = claim(book.database, "t-1", "ann")
    assert again.expires_at > first.expires_at
    (kept,) = book.queries.predictions(Filters(), 10, features=False).predictions
    assert kept.claim == again
    monkeypatch.setattr("time.time_ns", lambda: (microseconds(again.expires_at) + 1) * 1000)
    (kept,) = book.queries.predictions(Filters(), 10, features=False).predictions
    assert kept.claim is None
    assert claim(book.database, "t-1", "bob").analyst == "bob"


def test_one_of_those_who_claim_at_once_gets_it(book: Book) -> None:
    book.keep(predicted("t-1"))

    def attempt(analyst: str) -> bool:
        try:
            return claim(book.database, "t-1", analyst).analyst == analyst
        except Conflict:
            return False

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(attempt, ["ann", "bob", "eve", "joe"])) == 1


def test_a_lease_is_one_processs(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lease(book.database, CHORES), Lease(book.database, CHORES)
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    first.release()
    assert second.hold()
    assert not first.hold()
    later = (now() + 16_000_000) * 1000
    monkeypatch.setattr("time.time_ns", lambda: later)
    assert first.hold()
    assert not second.hold()


def test_quality_counts_what_is_labelled(book: Book) -> None:
    decisions = {"a": "approve", "b": "review", "c": "block", "d": "block", "e": "approve", "f": "block"}
    book.keep(*(predicted(name, decision=decision) for name, decision in decisions.items()))  # type: ignore[arg-type]
    book.keep(predicted("a", decision="block"), version="8", role="challenger")
    book.keep(predicted("old", decision="block"), at=now() - 40 * DAY)
    for name, label in (("a", "fraud"), ("b", "fraud"), ("c", "fraud"), ("d", "legitimate"), ("old", "fraud")):
        book.label(name, label)  # type: ignore[arg-type]
    book.label("never seen", "fraud")
    with book.database.read() as connection:
        found = count_quality(connection, now() - 30 * DAY)
    champion, challenger = (ModelKey("fraud_detector", version, role) for version, role in _ROLES)
    assert found.keys() == {champion, challenger}
    assert (found[champion].labelled, found[champion].frauds) == (4, 3)
    assert found[champion].precision == pytest.approx(2 / 3)
    assert found[champion].block_precision == pytest.approx(1 / 2)
    assert found[champion].recall == pytest.approx(2 / 3)
    assert (found[challenger].precision, found[challenger].recall) == (1, 1)
    for _ in range(2):
        with book.database.begin() as connection:
            keep_quality(connection, found)
    with book.database.read() as connection:
        assert kept_quality(connection) == found


_ROLES = (("7", "champion"), ("8", "challenger"))


def test_what_is_too_old_is_removed_with_its_labels(book: Book) -> None:
    at = now()
    book.keep(*(predicted(f"old-{number}") for number in range(1500)), at=at - 401 * DAY)
    book.keep(predicted("young"), predicted("old-1"), version="8", at=at)
    for name in ("old-0", "old-1", "young"):
        book.label(name, "fraud")
    claim(book.database, "old-0", "ann")
    assert expire(book.database, book.settings, at, lambda: False) == Removed(predictions=1500, labels=1)
    assert sorted(_all(book)) == ["old-1", "young"]
    # The other model's prediction keeps its label.
    assert sorted(_all(book, label="fraud")) == ["old-1", "young"]
    assert _count(book, LABELS) == _count(book, LABEL_HISTORY) == _count(book, LABEL_OUTBOX) == 2
    assert _count(book, CLAIMS) == 0
    assert expire(book.database, book.settings, at, lambda: False) == Removed()


def test_a_label_that_waits_too_long_is_removed(book: Book) -> None:
    book.label("never seen", "fraud")
    assert expire(book.database, book.settings, now() + 89 * DAY, lambda: False) == Removed()
    assert expire(book.database, book.settings, now() + 91 * DAY, lambda: False) == Removed(labels=1)
    assert _count(book, LABELS) == _count(book, LABEL_HISTORY) == 0


def test_a_customer_is_erased(book: Book) -> None:
    book.keep(predicted("t-1"), predicted("t-2", customer_id="c-2"))
    hashing = Book(RecordsSettings(**_hashing(book.settings)))
    hashing.keep(predicted("t-3"))
    for name in ("t-1", "t-2", "t-3", "never seen"):
        book.label(name, "fraud")
    claim(book.database, "t-1", "ann")
    assert erase_customer(hashing.database, hashing.identifiers, "customer-1") == Removed(predictions=2, labels=2)
    assert _all(book) == ["t-2"]
    assert _count(book, LABELS) == _count(book, LABEL_HISTORY) == 2
    assert _count(book, LABEL_OUTBOX) == 1
    assert _count(book, CLAIMS) == 0
    assert erase_labels(book.database, ["never seen", "t-9"]) == Removed(labels=1)
    hashing.database.close()


def _hashing(settings: RecordsSettings) -> dict[str, Any]:
    return {**settings.model_dump(), "hash_identifiers": True, "pseudonym_key": "secret"}


def test_hashed_identifiers_are_found_and_labelled(book: Book) -> None:
    hashing = Book(RecordsSettings(**_hashing(book.settings)))
    hashing.keep(predicted("t-1"))
    (kept,) = hashing.queries.predictions(Filters(customer_id="customer-1"), 10, features=False).predictions
    pseudonyms = Pseudonyms("secret")
    assert kept.customer_id == pseudonyms.key(CUSTOMER, "customer-1").hex()
    assert kept.merchant_id == pseudonyms.key(MERCHANT, "merchant-1").hex()
    # What was kept before stays, and is found as well.
    book.keep(predicted("t-0"))
    assert _all(hashing, customer_id="customer-1") == ["t-0", "t-1"]
    assert _all(hashing, merchant_id="merchant-1", customer_id="customer-1") == ["t-0", "t-1"]
    # Who has not the key does not find it by guessing the hash.
    assert _all(book, customer_id=kept.customer_id) == []
    hashing.labels(GivenLabel("t-1", "fraud", 1000))
    store = Store()
    Outbox(hashing.database, store).deliver()  # type: ignore[arg-type]
    assert store.told == [(pseudonyms.event(transaction(transaction_id="t-1")), 1000)]
    assert store.told[0][0].keys.endswith(pseudonyms.key(CATEGORY, "grocery"))
    hashing.database.close()


def test_status_counts(book: Book) -> None:
    book.keep(predicted("t-1"))
    book.label("t-1", "fraud")
    book.label("t-2", "fraud")
    assert book.queries.status() == {"predictions": 1, "labels": 2, "pending labels": 1, "features to tell": 1}
