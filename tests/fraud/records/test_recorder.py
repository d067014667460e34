"""The process that records: patient with its database, and nothing is recorded twice or lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.exc import DataError, OperationalError

from bentos.fraud.records.labels import Applied
from bentos.fraud.records.recorder import Recorder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolWriter, framed, spool_folder, spooled
from bentos.fraud.records.values import Values
from bentos.fraud.records.writing import Writer
from tests.fraud.records.predicted import Book, opened, predicted
from tests.waiting import eventually

GONE = OperationalError("insert", None, Exception("gone"))


class Disk:
    """Takes the place of a writer whose database works as a test says."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.error: Exception | None = None
        #: The only record that fails.
        self.wrong: str | None = None

    def write(self, rows: Sequence[Values]) -> list[Applied]:
        if self.error is not None and (self.wrong is None or any(row[0] == self.wrong for row in rows)):
            raise self.error
        self.batches.append([row[0] for row in rows])
        return []

    @property
    def ids(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


class Told:
    """What a recorder tells."""

    def __init__(self) -> None:
        self.losses: list[tuple[tuple[str, str, str], int]] = []
        self.labels: list[Applied] = []
        self.bytes = 0

    def lost(self, model: tuple[str, str, str], count: int) -> None:
        self.losses.append((model, count))

    def joined(self, labels: Sequence[Applied]) -> None:
        self.labels += labels

    def waiting(self, size: int) -> None:
        self.bytes = size


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with opened(RecordsSettings(home=tmp_path)) as book:
        yield book


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolWriter]:
    writer = SpoolWriter(spool_folder(tmp_path))
    yield writer
    writer.close()


@pytest.fixture
def recorder(tmp_path: Path, disk: Disk, told: Told) -> Iterator[Recorder]:
    recorder = Recorder(spool_folder(tmp_path), disk, 2, told)
    yield recorder
    recorder.close()


def _records(book: Book, *names: str, **options: str) -> bytes:
    return framed(book.values(*(predicted(name) for name in names), **options))


def test_what_workers_append_is_recorded_in_order(
    recorder: Recorder, disk: Disk, told: Told, spool: SpoolWriter, book: Book
) -> None:
    assert recorder.record() == 0
    for number in range(3):
        spool.append(_records(book, f"t-{number}"))
    assert recorder.record() == 3
    spool.append(_records(book, "t-3", "t-4", "t-5"))
    assert recorder.record() == 3
    assert disk.batches == [["t-0", "t-1"], ["t-2"], ["t-3", "t-4", "t-5"]]
    assert told.bytes == 0


def test_the_end_does_not_wait_for_a_backlog(
    recorder: Recorder, disk: Disk, told: Told, spool: SpoolWriter, book: Book
) -> None:
    for number in range(6):
        spool.append(_records(book, f"t-{number}"))
    # Told to stop after its second batch.
    assert recorder.record(lambda: len(disk.batches) == 2) == 4
    assert disk.batches == [["t-0", "t-1"], ["t-2", "t-3"]]
    assert told.bytes > 0
    assert recorder.record() == 2


