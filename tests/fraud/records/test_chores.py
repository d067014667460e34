"""What is done beside requests, by one worker at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.fraud.records.chores import Chores
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.settings import RecordsSettings
from tests.fraud.records.predicted import Book, now, opened, predicted

DAY = 86_400_000_000


class Store:
    """Takes labels, or fails in a way that nobody foresaw."""

    def __init__(self) -> None:
        self.calls = 0
        self.broken = False

    def label(self, *_: object) -> None:
        self.calls += 1
        if self.broken:
            raise TypeError("what is this?")


class Running:
    """A worker's chores, and what they told it."""

    def __init__(self, book: Book, store: Store) -> None:
        self.joined: list[Applied] = []
        outbox = Outbox(book.database, store)  # type: ignore[arg-type]
        self.chores = Chores(book.database, outbox, book.identifiers, book.settings, self.joined.extend)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    settings = RecordsSettings(home=tmp_path, retention_interval_seconds=86_400, records_timeout_seconds=60)
    with opened(settings) as book:
        yield book


@pytest.fixture
def start(book: Book) -> Iterator[Callable[[Store], Running]]:
    """Starts chores that end with the test."""
    started: list[Running] = []

    def start(store: Store) -> Running:
        started.append(Running(book, store))
        started[-1].chores.start()
        return started[-1]

    yield start
    for running in started:
        running.chores.stop(60)


def _until(done: Callable[[], Any]) -> None:
    limit = time.monotonic() + 60
    while not done():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.01)


def test_what_fails_again_and_again_is_logged_once(
    book: Book, start: Callable[[Store], Running], caplog: pytest.LogCaptureFixture
) -> None:
    book.keep(predicted("t-1"))
    book.label("t-1", "fraud")
    store = Store()
    store.broken = True
    with caplog.at_level(logging.WARNING):
        running = start(store)

        def called() -> bool:
            running.chores.wake()
            return store.calls >= 5

        _until(called)
    assert running.chores.trouble == "labels cannot reach the feature store: TypeError"
    assert len([record for record in caplog.records if record.exc_info]) == 1
    store.broken = False
    running.chores.wake()
    _until(lambda: running.chores.trouble is None)
    assert book.queries.status()["features to tell"] == 0


def test_much_that_is_old_goes_while_labels_are_told(
    book: Book, start: Callable[[Store], Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bentos.fraud.records.chores._EXPIRE_SECONDS", 0.0)
    book.keep(*(predicted(f"old-{number}") for number in range(3500)), at=now() - 401 * DAY)
    book.keep(predicted("t-1"))
    book.label("t-1", "fraud")
    running = start(Store())
    # In four looks, though the next regular one is a day away.
    _until(lambda: running.chores.wake() or book.queries.status()["predictions"] == 1)
    assert book.queries.status()["features to tell"] == 0
