"""Evaluate a model over folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from bentos.core.artifact import Thresholds
from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from training.evaluate.evaluation import Evaluation, FoldEvaluation, HeldOut
from training.evaluate.intervals import Interval, bootstrap_interval, interval_over_folds
from training.evaluate.metrics import (
    Confusion,
    FloatArray,
    card_precision_at_k,
    confusion,
    day_of,
    ranking_metrics,
    score_metrics,
)
from training.evaluate.overfitting import OverfittingCheck, check_overfitting
from training.evaluate.thresholds import CostModel, thresholds_by_cost, thresholds_by_f1, total_cost
from training.evaluate.weighted import WeightedMetrics

__all__ = ["FoldLike", "Scorer", "evaluate_model", "feature_rows"]

Indices = npt.NDArray[np.int64]


class Scorer(Protocol):
    """Whatever scores feature rows: a trained model, or an artifact's ONNX."""

    def score(self, rows: npt.NDArray[np.float32]) -> FloatArray:
        """Calibrated probability of fraud, float64 [n], of feature rows float32 [n, 21]."""


class FoldLike(Protocol):
    """Row numbers of a table to train and to test on."""

    @property
    def train(self) -> Indices: ...
    @property
    def test(self) -> Indices: ...
    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class _Choice:
    method: Literal["cost", "f1"]
    costs: CostModel

    def __call__(self, labels: npt.NDArray[np.bool_], scores: FloatArray, amounts: FloatArray) -> Thresholds:
        if self.method == "cost":
            return thresholds_by_cost(labels, scores, amounts, self.costs)
        return thresholds_by_f1(labels, scores)


def feature_rows(table: pd.DataFrame, indices: Indices) -> npt.NDArray[np.float32]:
    """The 21 features of these rows, in order, float32 [n, 21] as in serving.

    Raises
    ------
    DataError
        Names the columns that are missing.
    """
    wanted = [*FEATURE_NAMES, "customer_id", "timestamp", "is_fraud"]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataError(
            f"the feature table lacks {', '.join(missing)}; make one with `python -m training features`"
            f" (it has {len(table.columns)} columns: {', '.join(map(str, table.columns[:8]))} …)"
        )
    return table[list(FEATURE_NAMES)].iloc[indices].to_numpy(dtype=np.float32)


