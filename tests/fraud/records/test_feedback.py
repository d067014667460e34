"""The desk that takes labels, when its database hangs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from bentos.core.errors import Overloaded
from bentos.fraud.records.feedback import FeedbackDesk
from bentos.fraud.records.labels import GivenLabel
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import LABELS
from tests.fraud.records.predicted import Book, opened


def _ids(book: Book) -> set[str]:
    with book.database.read() as connection:
        return set(connection.scalars(select(LABELS.c.transaction_id)))


async def _taken(desk: FeedbackDesk) -> None:
    """Wait until the desk's thread has taken what waited."""
    limit = time.monotonic() + 30
    while not desk.idle:
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


def test_who_gave_up_while_the_database_hung_is_not_kept(tmp_path: Path) -> None:
    settings = RecordsSettings(home=tmp_path, records_timeout_seconds=60)
    with opened(settings) as book:
        desk = FeedbackDesk(book.database, book.identifiers, settings.records_timeout_seconds)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:
            with book.database.begin():
                held.set()
                release.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait(60)

        async def run() -> None:
            first = asyncio.create_task(desk.submit([GivenLabel("first", "fraud", 1)]))
            await asyncio.sleep(0)
            await _taken(desk)
            gone = [asyncio.create_task(desk.submit([GivenLabel(f"gone-{n}", "fraud", 1)])) for n in range(100)]
            left = asyncio.create_task(desk.submit([GivenLabel("left", "fraud", 1)]))
            await asyncio.sleep(0)
            for task in gone:
                task.cancel()
            for task in gone:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            # One whose labels are on their way already is not held back by it.
            first.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await first
            release.set()
            assert (await left)[0].outcome.outcome == "recorded"

        asyncio.run(run())
        holder.join()
        desk.close()
        assert _ids(book) == {"first", "left"}


def test_too_many_that_wait_are_refused(tmp_path: Path) -> None:
    settings = RecordsSettings(home=tmp_path)
    with opened(settings) as book:
        desk = FeedbackDesk(book.database, book.identifiers, settings.records_timeout_seconds)
        labels = [GivenLabel(f"t-{number}", "fraud", 1) for number in range(50_001)]
        with pytest.raises(Overloaded):
            asyncio.run(desk.submit(labels))
        desk.close()
        assert _ids(book) == set()
