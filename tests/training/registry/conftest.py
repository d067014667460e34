from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from bentos.core.settings import TrainingSettings
from tests.training.evaluate.standins import feature_table
from training.registry.client import connect


@pytest.fixture(scope="session")
def mlflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database. Making its tables takes seconds, copying them nothing."""
    home = tmp_path_factory.mktemp("tables")
    connect(TrainingSettings(home=home, MLFLOW_TRACKING_URI=None))
    database = home / "mlflow.db"
    with sqlite3.connect(database) as connection:  # what connect adds names this folder
        connection.execute("DELETE FROM experiments WHERE name = 'fraud_detection'")
        connection.execute("DELETE FROM registered_models")
    connection.close()
    return database


@pytest.fixture
def settings(tmp_path: Path, mlflow_tables: Path) -> TrainingSettings:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(mlflow_tables, home / "mlflow.db")
    return TrainingSettings(home=home, MLFLOW_TRACKING_URI=None)


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    return feature_table(3000)
