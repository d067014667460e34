"""Rows to train on in tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.features import FEATURE_NAMES
from tests.training.evaluate.standins import feature_table
from training.models.config import ModelConfig

FOREST = "sklearn.ensemble.RandomForestClassifier"


def small(rows: int = 1500, seed: int = 0, fraud_share: float = 0.08) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Feature rows in the order of time, and labels."""
    table = feature_table(rows, seed, fraud_share)
    return table[list(FEATURE_NAMES)].to_numpy(dtype=np.float32, copy=True), table["is_fraud"].to_numpy(dtype=np.int64)


def forest(**values: Any) -> ModelConfig:
    """A forest that trains in no time."""
    fields = {"name": "test", "estimator": FOREST, "parameters": {"n_estimators": 25}, "calibration_folds": 0}
    return ModelConfig.model_validate(fields | values)


def network(imbalance: dict[str, Any] | None = None, calibration_folds: int = 0, **parameters: Any) -> ModelConfig:
    """A network that trains in no time."""
    fields = {"hidden": [16], "epochs": 6, "batch_size": 128, "bins": 4}
    return ModelConfig.model_validate(
        {
            "name": "test",
            "estimator": "network",
            "parameters": fields | parameters,
            "imbalance": imbalance or {},
            "calibration_folds": calibration_folds,
        }
    )
