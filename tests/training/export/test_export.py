"""Exported models score and explain as the trained ones do, for every kind that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.typing import NDArray

from bentos.core.artifact import generate_keys, read_artifact, reference_categories, reference_histogram
from bentos.core.artifact.signature import decode_key
from bentos.core.errors import ArtifactIncompatible, ConfigError, DataError
from bentos.core.explain import load_explainer, top_reasons
from bentos.core.features import FEATURE_NAMES, FEATURES
from tests.training.export.models import SERVED, THRESHOLDS, card, trained, training_rows
from training.export.export import ExportOptions, build_export, export_model
from training.export.parity import run_onnx
from training.export.parity_rows import threshold_rows
from training.models.config import ModelConfig
from training.models.train import train_model

QUICK = ExportOptions(parity_rows=60, shap_rows=12, background_rows=30)


def float32_rows() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rows, labels = training_rows()
    return rows.astype(np.float32), labels


@pytest.mark.parametrize("name", SERVED)
def test_the_export_is_the_trained_model(name: str) -> None:
    model = trained(name)
    rows, labels = float32_rows()
    export = build_export(model, rows, labels, QUICK)
    assert export.kind == model.kind
    # All float64: far closer than the tolerances that would make it fail.
    assert max(export.parity.raw_score, export.parity.score, export.parity.contribution) < 1e-9
    assert export.parity.additivity < 1e-9

    fresh = np.random.default_rng(5).permutation(rows)[:300] * np.float32(1.01)
    raw, score = run_onnx(export.onnx, fresh)
    np.testing.assert_allclose(raw, model.raw_score(fresh), rtol=0, atol=1e-9)
    np.testing.assert_allclose(score, model.score(fresh), rtol=0, atol=1e-9)
    explainer = load_explainer(export.kind, export.explainer)
    np.testing.assert_allclose(
        explainer.base_value + explainer.contributions(fresh).sum(axis=1), raw, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("name", ["forest", "network"])
def test_the_artifact_serves_what_was_trained(tmp_path: Path, name: str) -> None:
    model = trained(name)
    rows, labels = training_rows()
    table = pd.DataFrame(rows, columns=list(FEATURE_NAMES)).assign(customer_id="c")
    private, public = generate_keys()
    folder = export_model(
        model,
        table[["customer_id", *reversed(FEATURE_NAMES)]],
        pd.Series(labels),
        tmp_path / "artifact",
        card(model.kind),
        THRESHOLDS,
        private_key=decode_key(private),
        options=QUICK,
    )
    artifact = read_artifact(folder, public_key=public)
    session = onnxruntime.InferenceSession(artifact.onnx, providers=["CPUExecutionProvider"])
    given = rows[:50].astype(np.float32)
    raw, score = session.run(["raw_score", "score"], {"features": given})
    np.testing.assert_allclose(score, model.score(given), rtol=0, atol=1e-9)
    explainer = load_explainer(artifact.kind, artifact.explainer)
    contributions = explainer.contributions(given)
    np.testing.assert_allclose(explainer.base_value + contributions.sum(axis=1), raw, rtol=0, atol=1e-9)
    assert len(top_reasons(given[0], contributions[0])) == 3
    assert artifact.thresholds == THRESHOLDS
    assert artifact.distributions.features["amount"] == reference_histogram(rows[:, 0].astype(np.float32))
    assert sum(artifact.distributions.score.counts) == len(rows)


def test_the_same_model_gives_the_same_artifact(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        export_model(trained("forest"), *training_rows(), tmp_path / name, card(), THRESHOLDS, options=QUICK)
        digests.add(read_artifact(tmp_path / name, public_key=None).digest)
    assert len(digests) == 1


def test_held_out_scores_become_the_reference(tmp_path: Path) -> None:
    scores = np.linspace(0, 1, 777)
    options = ExportOptions(reference_scores=scores, parity_rows=20, shap_rows=4)
    export_model(trained("forest"), *training_rows(), tmp_path / "artifact", card(), THRESHOLDS, options=options)
    artifact = read_artifact(tmp_path / "artifact", public_key=None)
    assert artifact.distributions.score == reference_histogram(scores)


def test_categories_become_the_reference(tmp_path: Path) -> None:
    rows, labels = training_rows()
    hours = np.arange(len(rows)) % 24
    rows = rows.copy()
    rows[:, FEATURE_NAMES.index("hour")] = hours
    categories = ["fuel" if hour < 6 else "grocery" for hour in hours]
    options = ExportOptions(categories=categories, parity_rows=20, shap_rows=4)
    export_model(trained("forest"), rows, labels, tmp_path / "artifact", card(), THRESHOLDS, options=options)
    artifact = read_artifact(tmp_path / "artifact", public_key=None)
    assert artifact.distributions.merchant_category == reference_categories(categories, hours)


def test_a_row_scores_the_same_alone_and_among_others() -> None:
    rows, labels = float32_rows()
    for name in ("forest", "network-pieces"):
        content = build_export(trained(name), rows, labels, QUICK).onnx
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        together = session.run(["score"], {"features": rows[:200]})[0]
        alone = np.concatenate([session.run(["score"], {"features": rows[i : i + 1]})[0] for i in range(200)])
        np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)


def test_no_rows_give_no_scores() -> None:
    rows, labels = float32_rows()
    for name in ("forest", "network"):
        raw, score = run_onnx(build_export(trained(name), rows, labels, QUICK).onnx, rows[:0])
        assert raw.shape == score.shape == (0,)


def test_rows_on_every_split_follow_the_model() -> None:
    model = trained("forest-deep")
    rows, labels = float32_rows()
    content = build_export(model, rows, labels, QUICK).onnx
    trial = threshold_rows(rows[:100], model.pipeline[-1], 3000, np.random.default_rng(0))
    np.testing.assert_allclose(run_onnx(content, trial)[0], model.raw_score(trial), rtol=0, atol=1e-12)


def test_trees_of_a_single_leaf_are_exported() -> None:
    rows, labels = float32_rows()
    lazy = {"n_estimators": 6, "min_impurity_decrease": 0.03, "max_features": 1}
    config = ModelConfig.model_validate(
        {"name": "lazy", "calibration_folds": 0, **SERVED["forest"], "parameters": lazy}
    )
    model = train_model(config, rows, labels, seed=0)
    sizes = {tree.tree_.node_count for tree in model.pipeline[-1].estimators_}
    assert 1 in sizes
    assert len(sizes) > 1
    assert build_export(model, rows, labels, QUICK).parity.raw_score < 1e-12


@pytest.mark.parametrize(
    "estimator", ["sklearn.linear_model.LogisticRegression", "sklearn.ensemble.HistGradientBoostingClassifier"]
)
def test_other_models_can_be_trained_but_not_served(tmp_path: Path, estimator: str) -> None:
    rows, labels = training_rows()
    config = ModelConfig.model_validate(
        {"name": "other", "estimator": estimator, "scale": True, "calibration_folds": 0}
    )
    model = train_model(config, rows, labels, seed=0)
    with pytest.raises(
        ConfigError, match=r"(Classifier|LogisticRegression) can be trained and compared but not served"
    ):
        export_model(model, rows, labels, tmp_path / "artifact", card(), THRESHOLDS)
    assert not list(tmp_path.iterdir())


def test_a_forest_behind_a_scaler_is_refused() -> None:
    model = trained("forest")
    scaled = type(model)(trained("network").pipeline[:-1], "forest", model.calibration, model.config, 0)
    scaled.pipeline.steps.append(model.pipeline.steps[-1])
    with pytest.raises(ConfigError, match="features as they are"):
        build_export(scaled, *float32_rows(), QUICK)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.zeros((5, 20)), np.zeros(5), r"shape \(5, 20\)"),
        (np.zeros((5, 21)), np.zeros(4), r"labels of \(4,\)"),
        (np.zeros((0, 21)), np.zeros(0), "n at least 1"),
        (np.full((5, 21), np.nan), np.zeros(5), "not finite"),
        (np.full((5, 21), 1e300), np.zeros(5), "not finite"),
        (pd.DataFrame({"amount": [1.0]}), np.zeros(1), "lack the features.*hour"),
    ],
)
def test_unusable_rows_are_refused(tmp_path: Path, rows: Any, labels: NDArray[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        export_model(trained("forest"), rows, labels, tmp_path / "artifact", card(), THRESHOLDS)
    assert not list(tmp_path.iterdir())


def test_a_card_of_other_features_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactIncompatible, match="train it again"):
        export_model(
            trained("forest"),
            *training_rows(),
            tmp_path / "artifact",
            card(feature_schema="e" * 64),
            THRESHOLDS,
            options=QUICK,
        )
    assert not list(tmp_path.iterdir())


def test_one_row_is_enough_to_export() -> None:
    row = np.array([[feature.default for feature in FEATURES]], dtype=np.float32)
    assert build_export(trained("network"), row, np.array([False]), QUICK).parity.rows > 1
