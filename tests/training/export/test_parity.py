"""An export that is not the model is not written, and the message says where they differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bentos.core.artifact import read_artifact
from bentos.core.errors import ArtifactError, ConfigError, ParityError
from bentos.core.explain import load_explainer
from tests.training.export.models import THRESHOLDS, card, trained, training_rows
from training.export import explainer_arrays
from training.export.explainer_arrays import float32_down, forest_arrays, fraud_column, network_arrays
from training.export.export import ExportOptions, build_export, export_model
from training.export.onnx_calibration import calibration_nodes
from training.export.parity import check_contributions, run_onnx
from training.export.parity_rows import parity_rows, threshold_rows, training_sample
from training.models.trained import TrainedModel

QUICK = ExportOptions(parity_rows=60, shap_rows=12, background_rows=30)


class Shifted(TrainedModel):
    """A model whose scores are a little off from what its pipeline gives."""

    def raw_score(self, rows: Any) -> NDArray[np.float64]:
        scores = super().raw_score(rows)
        scores[3] += 2e-5
        return scores


def test_a_score_that_differs_stops_the_export(tmp_path: Path) -> None:
    model = trained("forest")
    export_model(model, *training_rows(), tmp_path / "artifact", card(), THRESHOLDS, options=QUICK)
    before = read_artifact(tmp_path / "artifact", public_key=None).digest
    off = Shifted(**{field.name: getattr(model, field.name) for field in dataclasses.fields(model)})
    with pytest.raises(ParityError) as caught:
        export_model(off, *training_rows(), tmp_path / "artifact", card(version="4"), THRESHOLDS, options=QUICK)
    message = str(caught.value)
    assert "raw_score, exported and trained differ by up to 2e-05, allowed is 1e-05" in message
    # The fourth of the rows that are compared is -1 everywhere.
    assert "'amount': -1.0" in message
    assert read_artifact(tmp_path / "artifact", public_key=None).digest == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_wrong_calibration_stops_the_export() -> None:
    model = trained("network")
    rows, labels = training_rows()

    class Sharper:
        input, slope, intercept, shrink = "logit", model.calibration.slope * 1.001, 0.0, 1e-4

        def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
            return model.calibration(raw)

    wrong = TrainedModel(model.pipeline, model.kind, Sharper(), model.config, 0)  # type: ignore[arg-type]
    with pytest.raises(ParityError, match="score, exported and trained differ"):
        build_export(wrong, rows.astype(np.float32), labels, QUICK)


def test_thresholds_rounded_to_nearest_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    # What an exporter does that does not think of rows on a boundary.
    monkeypatch.setattr(explainer_arrays, "float32_down", lambda values: values.astype(np.float32))
    rows, labels = training_rows()
    with pytest.raises(ParityError, match="raw_score"):
        build_export(trained("forest-deep"), rows.astype(np.float32), labels, ExportOptions(shap_rows=4))


def test_contributions_that_differ_from_shap_are_caught() -> None:
    model = trained("forest")
    rows = training_rows()[0][:10].astype(np.float32)
    explainer = load_explainer("forest", forest_arrays(model.pipeline[-1]))
    right = explainer.contributions(rows)
    raw = model.raw_score(rows)
    every = np.arange(10)
    wrong = right.copy()
    wrong[7, 3] += 2e-6
    with pytest.raises(ParityError, match="contributions, exported and shap's differ by up to 2e-06"):
        check_contributions(explainer, wrong, raw, rows, every)
    with pytest.raises(ParityError, match="base value plus contributions, and raw_score differ by up to 2e-06"):
        check_contributions(explainer, right, raw + 2e-6, rows, every)
    with pytest.raises(ParityError, match="differ by up to inf"):
        check_contributions(explainer, right, raw * np.nan, rows, every)
    assert max(check_contributions(explainer, right, raw, rows, every)) < 1e-12


def test_scores_that_depend_on_other_rows_are_caught() -> None:
    # Each row minus the mean of the batch.
    nodes = [
        helper.make_node("Cast", ["features"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("ReduceSum", ["wide", "columns"], ["sum"], keepdims=0),
        helper.make_node("ReduceMean", ["sum"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["sum", "mean"], ["raw_score"]),
        helper.make_node("Identity", ["raw_score"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "wrong",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 21])],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in ("raw_score", "score")],
        [numpy_helper.from_array(np.array([1]), "columns")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    with pytest.raises(ParityError, match="scored alone and together"):
        run_onnx(model.SerializeToString(), training_rows()[0][:10].astype(np.float32))


def test_a_full_disk_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ArtifactError, match="cannot be written"):
        export_model(trained("forest"), *training_rows(), tmp_path / "file" / "x", card(), THRESHOLDS, options=QUICK)


def test_rounding_down_keeps_every_comparison() -> None:
    rng = np.random.default_rng(0)
    thresholds = np.concatenate(
        [rng.normal(size=2000), rng.normal(size=50) * 1e7, [0.0, -0.0, 0.1, -0.1, 1e-46, -1e-46]]
    )
    down = float32_down(thresholds)
    assert down.dtype == np.float32
    near = thresholds.astype(np.float32)
    for x in (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        np.testing.assert_array_equal(x <= down, x.astype(np.float64) <= thresholds)
    assert (down != near).any()


def test_the_fraud_class_is_found() -> None:
    assert fraud_column(np.array([False, True])) == 1
    assert fraud_column([1, 0]) == 0
    for classes in ([0], [True], [0, 1, 2], [0, 2]):
        with pytest.raises(ConfigError, match="of both, 0 and 1"):
            fraud_column(classes)


def test_layers_that_cannot_be_served_are_named() -> None:
    from torch import nn

    scaler = trained("network").pipeline[0]
    background = training_rows()[0][:3].astype(np.float32)
    for layers, message in (
        (nn.Sequential(nn.Linear(21, 2), nn.Tanh()), "the layer Tanh"),
        (nn.Sequential(nn.ReLU(), nn.Linear(21, 2)), "the layer ReLU"),
        (nn.Sequential(nn.Linear(21, 3)), "two logits"),
        (nn.Sequential(nn.Linear(21, 2), nn.ReLU()), "two logits"),
    ):
        with pytest.raises(ConfigError, match=message):
            network_arrays(scaler, layers, 1, background)


def test_a_calibration_that_turns_the_order_round_is_refused() -> None:
    class Falling:
        input, slope, intercept, shrink = "logit", -1.0, 0.0, 1e-4

    with pytest.raises(ConfigError, match="must be positive"):
        calibration_nodes(Falling())  # type: ignore[arg-type]
    Falling.slope, Falling.input = 1.0, "odds"
    with pytest.raises(ConfigError, match="known are probability and logit"):
        calibration_nodes(Falling())  # type: ignore[arg-type]


def test_the_comparison_sees_frauds_splits_extremes_and_defaults() -> None:
    rows, labels = training_rows()
    rng = np.random.default_rng(0)
    sample = training_sample(rows.astype(np.float32), labels, 100, rng)
    assert len(sample) == 100
    forest = trained("forest").pipeline[-1]
    trial = parity_rows(sample, forest, 50, rng)
    assert trial.dtype == np.float32
    assert {0.0, 1e7} <= set(trial[:, 0].tolist())
    near = threshold_rows(sample, forest, 50, rng)
    assert len(near) == 150
    splits = {
        (int(f), float(np.float32(t)))
        for tree in forest.estimators_
        for f, t in zip(tree.tree_.feature, tree.tree_.threshold, strict=True)
        if f >= 0
    }
    assert all(any((i, float(x)) in splits for i, x in enumerate(row)) for row in near[::3])
