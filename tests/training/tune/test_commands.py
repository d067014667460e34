"""The command: from a feature table to a configuration that `train` takes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.evaluate.standins import feature_table
from training.__main__ import main
from training.features_file import write_features
from training.models.config import load_config


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
