"""Small trained models of every kind that is served, and the rows they learnt from."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.artifact import ModelCard, Thresholds
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from training.models.config import ModelConfig
from training.models.train import train_model
from training.models.trained import TrainedModel

THRESHOLDS = Thresholds(review=0.2, block=0.7)

FOREST = "sklearn.ensemble.RandomForestClassifier"
#: Name to configuration: every estimator, imbalance strategy and layer that export has to read.
SERVED: dict[str, dict[str, Any]] = {
    "forest": {"estimator": FOREST, "parameters": {"n_estimators": 20, "max_depth": 8}},
    "forest-deep": {"estimator": FOREST, "parameters": {"n_estimators": 10, "max_depth": None}},
    "forest-leaves": {"estimator": FOREST, "parameters": {"n_estimators": 10, "max_leaf_nodes": 30}},
    "forest-stumps": {"estimator": FOREST, "parameters": {"n_estimators": 10, "max_depth": 1}},
    "forest-weights": {
        "estimator": FOREST,
        "parameters": {"n_estimators": 10, "max_depth": 8},
        "imbalance": {"strategy": "class_weight"},
    },
    "forest-undersampled": {
        "estimator": FOREST,
        "parameters": {"n_estimators": 10},
        "imbalance": {"strategy": "undersample", "ratio": 0.5},
    },
    "forest-balanced": {
        "estimator": FOREST,
        "parameters": {"n_estimators": 10, "max_depth": 8},
        "imbalance": {"strategy": "balanced_forest", "ratio": 0.5},
    },
    "extra-trees": {
        "estimator": "sklearn.ensemble.ExtraTreesClassifier",
        "parameters": {"n_estimators": 10, "max_depth": 10},
    },
    "network": {"estimator": "network", "parameters": {"hidden": [16, 8], "bins": 0, "epochs": 3, "patience": None}},
    "network-norm": {
        "estimator": "network",
        "parameters": {
            "hidden": [16],
            "bins": 0,
            "epochs": 10,
            "patience": None,
            "warmup_steps": 5,
            "batch_norm": True,
        },
        "imbalance": {"strategy": "smote", "ratio": 0.5},
    },
    "network-pieces": {
        "estimator": "network",
        "parameters": {"hidden": [16, 8], "bins": 8, "epochs": 8, "patience": None, "warmup_steps": 5},
    },
}


@cache
def training_rows(count: int = 1500) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows like real ones: money, hours, flags, counts, rates, a default distance; a tenth are frauds."""
    rng = np.random.default_rng(0)
    rows = rng.gamma(1.0, 40.0, size=(count, len(FEATURE_NAMES)))
    for i, name in enumerate(FEATURE_NAMES):
        if name.startswith("is_"):
            rows[:, i] = rng.random(count) < 0.3
        elif name in ("hour", "day_of_week") or "_transactions_" in name:
            rows[:, i] = np.round(rows[:, i] / 6)
        elif "rate" in name:
            rows[:, i] = rng.choice([0.0, 0.1, 0.5], size=count)
        elif name == "amount_deviation":
            rows[:, i] = rng.normal(size=count) * 2
    rows[rng.random(count) < 0.3, FEATURE_NAMES.index("distance_km")] = -1.0
    risk = rows[:, FEATURE_NAMES.index("amount")] / 30 + rows[:, FEATURE_NAMES.index("amount_deviation")]
    risk += 4 * rows[:, FEATURE_NAMES.index("merchant_fraud_rate_7d")] + rng.normal(size=count)
    return rows, risk > np.quantile(risk, 0.9)


@cache
def trained(name: str) -> TrainedModel:
    config = ModelConfig.model_validate({"name": name, "calibration_folds": 2, **SERVED[name]})
    return train_model(config, *training_rows(), seed=0)


def card(kind: str = "forest", **changes: Any) -> ModelCard:
    fields = {
        "name": "fraud_detector",
        "version": "3",
        "kind": kind,
        "created_at": datetime(2026, 1, 31, tzinfo=UTC),
        "data_hash": "d" * 64,
        "code_version": "c" * 40,
        "feature_schema": FEATURE_SCHEMA,
        "rows": 1500,
        "frauds": 150,
    }
    return ModelCard.model_validate({**fields, **changes})
