"""The default table is worth learning: the 21 features tell frauds, amount and hour alone do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bentos.core.features import FEATURE_NAMES, feature_table
from training.data.synthetic import generate_table


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    table: pd.DataFrame = generate_table()
    return feature_table(table), table["is_fraud"].to_numpy()


def _split(labels: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(labels))
    if kind == "later fifth":
        return rows[: len(rows) * 4 // 5], rows[len(rows) * 4 // 5 :]
    train, test = train_test_split(rows, test_size=0.2, stratify=labels, random_state=0)
    return train, test


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["later fifth", "stratified"])
def test_the_features_tell_frauds(data: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    rows, labels = data
    train, test = _split(labels, kind)
    forest = RandomForestClassifier(200, min_samples_leaf=2, random_state=0).fit(rows[train], labels[train])
    score = forest.predict_proba(rows[test])[:, 1]
    assert 0.91 < roc_auc_score(labels[test], score) < 0.995
    # Not separable: there is something to tune, and something no model finds.
    assert 0.4 < average_precision_score(labels[test], score) < 0.92


@pytest.mark.parametrize("kind", ["later fifth", "stratified"])
def test_amount_and_hour_do_not(data: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    rows, labels = data
    train, test = _split(labels, kind)
    two = rows[:, [FEATURE_NAMES.index("amount"), FEATURE_NAMES.index("hour")]]
    for weights in (None, "balanced"):
        line = make_pipeline(StandardScaler(), LogisticRegression(class_weight=weights)).fit(two[train], labels[train])
        assert roc_auc_score(labels[test], line.predict_proba(two[test])[:, 1]) < 0.75
