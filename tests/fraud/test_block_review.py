"""A share of what would be blocked goes to review: the same when asked again, and with its share on record."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bentos.core.answers import Prediction
from bentos.core.artifact import Thresholds, write_artifact
from bentos.fraud.application import Application
from bentos.fraud.options import PredictOptions
from bentos.fraud.records.database import upgrade
from bentos.fraud.records.tables import PREDICTIONS
from bentos.fraud.scorer import decide
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import forest_contents
from tests.fraud.blocking import running_application
from tests.fraud.records.recording import recorded
from tests.fraud.requests import transaction
from tests.waiting import eventually

SHARE = 0.25
#: Large: the forest would review it, and blocks it by these thresholds.
FRAUD = {"amount": 50_000.0}
THRESHOLDS = Thresholds(review=0.2, block=0.3)


@pytest.fixture
def options() -> dict[str, Any]:
    """Settings beside the usual; tests that need others define their own."""
    return {"block_review_share": SHARE}


@pytest.fixture(scope="module")
def strict_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FRAUD_HOME whose champion blocks what another reviews. Not to be written to."""
    home = tmp_path_factory.mktemp("strict")
    write_artifact(home / "champion" / "artifact", forest_contents(thresholds=THRESHOLDS), private_key=None)
    return home


@pytest.fixture
def home(strict_home: Path, tmp_path: Path) -> Path:
    """One of one's own."""
    return Path(shutil.copytree(strict_home, tmp_path / "home"))


@pytest.fixture
def application(home: Path, runner: asyncio.Runner, options: dict[str, Any]) -> Iterator[Application]:
    """A worker that reviews a share of blocks."""
    settings = ScoringSettings(home=home, deadline_milliseconds=60_000, job_processes=0, **options)
    upgrade(settings)
    with running_application(settings, runner) as opened:
        runner.run(opened.warm_up())
        yield opened


def _predict(application: Application, runner: asyncio.Runner, name: str, *, record: bool = True) -> Prediction:
    asked = transaction(transaction_id=name, customer_id=f"c-{name}", **FRAUD)
    return runner.run(application.predictor.predict(asked, PredictOptions("none", record=record)))


def _all(application: Application, runner: asyncio.Runner, **options: bool) -> dict[str, Prediction]:
    return {f"t-{number}": _predict(application, runner, f"t-{number}", **options) for number in range(300)}


def test_a_share_is_reviewed_and_noted(application: Application, runner: asyncio.Runner) -> None:
    with recorded(application):
        found = _all(application, runner)
        assert {decide(one.score, one.thresholds) for one in found.values()} == {"block"}
        reviewed = {name for name, one in found.items() if one.decision == "review"}
        # Four standard deviations.
        assert abs(len(reviewed) - 75) < 30
        assert {one.decision for one in found.values()} == {"review", "block"}
        # Who asks again gets the same answer.
        assert {name for name, one in _all(application, runner).items() if one.decision == "review"} == reviewed
        runner.run(asyncio.sleep(0.1))

        def kept() -> list[Any]:
            runner.run(asyncio.sleep(0))
            with application.database.read() as connection:
                rows = connection.execute(select(PREDICTIONS)).all()
            return list(rows) if len(rows) == len(found) else []

        rows = eventually(kept)
    assert {row.transaction_id for row in rows if row.block_review_share == SHARE} == reviewed
    assert {row.block_review_share for row in rows} == {SHARE, None}
    assert {row.decision for row in rows if row.block_review_share is None} == {"block"}


def test_what_is_not_recorded_is_blocked(application: Application, runner: asyncio.Runner) -> None:
    assert {one.decision for one in _all(application, runner, record=False).values()} == {"block"}


def test_an_explanation_tells_what_the_model_says(application: Application, runner: asyncio.Runner) -> None:
    reviewed = next(name for name, one in _all(application, runner).items() if one.decision == "review")
    asked = transaction(transaction_id=reviewed, customer_id=f"c-{reviewed}", **FRAUD)
    assert runner.run(application.predictor.explain(asked)).decision == "block"


@pytest.mark.parametrize("options", [{}])
def test_off_unless_set(application: Application, runner: asyncio.Runner) -> None:
    assert {one.decision for one in _all(application, runner).values()} == {"block"}


def test_what_passes_is_left_alone(application: Application, runner: asyncio.Runner) -> None:
    for number in range(50):
        asked = transaction(transaction_id=f"small-{number}", amount=float(number))
        found = runner.run(application.predictor.predict(asked, PredictOptions("none")))
        assert found.decision == decide(found.score, found.thresholds)