def evaluate_model(  # noqa: PLR0913 - every choice that changes a number is explicit
    trained: Scorer,
    table: pd.DataFrame,
    folds: Sequence[FoldLike],
    *,
    split: str = "unnamed",
    refit: Callable[[FoldLike], Scorer] | None = None,
    fitted_on: Indices | None = None,
    top_k: int = 100,
    threshold_method: Literal["cost", "f1"] = "cost",
    costs: CostModel | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score each fold's test rows and sum up.

    Parameters
    ----------
    trained
        The model. It scores every fold, unless ``refit`` is given.
    table
        A feature table: 21 features, customer_id, timestamp, is_fraud.
    folds
        Row numbers. Only ``test`` is scored when the model's own training rows are unknown.
    split
        Names the split, with all its parameters, for whoever compares.
    refit
        Trains on a fold's training rows. With it the *recipe* is evaluated, each fold by a model of its own; the
        first fold's model stands for none of the others.
    fitted_on
        Rows that ``trained`` was fitted on, for the comparison of train and test. With ``refit`` it is the fold's.
    top_k
        Cards per day of the card precision.
    seed
        Of the bootstrap and of the halves that thresholds are tried on.

    Raises
    ------
    DataError
        Without folds, with a fold of one class, with missing columns, or when test rows were trained on.
    """
    if not folds:
        raise DataError(
            "there is nothing to evaluate on: the split made no folds; choose a shorter period or more data"
        )
    parts: list[pd.DataFrame] = []
    found: list[FoldEvaluation] = []
    for fold in folds:
        model = trained if refit is None else refit(fold)
        seen = fold.train if refit is not None else fitted_on
        _refuse_overlap(fold, seen)
        rows = feature_rows(table, fold.test)
        part = _held_out(table, fold, rows, model.score(rows))
        parts.append(part)
        train = None if seen is None or not len(seen) else _train_metrics(model, table, seen)
        found.append(_fold(fold.name, part, train, top_k))
    held_out = pd.concat(parts, ignore_index=True)
    # One number per customer for the whole evaluation: the bootstrap draws customers over all folds.
    held_out["customer"] = pd.factorize(held_out["customer"], sort=True)[0].astype(np.int64)
    rows_out = HeldOut(held_out)
    choice = _Choice(threshold_method, costs or CostModel())
    decisions, cost = _crossed_decisions(rows_out, choice, seed)
    summary = _summary(found, rows_out, seed)
    return Evaluation(
        split=split,
        top_k=top_k,
        folds=tuple(found),
        summary=summary,
        thresholds=choice(rows_out.labels, rows_out.scores, rows_out.amounts),
        threshold_method=threshold_method,
        costs=choice.costs,
        confusion=decisions,
        cost=cost,
        overfitting=_overfitting(found, summary),
        held_out=rows_out,
    )


def _refuse_overlap(fold: FoldLike, seen: Indices | None) -> None:
    if seen is None:
        return
    both = np.intersect1d(fold.test, seen)
    if len(both):
        raise DataError(
            f"fold {fold.name}: {len(both)} of its {len(fold.test)} test rows were trained on, first row {both[0]};"
            " metrics on them would promise too much: choose a split whose test rows the model has not seen"
        )


def _held_out(table: pd.DataFrame, fold: FoldLike, rows: npt.NDArray[np.float32], scores: FloatArray) -> pd.DataFrame:
    source = table.iloc[fold.test]
    known: dict[str, Any] = {
        "fold": np.full(len(source), fold.name, dtype=object),
        "customer": source["customer_id"].to_numpy(),
        "timestamp": source["timestamp"].reset_index(drop=True),
        "paid": source["amount"].to_numpy(dtype=np.float64),
        "is_fraud": source["is_fraud"].to_numpy(dtype=bool),
        "score": np.asarray(scores, dtype=np.float64),
    }
    return pd.DataFrame(known | {name: rows[:, place] for place, name in enumerate(FEATURE_NAMES)})


def _fold(name: str, part: pd.DataFrame, train: dict[str, float] | None, top_k: int) -> FoldEvaluation:
    labels, scores = part["is_fraud"].to_numpy(dtype=bool), part["score"].to_numpy(dtype=np.float64)
    metrics = score_metrics(labels, scores, f"fold {name}")
    days = day_of(part["timestamp"])
    cards = card_precision_at_k(labels, scores, part["customer"].to_numpy(), days, top_k)
    metrics["card_precision_at_k"] = cards.mean
    start, end = part["timestamp"].min(), part["timestamp"].max()
    return FoldEvaluation(name, start.isoformat(), end.isoformat(), len(part), int(labels.sum()), metrics, train)


def _train_metrics(model: Scorer, table: pd.DataFrame, seen: Indices) -> dict[str, float]:
    labels = table["is_fraud"].to_numpy(dtype=bool)[seen]
    return ranking_metrics(labels, np.asarray(model.score(feature_rows(table, seen)), dtype=np.float64))


def _crossed_decisions(rows: HeldOut, choice: _Choice, seed: int) -> tuple[Confusion, dict[str, float]]:
    """Decisions of each half of the customers at thresholds that the other half chose."""
    labels, scores, amounts, customers = rows.labels, rows.scores, rows.amounts, rows.customers
    half = np.random.default_rng(seed).permutation(customers.max() + 1)[customers] % 2 == 0
    sides = (half, ~half)
    if any(labels[side].sum() in (0, side.sum()) for side in sides):
        raise DataError(
            f"the {len(labels)} held-out rows with {int(labels.sum())} frauds are too few to try thresholds on"
            " customers that did not choose them: choose a longer test period"
        )
    total, spent = Confusion(0, 0, 0, 0, 0, 0), 0.0
    for side in sides:
        chosen = choice(labels[~side], scores[~side], amounts[~side])
        total = total + confusion(labels[side], scores[side], chosen.review, chosen.block)
        spent += total_cost(labels[side], scores[side], amounts[side], chosen, choice.costs)
    nothing = float(amounts[labels].sum()) * choice.costs.missed_share
    scale = 1000 / len(labels)
    return total, {"decided": spent * scale, "approve_all": nothing * scale}


def _summary(folds: Sequence[FoldEvaluation], rows: HeldOut, seed: int) -> dict[str, Interval]:
    names = list(folds[0].metrics)
    if len(folds) > 1:
        return {name: interval_over_folds([fold.metrics[name] for fold in folds]) for name in names}
    weighted = WeightedMetrics(rows.labels, rows.scores)
    summary = {}
    for name in names:
        metric = getattr(weighted, name, None)
        summary[name] = (
            interval_over_folds([folds[0].metrics[name]])  # no interval: it depends on days as well as on customers
            if metric is None
            else bootstrap_interval(metric, rows.labels, rows.customers, seed=seed)
        )
    return summary


def _overfitting(folds: Sequence[FoldEvaluation], summary: dict[str, Interval]) -> OverfittingCheck:
    known = [fold for fold in folds if fold.train is not None]
    if not known:
        nothing = float("nan")
        return OverfittingCheck(
            "unknown", "roc_auc", nothing, summary["roc_auc"].mean, nothing, nothing, "training rows are not known here"
        )
    train = {"roc_auc": float(np.mean([fold.train["roc_auc"] for fold in known if fold.train]))}
    test = {"roc_auc": float(np.mean([fold.metrics["roc_auc"] for fold in known]))}
    interval = summary["roc_auc"]
    noise = (interval.high - interval.low) / 2
    return check_overfitting(train, test, noise=noise if np.isfinite(noise) else 0.0)
