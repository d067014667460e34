"""Forests are those of a plain fit, with progress told on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from tests.training.models.data import FOREST, forest, small
from training.models.forest import forest_space
from training.models.train import fit_pipeline

EXTRA = "sklearn.ensemble.ExtraTreesClassifier"


@pytest.mark.parametrize(("path", "kind"), [(FOREST, RandomForestClassifier), (EXTRA, ExtraTreesClassifier)])
def test_growing_in_steps_gives_the_same_trees(path: str, kind: Any) -> None:
    rows, labels = small()
    said: list[Any] = []
    pipeline = fit_pipeline(
        forest(estimator=path),
        rows,
        labels,
        3,
        progress=lambda *numbers: said.append(numbers[1:3]),
    )
    plain = kind(n_estimators=25, random_state=3).fit(rows, labels)
    np.testing.assert_array_equal(pipeline.predict_proba(rows), plain.predict_proba(rows))
    assert said == [(10, 25), (20, 25), (25, 25)]


def test_balanced_forest_repeats_itself_but_no_tree() -> None:
    rows, labels = small()
    config = forest(imbalance={"strategy": "balanced_forest", "ratio": 0.5})
    first, second, other = (fit_pipeline(config, rows, labels, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.predict_proba(rows), second.predict_proba(rows))
    assert (first.predict_proba(rows) != other.predict_proba(rows)).any()
    trees = {tree.tree_.threshold.tobytes() for tree in first[-1].estimators_}
    assert len(trees) == len(first[-1].estimators_) == 25
    # The copies that imblearn keeps are dropped, with the rows in them.
    assert first[-1].pipelines_ == []


def test_class_weights_and_threads_arrive() -> None:
    rows, labels = small(400)
    pipeline = fit_pipeline(forest(imbalance={"strategy": "class_weight", "weight": 7.0}, threads=2), rows, labels, 0)
    assert pipeline[-1].class_weight == {0: 1.0, 1: 7.0}
    assert pipeline[-1].n_jobs == 2
    assert fit_pipeline(forest(imbalance={"strategy": "class_weight"}), rows, labels, 0)[-1].class_weight == (
        "balanced_subsample"
    )


def test_the_space_names_what_the_estimator_has() -> None:
    for path in (FOREST, EXTRA):
        names = {name.split(".")[-1] for name in forest_space(forest(estimator=path)) if name.startswith("parameters")}
        assert names <= set(RandomForestClassifier().get_params())
