"""From transactions to a champion or a challenger, in one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.settings import TrainingSettings, load_settings
from training.__main__ import main
from training.data.synthetic.generator import generate_table
from training.data.table import write_transactions
from training.registry.champion import champion_folder
from training.registry.client import connect
from training.registry.versions import list_versions

pytestmark = pytest.mark.slow


@pytest.fixture
def transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FRAUD_KUBERNETES_JOB", "fraud-train-1")
    monkeypatch.setenv("FRAUD_KUBERNETES_POD", "fraud-train-1-x")
    for number, trees in enumerate((40, 1)):
        (tmp_path / f"{number}.yaml").write_text(
            "name: tiny\nestimator: sklearn.ensemble.RandomForestClassifier\ncalibration_folds: 2\n"
            f"parameters: {{n_estimators: {trees}}}\n"
        )
    write_transactions([generate_table(rows=4000, seed=0)], tmp_path / "transactions.parquet")
    return tmp_path / "transactions.parquet"


def test_the_best_becomes_challenger_and_names_its_job(transactions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The weaker model is registered last, and would be challenger by that."""
    folder = transactions.parent
    models = [f"--model={folder / '0.yaml'}", f"--model={folder / '1.yaml'}"]
    # A URL, and no table of features.
    assert main(["run", transactions.as_uri(), "--no-promote", *models]) == 0
    settings = load_settings(TrainingSettings)
    versions = {version.number: version for version in list_versions(connect(settings))}
    best = max(versions.values(), key=lambda version: float(version.tags["fraud.metric.average_precision"]))
    assert {number: version.aliases for number, version in versions.items()} == {
        number: ("challenger",) if number == best.number else () for number in ("1", "2")
    }
    assert f"version {best.number} is challenger" in capsys.readouterr().out
    assert not champion_folder(settings.home).exists()
    for version in versions.values():
        assert version.tags["fraud.kubernetes_job"] == "fraud-train-1"
        assert version.tags["fraud.snapshot"] == "features.npz"
