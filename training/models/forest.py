"""Forests: how they are built, grown tree by tree, and searched."""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray

from training.models.config import ModelConfig
from training.models.estimators import make_classifier
from training.models.imbalance import BALANCED_FOREST, STRATEGIES
from training.models.progress import Progress
from training.models.space import Choice, Real, Space, Whole

__all__ = ["fit_forest", "forest_space", "make_forest"]

#: Trees between two signs of progress.
_CHUNK: Final = 10


def forest_space(config: ModelConfig) -> Space:
    """Ranges worth searching for a forest on some ten thousand to a million rows."""
    space: Space = {
        "parameters.max_depth": Choice((None, 6, 8, 10, 12, 16, 20)),
        "parameters.min_samples_leaf": Whole(1, 30, log=True),
        "parameters.max_features": Choice(("sqrt", 0.3, 0.5, 0.7, 1.0)),
        "parameters.criterion": Choice(("gini", "entropy")),
        "imbalance.ratio": Real(0.03, 1.0, log=True),
    }
    if config.estimator == "sklearn.ensemble.RandomForestClassifier":
        space["imbalance.strategy"] = Choice(("none", "class_weight", "undersample", "balanced_forest"))
    elif config.estimator != BALANCED_FOREST:
        space["imbalance.strategy"] = Choice(("none", "class_weight", "undersample"))
    return space


def make_forest(config: ModelConfig, seed: int) -> Any:
    """The forest of a configuration, not fitted; class weights and balancing are set on it."""
    strategy = config.imbalance.strategy
    if strategy == "balanced_forest":
        forest = make_classifier(BALANCED_FOREST, config.parameters, seed=seed, threads=config.threads)
        return forest.set_params(sampling_strategy=config.imbalance.ratio)
    forest = make_classifier(config.estimator, config.parameters, seed=seed, threads=config.threads)
    if STRATEGIES[strategy].weighted:
        weight = config.imbalance.weight
        forest.set_params(class_weight="balanced_subsample" if weight is None else {0: 1.0, 1: weight})
    return forest


def fit_forest(
    pipeline: Pipeline, rows: NDArray[np.float32], labels: NDArray[np.int64], progress: Progress, stage: str
) -> None:
    """Fit a pipeline whose last step is a forest, some trees at a time; the trees are those of a plain ``fit``.

    Parameters
    ----------
    pipeline
        An optional sampler, then the forest.
    rows, labels
        Training rows [n, 21] and 0 or 1 [n].
    progress, stage
        Told how many trees stand.
    """
    if len(pipeline.steps) > 1:
        rows, labels = pipeline[:-1].fit_resample(rows, labels)
    forest = pipeline.steps[-1][1]
    total, seed = int(forest.n_estimators), forest.random_state
    if hasattr(forest, "sampling_strategy"):
        # imblearn draws more than one number a tree, so its warm start would repeat seeds of earlier trees; a
        # generator that goes on from chunk to chunk does not.
        forest.set_params(random_state=np.random.RandomState(seed))
    with warnings.catch_warnings():
        # Weights from frequencies are right here: every chunk is fitted on the same rows.
        warnings.filterwarnings("ignore", message="class_weight presets", category=UserWarning)
        for trees in [*range(_CHUNK, total, _CHUNK), total]:
            forest.set_params(n_estimators=trees, warm_start=trees > _CHUNK)
            forest.fit(rows, labels)
            progress(stage, trees, total, "trees")
    forest.set_params(random_state=seed, warm_start=False)
    # Copies of the trees with the rows each one saw; nothing reads them, and they are larger than the forest.
    for name in ("pipelines_", "samplers_", "estimators_samples_"):
        if name in vars(forest):
            setattr(forest, name, [])
