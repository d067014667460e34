"""What is searched, over which rows, and how it is valued."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from sklearn.metrics import average_precision_score

from bentos.core.errors import DataError
from tests.training.evaluate.standins import feature_table
from tests.training.models.data import FOREST, forest, network
from tests.training.tune.data import objective
from training.models.config import ModelConfig, load_config, preset_names, with_values
from training.models.space import Choice, Real, Whole
from training.models.train import train_model
from training.splits import later_fraction
from training.tune.objective import defaults, space_of, suggest, tuning_folds, widened

PRESETS = [name for name in preset_names() if load_config(name).kind != "other"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_search_starts_from_the_configuration(name: str) -> None:
    config = load_config(name)
    space = space_of(config)
    own = defaults(config, space)
    first = with_values(config, own)
    trial = optuna.trial.FixedTrial(own)
    assert suggest(trial, space) == own  # type: ignore[arg-type]
    assert with_values(first, own) == first
    if config.kind == "network":
        assert first.network == config.network
    assert first.imbalance == config.imbalance


@pytest.mark.parametrize("name", PRESETS)
def test_every_corner_of_a_space_is_a_valid_configuration(name: str) -> None:
    config = load_config(name)
    space = space_of(config)
    for place in (0, -1):
        values = {
            path: dimension.options[place] if isinstance(dimension, Choice) else (dimension.low, dimension.high)[place]
            for path, dimension in space.items()
        }
        with_values(config, values)
    for path, dimension in space.items():
        if isinstance(dimension, Choice):
            for option in dimension.options:
                if option != "balanced_forest" or config.kind == "forest":
                    with_values(config, {path: option})


def test_spaces_widen_to_what_they_start_from() -> None:
    config = forest(parameters={"n_estimators": 25, "min_samples_leaf": 99, "max_features": 0.123})
    space = widened(
        {
            "parameters.min_samples_leaf": Whole(1, 30, log=True),
            "parameters.max_features": Choice(("sqrt", 1.0)),
            "imbalance.ratio": Real(0.2, 1.0, log=True),
            "parameters.max_depth": Choice((4, None)),
        },
        config,
    )
    assert space == {
        "parameters.min_samples_leaf": Whole(1, 99, log=True),
        "parameters.max_features": Choice(("sqrt", 1.0, 0.123)),
        "imbalance.ratio": Real(0.1, 1.0, log=True),
        "parameters.max_depth": Choice((4, None)),
    }


def test_one_and_true_are_not_the_same_choice() -> None:
    config = forest(parameters={"max_features": 1})
    assert widened({"parameters.max_features": Choice((1.0,))}, config) == {"parameters.max_features": Choice((1.0, 1))}


def test_other_classifiers_have_no_space() -> None:
    assert space_of(load_config("logistic")) == {}


def test_the_rows_that_train_evaluates_on_are_not_seen() -> None:
    table = feature_table(3000, fraud_share=0.2, days=80)
    last = later_fraction(table, 0.2).train.max()
    found = tuning_folds(table, fraction=0.2, folds=4)
    assert max(int(fold.test.max()) for fold in found) <= last
    for fold in found:
        assert table["timestamp"].iloc[fold.train].max() < table["timestamp"].iloc[fold.test].min()


def test_weeks_when_they_hold_enough_frauds_else_growing_parts() -> None:
    weekly = tuning_folds(feature_table(20_000, fraud_share=0.1, days=80))
    assert [fold.name[:5] for fold in weekly] == ["2026-"] * 4
    gap = 7 * 86_400
    table = feature_table(20_000, fraud_share=0.1, days=80)
    for fold in weekly:
        stamps = table["timestamp"]
        assert (stamps.iloc[fold.test].min() - stamps.iloc[fold.train].max()).total_seconds() > gap - 86_400
    growing = tuning_folds(feature_table(3000, fraud_share=0.05, days=40))
    assert [fold.name for fold in growing] == ["part 1 of 3", "part 2 of 3", "part 3 of 3"]


def test_the_value_is_the_mean_average_precision_over_the_folds() -> None:
    made = objective()
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"parameters.min_samples_leaf": 4, "parameters.criterion": "gini"})
    study.optimize(made, n_trials=1)
    config = with_values(made.config, {"parameters.min_samples_leaf": 4, "parameters.criterion": "gini"})
    values = []
    for fold in made.folds:
        model = train_model(config, made.rows[fold.train], made.labels[fold.train], made.seed)
        values.append(average_precision_score(made.labels[fold.test], model.score(made.rows[fold.test])))
    assert study.best_value == pytest.approx(np.mean(values), rel=1e-12)
    assert study.best_trial.user_attrs["folds"] == pytest.approx(values, rel=1e-12)


def test_a_fold_without_frauds_is_refused() -> None:
    made = objective()
    table = feature_table(1200, fraud_share=0.1)
    table["is_fraud"] = table["is_fraud"] & (np.arange(1200) > 400)
    with pytest.raises(DataError, match=r"both classes|needed are at least"):
        type(made).of(made.config, made.space, table, tuning_folds(table, folds=3), 0)


def test_a_network_can_be_searched() -> None:
    config = ModelConfig.model_validate(network(epochs=2).model_dump())
    table = feature_table(900, fraud_share=0.15)
    made = type(objective()).of(config, space_of(config), table, tuning_folds(table, folds=3), 0)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(made, n_trials=2)
    assert len(study.trials) == 2
    assert forest().estimator == FOREST
