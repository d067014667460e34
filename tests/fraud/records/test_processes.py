"""Labels from several processes: none that was acknowledged is lost or counted twice, however a process ends."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from bentos.fraud.records.database import upgrade
from bentos.fraud.records.feedback import FeedbackDesk
from bentos.fraud.records.labels import GivenLabel
from bentos.fraud.records.outbox import Outbox
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import LABEL_HISTORY, LABEL_OUTBOX, LABELS
from tests.fraud.records.predicted import Book, opened, predicted

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> RecordsSettings:
    """Of an empty database."""
    options: dict[str, Any] = {"home": tmp_path, "records_timeout_seconds": 60}
    if request.param == "postgresql":
        options["records_url"] = request.getfixturevalue("postgres").new_database()
    return RecordsSettings(**options)


@pytest.fixture
def book(settings: RecordsSettings) -> Iterator[Book]:
    """The records."""
    with opened(settings) as book:
        yield book


def _acknowledge(settings: RecordsSettings, link: Connection, name: str, count: int) -> None:
    """Bring labels as a worker does, eight calls at a time, and tell of each that was acknowledged."""
    book = Book(settings)
    desk = FeedbackDesk(book.database, book.identifiers, 60.0)

    async def call(first: int) -> None:
        for number in range(first, count, 8):
            await desk.submit([GivenLabel(f"{name}-{number}", "fraud", 1000)])
            link.send(f"{name}-{number}")

    async def run() -> None:
        await asyncio.gather(*map(call, range(8)))

    asyncio.run(run())
    desk.close()
    book.database.close()


def _start(settings: RecordsSettings, name: str, count: int) -> tuple[Any, Connection]:
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_acknowledge, args=(settings, theirs, name, count))
    process.start()
    theirs.close()
    return process, ours


def _told(link: Connection) -> list[str]:
    found = []
    while True:
        try:
            found.append(link.recv())
        except EOFError:
            return found


def _ids(book: Book) -> set[str]:
    with book.database.read() as connection:
        return set(connection.scalars(select(LABELS.c.transaction_id).where(LABELS.c.revision > 0)))


def test_what_was_acknowledged_survives_a_kill(book: Book) -> None:
    process, link = _start(book.settings, "t", 1_000_000)
    acknowledged = [link.recv() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += _told(link)
    process.join()
    link.close()
    assert len(acknowledged) >= 50
    assert set(acknowledged) <= _ids(book)
    # Nobody else is held up by what the dead one had begun.
    assert book.label("t-0", "fraud").outcome == "unchanged"
    with book.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(LABEL_HISTORY)).scalar_one() == len(_ids(book))


def test_the_same_labels_from_processes_count_once(book: Book) -> None:
    book.keep(*(predicted(f"t-{number}") for number in range(100)))
    started = [_start(book.settings, "t", 100) for _ in range(3)]
    for process, link in started:
        assert len(_told(link)) == 100
        process.join()
        link.close()
        assert process.exitcode == 0
    for table in (LABELS, LABEL_HISTORY, LABEL_OUTBOX):
        with book.database.read() as connection:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 100


def _deliver_killed(settings: RecordsSettings) -> None:
    """Tell a store of labels, and be killed in the middle of it."""

    class Store:
        def __init__(self) -> None:
            self.told = 0

        def label(self, *_: object) -> None:
            self.told += 1
            if self.told == 3:
                os.kill(os.getpid(), signal.SIGKILL)

    Outbox(Book(settings).database, Store()).deliver()  # type: ignore[arg-type]


def test_a_killed_process_leaves_the_store_to_be_told(book: Book) -> None:
    book.keep(*(predicted(f"t-{number}") for number in range(5)))
    book.labels(*(GivenLabel(f"t-{number}", "fraud", number + 1) for number in range(5)))
    process = SPAWN.Process(target=_deliver_killed, args=(book.settings,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    told: list[int] = []

    class Store:
        def label(self, _: object, label_time: int, __: object) -> None:
            told.append(label_time)

    Outbox(book.database, Store()).deliver()  # type: ignore[arg-type]
    assert told == [1, 2, 3, 4, 5]


def test_processes_upgrade_one_after_the_other(settings: RecordsSettings) -> None:
    started = [SPAWN.Process(target=upgrade, args=(settings,)) for _ in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0, 0]
    with opened(settings) as book:
        assert book.queries.status()["predictions"] == 0


def _keep_killed(settings: RecordsSettings, link: Connection) -> None:
    """Record predictions, batch after batch, and tell of each."""
    book = Book(settings)
    for batch in range(1_000_000):
        book.keep(*(predicted(f"t-{batch}-{number}") for number in range(20)))
        link.send(batch)


def test_a_batch_is_written_whole_or_not_at_all(book: Book) -> None:
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_keep_killed, args=(book.settings, theirs))
    process.start()
    theirs.close()
    batches = {ours.recv() for _ in range(5)}
    os.kill(process.pid, signal.SIGKILL)
    batches |= set(_told(ours))
    process.join()
    ours.close()
    time.sleep(0.1)
    status = book.queries.status()["predictions"]
    assert status % 20 == 0
    assert status >= 20 * len(batches)
