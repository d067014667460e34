"""The prediction log: bounded, counted, and patient with its database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DataError, OperationalError

from bentos.core.answers import ModelVersion
from bentos.core.errors import InvalidInput
from bentos.fraud.records.encoding import Encoder, Values
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.records.office import open_identifiers
from bentos.fraud.records.settings import RecordsSettings
from tests.fraud.records.predicted import MODEL, predicted


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


class Counted:
    """A log, and what it has dropped."""

    def __init__(self, disk: Disk, **settings: Any) -> None:
        chosen = RecordsSettings(home=Path(), prediction_log_interval_milliseconds=5, **settings)
        self.disk = disk
        self.dropped = 0
        self.lost = 0
        encoder = Encoder(open_identifiers(chosen), MODEL, "champion")
        self.log = PredictionLog(encoder, disk, chosen, self._drop, self._lose, print)  # type: ignore[arg-type]

    def _drop(self, count: int) -> None:
        self.dropped += count

    def _lose(self, count: int) -> None:
        self.lost += count

    def offer(self, *names: str, **options: Any) -> None:
        rows, answers = zip(*(predicted(name, **options) for name in names), strict=True)
        self.log.offer(rows, answers)


Maker = Callable[..., Counted]


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def make(disk: Disk) -> Iterator[Maker]:
    """Makes logs that end with the test."""
    made: list[Counted] = []

    def make(**settings: Any) -> Counted:
        made.append(Counted(disk, **settings))
        return made[-1]

    yield make
    disk.error = None
    for counted in made:
        counted.log.close(10)


def _until(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_what_is_offered_is_written_in_order(make: Maker, disk: Disk) -> None:
    counted = make(prediction_log_batch_rows=2)
    for number in range(5):
        counted.offer(f"t-{number}")
    counted.log.start()
    _until(lambda: counted.log.waiting == 0)
    assert disk.batches == [["t-0", "t-1"], ["t-2", "t-3"], ["t-4"]]


def test_errors_and_what_is_not_to_be_recorded_leave_nothing(make: Maker, disk: Disk) -> None:
    counted = make()
    counted.offer("t-0", record=False)
    (row, answer), (bad, _) = predicted("t-1"), predicted("t-2")
    counted.log.offer([row, bad], [answer, InvalidInput([])])
    assert counted.log.close(10) == 2
    counted.log.start()
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-1"]


def test_a_full_buffer_drops_and_counts(make: Maker, disk: Disk) -> None:
    counted = make(prediction_log_buffer_rows=3)
    for number in range(5):
        counted.offer(f"t-{number}")
    assert (counted.log.waiting, counted.dropped) == (3, 2)
    counted.log.start()
    _until(lambda: counted.log.waiting == 0)
    counted.offer("t-5")
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-0", "t-1", "t-2", "t-5"]


def test_only_what_is_flagged(make: Maker, disk: Disk) -> None:
    counted = make(prediction_log="flagged")
    counted.offer("t-0")
    counted.offer("t-1", decision="review")
    (row, answer), (flagged, its_answer) = predicted("t-2"), predicted("t-3", decision="block")
    counted.log.offer([row, flagged], [answer, its_answer])
    counted.log.start()
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-1", "t-3"]


def test_a_database_that_is_down_is_waited_for(make: Maker, disk: Disk) -> None:
    disk.error = OperationalError("insert", None, Exception("gone"))
    counted = make(prediction_log_buffer_rows=2)
    counted.log.start()
    counted.offer("t-0")
    _until(lambda: counted.log.state == "failing")
    for number in range(1, 4):
        counted.offer(f"t-{number}")
    assert (counted.log.waiting, counted.dropped, counted.lost) == (2, 2, 0)
    disk.error = None
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-0", "t-1"]
    assert counted.log.state == "ok"


def test_what_can_never_be_written_is_given_up(make: Maker, disk: Disk) -> None:
    disk.error = DataError("insert", None, Exception("too long"))
    counted = make()
    counted.log.start()
    counted.offer("t-0")
    _until(lambda: counted.lost == 1)
    disk.error = None
    counted.offer("t-1")
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-1"]
    assert counted.log.state == "ok"


@pytest.mark.parametrize("error", [DataError("insert", None, Exception("too long")), OverflowError("too large")])
def test_one_that_can_never_be_written_fails_alone(make: Maker, disk: Disk, error: Exception) -> None:
    disk.error, disk.wrong = error, "t-3"
    counted = make()
    for number in range(8):
        counted.offer(f"t-{number}")
    counted.log.start()
    _until(lambda: counted.log.waiting == 0)
    assert disk.ids == ["t-0", "t-1", "t-2", "t-4", "t-5", "t-6", "t-7"]
    assert (counted.lost, counted.log.state) == (1, "ok")


def test_one_that_no_record_can_be_made_of_is_counted_once(make: Maker, disk: Disk) -> None:
    disk.error = OperationalError("insert", None, Exception("gone"))
    counted = make()
    row, answer = predicted("t-0")
    row.values = None  # type: ignore[assignment]
    counted.log.offer([row], [answer])
    counted.offer("t-1")
    counted.log.start()
    # Met again and again while the database is down.
    _until(lambda: counted.log.state == "failing")
    disk.error = None
    _until(lambda: counted.log.waiting == 0)
    assert (disk.ids, counted.lost) == (["t-1"], 1)


def test_the_end_writes_what_waits(make: Maker, disk: Disk) -> None:
    counted = make()
    counted.log.start()
    for number in range(100):
        counted.offer(f"t-{number}")
    assert counted.log.close(10) == 0
    assert len(disk.ids) == 100


def test_the_end_tells_what_is_lost(make: Maker, disk: Disk) -> None:
    disk.error = OperationalError("insert", None, Exception("gone"))
    counted = make()
    counted.log.start()
    counted.offer("t-0", "t-1")
    assert counted.log.close(10) == 2


def test_the_model_is_the_workers() -> None:
    settings = RecordsSettings(home=Path())
    encoder = Encoder(open_identifiers(settings), ModelVersion(name="m", version="3"), "challenger")
    row, answer = predicted("t-0")
    (values,) = encoder.encode((1, [row], [answer]))
    assert values[11:14] == ("m", "3", "challenger")


def test_hashing_needs_a_key() -> None:
    with pytest.raises(ValueError, match="FRAUD_HASH_IDENTIFIERS needs FRAUD_PSEUDONYM_KEY"):
        RecordsSettings(home=Path(), hash_identifiers=True)
