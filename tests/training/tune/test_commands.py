"""The command: from a feature table to a configuration that `train` takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg
import pytest

from tests.servers.postgresql import PostgresServer, running_postgres
from tests.training.evaluate.standins import feature_table
from training.__main__ import main
from training.features_file import write_features
from training.models.config import load_config
from training.tune.storage import open_storage


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    write_features(feature_table(900, fraud_share=0.12), tmp_path / "features.parquet")
    (tmp_path / "model.yaml").write_text(
        "name: tiny\nestimator: sklearn.ensemble.RandomForestClassifier\nparameters: {n_estimators: 5}\n"
        "calibration_folds: 2\n"
    )
    return tmp_path / "features.parquet"


def test_what_is_found_can_be_trained(features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = str(tmp_path / "model.yaml"), tmp_path / "best.yaml"
    command = ["tune", str(features), "--model", model, "--output", str(output)]
    assert main([*command, "--trials", "3"]) == 0
    first = capsys.readouterr()
    assert re.search(r"mean average precision 0\.\d{4}, 0\.\d{4} before", first.out)
    assert "3/3 trials, best 0." in first.err
    assert (tmp_path / "best.png").read_bytes().startswith(b"\x89PNG")
    assert load_config(output).parameters["n_estimators"] == 5

    assert main([*command, "--trials", "4", "--jobs", "2"]) == 0
    assert re.search(r"study (tiny-\w+)", first.err)[1] in capsys.readouterr().err  # type: ignore[index]
    assert main(["train", str(features), "--model", str(output), "--no-register", "--output", str(tmp_path / "o")]) == 0
    assert load_config(tmp_path / "o" / "model.yaml") == load_config(output)
    assert (tmp_path / "o" / "evaluation.json").is_file()
    assert re.search(r"digest [0-9a-f]{64}", capsys.readouterr().out)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.mark.slow
def test_pods_share_a_study_in_postgresql_and_the_first_trains(
    features: Path, tmp_path: Path, postgres: PostgresServer
) -> None:
    url = postgres.new_database()
    command = ["tune", str(features), "--model", str(tmp_path / "model.yaml"), "--trials", "6", "--register"]
    pods = [
        subprocess.Popen(
            [sys.executable, "-m", "training", *command],
            env={
                **os.environ,
                "FRAUD_HOME": str(tmp_path / f"pod-{index}"),
                "FRAUD_TUNE_URL": url,
                "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
                "JOB_COMPLETION_INDEX": str(index),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    ended = [pod.communicate(timeout=600) for pod in pods]
    assert [pod.returncode for pod in pods] == [0, 0], ended
    assert ["registered fraud_detector version 1" in out for out, _ in ended] == [True, False]
    (name,) = {re.search(r"study (tiny-\w+)", err)[1] for _, err in ended}  # type: ignore[index]
    storage = open_storage(url)
    try:
        trials = optuna.load_study(study_name=name, storage=storage).get_trials()
    finally:
        storage.remove_session()
        storage.engine.dispose()
    finished = [trial for trial in trials if trial.state.name in {"COMPLETE", "PRUNED"}]
    assert len(finished) == 6
    # The model as it is was tried, whoever came first.
    assert [trial for trial in trials if "fixed_params" in trial.system_attrs]
    # Studies keep out of the way of what else is in the database.
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname !~ '^(pg_|information)'")
        assert found.fetchall() == [("fraud_tune",)]


@pytest.mark.slow
def test_sigterm_queues_the_trials_again(features: Path, tmp_path: Path) -> None:
    """As Kubernetes ends a pod: only its first process is told."""
    (tmp_path / "large.yaml").write_text((tmp_path / "model.yaml").read_text().replace(": 5}", ": 400}"))
    command = ["tune", str(features), "--model", str(tmp_path / "large.yaml"), "--trials", "500", "--jobs", "2"]
    storage = f"sqlite:///{tmp_path / 'tune.db'}"
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *command, "--storage", storage, "--study", "mine"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr as told:
        # Its helper works too, from its second trial on at the latest.
        next(line for line in told if re.match(r"([3-9]|\d\d+)/500 trials", line))
        process.send_signal(signal.SIGTERM)
        rest = told.read()
    assert process.wait(600) == 130, rest
    opened = open_storage(storage)
    try:
        trials = optuna.load_study(study_name="mine", storage=opened).get_trials()
    finally:
        opened.remove_session()
        opened.engine.dispose()
    assert len(trials) < 500
    # A helper that is slow to notice is killed; the next search takes its trial over.
    assert len([trial for trial in trials if trial.state.name == "RUNNING"]) <= 1
    failed = {trial.number for trial in trials if trial.state.name == "FAIL"}
    assert failed == {trial.user_attrs["again"] for trial in trials if "again" in trial.user_attrs}


def test_an_incompatible_resume_is_one_message(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", str(features), "--model", str(tmp_path / "model.yaml"), "--trials", "1", "--study", "mine"]
    assert main(command) == 0
    assert main([*command, "--seed", "5"]) == 2
    assert "error: the study 'mine' was made for something else (seed 0 there, 5 here)" in capsys.readouterr().err


def test_a_model_without_ranges(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(features), "--model", "logistic"]) == 2
    assert "nobody wrote down ranges for sklearn.linear_model" in capsys.readouterr().err
