"""The report over recorded predictions of a real server's database."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from bentos.core.artifact import read_artifact, reference_categories, write_artifact
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.__main__ import main
from bentos.fraud.records.database import open_database, upgrade
from bentos.fraud.records.tables import LABELS, PREDICTIONS
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import forest_contents, training_rows

DAY = 86_400_000_000


def fill(home: Path, days: int, rows: int, *, changed: int = 0) -> None:
    """Predictions of the last days, from the rows of training; amounts are far too large on some, the last of them."""
    settings = ScoringSettings(home=home)
    upgrade(settings)
    scorer = Scorer(read_artifact(home / "champion" / "artifact", public_key=None))
    values = training_rows()[0].astype(np.float64)[: rows * days].reshape(days, rows, -1)
    values[days - changed :, :, FEATURE_NAMES.index("amount")] *= 1e5
    noon = (time.time_ns() // 1000 // DAY) * DAY
    predictions, labels = [], []
    for day in range(days):
        _, scores = scorer.score(values[day])
        for place, score in enumerate(scores):
            name = f"t-{day}-{place}"
            at = noon - (days - 1 - day) * DAY
            predictions.append(
                {"transaction_id": name, "customer_id": "c", "merchant_id": "m", "hashed": False, "role": "champion"}
                | {"merchant_category": "<b>grocery</b>", "amount": 1.0, "event_time": at, "offset_seconds": 0}
                | {"score": float(score), "raw_score": 0.5, "decision": "block" if score > 0.8 else "approve"}
                | {"model_name": scorer.model.name, "model_version": scorer.model.version, "degraded": ""}
                | {"features": values[day, place].tobytes(), "created_at": at}
            )
            if place % 10 == 0:
                labels.append(
                    {"transaction_id": name, "label": "fraud" if score > 0.5 else "legitimate", "label_time": at}
                    | {"revision": 1, "pending": False, "created_at": at, "updated_at": at}
                )
    database = open_database(settings)
    with database.begin() as connection:
        connection.execute(insert(PREDICTIONS), predictions)
        connection.execute(insert(LABELS), labels)
    database.close()


def report(home: Path, *options: str) -> str:
    """Run the command and read what it wrote."""
    assert main(["drift", "report", str(home / "report.html"), *options]) == 0
    return (home / "report.html").read_text()


@pytest.fixture(autouse=True)
def _home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(home))


def test_it_names_what_has_drifted_and_when(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home, days=3, rows=600, changed=2)
    text = report(home, "--minimum-rows", "500")
    told = capsys.readouterr().out
    assert "1,800 predictions of 3 days; drifted: " in told
    assert "amount" in told
    assert "<b>amount</b>" in text
    (line,) = [line for line in text.split("<tr>") if line.startswith("<td>amount</td>")]
    assert line.count("class='bad'") == 2
    assert text.count("<svg") == 8
    # Only what the page itself has: it can be sent by mail.
    assert "http" not in text
    assert "<script" not in text


def test_categories_are_compared_when_the_artifact_has_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(home, days=2, rows=600)
    assert "Merchant categories are not compared" in report(home, "--minimum-rows", "500")
    plain = read_artifact(home / "champion" / "artifact", public_key=None).distributions
    known = reference_categories(["<b>grocery</b>"] * 900 + ["fuel"] * 100, np.arange(1000) % 24)
    distributions = plain.model_copy(update={"merchant_category": known})
    write_artifact(home / "champion" / "artifact", forest_contents(distributions=distributions), private_key=None)
    text = report(home, "--minimum-rows", "500")
    assert "drifted: merchant_category" in capsys.readouterr().out
    assert "<b>merchant_category</b>" in text
    assert "not compared" not in text
    # Names are callers' words.
    assert "&lt;b&gt;grocery&lt;/b&gt;: 100.0%" in text
    assert "<b>grocery</b>" not in text


def test_labels_say_how_good_each_version_was(home: Path) -> None:
    fill(home, days=2, rows=600)
    text = report(home, "--minimum-rows", "500", "--days", "5")
    assert "Nothing has drifted beyond its limit." in text
    assert "fraud_detector 7 (champion)" in text
    assert "<td>120</td>" in text


def test_few_predictions_and_none(home: Path) -> None:
    assert "There are no recorded predictions of this version in this time." in report(home)
    fill(home, days=1, rows=100)
    text = report(home)
    assert "There are too few predictions to say anything." in text


def test_a_place_that_cannot_be_written_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "file").touch()
    assert main(["drift", "report", str(home / "file" / "report.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err
