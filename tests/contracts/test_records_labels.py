"""What every database of the records has to do with labels."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import microseconds
from bentos.fraud.records.filters import Filters
from bentos.fraud.records.labels import GivenLabel, apply_labels
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.pending import any_overlooked, join_left
from bentos.fraud.records.tables import LABEL_HISTORY, LABEL_OUTBOX, LABELS, PREDICTIONS
from tests.contracts.recorded import Store, all_ids, count, deliver
from tests.fraud.records.predicted import Book, now, predicted
from tests.fraud.requests import transaction


def test_a_label_is_recorded_once(book: Book) -> None:
    book.keep(predicted("t-1", decision="block"))
    first, second = (book.labels(GivenLabel("t-1", "fraud", time, "chargeback", "ann"))[0] for time in (1000, 2000))
    assert (first.outcome.outcome, first.outcome.pending) == ("recorded", False)
    assert first.counts == ("block", "fraud_detector", "7", "champion")
    assert (second.outcome.outcome, second.counts) == ("unchanged", None)
    assert count(book, LABEL_HISTORY) == 1
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
    assert all_ids(book, label="legitimate") == ["t-1"]


def test_a_label_waits_for_its_prediction(book: Book) -> None:
    assert book.label("t-1", "fraud", 1000).pending
    assert book.label("t-1", "fraud", 2000).model_dump(include={"outcome", "pending"}) == {
        "outcome": "unchanged",
        "pending": True,
    }
    assert deliver(book) == []
    (joined,) = book.keep(predicted("t-1", decision="review"), predicted("t-2"))
    assert joined.counts == ("review", "fraud_detector", "7", "champion")
    assert not book.label("t-1", "fraud").pending
    assert deliver(book) == [1000]
    assert book.keep(predicted("t-1"), version="8") == []


def test_a_pending_label_that_changes_tells_the_store_of_the_last_only(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    book.label("t-1", "legitimate", 2000)
    book.keep(predicted("t-1"))
    assert deliver(book) == []


def test_an_overlooked_label_is_joined_later(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    _overlook(book, "t-1")
    with book.database.begin() as connection:
        (joined,) = join_left(connection, book.identifiers, 10, 0)
        assert join_left(connection, book.identifiers, 10, 0) == []
    assert joined.outcome.transaction_id == "t-1"
    assert deliver(book) == [1000]


def _overlook(book: Book, name: str) -> None:
    """Record a prediction as one does that does not see its label."""
    columns = [column.name for column in PREDICTIONS.columns if column.name != "id"]
    with book.database.begin() as connection:
        connection.execute(PREDICTIONS.insert(), dict(zip(columns, book.values(predicted(name))[0], strict=True)))


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
    assert count(book, LABEL_HISTORY) == count(book, LABEL_OUTBOX) == 30


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
    assert count(book, LABELS) == 1
    assert count(book, LABEL_HISTORY) == 2


def test_an_overlooked_label_that_changes_is_taken_from_nobody(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    _overlook(book, "t-1")
    # The store was never told that it is fraud: in an hour, another's label would be taken back.
    assert book.label("t-1", "legitimate").model_dump(include={"outcome", "pending"}) == {
        "outcome": "changed",
        "pending": False,
    }
    assert deliver(book) == []


def test_what_waited_before_is_not_looked_at_again(book: Book) -> None:
    book.label("t-1", "fraud", 1000)
    came = now()
    _overlook(book, "t-1")
    for since, found in ((came + 1, False), (came - 60_000_000, True)):
        with book.database.read() as connection:
            assert any_overlooked(connection, since) is found


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_label_that_is_committed_later_is_told_later(book: Book) -> None:
    book.keep(predicted("t-1"), predicted("t-2"))
    store = Store()
    outbox = Outbox(book.database, store)  # type: ignore[arg-type]
    with book.database.begin() as connection:
        apply_labels(connection, book.identifiers, [GivenLabel("t-1", "fraud", 1000)], now())
        # Of a higher id, and seen before.
        book.label("t-2", "fraud", 2000)
        assert outbox.deliver() == 1
    assert outbox.deliver() == 1
    assert [label_time for _, label_time in store.told] == [2000, 1000]
    first, second = store.deliveries
    assert first.source == second.source
    assert len(first.source) == 16
    assert 0 < first.serial < second.serial < 2**53


def test_deliveries_in_many_parts_have_rising_serials(book: Book) -> None:
    names = [f"t-{number}" for number in range(450)]
    book.keep(*map(predicted, names))
    book.labels(*(GivenLabel(name, "fraud", number) for number, name in enumerate(names, 1)))
    store = Store()
    store.room = 210
    outbox = Outbox(book.database, store)  # type: ignore[arg-type]
    outbox.deliver()
    with pytest.raises(Unavailable):
        outbox.deliver()
    # Those that have theirs already keep it.
    store.room = 1000
    while outbox.deliver():
        pass
    assert [label_time for _, label_time in store.told] == list(range(1, 451))
    serials = [delivery.serial for delivery in store.deliveries]
    assert serials == sorted(set(serials))
