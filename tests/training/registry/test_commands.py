"""The commands as a user calls them, on a home of their own."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from bentos.core.errors import ArtifactError, DataError, FraudError, RegistryError
from bentos.core.settings import TrainingSettings
from tests.training.registry.standins import LinearModel, evaluated, export, train_and_record
from training.__main__ import main
from training.doctor.commands import doctor
from training.evaluate.commands import evaluate
from training.features_file import write_features
from training.registry.client import connect
from training.registry.commands import export as export_command
from training.registry.commands import models, promote, register
from training.registry.versions import resolve


@pytest.fixture
def features(table: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "features.parquet"
    write_features(table, path)
    return path


@pytest.fixture
def run(settings: TrainingSettings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FRAUD_HOME", str(settings.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def call(command: click.Command, *arguments: object) -> Result:
        result = CliRunner().invoke(command, [str(item) for item in arguments])
        if isinstance(result.exception, FraudError):
            raise result.exception
        return result

    return call


def test_from_registration_to_export(run, settings, table, features: Path, tmp_path: Path) -> None:
    assert "no model is registered" in run(models).stdout
    with pytest.raises(RegistryError, match="no model in"):
        run(evaluate, "champion", "--features", features)
    train_and_record(settings, table, tmp_path)
    assert "version 1 is champion, the first" in run(promote).stdout
    listed = run(models).stdout
    assert "champion" in listed
    assert "later 0.4" in listed
    assert json.loads(run(models, "--json").stdout)[0]["aliases"] == ["champion"]
    assert run(export_command, "champion", "--output", tmp_path / "out").exit_code == 0

    # An artifact from elsewhere is registered with a card of its own.
    done = run(register, tmp_path / "out", "--features", features, "--split", "stratified", "--fraction", 0.3)
    assert "fraud_detector version 2" in done.stdout, done.output
    accepted = json.loads(run(promote, "--json").stdout)
    assert accepted["before"] == "1"
    assert all(item["passed"] for item in accepted["findings"])
    (settings.home / "champion").unlink()
    assert "nothing lies in" in run(models).stdout


def test_accept_asks_the_rule_and_promotes_nobody(
    run, settings, table, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for strength in (1.0, 0.3):
        train_and_record(settings, table, tmp_path, strength=strength)
    assert main(["accept", "1", "--no-note", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["champion"], first["accepted"]) == (None, True)
    assert "fraud.accepted" not in resolve(connect(settings), "1").tags
    assert run(promote, "1").exit_code == 0
    assert main(["accept"]) == 1
    assert "version 2 may not become champion" in capsys.readouterr().out
    assert main(["accept", "champion", "--json"]) == 0
    tags = resolve(connect(settings), "challenger").tags
    assert (tags["fraud.accepted"], tags["fraud.accepted_against"]) == ("false", "1")
    assert "average precision: challenger minus champion -0." in tags["fraud.acceptance_reasons"]
    assert resolve(connect(settings), "champion").number == "1"


def test_evaluate_measures_a_folder_and_writes_report_and_pictures(run, table, features: Path, tmp_path: Path) -> None:
    model = LinearModel()
    export(model, table, tmp_path / "artifact", evaluated(model, table))
    output = tmp_path / "report"
    done = run(
        evaluate,
        *(tmp_path / "artifact", "--features", features, "--output", output, "--no-pictures"),
        *("--split", "prequential", "--folds", 2, "--thresholds", "f1"),
    )
    assert done.exit_code == 0, done.output
    assert "average precision ↑" in done.stdout
    report = json.loads((output / "evaluation.json").read_text())
    assert report["split"] == "prequential first_train_day=latest folds=2 days=7+7+7"
    assert len(report["folds"]) == 2
    assert report["thresholds"]["method"] == "f1"


def test_days_that_were_trained_on_are_refused(run, table, features: Path, tmp_path: Path) -> None:
    model = LinearModel()
    period = {"start": "2026-01-01", "end": "2026-02-08"}
    export(model, table, tmp_path / "a", evaluated(model, table), training_period=period)
    call = (evaluate, tmp_path / "a", "--features", features, "--output", tmp_path / "r", "--no-pictures")
    with pytest.raises(DataError, match="test rows lie in the model's training period, 2026-01-01 to 2026-02-08"):
        run(*call)
    allowed = run(*call, "--allow-seen")
    assert "promise too much" in allowed.stderr
    # A period that ends before the test gives the comparison of train and test.
    early = {"start": "2026-01-01", "end": "2026-01-20"}
    export(model, table, tmp_path / "a", evaluated(model, table), training_period=early)
    assert "train against test: ok" in run(*call).stdout


def test_doctor_says_what_is_wrong_by_its_exit_code(run, table, features: Path, tmp_path: Path) -> None:
    model = LinearModel()
    export(model, table, tmp_path / "a", evaluated(model, table))
    sound = run(doctor, "--features", features, "--model", tmp_path / "a", "--json")
    assert sound.exit_code == 0, sound.output
    states = {item["check"]: item["status"] for item in json.loads(sound.stdout)["checks"]}
    assert states["columns"] == "ok"
    assert states["parity"] == "skipped"  # a folder has no trained model beside it
    table.assign(hour=table.hour * 60, is_fraud=False).to_parquet(features)
    broken = run(doctor, "--features", features)
    assert broken.exit_code == 1
    assert "hour leaves 0 to 23" in broken.stdout
    assert "the split failed" in broken.stderr


def test_doctor_uses_the_trained_model_of_a_version(run, settings, table, features: Path, tmp_path: Path) -> None:
    train_and_record(settings, table, tmp_path)
    answers = json.loads(run(doctor, "--features", features, "--model", "challenger", "--json").stdout)["checks"]
    assert {item["check"]: item["status"] for item in answers}["parity"] == "ok"


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no feature table at"), (b"text", "is no Parquet file")]
)
def test_a_table_that_cannot_be_read_is_named(run, tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "table.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        run(doctor, "--features", path)


def test_a_folder_without_an_artifact_is_named(run, features: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="there is no artifact at"):
        run(evaluate, tmp_path / "nothing", "--features", features)


@pytest.mark.parametrize("command", [doctor, evaluate, export_command, models, promote, register])
def test_help_explains_every_option(command: click.Command) -> None:
    text = CliRunner().invoke(command, ["--help"]).stdout
    assert len(text.splitlines()) > 5
    for item in command.params:
        if isinstance(item, click.Option):
            assert item.help, item.name
