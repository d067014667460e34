"""The one forest that every server serves: fitted, as the product's artifact, and as ONNX."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bentos.core.artifact import ArtifactContents, read_artifact, write_artifact
from tests.fraud.artifacts import CARD, THRESHOLDS, training_rows
from training.export.export import ExportOptions, export_model
from training.models.config import ModelConfig
from training.models.train import train_model

__all__ = ["BLOCK", "FOREST", "ONNX", "REVIEW", "make_models", "make_slow_models"]

TREES: Final = 100
DEPTH: Final = 10
REVIEW: Final = THRESHOLDS.review
BLOCK: Final = THRESHOLDS.block
#: Files that the peers load.
FOREST: Final = "forest.joblib"
ONNX: Final = "artifact/model.onnx"
#: Side of the square matrices that a slow model multiplies.
_SIDE: Final = 256


def make_models(folder: Path) -> float:
    """Fit the forest and write ``forest.joblib`` and ``artifact/`` by the product's own exporter.

    Returns
    -------
    The largest difference between the forest's and the artifact's raw scores on the training rows.
    """
    rows, labels = training_rows()
    config = ModelConfig(
        name="load",
        estimator="sklearn.ensemble.RandomForestClassifier",
        parameters={"n_estimators": TREES, "max_depth": DEPTH},
        calibration_folds=2,
    )
    model = train_model(config, rows, labels, 0)
    options = ExportOptions(parity_rows=50, shap_rows=8)
    export_model(model, rows, labels, folder / "artifact", CARD, THRESHOLDS, options=options)
    forest = model.pipeline[-1]
    joblib.dump(forest, folder / FOREST)
    (raw,) = ort.InferenceSession(folder / ONNX).run(["raw_score"], {"features": rows})
    return float(np.abs(forest.predict_proba(rows)[:, 1] - raw).max())


def make_slow_models(folder: Path, slow: Path, milliseconds: float) -> float:
    """Write an artifact like the one in a folder whose every call takes longer, however many rows it has.

    Its graph first multiplies matrices of a fixed size; their result is too small to change a score. A large network,
    an accelerator and a model behind a network cost about the same for one row as for many, as this does.

    Returns
    -------
    Milliseconds that a call of one row takes.
    """
    artifact = read_artifact(folder / "artifact", public_key=None)
    row = np.ones((1, 21), np.float32)
    products = 8
    for _ in range(3):
        content = _slowed(artifact.onnx, products)
        taken = _milliseconds(content, row)
        if abs(taken / milliseconds - 1) < 0.05:
            break
        products = max(1, round(products * milliseconds / taken))
    contents = ArtifactContents(
        kind="forest",
        onnx=content,
        explainer=artifact.explainer,
        distributions=artifact.distributions,
        thresholds=artifact.thresholds,
        card=artifact.card,
    )
    write_artifact(slow / "artifact", contents, private_key=None)
    return taken


def _slowed(content: bytes, products: int) -> bytes:
    model = onnx.load_from_string(content)
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["quick_score" if name == "score" else name for name in node.output]
    rng = np.random.default_rng(0)
    weights = rng.normal(0, _SIDE**-0.5, (_SIDE, _SIDE)).astype(np.float32)
    graph.initializer.extend(
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array(1e-30), "almost_nothing")]
    )
    # It depends on the row, so that no optimiser does it beforehand.
    graph.node.append(helper.make_node("ReduceMean", ["features"], ["mean"], keepdims=0))
    graph.node.append(helper.make_node("Mul", ["weights", "mean"], ["product_0"]))
    for step in range(products):
        graph.node.append(helper.make_node("MatMul", [f"product_{step}", "weights"], [f"product_{step + 1}"]))
    graph.node.extend(
        [
            helper.make_node("ReduceMean", [f"product_{products}"], ["effort"], keepdims=0),
            helper.make_node("Cast", ["effort"], ["wide_effort"], to=TensorProto.DOUBLE),
            helper.make_node("Tanh", ["wide_effort"], ["bounded_effort"]),
            helper.make_node("Mul", ["bounded_effort", "almost_nothing"], ["nothing"]),
            helper.make_node("Add", ["quick_score", "nothing"], ["score"]),
        ]
    )
    return bytes(model.SerializeToString())


def _milliseconds(content: bytes, row: NDArray[Any]) -> float:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options)
    taken = []
    for _ in range(50):
        started = time.perf_counter()
        session.run(["score"], {"features": row})
        taken.append(time.perf_counter() - started)
    return float(np.median(taken) * 1e3)