def test_what_waits_is_told_while_there_is_more(
    recorder: Recorder, told: Told, spool: SpoolWriter, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        spool.append(_records(book, f"t-{number}"))
    seen: list[int] = []
    monkeypatch.setattr(told, "waiting", seen.append)
    recorder.record()
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 3
    assert seen[-1] == 0


def test_a_file_goes_when_it_has_ended_and_is_recorded(
    recorder: Recorder, spool: SpoolWriter, book: Book, tmp_path: Path
) -> None:
    spool.append(_records(book, "t-0"))
    recorder.record()
    assert len(spooled(spool_folder(tmp_path))) == 1
    spool.close()
    recorder.record()
    assert not spooled(spool_folder(tmp_path))


def test_a_database_that_is_down_is_waited_for(
    recorder: Recorder, disk: Disk, told: Told, spool: SpoolWriter, book: Book
) -> None:
    disk.error = GONE
    spool.append(_records(book, "t-0"))
    spool.close()
    waits = []
    for _ in range(7):
        assert recorder.record() == 0
        waits.append(recorder.backoff)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert told.bytes > 0
    disk.error = None
    assert recorder.record() == 1
    assert (disk.ids, recorder.backoff, told.bytes, told.losses) == (["t-0"], 0.0, 0, [])


@pytest.mark.parametrize("error", [DataError("insert", None, Exception("too long")), OverflowError("too large")])
def test_one_that_can_never_be_written_fails_alone(
    tmp_path: Path, disk: Disk, told: Told, spool: SpoolWriter, book: Book, error: Exception
) -> None:
    disk.error, disk.wrong = error, "t-3"
    spool.append(_records(book, *(f"t-{number}" for number in range(8))))
    recorder = Recorder(spool_folder(tmp_path), disk, 1000, told)
    recorder.record()
    recorder.close()
    assert disk.ids == ["t-0", "t-1", "t-2", "t-4", "t-5", "t-6", "t-7"]
    assert told.losses == [(("fraud_detector", "7", "champion"), 1)]


def test_losses_are_each_models_own(recorder: Recorder, disk: Disk, told: Told, spool: SpoolWriter, book: Book) -> None:
    disk.error = DataError("insert", None, Exception("too long"))
    spool.append(_records(book, "t-0"))
    spool.append(_records(book, "t-1", version="8", role="challenger"))
    recorder.record()
    assert told.losses == [(("fraud_detector", "7", "champion"), 1), (("fraud_detector", "8", "challenger"), 1)]


def test_the_damaged_end_of_a_file_costs_no_other(
    recorder: Recorder, disk: Disk, spool: SpoolWriter, book: Book, tmp_path: Path
) -> None:
    folder = spool_folder(tmp_path)
    spool.append(_records(book, "t-0"))
    spool.close()
    (first,) = spooled(folder)
    spool.append(_records(book, "t-2"))
    with first.open("ab") as stream:
        stream.write(_records(book, "t-1")[:-1])
    recorder.record()
    assert disk.ids == ["t-0", "t-2"]
    assert first not in spooled(folder)


def test_a_frame_in_the_middle_is_waited_for(
    recorder: Recorder, disk: Disk, spool: SpoolWriter, book: Book, tmp_path: Path
) -> None:
    spool.append(_records(book, "t-0"))
    (path,) = spooled(spool_folder(tmp_path))
    frame = _records(book, "t-1")
    with path.open("ab") as stream:
        stream.write(frame[:20])
        stream.flush()
        recorder.record()
        assert disk.ids == ["t-0"]
        stream.write(frame[20:])
    recorder.record()
    assert disk.ids == ["t-0", "t-1"]


def test_what_is_recorded_again_changes_nothing(tmp_path: Path, told: Told, spool: SpoolWriter, book: Book) -> None:
    spool.append(_records(book, "t-0", "t-1"))
    (path,) = spooled(spool_folder(tmp_path))
    before = path.read_bytes()
    writer = Writer(book.database, book.identifiers)
    for _ in range(2):
        recorder = Recorder(spool_folder(tmp_path), writer, 1000, told)
        assert recorder.record() == 2
        recorder.close()
        # It was killed after the commit, before it could note so.
        path.write_bytes(before)
    assert book.queries.status()["predictions"] == 2


def test_the_end_waits_for_workers_to_end(
    recorder: Recorder, disk: Disk, spool: SpoolWriter, book: Book, tmp_path: Path
) -> None:
    stopping = threading.Event()
    spool.append(_records(book, "t-0"))
    thread = threading.Thread(target=recorder.run, args=(stopping, 0.01, 60.0))
    thread.start()
    eventually(lambda: disk.ids == ["t-0"])
    stopping.set()
    # A worker of the server hands over its last ones.
    spool.append(_records(book, "t-1"))
    eventually(lambda: disk.ids == ["t-0", "t-1"])
    assert thread.is_alive()
    spool.close()
    thread.join(30)
    assert not thread.is_alive()
    assert not spooled(spool_folder(tmp_path))


def test_the_end_does_not_wait_for_a_database_for_ever(
    recorder: Recorder, disk: Disk, spool: SpoolWriter, book: Book, tmp_path: Path
) -> None:
    disk.error = GONE
    spool.append(_records(book, "t-0"))
    spool.close()
    stopping = threading.Event()
    stopping.set()
    recorder.run(stopping, 0.01, 0.1)
    # The next server's.
    assert len(spooled(spool_folder(tmp_path))) == 1
