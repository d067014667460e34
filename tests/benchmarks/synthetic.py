"""How learnable the default synthetic data is: forest, network, and what amount and hour alone can do.

Run with ``python -m tests.benchmarks.synthetic``. Prints ROC AUC and average precision on the later fifth and on a
stratified 80/20 split, then what ten trials of tuning change: chosen on folds before the later fifth, tested on it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA
from training.data.synthetic import generate_table
from training.data.table import table_hash
from training.evaluate.metrics import ranking_metrics
from training.features_file import feature_frame
from training.models.config import ModelConfig, load_config
from training.models.train import fit_pipeline
from training.models.trained import raw_scores
from training.splits import Fold, later_fraction, stratified
from training.tune.identity import study_identity
from training.tune.objective import Objective, space_of, tuning_folds
from training.tune.search import SearchPlan, result_of, run_search

SIMPLE = [FEATURE_NAMES.index("amount"), FEATURE_NAMES.index("hour")]


def quality(table: pd.DataFrame, fold: Fold, config: ModelConfig | None) -> dict[str, float]:
    """Metrics on a fold's test of a configuration; None is logistic regression on amount and hour."""
    rows = table[list(FEATURE_NAMES)].to_numpy(np.float32)
    labels = table["is_fraud"].to_numpy().astype(np.int64)
    scores: NDArray[np.float64]
    if config is None:
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        model.fit(rows[fold.train][:, SIMPLE], labels[fold.train])
        scores = model.predict_proba(rows[fold.test][:, SIMPLE])[:, 1]
    else:
        pipeline = fit_pipeline(config, rows[fold.train], labels[fold.train], 0)
        scores = raw_scores(pipeline, config.kind, rows[fold.test])
    return ranking_metrics(labels[fold.test].astype(bool), scores)


def tuned(table: pd.DataFrame, config: ModelConfig, trials: int, storage: str) -> tuple[ModelConfig, float, float]:
    """The best of some trials, with its mean average precision over the tuning folds and that of the defaults."""
    space, folds = space_of(config), tuning_folds(table)
    objective = Objective.of(config, space, table, folds, 0)
    identity = study_identity(config, space, folds, data_hash=table_hash(table), feature_schema=FEATURE_SCHEMA, seed=0)
    plan = SearchPlan(storage, identity.name(config.name), identity, trials)
    result = result_of(run_search(plan, objective), objective)
    return result.best, result.best_value, result.default_value or 0.0


def main() -> None:
    """Print the table."""
    table = feature_frame(generate_table())
    splits = {"later fifth": later_fraction(table), "stratified": stratified(table)}
    configs = {"forest": load_config("forest"), "network": load_config("network"), "amount and hour": None}
    print(f"{'':<18}{'split':<14}{'ROC AUC':>9}{'AP':>9}")
    for name, config in configs.items():
        for split, fold in splits.items():
            found = quality(table, fold, config)
            print(f"{name:<18}{split:<14}{found['roc_auc']:>9.4f}{found['average_precision']:>9.4f}")
    print("\nafter 10 trials    AP, folds: defaults, best      AP, later fifth: defaults, best")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("forest", "network"):
            config = load_config(name)
            best, after, before = tuned(table, config, 10, f"sqlite:///{Path(folder) / name}.db")
            held = [quality(table, splits["later fifth"], item)["average_precision"] for item in (config, best)]
            print(f"{name:<26}{before:.4f}, {after:.4f}{'':<18}{held[0]:.4f}, {held[1]:.4f}")


if __name__ == "__main__":
    main()
