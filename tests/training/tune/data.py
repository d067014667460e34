"""A small search."""

from __future__ import annotations

from pathlib import Path

from bentos.core.features import FEATURE_SCHEMA
from tests.training.evaluate.standins import feature_table
from tests.training.models.data import FOREST
from training.data.table import table_hash
from training.models.config import ModelConfig
from training.models.space import Choice, Space, Whole
from training.tune.identity import StudyIdentity, study_identity
from training.tune.objective import Objective, tuning_folds, widened
from training.tune.search import SearchPlan

SPACE: Space = {
    "parameters.min_samples_leaf": Whole(1, 30, log=True),
    "parameters.criterion": Choice(("gini", "entropy")),
}


def objective(trees: int = 5, rows: int = 1200, seed: int = 0) -> Objective:
    """Of a forest on made-up features."""
    config = ModelConfig(name="test", estimator=FOREST, parameters={"n_estimators": trees}, calibration_folds=0)
    table = feature_table(rows, fraud_share=0.1)
    return Objective.of(config, widened(SPACE, config), table, tuning_folds(table, folds=3), seed)


def identity_of(made: Objective, data: str | None = None, schema: str = FEATURE_SCHEMA) -> StudyIdentity:
    """As the command makes it."""
    own = data or table_hash(feature_table(1200, fraud_share=0.1))
    return study_identity(made.config, made.space, made.folds, data_hash=own, feature_schema=schema, seed=made.seed)


def plan(folder: Path, made: Objective, trials: int, name: str = "study") -> SearchPlan:
    """With signs of life every second, so that tests need not wait."""
    url = f"sqlite:///{folder / 'tune.db'}"
    return SearchPlan(url, name, identity_of(made), trials, heartbeat_seconds=1, grace_seconds=3)
