"""A small artifact: the package does not look into the model, so any bytes will do."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from bentos.core.artifact import (
    ArtifactContents,
    Distributions,
    ModelCard,
    Thresholds,
    TrainingPeriod,
    reference_histogram,
)
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA


def contents(version: str = "1", model: bytes = b"a model" * 100, **changes: Any) -> ArtifactContents:
    rng = np.random.default_rng(0)
    rows = rng.gamma(1.0, 30.0, size=(500, len(FEATURE_NAMES)))
    card = ModelCard(
        name="fraud_detector",
        version=version,
        kind="forest",
        created_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        data_hash="d" * 64,
        code_version="c" * 40,
        mlflow_run_id="run",
        mlflow_model_version=version,
        seeds={"model": 0},
        metrics={"average_precision": 0.7},
        parameters={"trees": 100, "depth": None},
        feature_schema=FEATURE_SCHEMA,
        training_period=TrainingPeriod(start=date(2025, 12, 1), end=date(2025, 12, 7)),
        rows=500,
        frauds=15,
        environment={"numpy": np.__version__},
    )
    fields: dict[str, Any] = {
        "kind": "forest",
        "onnx": model,
        "explainer": {"value": rng.normal(size=(3, 4)), "offsets": np.array([0, 3]), "clip": np.array(8.0)},
        "distributions": Distributions(
            features={name: reference_histogram(rows[:, i]) for i, name in enumerate(FEATURE_NAMES)},
            score=reference_histogram(rng.random(500)),
        ),
        "thresholds": Thresholds(review=0.2, block=0.8),
        "card": card,
    }
    return ArtifactContents(**{**fields, **changes})
