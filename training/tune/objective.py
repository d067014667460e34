"""The value that is maximised: mean average precision over folds in the order of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from training.models.config import ModelConfig, with_values
from training.models.inputs import checked_labels, checked_rows
from training.models.space import Choice, Dimension, Real, Space, Value, Whole
from training.models.train import fit_pipeline
from training.models.trained import raw_scores
from training.splits import Fold, expanding, later_fraction, latest_prequential

__all__ = ["Objective", "defaults", "space_of", "suggest", "tuning_folds", "widened"]

#: A fold that trains on fewer frauds than this says little about hyper-parameters.
_FEWEST_FRAUDS: Final = 100


def tuning_folds(table: pd.DataFrame, *, fraction: float = 0.2, folds: int = 4) -> list[Fold]:
    """Folds of the rows before the later ``fraction``, which ``train`` evaluates on and a search must not see.

    Weeks one after another (prequential) when each holds enough frauds to train on, else parts of the table that are
    tested after training on all before them.

    Raises
    ------
    DataError
        Too few rows or days, or one class only in a fold.
    """
    earlier = table.iloc[later_fraction(table, fraction).train]
    try:
        weekly = latest_prequential(earlier, folds=folds)
    except DataError:
        weekly = []
    fraud = earlier["is_fraud"].to_numpy(dtype=bool)
    if weekly and min(int(fraud[fold.train].sum()) for fold in weekly) >= _FEWEST_FRAUDS:
        return weekly
    return expanding(earlier, folds=max(2, folds - 1))


@dataclass
class Objective:
    """Callable for Optuna. Prunes between folds.

    Parameters
    ----------
    config
        What trials change.
    space
        What they change in it.
    rows, labels
        Of the whole table: float32 [n, 21], 0 or 1 [n].
    folds
        Row numbers.
    seed
        Of every fit, the same for all trials: they differ by their parameters alone.
    """

    config: ModelConfig
    space: Space
    rows: NDArray[np.float32]
    labels: NDArray[np.int64]
    folds: Sequence[Fold]
    seed: int = 0

    @classmethod
    def of(cls, config: ModelConfig, space: Space, table: pd.DataFrame, folds: Sequence[Fold], seed: int) -> Objective:
        """The objective of a feature table."""
        rows = checked_rows(table[list(FEATURE_NAMES)].to_numpy(dtype=np.float32))
        for fold in folds:
            where = f"the training rows of the fold {fold.name!r}"
            checked_labels(table["is_fraud"].to_numpy(dtype=bool)[fold.train], len(fold.train), where)
        return cls(config, space, rows, table["is_fraud"].to_numpy(dtype=np.int64), folds, seed)

    def __call__(self, trial: optuna.Trial) -> float:
        """Fit and score fold after fold; calibration is left out, as it changes no ranking."""
        config = with_values(self.config, suggest(trial, self.space))
        values: list[float] = []
        for step, fold in enumerate(self.folds):
            try:
                pipeline = fit_pipeline(config, self.rows[fold.train], self.labels[fold.train], self.seed)
            except DataError as error:
                # Rows are fine, as `of` made sure; these values do not suit them, such as a ratio that they exceed.
                trial.set_user_attr("refused", str(error))
                raise optuna.TrialPruned(str(error)) from error
            raw = raw_scores(pipeline, config.kind, self.rows[fold.test])
            values.append(float(average_precision_score(self.labels[fold.test], raw)))
            trial.report(float(np.mean(values)), step)
            if step < len(self.folds) - 1 and trial.should_prune():
                raise optuna.TrialPruned(f"after fold {step + 1} of {len(self.folds)}")
        trial.set_user_attr("folds", values)
        return float(np.mean(values))


def space_of(config: ModelConfig) -> Space:
    """The search space of a configuration's kind; empty for other classifiers, whose ranges nobody wrote down."""
    if config.kind == "forest":
        from training.models.forest import forest_space

        return widened(forest_space(config), config)
    if config.kind == "network":
        from training.models.network import network_space

        return widened(network_space(config), config)
    return {}


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Values of a trial, by dotted path."""
    found: dict[str, Value] = {}
    for path, dimension in space.items():
        if isinstance(dimension, Real):
            found[path] = trial.suggest_float(path, dimension.low, dimension.high, log=dimension.log)
        elif isinstance(dimension, Whole):
            found[path] = trial.suggest_int(path, dimension.low, dimension.high, log=dimension.log)
        else:
            found[path] = trial.suggest_categorical(path, dimension.options)
    return found


def defaults(config: ModelConfig, space: Space) -> dict[str, Value]:
    """What the configuration itself has for the paths of a space: the first trial."""
    dumped = config.model_dump(mode="json")
    if config.kind == "network":
        dumped["parameters"] = config.network.model_dump(mode="json")
    elif config.estimator != "network":
        from training.models.estimators import classifier_class

        dumped["parameters"] = classifier_class(config.estimator)().get_params(deep=False) | config.parameters
    return {path: _plain(_at(dumped, path)) for path in space}


def widened(space: Space, config: ModelConfig) -> Space:
    """The space with the configuration's own values inside, so that the search starts from them."""
    own = defaults(config, space)
    return {path: _including(dimension, own[path]) for path, dimension in space.items()}


def _including(dimension: Dimension, value: Value) -> Dimension:
    if isinstance(dimension, Choice):
        # 1 and 1.0 and True are equal to Python, not to an estimator.
        known = any(value == item and type(value) is type(item) for item in dimension.options)
        return dimension if known else Choice((*dimension.options, value))
    if not isinstance(value, int | float) or isinstance(value, bool):
        return dimension
    if isinstance(dimension, Real):
        low, high = min(dimension.low, float(value)), max(dimension.high, float(value))
        return Real(low, high, dimension.log and low > 0)
    return Whole(min(dimension.low, int(value)), max(dimension.high, int(value)), dimension.log)


def _at(values: Mapping[str, Any], path: str) -> Any:
    place: Any = values
    for part in path.split("."):
        place = place[part]
    return place


def _plain(value: Any) -> Value:
    if isinstance(value, list | tuple):
        return ",".join(str(item) for item in value)
    return value  # type: ignore[no-any-return]
