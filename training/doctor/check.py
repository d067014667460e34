"""What a check is, what it is given, and how its answer looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from bentos.core.artifact import Artifact
from bentos.core.features import FEATURE_NAMES
from training.evaluate.metrics import BoolArray, FloatArray

__all__ = ["Answer", "Check", "Model", "Outcome", "Patient", "Status", "fail", "ok", "warn"]

Status = Literal["ok", "warn", "fail", "skipped"]
Indices = npt.NDArray[np.int64]


class Model(Protocol):
    """A trained model, see ``training.models.trained``."""

    @property
    def pipeline(self) -> Any: ...
    def score(self, rows: npt.NDArray[np.float32]) -> FloatArray: ...


class Scores(Protocol):
    """Anything that scores feature rows."""

    def score(self, rows: npt.NDArray[np.float32]) -> FloatArray: ...


@dataclass(frozen=True)
class Patient:
    """What is examined. A check that needs what is None is skipped.

    Parameters
    ----------
    table
        The feature table.
    train, test
        Row numbers, int64.
    by_time
        Whether the split promises that the test comes after the training.
    scorer
        Scores rows: the trained model, or else the artifact.
    model
        The trained model.
    artifact
        The exported one.
    transactions
        The canonical table that the feature table was made from.
    """

    table: pd.DataFrame
    train: Indices
    test: Indices
    by_time: bool = True
    scorer: Scores | None = None
    model: Model | None = None
    artifact: Artifact | None = None
    transactions: pd.DataFrame | None = None

    @cached_property
    def features(self) -> list[str]:
        """The features that the table has, in the table's order."""
        wanted = set(FEATURE_NAMES)
        return [str(name) for name in self.table.columns if name in wanted]

    @cached_property
    def labels(self) -> BoolArray:
        """Bool [n]; all False when the column is missing, which another check reports."""
        if "is_fraud" not in self.table.columns:
            return np.zeros(len(self.table), dtype=bool)
        return self.table["is_fraud"].fillna(False).to_numpy(dtype=bool)

    @cached_property
    def rows(self) -> npt.NDArray[np.float32]:
        """Feature rows of the whole table, float32 [n, 21]."""
        return self.table[list(FEATURE_NAMES)].to_numpy(dtype=np.float32)

    @cached_property
    def complete(self) -> bool:
        """Whether rows can be scored at all."""
        return set(FEATURE_NAMES) <= set(self.table.columns) and "is_fraud" in self.table.columns

    @cached_property
    def test_scores(self) -> FloatArray | None:
        return self._scores(self.test)

    @cached_property
    def train_scores(self) -> FloatArray | None:
        return self._scores(self.train)

    def _scores(self, indices: Indices) -> FloatArray | None:
        if self.scorer is None or not self.complete:
            return None
        return np.asarray(self.scorer.score(self.rows[indices]), dtype=np.float64)


@dataclass(frozen=True)
class Outcome:
    """A check's finding in words, with its numbers."""

    status: Status
    found: str


def ok(found: str) -> Outcome:
    return Outcome("ok", found)


def warn(found: str) -> Outcome:
    return Outcome("warn", found)


def fail(found: str) -> Outcome:
    return Outcome("fail", found)


@dataclass(frozen=True)
class Check:
    """One suspect.

    Parameters
    ----------
    name
        Short, unique, for JSON and for people.
    meaning
        What it means when the check does not pass.
    advice
        What to do then.
    run
        Looks; None means that it lacks what it needs.
    """

    name: str
    meaning: str
    advice: str
    run: Callable[[Patient], Outcome | None]


@dataclass(frozen=True)
class Answer:
    """A check with its outcome."""

    check: Check
    status: Status
    found: str
