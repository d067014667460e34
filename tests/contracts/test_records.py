"""What every database of the records has to do with predictions, claims, leases and quality."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Table, update

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Conflict, NotFound
from bentos.core.transaction import microseconds
from bentos.fraud.records.filters import Filters, read_cursor
from bentos.fraud.records.leases import CHORES, Lease
from bentos.fraud.records.quality import ModelKey, count_quality, keep_quality, kept_quality
from bentos.fraud.records.reviews import claim
from bentos.fraud.records.tables import CLAIMS, LEASES, PREDICTIONS
from tests.contracts.recorded import DAY, all_ids, count
from tests.fraud.records.predicted import REASON, Book, now, predicted
from tests.fraud.requests import NOON


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
    assert count(book, PREDICTIONS) == 301


def test_writers_of_the_same_transactions_do_not_block_each_other(book: Book) -> None:
    pairs = [predicted(f"t-{number}") for number in range(200)]

    def keep(order: list[Any]) -> None:
        other = Book(book.settings)
        other.keep(*order)
        other.database.close()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            list(threads.map(keep, [pairs, pairs[::-1]] * 2))
    assert count(book, PREDICTIONS) == 200


def test_filters(book: Book) -> None:
    at = now()
    book.keep(predicted("old", score=0.1), at=at - 10 * DAY)
    book.keep(predicted("review", decision="review", score=0.5, merchant_id="m-2"), at=at - 2)
    book.keep(predicted("block", decision="block", score=0.9, customer_id="c-2"), at=at - 1)
    book.keep(predicted("new", score=0.2), version="8", at=at)
    book.label("review", "legitimate")
    book.label("block", "fraud")
    assert all_ids(book) == ["new", "block", "review", "old"]
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
        assert all_ids(book, **filters) == expected, filters


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


def test_a_claim_is_one_analysts(book: Book) -> None:
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
    _set(book, CLAIMS, now() - 1)
    (kept,) = book.queries.predictions(Filters(), 10, features=False).predictions
    assert kept.claim is None
    assert claim(book.database, "t-1", "bob").analyst == "bob"
    # Claimed while the clock was an hour ahead.
    _set(book, CLAIMS, now() + 3600 * 1_000_000)
    assert claim(book.database, "t-1", "eve").analyst == "eve"


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
    _set(book, LEASES, now() - 1)
    assert first.hold()
    later = time.monotonic() + 8
    monkeypatch.setattr("time.monotonic", lambda: later)
    assert not second.hold()
    assert first.hold()


def test_a_lease_outlives_no_clock(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Lease(book.database, CHORES), Lease(book.database, CHORES)
    assert first.hold()
    # Taken while the clock was an hour ahead.
    _set(book, LEASES, now() + 3600 * 1_000_000)
    assert second.hold()
    # Whose clock is set back does not hold it for longer.
    earlier, later = time.time_ns() - 3600 * 10**9, time.monotonic() + 8
    monkeypatch.setattr("time.time_ns", lambda: earlier)
    monkeypatch.setattr("time.monotonic", lambda: later)
    if not book.database.is_sqlite:
        assert not first.hold()


def _set(book: Book, table: Table, until: int) -> None:
    with book.database.begin() as connection:
        connection.execute(update(table).values(until=until))


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


def test_status_counts(book: Book) -> None:
    book.keep(predicted("t-1"))
    book.label("t-1", "fraud")
    book.label("t-2", "fraud")
    assert book.queries.status() == {"predictions": 1, "labels": 2, "pending labels": 1, "features to tell": 1}
