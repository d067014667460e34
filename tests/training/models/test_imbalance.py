"""Strategies act on training rows alone."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from imblearn.over_sampling import RandomOverSampler
from numpy.typing import NDArray

from bentos.core.errors import DataError
from tests.training.models.data import forest, network, small
from training.models.config import ImbalanceConfig, StrategyName
from training.models.imbalance import STRATEGIES, StandardisedSMOTE, Strategy, check_labels
from training.models.train import fit_pipeline, train_model

LEGITIMATE_SHARE = 0.08


class Recorder(RandomOverSampler):  # type: ignore[misc]
    """Repeats frauds, and remembers which rows it was given."""

    seen: list[set[bytes]] = []  # noqa: RUF012 - of the class, as pipelines copy their steps

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any], **parameters: Any) -> Any:
        self.seen.append({row.tobytes() for row in X})
        return super().fit_resample(X, y, **parameters)


def test_the_registry_is_what_configurations_may_name() -> None:
    assert set(STRATEGIES) == set(get_args(StrategyName))


def test_neither_calibration_folds_nor_scored_rows_are_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = small(600)
    every = {row.tobytes() for row in rows}
    assert len(every) == len(rows)
    monkeypatch.setattr(Recorder, "seen", [])
    recording = Strategy("for this test", lambda config, _: Recorder(sampling_strategy=config.ratio, random_state=0))
    monkeypatch.setitem(STRATEGIES, "oversample", recording)
    config = forest(imbalance={"strategy": "oversample", "ratio": 0.5}, calibration_folds=3)
    model = train_model(config, rows, labels)
    *folds, last = Recorder.seen
    left_out = [every - fold for fold in folds]
    assert len(folds) == 3
    assert last == every
    assert sum(len(part) for part in left_out) == len(rows)
    assert set.union(*left_out) == every

    calls = len(Recorder.seen)
    scores = model.score(rows)
    assert len(Recorder.seen) == calls
    assert scores.shape == (len(rows),)
    np.testing.assert_array_equal(model.score(rows[::-1]), scores[::-1])


def test_rows_that_decide_when_to_stop_are_not_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = small(600)
    monkeypatch.setattr(Recorder, "seen", [])
    monkeypatch.setitem(
        STRATEGIES,
        "oversample",
        Strategy("for this test", lambda config, _: Recorder(sampling_strategy=config.ratio)),
    )
    config = network({"strategy": "oversample", "ratio": 0.5}, patience=3, held_out=0.25)
    fit_pipeline(config, rows, labels, 0)
    assert [len(given) for given in Recorder.seen] == [450]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("kind", ["forest", "network"])
def test_every_strategy_trains(strategy: str, kind: str) -> None:
    rows, labels = small(800)
    imbalance = {"strategy": strategy, "ratio": 0.5}
    if kind == "network" and strategy == "balanced_forest":
        pytest.skip("is for forests")
    config = forest(imbalance=imbalance) if kind == "forest" else network(imbalance)
    pipeline = fit_pipeline(config, rows, labels, 0)
    assert pipeline.predict_proba(rows).shape == (800, 2)
    assert list(pipeline.classes_) == [0, 1]


def test_resampling_changes_the_share_of_fraud_that_is_learnt() -> None:
    rows, labels = small(800)
    means = {
        name: fit_pipeline(forest(imbalance={"strategy": name, "ratio": 1.0}), rows, labels, 0).predict_proba(rows)
        for name in ("none", "oversample", "smote", "undersample", "balanced_forest")
    }
    plain = means.pop("none")[:, 1].mean()
    assert plain == pytest.approx(labels.mean(), rel=0.2)
    assert all(probabilities[:, 1].mean() > 1.03 * plain for probabilities in means.values())


def test_smote_keeps_given_rows_and_finds_neighbours_at_one_scale() -> None:
    random = np.random.default_rng(0)
    rows = np.column_stack([random.normal(0, 1, 60), random.normal(0, 1e4, 60)]).astype(np.float32)
    labels = np.repeat([0, 1], [48, 12])
    # Frauds lie in two groups that only the first, small column tells apart.
    rows[48:, 0] = np.repeat([-50, 50], 6)
    made, known = StandardisedSMOTE(sampling_strategy=1.0, k_neighbors=5, random_state=0).fit_resample(rows, labels)
    np.testing.assert_array_equal(made[:60], rows)
    assert made.dtype == np.float32
    assert known.sum() == 48
    np.testing.assert_allclose(np.abs(made[60:, 0]), 50, atol=1)


@pytest.mark.parametrize(
    ("strategy", "words"),
    [("undersample", "are a ratio of"), ("balanced_forest", "raise imbalance.ratio"), ("smote", "needs more than 60")],
)
def test_labels_that_a_strategy_cannot_use(strategy: StrategyName, words: str) -> None:
    labels = np.repeat([0, 1], [100, 20])
    ratio = 0.5 if strategy == "smote" else 0.1
    with pytest.raises(DataError, match=words):
        check_labels(ImbalanceConfig(strategy=strategy, ratio=ratio, neighbours=60), labels)
