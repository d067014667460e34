"""Train a model: fit, calibrate out of fold, fit on everything."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from bentos.core.errors import ConfigError, DataError
from training.models.calibration import Calibration, fit_calibration, identity_calibration
from training.models.config import ModelConfig
from training.models.estimators import make_classifier
from training.models.forest import fit_forest, make_forest
from training.models.imbalance import STRATEGIES, check_labels
from training.models.inputs import checked_labels, checked_rows
from training.models.preprocessing import ElementwiseScaler
from training.models.progress import Progress, silent
from training.models.seeds import seed_everything
from training.models.trained import TrainedModel, raw_scores

__all__ = ["fit_pipeline", "train_model"]

_LARGEST_SEED: Final = 2**32 - 1


def train_model(
    config: ModelConfig, rows: Any, labels: Any, seed: int = 0, *, progress: Progress | None = None
) -> TrainedModel:
    """Train and calibrate a model; the same arguments give the same model, to the last bit.

    With k calibration folds, k models are each fitted without one stratified fold and score it; calibration is fitted
    on these scores, and the model that is returned is fitted on all rows. The folds that are scored are never
    resampled.

    Parameters
    ----------
    rows
        Features [n, 21] in the order of time; cast to float32.
    labels
        [n], 1 or True for fraud.
    seed
        From 0 to 2**32 − 1.
    progress
        Told of every stage.

    Raises
    ------
    DataError
        Rows or labels that cannot be trained on, or a model that ranks rows it has not seen no better than chance.
    ConfigError
        Parameter values that the estimator refuses.
    """
    say = progress or silent
    if not 0 <= seed <= _LARGEST_SEED:
        raise ConfigError(f"seed {seed} is not allowed; it is from 0 to {_LARGEST_SEED}")
    values = checked_rows(rows)
    known = checked_labels(labels, len(values))
    calibration = _calibrate(config, values, known, seed, say)
    pipeline = fit_pipeline(config, values, known, seed, progress=say, stage=f"{config.name}: fit")
    return TrainedModel(pipeline, config.kind, calibration, config, seed)


def fit_pipeline(
    config: ModelConfig,
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    seed: int,
    *,
    progress: Progress = silent,
    stage: str = "fit",
) -> Pipeline:
    """Fit the pipeline of a configuration on checked rows, without calibration.

    Raises
    ------
    ConfigError
        Parameter values that the estimator refuses.
    DataError
        Labels that the imbalance strategy cannot be applied to.
    """
    seed_everything(seed, config.threads)
    check_labels(config.imbalance, labels)
    steps: list[tuple[str, Any]] = []
    if config.kind == "network" or config.scale:
        clip = config.network.clip if config.kind == "network" else 30.0
        steps.append(("scaler", ElementwiseScaler(clip=clip)))
    sampler = STRATEGIES[config.imbalance.strategy].sampler
    if sampler is not None:
        steps.append(("sampler", sampler(config.imbalance, seed)))
    from sklearn.utils._param_validation import InvalidParameterError

    try:
        return _fit(config, steps, rows, labels, seed, progress, stage)
    except InvalidParameterError as error:
        raise ConfigError(f"the model {config.name} cannot be trained: {error}") from error


def _fit(
    config: ModelConfig,
    steps: list[tuple[str, Any]],
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    seed: int,
    progress: Progress,
    stage: str,
) -> Pipeline:
    if config.kind == "forest":
        pipeline = Pipeline([*steps, ("forest", make_forest(config, seed))])
        fit_forest(pipeline, rows, labels, progress, stage)
        return pipeline
    if config.kind == "network":
        from training.models.network import fit_network, make_network
        from training.models.network_training import InterruptedTraining

        pipeline = Pipeline([*steps, ("network", make_network(config, seed, progress, stage))])
        try:
            fit_network(pipeline, config, rows, labels, seed)
        except InterruptedTraining:
            raise KeyboardInterrupt from None
        return pipeline
    classifier = make_classifier(config.estimator, config.parameters, seed=seed, threads=config.threads)
    if STRATEGIES[config.imbalance.strategy].weighted:
        weight = config.imbalance.weight
        classifier.set_params(class_weight="balanced" if weight is None else {0: 1.0, 1: weight})
    pipeline = Pipeline([*steps, ("classifier", classifier)])
    pipeline.fit(rows, labels)
    progress(stage, 1, 1)
    return pipeline


def _calibrate(
    config: ModelConfig, rows: NDArray[np.float32], labels: NDArray[np.int64], seed: int, progress: Progress
) -> Calibration:
    """Calibration from scores that every row got from a model fitted without it."""
    kind = config.kind
    form: Literal["logit", "probability"] = "logit" if kind == "network" else "probability"
    folds = config.calibration_folds
    if folds == 0:
        return identity_calibration(form)
    fewest = int(min(labels.sum(), len(labels) - labels.sum()))
    if folds == 1 or fewest < 2 * folds:
        raise DataError(
            f"calibration over {folds} folds needs at least 2 folds and 2 frauds in each, here are {fewest} frauds;"
            " change calibration_folds (0 leaves raw scores as they are) or train on more rows"
        )
    raw = np.full(len(labels), math.nan)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for number, (fit, rest) in enumerate(splitter.split(rows, labels), start=1):
        stage = f"{config.name}: calibration {number}/{folds}"
        pipeline = fit_pipeline(config, rows[fit], labels[fit], seed, progress=progress, stage=stage)
        raw[rest] = raw_scores(pipeline, kind, rows[rest])
    return fit_calibration(form, raw, labels)
