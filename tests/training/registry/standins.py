"""A linear model that is trained in no time and exports to the real artifact format."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from pydantic import BaseModel

from bentos.core.artifact import (
    Artifact,
    ArtifactContents,
    Distributions,
    ModelCard,
    Thresholds,
    read_artifact,
    reference_histogram,
    write_artifact,
)
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.core.settings import TrainingSettings
from tests.training.evaluate.standins import PLACE, later_folds
from training.evaluate.evaluation import Evaluation
from training.evaluate.report import evaluate_model, feature_rows
from training.registry.record import RegisteredVersion, record_training
from training.registry.tracking import training_run


class Config(BaseModel):
    """What a model is made of."""

    kind: str = "network"
    layers: list[int] = [32, 16]
    optimiser: dict[str, float] = {"rate": 0.01}


@dataclass
class LinearModel:
    """score = sigmoid(weights · row + bias); ``strength`` 0 knows nothing."""

    strength: float = 1.0
    kind: str = "network"
    config: Config = field(default_factory=Config)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        result = np.zeros(len(FEATURE_NAMES))
        result[PLACE["merchant_fraud_rate_7d"]] = 8
        result[PLACE["amount_deviation"]] = 0.8
        result[PLACE["distance_km"]] = 0.01
        result[PLACE["hour"]] = 0.3 * (1 - self.strength)  # noise, of which a weaker model has more
        return result * np.where(np.arange(21) == PLACE["hour"], 1, self.strength)

    @property
    def bias(self) -> float:
        return -4.0 - 3.5 * (1 - self.strength)

    def score(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return 1 / (1 + np.exp(-(rows.astype(np.float64) @ self.weights + self.bias)))

    def explainer(self) -> dict[str, npt.NDArray[Any]]:
        """A network of one layer, on rows as they are."""
        width = len(FEATURE_NAMES)
        return {
            "log": np.zeros(width, dtype=bool),
            "mean": np.zeros(width),
            "scale": np.ones(width),
            "clip": np.array(1e9),
            "background": np.zeros((1, width)),
            "weight_0": self.weights[np.newaxis],
            "bias_0": np.array([self.bias]),
        }

    def to_onnx(self) -> bytes:
        graph = helper.make_graph(
            [
                helper.make_node("Cast", ["features"], ["wide"], to=TensorProto.DOUBLE),
                helper.make_node("MatMul", ["wide", "weights"], ["product"]),
                helper.make_node("Add", ["product", "bias"], ["raw_score"]),
                helper.make_node("Sigmoid", ["raw_score"], ["score"]),
            ],
            "linear",
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 21])],
            [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in ("raw_score", "score")],
            [
                numpy_helper.from_array(self.weights, "weights"),
                numpy_helper.from_array(np.array(self.bias), "bias"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def export(model: LinearModel, table: pd.DataFrame, folder: Path, evaluation: Evaluation, **card: Any) -> Artifact:
    rows = feature_rows(table, later_folds(table)[0].train)
    histograms = {name: reference_histogram(rows[:, place]) for place, name in enumerate(FEATURE_NAMES)}
    values = {
        "name": "fraud_detector",
        "version": "0",
        "kind": "network",
        "created_at": datetime(2026, 2, 1, tzinfo=UTC),
        "data_hash": "d" * 64,
        "code_version": "abc",
        "feature_schema": FEATURE_SCHEMA,
        "rows": len(rows),
        "frauds": 10,
        "metrics": evaluation.metrics(),
    }
    contents = ArtifactContents(
        kind="network",
        onnx=model.to_onnx(),
        explainer=model.explainer(),
        distributions=Distributions(features=histograms, score=reference_histogram(model.score(rows))),
        thresholds=Thresholds(review=evaluation.thresholds.review, block=evaluation.thresholds.block),
        card=ModelCard(**(values | card)),
    )
    write_artifact(folder, contents, private_key=None)
    return read_artifact(folder, public_key=None)


def evaluated(model: LinearModel, table: pd.DataFrame, folds: int = 2) -> Evaluation:
    return evaluate_model(model, table, later_folds(table, folds), split="later 0.4")


def train_and_record(
    settings: TrainingSettings,
    table: pd.DataFrame,
    folder: Path,
    *,
    strength: float = 1.0,
    snapshot: Path | None = None,
    pictures: list[Path] | None = None,
    **card: str,
) -> RegisteredVersion:
    """The whole flow, as the pipeline goes through it."""
    model = LinearModel(strength)
    with training_run(settings, name="linear") as run:
        evaluation = evaluated(model, table)
        version = run.reserve_version()
        artifact = folder / f"artifact-{version}"
        numbers = {"version": version, "mlflow_run_id": run.run_id, "mlflow_model_version": version}
        export(model, table, artifact, evaluation, **(numbers | card))
        return record_training(
            settings,
            run=run,
            model=model,
            evaluation=evaluation,
            artifact=artifact,
            pictures=pictures or [],
            data_hash="d" * 64,
            seeds={"model": 7, "split": 1},
            snapshot=snapshot,
        )
