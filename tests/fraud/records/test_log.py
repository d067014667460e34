"""The prediction log of a worker: bounded, counted, and patient with its disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.core.answers import ModelVersion
from bentos.core.errors import InvalidInput
from bentos.fraud.observe.later import Later
from bentos.fraud.records.encoding import Encoder
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.records.office import open_identifiers
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolFile, spool_folder, spooled
from tests.fraud.records.predicted import MODEL, predicted
from tests.waiting import eventually


class Counted:
    """A log without an event loop, which makes records at once, and what it has dropped."""

    def __init__(self, home: Path, **settings: Any) -> None:
        chosen = RecordsSettings(home=home, prediction_log_interval_milliseconds=5, **settings)
        self.folder = spool_folder(home)
        self.dropped = 0
        self.log = PredictionLog(Encoder(open_identifiers(chosen), MODEL, "champion"), chosen, Later(), self._drop)

    def _drop(self, count: int) -> None:
        self.dropped += count

    def offer(self, *names: str, **options: Any) -> None:
        rows, answers = zip(*(predicted(name, **options) for name in names), strict=True)
        self.log.offer(rows, answers)

    def handed_over(self) -> list[str]:
        """Ids that are in the files, in order."""
        ids = []
        for path in spooled(self.folder):
            file = SpoolFile(path)
            while taken := file.take():
                ids += [record[0] for record in taken]
            file.close()
        return ids


Maker = Callable[..., Counted]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    """Makes logs that end with the test."""
    made: list[Counted] = []

    def make(**settings: Any) -> Counted:
        made.append(Counted(tmp_path, **settings))
        return made[-1]

    yield make
    for counted in made:
        counted.log.close(10)


def test_what_is_offered_is_handed_over_in_order(make: Maker) -> None:
    counted = make()
    for number in range(5):
        counted.offer(f"t-{number}")
    counted.log.start()
    eventually(lambda: counted.log.waiting == 0)
    assert counted.handed_over() == ["t-0", "t-1", "t-2", "t-3", "t-4"]


def test_errors_and_what_is_not_to_be_recorded_leave_nothing(make: Maker) -> None:
    counted = make()
    counted.offer("t-0", record=False)
    (row, answer), (bad, _) = predicted("t-1"), predicted("t-2")
    counted.log.offer([row, bad], [answer, InvalidInput([])])
    assert counted.log.waiting == 1
    counted.log.start()
    eventually(lambda: counted.log.waiting == 0)
    assert counted.handed_over() == ["t-1"]


def test_a_full_memory_drops_and_counts(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bentos.fraud.records.log._BUFFER_ROWS", 3)
    counted = make()
    for number in range(5):
        counted.offer(f"t-{number}")
    assert (counted.log.waiting, counted.dropped) == (3, 2)
    counted.log.start()
    eventually(lambda: counted.log.waiting == 0)
    counted.offer("t-5")
    eventually(lambda: counted.log.waiting == 0)
    assert counted.handed_over() == ["t-0", "t-1", "t-2", "t-5"]


def test_a_full_share_of_the_disk_drops_counts_and_says_so(make: Maker) -> None:
    counted = make(prediction_log_buffer_megabytes=1)
    counted.log.start()
    # A record has 0.5 kB, and nobody reads.
    while counted.log.trouble is None:
        counted.offer(*(f"t-{number}" for number in range(100)))
        time.sleep(0.005)
    assert counted.log.trouble == "predictions are dropped: too many wait to be recorded"
    counted.offer("t-last")
    assert counted.dropped >= 1
    # Recorded, so there is room again.
    for path in spooled(counted.folder):
        file = SpoolFile(path)
        while file.take():
            pass
        file.keep()
        file.close()
    eventually(lambda: counted.log.trouble is None)
    counted.offer("t-next")
    eventually(lambda: counted.log.waiting == 0)
    assert "t-next" in counted.handed_over()
    assert "t-last" not in counted.handed_over()


def test_only_what_is_flagged(make: Maker) -> None:
    counted = make(prediction_log="flagged")
    counted.offer("t-0")
    counted.offer("t-1", decision="review")
    (row, answer), (flagged, its_answer) = predicted("t-2"), predicted("t-3", decision="block")
    counted.log.offer([row, flagged], [answer, its_answer])
    counted.log.start()
    eventually(lambda: counted.log.waiting == 0)
    assert counted.handed_over() == ["t-1", "t-3"]


def test_a_disk_that_takes_nothing_is_waited_for(make: Maker, tmp_path: Path) -> None:
    counted = make()
    # Nothing can be made in what is no folder, whoever tries.
    (tmp_path / "serving").write_bytes(b"")
    counted.log.start()
    counted.offer("t-0")
    eventually(lambda: counted.log.trouble is not None)
    assert counted.log.trouble == "predictions cannot be written to disk: Not a directory"
    assert (counted.log.waiting, counted.dropped) == (1, 0)
    (tmp_path / "serving").unlink()
    eventually(lambda: counted.log.waiting == 0)
    eventually(lambda: counted.log.trouble is None)
    assert counted.handed_over() == ["t-0"]


def test_one_that_no_record_can_be_made_of_is_counted(make: Maker) -> None:
    counted = make()
    row, answer = predicted("t-0")
    row.values = None  # type: ignore[assignment]
    counted.log.offer([row], [answer])
    row, answer = predicted("t-1")
    row.raw = object()  # type: ignore[assignment]
    counted.log.offer([row], [answer])
    counted.offer("t-2")
    counted.log.start()
    eventually(lambda: counted.log.waiting == 0)
    assert (counted.handed_over(), counted.dropped) == (["t-2"], 2)


def test_the_end_hands_over_what_waits(make: Maker) -> None:
    counted = make()
    counted.log.start()
    for number in range(100):
        counted.offer(f"t-{number}")
    assert counted.log.close(10) == 0
    assert len(counted.handed_over()) == 100
    # The reader has all of it: nothing more will come.
    assert all(SpoolFile(path).ended() for path in spooled(counted.folder))


def test_the_end_tells_what_is_lost(make: Maker, tmp_path: Path) -> None:
    counted = make()
    (tmp_path / "serving").write_bytes(b"")
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
