from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper
from sklearn.ensemble import RandomForestClassifier

from bentos.core.answers import ThresholdPair
from bentos.core.artifact import ArtifactContents, read_artifact, write_artifact
from bentos.core.errors import ArtifactCorrupt, Unavailable
from bentos.fraud.scorer import Scorer, decide
from tests.fraud.artifacts import THRESHOLDS, forest_contents, model_of, training_rows


def _scorer(folder: Path, contents: ArtifactContents) -> Scorer:
    write_artifact(folder, contents, private_key=None)
    return Scorer(read_artifact(folder, public_key=None))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return _scorer(tmp_path_factory.mktemp("scorer") / "artifact", forest_contents())


@pytest.mark.parametrize(
    ("score", "decision"),
    [
        (0.0, "approve"),
        (np.nextafter(0.3, 0), "approve"),
        (0.3, "review"),
        (np.nextafter(0.8, 0), "review"),
        (0.8, "block"),
        (1.0, "block"),
    ],
)
def test_a_threshold_belongs_to_the_stricter_decision(score: float, decision: str) -> None:
    assert decide(score, ThresholdPair(review=0.3, block=0.8)) == decision


def test_equal_thresholds_leave_nothing_to_review() -> None:
    pair = ThresholdPair(review=0.5, block=0.5)
    assert {decide(score, pair) for score in (0.4, 0.5, 0.6)} == {"approve", "block"}


def test_raw_scores_are_the_forests(scorer: Scorer) -> None:
    rows, labels = training_rows()
    forest = RandomForestClassifier(20, max_depth=6, random_state=0, n_jobs=1).fit(rows, labels)
    raw, score = scorer.score(rows.astype(np.float64))
    assert raw == pytest.approx(forest.predict_proba(rows)[:, 1], abs=1e-5)
    assert raw.dtype == score.dtype == np.float64
    assert raw.shape == score.shape == (len(rows),)


def test_scores_rise_with_raw_scores(scorer: Scorer) -> None:
    rows, _ = training_rows()
    raw, score = scorer.score(rows.astype(np.float64))
    assert (np.diff(score[np.argsort(raw)]) >= 0).all()
    assert score.min() < THRESHOLDS.review < THRESHOLDS.block < score.max()


def test_a_row_scores_the_same_alone_and_among_others(scorer: Scorer) -> None:
    rows = training_rows()[0][:50].astype(np.float64)
    together = scorer.score(rows)[1]
    alone = np.concatenate([scorer.score(row[np.newaxis])[1] for row in rows])
    assert alone == pytest.approx(together, abs=1e-7)


def test_contributions_and_base_value_sum_up_to_the_raw_score(scorer: Scorer) -> None:
    rows = training_rows()[0][:200].astype(np.float64)
    total = scorer.base_value + scorer.contributions(rows).sum(axis=1)
    assert total == pytest.approx(scorer.score(rows)[0], abs=1e-6)


def test_no_rows_have_no_scores(scorer: Scorer) -> None:
    raw, score = scorer.score(np.empty((0, 21)))
    assert raw.shape == score.shape == (0,)


def _constant_model(value: float, *, only_for_amounts_above: float) -> bytes:
    """A model that is sound for small amounts and yields ``value`` for large ones."""
    nodes = [
        helper.make_node("Slice", ["features", "zero", "one", "one"], ["amount"]),
        helper.make_node("Reshape", ["amount", "column"], ["flat"]),
        helper.make_node("Greater", ["flat", "limit"], ["large"]),
        helper.make_node("Where", ["large", "value", "half"], ["raw_score"]),
        helper.make_node("Identity", ["raw_score"], ["score"]),
    ]
    constants: dict[str, Any] = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "column": np.array([-1], np.int64),
        "limit": np.array(only_for_amounts_above, np.float32),
        "value": np.array(value),
        "half": np.array(0.5),
    }
    model = model_of(nodes, [numpy_helper.from_array(array, name) for name, array in constants.items()])
    return model.SerializeToString()


def _half_explainer() -> dict[str, Any]:
    """A forest of one leaf, whose raw score is 0.5 for every row."""
    return {
        "offsets": np.array([0, 1], np.int64),
        "right": np.array([-1], np.int32),
        "feature": np.array([0], np.int16),
        "threshold": np.array([0], np.float32),
        "cover": np.array([1.0]),
        "value": np.array([0.5]),
    }


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.5])
def test_what_is_no_score_is_never_approved(tmp_path: Path, value: float) -> None:
    contents = forest_contents(onnx=_constant_model(value, only_for_amounts_above=100), explainer=_half_explainer())
    scorer = _scorer(tmp_path / "artifact", contents)
    rows = np.zeros((2, 21))
    assert scorer.score(rows)[1].tolist() == [0.5, 0.5]
    rows[1, 0] = 1000
    with pytest.raises(Unavailable, match="not numbers from 0 to 1"):
        scorer.score(rows)


def test_a_model_that_never_scores_is_refused_at_once(tmp_path: Path) -> None:
    contents = forest_contents(onnx=_constant_model(np.nan, only_for_amounts_above=-1), explainer=_half_explainer())
    with pytest.raises(ArtifactCorrupt, match="cannot score a row"):
        _scorer(tmp_path / "artifact", contents)


def test_an_explainer_of_another_model_is_refused(tmp_path: Path) -> None:
    contents = dataclasses.replace(forest_contents(), explainer=_half_explainer())
    with pytest.raises(ArtifactCorrupt, match="does not belong to its model"):
        _scorer(tmp_path / "artifact", contents)


def test_bytes_that_are_no_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactCorrupt, match="cannot be loaded"):
        _scorer(tmp_path / "artifact", dataclasses.replace(forest_contents(), onnx=b"\x08\x09 no model"))


def test_a_model_with_other_outputs_is_refused(tmp_path: Path) -> None:
    sound = forest_contents()
    renamed = sound.onnx.replace(b"raw_score", b"row_score")
    with pytest.raises(ArtifactCorrupt, match="row_score"):
        _scorer(tmp_path / "artifact", dataclasses.replace(sound, onnx=renamed))
