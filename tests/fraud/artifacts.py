"""A small real champion: a forest of this test's own, written as an artifact by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from bentos.core.artifact import (
    ArtifactContents,
    Distributions,
    ModelCard,
    Thresholds,
    reference_histogram,
    write_artifact,
)
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA

CARD = ModelCard(
    name="fraud_detector",
    version="7",
    kind="forest",
    created_at=datetime(2026, 1, 31, tzinfo=UTC),
    data_hash="9d3e77b0" * 8,
    code_version="1a2b3c4d" * 5,
    mlflow_run_id="5f0c2a91" * 4,
    mlflow_model_version="7",
    seeds={"all": 0},
    metrics={"average_precision": 0.7},
    feature_schema=FEATURE_SCHEMA,
    rows=4000,
    frauds=1000,
)
THRESHOLDS = Thresholds(review=0.3, block=0.8)


def make_champion(home: Path, *, trees: int = 20, depth: int = 6, private_key: bytes | None = None) -> Path:
    """Write ``champion/artifact`` below a FRAUD_HOME and return its path."""
    folder = home / "champion" / "artifact"
    write_artifact(folder, forest_contents(trees=trees, depth=depth), private_key=private_key)
    return folder


def forest_contents(*, trees: int = 20, depth: int = 6, **changes: Any) -> ArtifactContents:
    """A forest that has learnt that large and far payments are fraud, from random rows."""
    rows, labels = training_rows()
    forest = RandomForestClassifier(trees, max_depth=depth, random_state=0, n_jobs=1).fit(rows, labels)
    arrays = _explainer_arrays(forest)
    return ArtifactContents(
        **{
            "kind": "forest",
            "onnx": _forest_model(arrays, trees).SerializeToString(),
            "explainer": arrays,
            "distributions": Distributions(
                features={name: reference_histogram(rows[:, column]) for column, name in enumerate(FEATURE_NAMES)},
                score=reference_histogram(1 / (1 + np.exp(-8 * (forest.predict_proba(rows)[:, 1] - 0.5)))),
            ),
            "thresholds": THRESHOLDS,
            "card": CARD,
            **changes,
        }
    )


def training_rows() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    rows = rng.gamma(2.0, 5.0, (4000, len(FEATURE_NAMES))).astype(np.float32)
    amount = np.exp(rng.normal(4, 2, len(rows))).astype(np.float32)
    rows[:, FEATURE_NAMES.index("amount")] = amount
    noise = rng.normal(0, 0.6, len(rows))
    labels = np.log(amount) + 0.05 * rows[:, FEATURE_NAMES.index("distance_km")] + noise > 6
    return rows, labels


def _explainer_arrays(forest: RandomForestClassifier) -> dict[str, NDArray[Any]]:
    trees = [tree.tree_ for tree in forest.estimators_]
    thresholds = np.concatenate([tree.threshold for tree in trees])
    rounded = thresholds.astype(np.float32)
    # Rows are float32: the largest float32 below a threshold decides as the threshold does.
    rounded = np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    return {
        "offsets": np.cumsum([0, *(tree.node_count for tree in trees)]).astype(np.int64),
        "right": np.concatenate([tree.children_right for tree in trees]).astype(np.int32),
        "feature": np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int16),
        "threshold": rounded,
        "cover": np.concatenate([tree.weighted_n_node_samples for tree in trees]),
        "value": np.concatenate([tree.value[:, 0, 1] for tree in trees]),
    }


def _forest_model(arrays: dict[str, NDArray[Any]], trees: int) -> onnx.ModelProto:
    offsets = arrays["offsets"]
    tree_ids = np.repeat(np.arange(trees), np.diff(offsets))
    node_ids = np.arange(len(tree_ids)) - offsets[tree_ids]
    leaf = arrays["right"] < 0
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["mean"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="AVERAGE",
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_featureids=arrays["feature"].astype(int).tolist(),
        nodes_values=arrays["threshold"].tolist(),
        nodes_modes=["LEAF" if end else "BRANCH_LEQ" for end in leaf],
        nodes_truenodeids=np.where(leaf, 0, node_ids + 1).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, arrays["right"]).tolist(),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=arrays["value"][leaf].tolist(),
    )
    # score = sigmoid(8 (raw - 1/2)): monotone, and enough for a test.
    nodes = [
        ensemble,
        helper.make_node("Reshape", ["mean", "column"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["raw_score"], to=TensorProto.DOUBLE),
        helper.make_node("Sub", ["raw_score", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([-1], np.int64), "column"),
        numpy_helper.from_array(np.array(0.5), "half"),
        numpy_helper.from_array(np.array(8.0), "slope"),
    ]
    return model_of(nodes, constants)


def model_of(nodes: list[Any], constants: list[Any]) -> onnx.ModelProto:
    """A model with an artifact's input and outputs."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(FEATURE_NAMES)])],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in ("raw_score", "score")],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
