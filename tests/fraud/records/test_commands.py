"""``python -m bentos.fraud records``."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest

from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.transaction import microseconds
from bentos.fraud.__main__ import main
from bentos.fraud.records.recorder import Recorder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolWriter, framed, spool_folder
from bentos.fraud.records.writing import Writer
from bentos.fraud.store import EmbeddedStore
from bentos.fraud.store.choice import STORE_FILE
from tests.fraud.records.predicted import Book, now, opened, predicted
from tests.fraud.store.payments import look_up, payment

DAY = 86_400_000_000


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    """The records that the commands find."""
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    with opened(RecordsSettings(home=tmp_path)) as book:
        yield book


def test_quality(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.keep(predicted("t-1", decision="block"), predicted("t-2", decision="review"))
    book.keep(predicted("t-3", decision="block"), at=now() - 10 * DAY)
    for name, label in (("t-1", "fraud"), ("t-2", "legitimate"), ("t-3", "legitimate")):
        book.label(name, label)  # type: ignore[arg-type]
    assert main(["records", "quality"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "predictions of the last 30 days"
    assert lines[2].split() == ["fraud_detector", "7", "champion", "3", "1", "0.333", "0.500", "1.000"]
    assert main(["records", "quality", "--days", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "model_name": "fraud_detector",
            "model_version": "7",
            "role": "champion",
            "labelled": 2,
            "frauds": 1,
            "precision": 0.5,
            "block_precision": 1.0,
            "recall": 1.0,
        }
    ]


def test_shares_of_nothing(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.keep(predicted("t-1"))
    book.label("t-1", "legitimate")
    assert main(["records", "quality"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[-3:] == ["-", "-", "-"]
    assert main(["records", "quality", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["recall"] is None


def test_status(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.keep(predicted("t-1"))
    book.label("t-1", "fraud")
    assert main(["records", "status"]) == 0
    assert [line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines()] == [
        ["database", "SQLite"],
        ["predictions", "1"],
        ["labels", "1"],
        ["pending labels", "0"],
        ["features to tell", "1"],
    ]


def _spool(book: Book, *names: str) -> None:
    writer = SpoolWriter(spool_folder(book.settings.home))
    writer.append(framed(book.values(*(predicted(name, customer_id="c-1") for name in names))))
    writer.close()


def test_a_customer_is_erased_from_what_waits_too(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    _spool(book, "t-1", "t-2")
    recorder = Recorder(spool_folder(book.settings.home), Writer(book.database, book.identifiers), 1000, Mock())
    timer = threading.Timer(2.0, recorder.record)
    timer.start()
    assert main(["records", "erase", "--customer", "c-1"]) == 0
    timer.join()
    assert "removed 2 predictions" in capsys.readouterr().out
    assert book.queries.status()["predictions"] == 0


def test_an_erasure_that_nobody_lets_finish_says_so(
    book: Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bentos.fraud.records.commands._PATIENCE_SECONDS", 0.2)
    _spool(book, "t-1")
    assert main(["records", "erase", "--customer", "c-1"]) == 2
    assert "have yet to be recorded; start its server, or `python -m bentos.fraud records write`" in (
        capsys.readouterr().err
    )


def test_a_customer_is_erased_everywhere(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    store = EmbeddedStore(book.settings.home / "serving" / STORE_FILE, Pseudonyms(""))
    look_up(store, payment(0, "c-1"), payment(1, "c-2"))
    book.keep(predicted("t-1", customer_id="c-1"), predicted("t-2", customer_id="c-2"))
    book.label("t-1", "fraud")
    book.label("t-3", "fraud")
    assert main(["records", "erase", "--customer", "c-1", "--transaction", "t-3"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "removed 1 predictions and 2 labels",
        "features of the customer: forgotten",
    ]
    assert book.queries.status()["predictions"] == 1
    # Nothing of it is left in the files.
    files = (book.settings.home / "serving").glob("records.db*")
    assert not any(b"c-1" in file.read_bytes() for file in files)
    assert main(["records", "erase", "--customer", "c-1"]) == 0
    assert "not in the store" in capsys.readouterr().out
    store.close()


def test_erasing_nobody_is_refused(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "erase"]) == 2
    assert "--customer" in capsys.readouterr().err
    assert book.queries.status()["predictions"] == 0


def test_what_is_old_expires(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.keep(predicted("t-1"), at=microseconds(datetime(2020, 1, 1, tzinfo=UTC)))
    book.keep(predicted("t-2"))
    assert main(["records", "expire"]) == 0
    assert capsys.readouterr().out == "removed 1 predictions, 0 labels and 0 looks at rollouts\n"


def test_a_database_that_is_down_is_told(
    book: Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert book.settings.records_url is None
    monkeypatch.setenv("FRAUD_RECORDS_URL", "postgresql+psycopg://fraud:secret@127.0.0.1:1/records")
    assert main(["records", "status"]) == 2
    told = capsys.readouterr().err
    assert "cannot be prepared" in told
    assert "secret" not in told
