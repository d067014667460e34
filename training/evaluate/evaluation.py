"""What an evaluation found, as values that can be printed, stored and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from bentos.core.artifact import Thresholds
from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES
from training.evaluate.intervals import Interval
from training.evaluate.metrics import BoolArray, Confusion, FloatArray
from training.evaluate.overfitting import OverfittingCheck
from training.evaluate.thresholds import CostModel

__all__ = ["HELD_OUT_COLUMNS", "Evaluation", "FoldEvaluation", "HeldOut"]

#: Besides these, a frame of held-out rows has the 21 features in order, float32.
HELD_OUT_COLUMNS: Final = ("fold", "customer", "timestamp", "paid", "is_fraud", "score")


@dataclass(frozen=True)
class HeldOut:
    """Rows that the scoring model had not seen, with their scores.

    ``frame`` has the columns ``fold`` (str), ``customer`` (int64 number that says which rows belong together and
    nothing else: no id is kept), ``timestamp`` (UTC), ``paid`` (float64, the amount), ``is_fraud`` (bool), ``score``
    (float64) and the 21 features (float32), so that another model can later be scored on exactly these rows.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [name for name in (*HELD_OUT_COLUMNS, *FEATURE_NAMES) if name not in self.frame.columns]
        if missing:
            raise DataError(f"held-out rows lack the columns {', '.join(missing)}: evaluate the model again")

    @property
    def labels(self) -> BoolArray:
        return self.frame["is_fraud"].to_numpy(dtype=bool)

    @property
    def scores(self) -> FloatArray:
        return self.frame["score"].to_numpy(dtype=np.float64)

    @property
    def amounts(self) -> FloatArray:
        return self.frame["paid"].to_numpy(dtype=np.float64)

    @property
    def customers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return self.frame["customer"].to_numpy(dtype=np.int64)

    @property
    def rows(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The feature rows, float32 [n, 21]."""
        return self.frame[list(FEATURE_NAMES)].to_numpy(dtype=np.float32)

    def sample(self, limit: int, seed: int = 0) -> HeldOut:
        """At most about ``limit`` rows, whole customers chosen at random, so that no rate is distorted."""
        if len(self.frame) <= limit:
            return self
        numbers = np.unique(self.customers)
        chosen = np.random.default_rng(seed).permutation(numbers)[: max(1, int(len(numbers) * limit / len(self.frame)))]
        return HeldOut(self.frame[np.isin(self.customers, chosen)].reset_index(drop=True))


@dataclass(frozen=True)
class FoldEvaluation:
    """One fold: period (ISO 8601, UTC), rows, frauds, metrics; ``train`` is None when training rows are unknown."""

    name: str
    start: str
    end: str
    rows: int
    frauds: int
    metrics: Mapping[str, float]
    train: Mapping[str, float] | None


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known of a model's quality.

    Parameters
    ----------
    split
        The split in words and numbers; evaluations of the same split on the same data can be compared.
    top_k
        Cards a day of the card precision.
    folds
        Each fold by itself.
    summary
        Metric → interval: over folds, or over customers when there is one fold.
    thresholds
        For the artifact, chosen on all held-out rows.
    confusion
        Decisions at thresholds that were chosen on *other* customers (two halves, crossed), so that it promises
        nothing that was fitted to its own rows.
    cost
        Cost per 1,000 transactions of those decisions, and of approving everything, in the currency of the amounts.
    """

    split: str
    top_k: int
    folds: tuple[FoldEvaluation, ...]
    summary: Mapping[str, Interval]
    thresholds: Thresholds
    threshold_method: str
    costs: CostModel
    confusion: Confusion
    cost: Mapping[str, float]
    overfitting: OverfittingCheck
    held_out: HeldOut

    def metrics(self) -> dict[str, float]:
        """Flat numbers for the tracker and the model card."""
        result = {name: value.mean for name, value in self.summary.items()}
        for name, value in self.summary.items():
            if math.isfinite(value.low):
                result |= {f"{name}_low": value.low, f"{name}_high": value.high}
        result |= {
            "precision": self.confusion.precision,
            "recall": self.confusion.recall,
            "alert_rate": self.confusion.alert_rate,
            "threshold_review": self.thresholds.review,
            "threshold_block": self.thresholds.block,
            "cost_per_1000": self.cost["decided"],
            "cost_per_1000_without_model": self.cost["approve_all"],
        }
        if self.overfitting.status != "unknown":
            result[f"{self.overfitting.metric}_train"] = self.overfitting.train
        return {name: float(value) for name, value in result.items() if math.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """All but the rows, ready for JSON: numbers that are not finite become None."""
        return {
            "split": self.split,
            "top_k": self.top_k,
            "rows": len(self.held_out.frame),
            "frauds": int(self.held_out.labels.sum()),
            "folds": [_clean({**asdict(fold)}) for fold in self.folds],
            "summary": {name: _clean(asdict(value)) for name, value in self.summary.items()},
            "thresholds": {
                **self.thresholds.model_dump(),
                "method": self.threshold_method,
                "costs": asdict(self.costs),
            },
            "confusion": asdict(self.confusion),
            "cost": dict(self.cost),
            "overfitting": _clean(asdict(self.overfitting)),
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
