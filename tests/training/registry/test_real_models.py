"""Models that are really trained and exported go through registry, promotion and back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.artifact import ModelCard, read_artifact
from bentos.core.features import FEATURE_SCHEMA
from bentos.core.settings import TrainingSettings
from training.evaluate.artifact_scorer import ArtifactScorer
from training.evaluate.report import evaluate_model, feature_rows
from training.export.export import export_model
from training.models.config import load_config, with_values
from training.models.train import train_model
from training.registry.client import connect
from training.registry.promotion import promote
from training.registry.record import record_training
from training.registry.tracking import training_run
from training.registry.versions import resolve, trained_model_of
from training.splits import later_fraction

_SMALL = {
    "forest": {"parameters.n_estimators": 20, "calibration_folds": 2},
    "network": {"calibration_folds": 2},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["forest", "network"])
def test_a_real_model_is_recorded_promoted_and_read_back(
    settings: TrainingSettings, table: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    fold = later_fraction(table, 0.4)
    rows, labels = feature_rows(table, fold.train), table["is_fraud"].to_numpy()[fold.train]
    with training_run(settings, name=kind) as run:
        model = train_model(with_values(load_config(kind), _SMALL[kind]), rows, labels, 0)
        evaluation = evaluate_model(model, table, [fold], split="later", fitted_on=fold.train)
        version = run.reserve_version()
        card = ModelCard(
            name="fraud_detector",
            version=version,
            kind=model.kind,
            created_at=datetime.now(UTC),
            data_hash="d",
            code_version="c",
            mlflow_run_id=run.run_id,
            mlflow_model_version=version,
            seeds={"model": 0},
            metrics=evaluation.metrics(),
            parameters=model.config.model_dump(mode="json"),
            feature_schema=FEATURE_SCHEMA,
            rows=len(rows),
            frauds=int(labels.sum()),
        )
        artifact = export_model(model, rows, labels, tmp_path / "artifact", card, evaluation.thresholds)
        record_training(
            settings,
            run=run,
            model=model,
            evaluation=evaluation,
            artifact=artifact,
            data_hash="d",
            seeds={"model": 0},
        )
    assert promote(settings).verdict.accepted
    test = feature_rows(table, fold.test)
    expected = model.score(test)
    served = read_artifact(settings.home / "champion" / "artifact", public_key=None)
    np.testing.assert_allclose(ArtifactScorer(served).score(test), expected, atol=1e-5)
    connection = connect(settings)
    again = trained_model_of(connection, resolve(connection, "champion"))
    np.testing.assert_array_equal(again.score(test), expected)
