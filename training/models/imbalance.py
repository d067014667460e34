"""Strategies against the rarity of fraud: one registry.

Every strategy acts in ``fit`` alone: samplers are steps of an imblearn pipeline, which leaves them out when it
scores, and calibration scores rows that the fitting pipeline never saw. So neither test rows nor calibration rows are
resampled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from numpy.typing import NDArray

from bentos.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from training.models.config import ImbalanceConfig, ModelConfig

__all__ = ["BALANCED_FOREST", "STRATEGIES", "StandardisedSMOTE", "Strategy", "check_labels", "check_strategy"]

BALANCED_FOREST: Final = "imblearn.ensemble.BalancedRandomForestClassifier"
_PLAIN_FOREST: Final = "sklearn.ensemble.RandomForestClassifier"


class StandardisedSMOTE(SMOTE):  # type: ignore[misc]
    """SMOTE whose neighbours are found with every feature at the same scale.

    On raw features the distance is that of minutes and amounts alone. Given rows come back unchanged, first.
    """

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any], **parameters: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows and labels with synthetic frauds behind them."""
        mean, deviation = X.mean(axis=0, dtype=np.float64), X.std(axis=0, dtype=np.float64)
        scale = np.where(deviation > 1e-9, deviation, 1.0)
        rows, labels = super().fit_resample((X - mean) / scale, y, **parameters)
        made = (rows[len(X) :] * scale + mean).astype(X.dtype)
        return np.concatenate([X, made]), labels


@dataclass(frozen=True)
class Strategy:
    """One way.

    Parameters
    ----------
    meaning
        One line for documents.
    sampler
        Makes the step that resamples training rows; None when there is none.
    weighted
        Whether frauds weigh more in the loss or the split criterion.
    """

    meaning: str
    sampler: Callable[[ImbalanceConfig, int], Any] | None = None
    weighted: bool = False


STRATEGIES: Final[dict[str, Strategy]] = {
    "none": Strategy("rows as they are"),
    "class_weight": Strategy("a fraud weighs more than a legitimate row", weighted=True),
    "oversample": Strategy(
        "frauds are repeated",
        lambda config, seed: RandomOverSampler(sampling_strategy=config.ratio, random_state=seed),
    ),
    "smote": Strategy(
        "frauds are added between neighbouring ones (Chawla et al., SMOTE, 2002)",
        lambda config, seed: StandardisedSMOTE(
            sampling_strategy=config.ratio, k_neighbors=config.neighbours, random_state=seed
        ),
    ),
    "undersample": Strategy(
        "legitimate rows are left out",
        lambda config, seed: RandomUnderSampler(sampling_strategy=config.ratio, random_state=seed),
    ),
    "balanced_forest": Strategy("every tree leaves out other legitimate rows (Chen, Liaw, Breiman, 2004)"),
}


def check_strategy(config: ModelConfig) -> None:
    """Refuse a strategy that an estimator cannot follow.

    Raises
    ------
    ConfigError
        Says which strategies it can.
    """
    from training.models.estimators import classifier_class

    strategy = config.imbalance.strategy
    others = ", ".join(name for name in STRATEGIES if name != strategy)
    if strategy == "balanced_forest" and config.estimator not in (_PLAIN_FOREST, BALANCED_FOREST):
        raise ConfigError(
            f"imbalance strategy balanced_forest is for {_PLAIN_FOREST}, not for {config.estimator}; use one of"
            f" {others}"
        )
    if config.estimator == BALANCED_FOREST and strategy != "balanced_forest":
        raise ConfigError(
            f"{BALANCED_FOREST} is itself the strategy balanced_forest, not {strategy}; use that, or {_PLAIN_FOREST}"
        )
    if strategy == "class_weight" and config.kind != "network":
        kind = classifier_class(config.estimator)
        if "class_weight" not in kind().get_params(deep=False):
            raise ConfigError(f"{kind.__name__} knows no class weights; use one of {others}")


def check_labels(config: ImbalanceConfig, labels: NDArray[np.int64]) -> None:
    """Refuse training labels that a strategy cannot be applied to.

    Raises
    ------
    DataError
        Says how many frauds there are and what the strategy needs.
    """
    frauds, rows = int(labels.sum()), len(labels)
    resampling = STRATEGIES[config.strategy].sampler is not None or config.strategy == "balanced_forest"
    if resampling and frauds >= config.ratio * (rows - frauds):
        raise DataError(
            f"{frauds} frauds among {rows} training rows are a ratio of {frauds / max(1, rows - frauds):.3f} already;"
            f" {config.strategy} is to reach {config.ratio}: raise imbalance.ratio or use the strategy none"
        )
    if config.strategy == "smote" and frauds <= config.neighbours:
        raise DataError(
            f"smote with {config.neighbours} neighbours needs more than {config.neighbours} frauds in every training"
            f" part, here are {frauds}; lower imbalance.neighbours, use oversample, or train on more rows"
        )
