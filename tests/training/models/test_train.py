"""Training as a whole: repeatable, calibrated, interruptible, refusing what cannot be trained on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bentos.core.errors import ConfigError, DataError
from tests.training.evaluate.standins import feature_table
from tests.training.models.data import forest, network, small
from training.features_file import write_features
from training.models.config import ModelConfig, load_config
from training.models.digest import model_digest
from training.models.seeds import seed_everything
from training.models.train import train_model

OTHERS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.LogisticRegression": {"max_iter": 300},
    "sklearn.ensemble.HistGradientBoostingClassifier": {"max_iter": 5, "early_stopping": True},
    "sklearn.neighbors.KNeighborsClassifier": {},
    "imblearn.ensemble.EasyEnsembleClassifier": {"n_estimators": 2},
}


@pytest.mark.parametrize(
    "config",
    [
        forest(calibration_folds=2),
        forest(imbalance={"strategy": "smote", "ratio": 0.5}),
        network(calibration_folds=2),
        network({"strategy": "oversample", "ratio": 0.5}, batch_norm=True),
        *(
            ModelConfig(name="x", estimator=path, parameters=values, calibration_folds=0, scale="linear" in path)
            for path, values in OTHERS.items()
        ),
    ],
    ids=lambda config: f"{config.estimator.rpartition('.')[2]}-{config.imbalance.strategy}",
)
def test_the_same_seed_gives_the_same_model_twice(config: ModelConfig) -> None:
    rows, labels = small(800)
    first = train_model(config, rows, labels, 1)
    np.random.random(5)  # noqa: NPY002 - what happens in between must not matter
    torch.rand(3)
    second = train_model(config, rows, labels, 1)
    assert model_digest(first) == model_digest(second)
    np.testing.assert_array_equal(first.score(rows), second.score(rows))
    changed = rows.copy()
    changed[:50] = changed[50:100]
    assert model_digest(train_model(config, changed, labels, 1)) != model_digest(first)


@pytest.mark.parametrize("config", [forest(), network()], ids=["forest", "network"])
def test_another_seed_gives_another_model(config: ModelConfig) -> None:
    rows, labels = small(600)
    assert model_digest(train_model(config, rows, labels, 1)) != model_digest(train_model(config, rows, labels, 2))


def test_threads_do_not_change_a_forest() -> None:
    rows, labels = small(600)
    one, two = (model_digest(train_model(forest(threads=threads), rows, labels)) for threads in (1, 2))
    assert one == two


def test_one_function_seeds_everything() -> None:
    drawn = []
    for _ in range(2):
        seed_everything(7)
        drawn.append((random.random(), np.random.random(), torch.rand(1).item()))  # noqa: S311, NPY002
    assert drawn[0] == drawn[1]
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    "config",
    [
        forest(imbalance={"strategy": "undersample", "ratio": 1.0}, calibration_folds=3),
        network({"strategy": "class_weight"}, calibration_folds=3, epochs=10),
        ModelConfig.model_validate(load_config("logistic").model_dump()),
    ],
    ids=["forest", "network", "logistic"],
)
def test_calibration_undoes_what_resampling_does_to_probabilities(config: ModelConfig) -> None:
    rows, labels = small(3000)
    fresh, fresh_labels = small(3000, seed=1)
    model = train_model(config, rows, labels)
    raw = model.raw_score(fresh)
    plain = raw if model.kind != "network" else 1 / (1 + np.exp(-raw))
    share = fresh_labels.mean()
    assert plain.mean() > 1.5 * share
    assert model.score(fresh).mean() == pytest.approx(share, rel=0.2)
    order = np.argsort(raw, kind="stable")
    assert (np.diff(model.score(fresh)[order]) >= 0).all()


def test_progress_tells_every_stage() -> None:
    rows, labels = small(600)
    said: list[Any] = []
    train_model(forest(calibration_folds=2), rows, labels, progress=lambda *values: said.append(values))
    assert [stage for stage, done, total, *_ in said if done == total] == [
        "test: calibration 1/2",
        "test: calibration 2/2",
        "test: fit",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows, labels: (rows[:, :20], labels), "needed is [n, 21]"),
        (lambda rows, labels: (rows[:0], labels[:0]), "n at least 1"),
        (lambda rows, labels: (np.where(np.arange(21) == 3, np.nan, rows), labels), "is_weekend = nan in row 0"),
        (lambda rows, labels: (np.where(np.arange(21) == 0, np.float64(1e300), rows), labels), "not finite in float32"),
        (lambda rows, labels: (rows, labels[:-1]), "needed is one per row"),
        (lambda rows, labels: (rows, labels * 2), "labels are 0 or 1"),
        (lambda rows, labels: (rows, labels * 0), "legitimate rows only"),
        (lambda rows, labels: (rows, labels * 0 + 1), "frauds only"),
        (lambda rows, labels: (rows, (np.arange(len(labels)) < 4).astype(int)), "hold 4 frauds among 600"),
    ],
)
def test_what_cannot_be_trained_on(change: Any, words: str) -> None:
    rows, labels = change(*small(600))
    with pytest.raises(DataError) as caught:
        train_model(forest(), rows, labels)
    assert words in str(caught.value)


def test_scoring_checks_its_rows() -> None:
    rows, labels = small(600)
    model = train_model(forest(), rows, labels)
    with pytest.raises(DataError, match="shape"):
        model.score(rows[:, :5])
    with pytest.raises(DataError, match="not finite"):
        model.raw_score(np.full((1, 21), np.inf))
    assert ((model.score(rows) > 0) & (model.score(rows) < 1)).all()


def test_values_that_the_estimator_refuses_are_named() -> None:
    rows, labels = small(600)
    with pytest.raises(ConfigError, match="max_features"):
        train_model(forest(parameters={"max_features": "all"}), rows, labels)
    with pytest.raises(ConfigError, match="seed -1"):
        train_model(forest(), rows, labels, -1)


def test_too_few_frauds_for_calibration() -> None:
    rows, labels = small(600)
    labels = labels * (np.cumsum(labels) <= 12)
    with pytest.raises(DataError, match="12 frauds; change calibration_folds"):
        train_model(forest(calibration_folds=7), rows, labels)


def test_ctrl_c_ends_a_network_in_training_and_leaves_nothing(tmp_path: Path) -> None:
    """skorch takes Ctrl-C as a wish to stop early; here it must end the command."""
    table = feature_table(4000)
    write_features(table, tmp_path / "features.parquet")
    (tmp_path / "slow.yaml").write_text(
        "name: slow\nestimator: network\ncalibration_folds: 0\n"
        "parameters: {epochs: 1000, patience: 1000, warmup_steps: 0, bins: 2, hidden: [4]}\n"
    )
    command = [sys.executable, "-m", "training", "train", str(tmp_path / "features.parquet"), "--no-register"]
    command += ["--model", str(tmp_path / "slow.yaml"), "--output", str(tmp_path / "out")]
    environment = os.environ | {"FRAUD_HOME": str(tmp_path / "home"), "PYTHONPATH": "."}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()  # comes after the first epoch
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert first.startswith("slow: fit: 1 of 1000")
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert not (tmp_path / "out").exists()
