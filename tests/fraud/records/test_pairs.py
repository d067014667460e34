"""Pairs in the database: written once, gone with their predictions, counted by labels at both budgets."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from bentos.core.answers import Decision
from bentos.core.errors import Unavailable
from bentos.core.records import LabelValue
from bentos.fraud.__main__ import main
from bentos.fraud.records import retention
from bentos.fraud.records.pair_quality import (
    Cell,
    Count,
    PairCollector,
    PairKey,
    PairQuality,
    count_pairs,
    keep_pairs,
    kept_pairs,
)
from bentos.fraud.records.pairs import Pair, PairWriter
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import SHADOW_PAIRS
from tests.fraud.records.predicted import Book, now, opened, predicted

DAY = 86_400_000_000
KEY = PairKey("fraud_detector", "7", "rival", "8")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> RecordsSettings:
    """Of each database."""
    options: dict[str, Any] = {"home": tmp_path, "records_timeout_seconds": 60}
    if request.param == "postgresql":
        options["records_url"] = request.getfixturevalue("postgres").new_database()
    return RecordsSettings(**options)


@pytest.fixture
def book(settings: RecordsSettings) -> Iterator[Book]:
    """The records."""
    with opened(settings) as book:
        yield book


@pytest.fixture
def writer(book: Book) -> PairWriter:
    """Of the pairs."""
    return PairWriter(book.database)


def pair(name: str, score: float = 0.5, *, at: int | None = None, version: str = "8", **changes: Any) -> Pair:
    """A pair of a prediction that :func:`predicted` makes."""
    fields: dict[str, Any] = {
        "transaction_id": name,
        "model_name": "fraud_detector",
        "model_version": "7",
        "created_at": now() if at is None else at,
        "champion_score": 0.125,
        "champion_decision": "approve",
        "challenger_name": "rival",
        "challenger_version": version,
        "challenger_score": score,
        "challenger_decision": "block" if score >= 0.8 else "review" if score >= 0.3 else "approve",
    }
    return Pair(**fields | changes)


def _kept(book: Book) -> int:
    with book.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(SHADOW_PAIRS)).scalar_one())


def _counted(book: Book, since: int = 0) -> dict[PairKey, PairQuality]:
    with book.database.read() as connection:
        return count_pairs(connection, since)


def test_a_pair_that_comes_again_is_no_new_one(book: Book, writer: PairWriter) -> None:
    book.keep(predicted("t-1"), predicted("t-2"))
    first, second = pair("t-1", 0.25), pair("t-2", 0.5)
    assert writer.write([second, first]).new == [first, second]
    written = writer.write([pair("t-1", 0.75), pair("t-2", 0.75)])
    assert (written.new, written.lost) == ([], [])
    # Another version's is.
    other = pair("t-1", 0.75, version="9")
    assert writer.write([other, other]).new == [other]
    with book.database.read() as connection:
        rows = connection.execute(select(SHADOW_PAIRS).order_by(SHADOW_PAIRS.c.score)).all()
    assert [(row.challenger_version, row.score, row.decision) for row in rows] == [
        ("8", 0.25, "approve"),
        ("8", 0.5, "review"),
        ("9", 0.75, "review"),
    ]


def test_a_pair_without_its_prediction_is_lost(book: Book, writer: PairWriter) -> None:
    book.keep(predicted("t-1"))
    other_champion = pair("t-1", model_version="6")
    nobody = pair("t-0")
    written = writer.write([nobody, other_champion, pair("t-1")])
    assert len(written.new) == 1
    assert list(written.lost) == [nobody, other_champion]
    assert _kept(book) == 1


def test_a_database_that_is_down_takes_them_later(book: Book, writer: PairWriter, monkeypatch: Any) -> None:
    book.keep(predicted("t-1"))
    with monkeypatch.context() as patch:
        # What every backend's error is made of.
        from sqlalchemy.exc import OperationalError

        def down() -> None:
            raise OperationalError("begin", None, Exception("secret"))

        patch.setattr(book.database, "begin", down)
        with pytest.raises(Unavailable, match="takes no pairs: OperationalError") as refused:
            writer.write([pair("t-1")])
    assert "secret" not in str(refused.value)
    assert len(writer.write([pair("t-1")]).new) == 1


def test_many_in_one_batch(book: Book, writer: PairWriter) -> None:
    names = [f"t-{number}" for number in range(2500)]
    book.keep(*(predicted(name) for name in names))
    assert len(writer.write([pair(name) for name in reversed(names)]).new) == 2500
    assert _kept(book) == 2500


def test_they_go_with_their_predictions(book: Book, writer: PairWriter) -> None:
    old = now() - 401 * DAY
    book.keep(predicted("old"), at=old)
    book.keep(predicted("t-1", customer_id="c-1"), predicted("t-2", customer_id="c-2"))
    writer.write([pair("old", at=old), pair("t-1"), pair("t-2")])
    retention.expire(book.database, book.settings, now(), lambda: False)
    assert _kept(book) == 2
    retention.erase_customer(book.database, book.identifiers, "c-1")
    assert _kept(book) == 1
    # One that was under way meanwhile does not come back.
    assert [one.transaction_id for one in writer.write([pair("t-1")]).lost] == ["t-1"]
    assert _kept(book) == 1


def _scored(
    book: Book, writer: PairWriter, rows: Sequence[tuple[Decision, float, LabelValue | None]], **fields: Any
) -> list[str]:
    """Record pairs by the champion's decision, the challenger's score and their label."""
    names = [f"t-{number:03}" for number in range(len(rows))]
    book.keep(*(predicted(name, decision=row[0], **fields) for name, row in zip(names, rows, strict=True)))
    writer.write([pair(name, row[1]) for name, row in zip(names, rows, strict=True)])
    for name, (_, _, label) in zip(names, rows, strict=True):
        if label is not None:
            book.label(name, label)
    return names


def test_labelled_pairs_by_who_gave_an_alert(book: Book, writer: PairWriter) -> None:
    rows: list[tuple[Decision, float, LabelValue | None]] = [
        ("review", 0.9, "fraud"),
        ("review", 0.1, "fraud"),
        ("approve", 0.5, "fraud"),
        ("approve", 0.2, "fraud"),
        ("review", 0.4, "legitimate"),
        ("approve", 0.35, "legitimate"),
        ("approve", 0.05, "legitimate"),
        ("approve", 0.6, None),
    ]
    _scored(book, writer, rows, amount=10.0)
    (key, quality), *more = _counted(book).items()
    assert (key, more) == (KEY, [])
    # At an equal budget the challenger has three: 0.9, 0.6 (without a label), 0.5.
    assert (quality.pairs, quality.champion_alerts, quality.challenger_alerts) == (8, 3, 5)

    def numbers(budget: str) -> dict[tuple[str, bool, bool], int]:
        return {
            (cell.label, cell.champion_alert, cell.challenger_alert): count.transactions
            for cell, count in quality.cells.items()
            if cell.budget == budget
        }

    assert numbers("own") == {
        ("fraud", True, True): 1,
        ("fraud", True, False): 1,
        ("fraud", False, True): 1,
        ("fraud", False, False): 1,
        ("legitimate", True, True): 1,
        ("legitimate", False, True): 1,
        ("legitimate", False, False): 1,
    }
    assert numbers("equal") == {
        ("fraud", True, True): 1,
        ("fraud", True, False): 1,
        ("fraud", False, True): 1,
        ("fraud", False, False): 1,
        ("legitimate", True, False): 1,
        ("legitimate", False, False): 2,
    }
    assert {cell.blocked for cell in quality.cells} == {"no"}
    both = Cell("own", "legitimate", True, True, "no")
    assert quality.cells[both] == Count(1, 1.0, 10.0, 100.0)
    assert quality.recall("champion", "own") == quality.recall("challenger", "own") == 0.5
    assert quality.precision("champion", "own") == 2 / 3
    assert quality.precision("challenger", "own") == 0.5
    assert quality.precision("challenger", "equal") == 1.0
    assert quality.recall("challenger", "equal") == 0.5


def test_of_equal_scores_no_more_than_the_budget_are_alerts(book: Book, writer: PairWriter) -> None:
    decisions: list[Decision] = ["review"] * 3 + ["approve"] * 7
    _scored(book, writer, [(decision, 0.5, "fraud") for decision in decisions])
    cells = _counted(book)[KEY].cells
    equal = {cell: count.transactions for cell, count in cells.items() if cell.budget == "equal"}
    assert sum(number for cell, number in equal.items() if cell.challenger_alert) == 3


def test_a_champion_without_alerts_leaves_no_budget(book: Book, writer: PairWriter) -> None:
    _scored(book, writer, [("approve", 0.9, "fraud")])
    quality = _counted(book)[KEY]
    assert quality.recall("challenger", "own") == 1.0
    assert quality.recall("challenger", "equal") == 0.0
    assert math.isnan(quality.precision("challenger", "equal"))


def test_counts_agree_with_numpy(book: Book, writer: PairWriter) -> None:
    random = np.random.default_rng(7)
    decisions: list[Decision] = ["approve", "review", "block"]
    labels: list[LabelValue | None] = ["fraud", "legitimate", None]
    scores = np.round(random.random(300), 2)
    rows = [(decisions[int(random.integers(3))], float(score), labels[int(random.integers(3))]) for score in scores]
    _scored(book, writer, rows)
    quality = _counted(book)[KEY]
    champion = np.array([row[0] != "approve" for row in rows])
    # Ties in the order of their predictions.
    order = np.argsort(-scores, kind="stable")
    equal = np.zeros(len(rows), bool)
    equal[order[: champion.sum()]] = True
    for budget, challenger in (("own", scores >= 0.3), ("equal", equal)):
        for label, one, other in itertools.product(("fraud", "legitimate"), (True, False), (True, False)):
            wanted = [(row[2], bool(a), bool(b)) for row, a, b in zip(rows, champion, challenger, strict=True)]
            expected = wanted.count((label, one, other))
            found = sum(
                count.transactions
                for cell, count in quality.cells.items()
                if (cell.budget, cell.label, cell.champion_alert, cell.challenger_alert) == (budget, label, one, other)
            )
            assert found == expected, (budget, label, one, other)


def _sampled(name: str, share: float) -> Any:
    row, answer = predicted(name, decision="review", score=0.9)
    row.block_review_share = share
    return row, answer


def test_reviewed_blocks_stand_for_the_others(book: Book, writer: PairWriter) -> None:
    blocked = [predicted(f"b-{number}", decision="block", score=0.9) for number in range(3)]
    book.keep(_sampled("s-1", 0.25), _sampled("s-2", 0.25), predicted("t-1"), *blocked)
    writer.write([pair(name, score) for name, score in (("s-1", 0.9), ("s-2", 0.1), ("t-1", 0.1), ("b-0", 0.9))])
    for name, label in (("s-1", "fraud"), ("s-2", "fraud"), ("t-1", "fraud"), ("b-0", "fraud")):
        book.label(name, label)  # type: ignore[arg-type]
    quality = _counted(book)[KEY]
    kinds = {(cell.blocked, cell.challenger_alert): count.weight for cell, count in quality.cells.items()}
    assert kinds[("sampled", True)] == kinds[("sampled", False)] == 4.0
    assert kinds[("yes", True)] == 1.0
    # Eight of nine frauds, and not nine of ten: what was blocked is in the sample's weight already.
    assert quality.recall("champion", "own") == 8 / 9
    assert quality.recall("challenger", "own") == 4 / 9


def test_only_what_is_young_counts(book: Book, writer: PairWriter) -> None:
    old = now() - 10 * DAY
    book.keep(predicted("old"), at=old)
    book.keep(predicted("t-1"))
    writer.write([pair("old", at=old), pair("t-1")])
    assert _counted(book)[KEY].pairs == 2
    assert _counted(book, now() - 5 * DAY)[KEY].pairs == 1
    with book.database.read() as connection:
        assert count_pairs(connection, 0, now() - 5 * DAY)[KEY].pairs == 1


def test_counts_are_kept_and_told(book: Book, writer: PairWriter) -> None:
    _scored(book, writer, [("review", 0.9, "fraud"), ("approve", 0.1, "legitimate")])
    found = {key: quality.cells for key, quality in _counted(book).items()}
    for _ in range(2):
        with book.database.begin() as connection:
            keep_pairs(connection, found)
    with book.database.read() as connection:
        kept = kept_pairs(connection)
    assert kept == found
    registry = CollectorRegistry()
    registry.register(PairCollector(lambda: kept))
    labels = {
        "budget": "equal",
        "label": "fraud",
        "champion": "alert",
        "challenger": "alert",
        "blocked": "no",
        "challenger_version": "8",
        "model_name": "fraud_detector",
        "model_version": "7",
        "role": "champion",
    }
    assert registry.get_sample_value("fraud_shadow_labelled_pairs", labels) == 1
    assert registry.get_sample_value("fraud_shadow_labelled_weight", labels) == 1
    assert registry.get_sample_value("fraud_shadow_labelled_amount_squared", labels) == 42.5**2


def test_the_command_tells_of_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    with opened(RecordsSettings(home=tmp_path)) as book:
        _scored(book, PairWriter(book.database), [("review", 0.9, "fraud"), ("approve", 0.5, "legitimate")])
    assert main(["records", "pairs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["predictions of the last 30 days", "champion 7, challenger 8: 2 pairs"]
    assert [line.split() for line in lines[3:]] == [
        ["champion", "own", "1", "1.000", "1.000"],
        ["challenger", "own", "2", "0.500", "1.000"],
        ["challenger", "equal", "1", "1.000", "1.000"],
    ]
    assert main(["records", "pairs", "--json", "--days", "5"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["challenger_version"] == "8"
    assert {(cell["budget"], cell["label"]) for cell in told["cells"]} == {
        ("own", "fraud"),
        ("own", "legitimate"),
        ("equal", "fraud"),
        ("equal", "legitimate"),
    }
