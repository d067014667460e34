from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd
import pytest

from bentos.core.artifact import ModelCard, read_artifact, reference_histogram
from bentos.core.features import FEATURE_SCHEMA
from tests.training.evaluate.standins import feature_table, later_folds
from training.doctor.check import Patient
from training.evaluate.artifact_scorer import ArtifactScorer
from training.evaluate.report import evaluate_model, feature_rows
from training.export.export import export_model
from training.models.config import ModelConfig
from training.models.train import train_model


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Patient:
    """A sound table, a forest that was really trained on it, and its real export."""
    table = feature_table(3000)
    fold = later_folds(table)[0]
    config = ModelConfig(
        name="small",
        estimator="sklearn.ensemble.RandomForestClassifier",
        parameters={"n_estimators": 20, "min_samples_leaf": 5},
        calibration_folds=2,
    )
    rows, labels = feature_rows(table, fold.train), table["is_fraud"].to_numpy()[fold.train]
    model = train_model(config, rows, labels, 0)
    evaluation = evaluate_model(model, table, [fold])
    card = ModelCard(
        name="fraud_detector",
        version="1",
        kind="forest",
        created_at=datetime(2026, 2, 1, tzinfo=UTC),
        data_hash="d",
        code_version="c",
        feature_schema=FEATURE_SCHEMA,
        rows=len(rows),
        frauds=int(labels.sum()),
    )
    folder = tmp_path_factory.mktemp("artifact") / "artifact"
    export_model(model, rows, labels, folder, card, evaluation.thresholds)
    artifact = read_artifact(folder, public_key=None)
    # Drift of the score is measured against what is served on rows that were not trained on.
    served = reference_histogram(ArtifactScorer(artifact).score(evaluation.held_out.rows))
    artifact = replace(artifact, distributions=artifact.distributions.model_copy(update={"score": served}))
    return Patient(table, fold.train, fold.test, scorer=model, model=model, artifact=artifact)


@pytest.fixture
def patient(healthy: Patient) -> Patient:
    """Free to be broken."""
    return replace(healthy, table=pd.DataFrame(healthy.table.copy()))
