"""The models page over a real registry, and promotion by training's own command."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.core.errors import RegistryError
from bentos.core.settings import TrainingSettings
from dashboard.registry import open_registry, promote
from dashboard.settings import DashboardSettings
from tests.dashboard.conftest import open_page, texts
from tests.ports import free_port
from tests.training.evaluate.standins import feature_table
from tests.training.registry.standins import train_and_record


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two versions, the first much better, and no champion."""
    home = tmp_path_factory.mktemp("registry") / "home"
    home.mkdir()
    settings = TrainingSettings(home=home, MLFLOW_TRACKING_URI=None)
    snapshot = home / "features.npz"
    snapshot.write_bytes(b"states")
    table = feature_table(2000)
    for number, strength in enumerate((1.0, 0.2)):
        folder = tmp_path_factory.mktemp(f"version{number}")
        train_and_record(settings, table, folder, strength=strength, snapshot=snapshot)
    return home


@pytest.mark.slow
def test_versions_are_compared_and_promoted_by_the_rule(
    registered: Path, dashboard_settings: pytest.MonkeyPatch
) -> None:
    dashboard_settings.setenv("FRAUD_HOME", str(registered))
    settings = DashboardSettings()
    registry = open_registry(settings)
    assert registry is not None
    assert [version.number for version in registry.versions()] == ["2", "1"]
    details = registry.details(registry.versions()[1].run_id)
    assert len(details.held_out) == details.evaluation["rows"]

    findings = promote(settings, "1", "first one (ann)", force=False)
    assert all(item["passed"] for item in findings)
    versions = {version.number: version for version in registry.versions()}
    assert versions["1"].aliases == ("champion",)
    assert versions["1"].tags["fraud.promotion_reason"] == "first one (ann)"
    with pytest.raises(RegistryError, match="average precision"):
        promote(settings, "2", "worse", force=False)

    test = open_page("models")
    assert not test.error, texts(test.error)
    (table,) = [frame.value for frame in test.dataframe if "alias" in frame.value.columns]
    assert table["alias"].tolist() == ["challenger", "champion"]
    numbers = {metric.label: metric.value for metric in test.metric}
    assert numbers["Frauds let pass"].isdecimal()


def test_no_registry_is_none_and_makes_none(tmp_path: Path) -> None:
    assert open_registry(DashboardSettings(home=tmp_path, MLFLOW_TRACKING_URI=None)) is None
    assert not list(tmp_path.iterdir())


def test_mlflow_that_is_down_is_an_error_box(dashboard_settings: pytest.MonkeyPatch) -> None:
    dashboard_settings.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    test = open_page("models")
    assert "MLFLOW_TRACKING_URI" in texts(test.error).replace("\\", "")
