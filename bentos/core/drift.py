"""How far payments are from training, as the service tells it: the contract of its clients."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field

from bentos.core.answers import ModelVersion

__all__ = [
    "DRIFT_WINDOWS",
    "MERCHANT_CATEGORY",
    "SCORE",
    "DriftMoment",
    "DriftPart",
    "DriftState",
    "DriftWindow",
    "PartInWindow",
]

DriftWindow: TypeAlias = Literal["hour", "day", "week"]
#: The shortest first.
DRIFT_WINDOWS: tuple[DriftWindow, ...] = get_args(DriftWindow)
#: How the score is called among the features.
SCORE = "score"
#: Of a transaction; counted among the features, though no feature row holds it.
MERCHANT_CATEGORY = "merchant_category"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartInWindow(_Answer):
    """One feature, the score or the merchant's category over a window."""

    counts: tuple[int, ...] = Field(description="Predictions in each bin.")
    psi: float | None = Field(
        description="Population stability index against training; null when the window holds too few predictions, or"
        " only a part of the clock or week that the feature belongs to."
    )
    missing: float | None = Field(description="Share of the predictions without it; null where it is never missing.")
    unseen: float | None = Field(
        default=None, description="Share of the predictions in the bin of all other categories; null for other parts."
    )
    expected: tuple[float, ...] | None = Field(
        default=None,
        description="Training rows in each bin, had they been made at the hours of these predictions: what is compared"
        " with; null where it is training as it was.",
    )


class DriftPart(_Answer):
    """One feature, the score, or the merchant's category."""

    name: str
    edges: tuple[float, ...] = Field(
        description="Bin i holds what is over edge i - 1 and at most edge i; empty for categories."
    )
    categories: tuple[str, ...] | None = Field(
        default=None, description="Bin i holds category i, the last one all others; null for what has edges."
    )
    training: tuple[int, ...] = Field(description="Training rows in each bin.")
    limit: float = Field(description="Index from which on it has drifted.")
    windows: dict[DriftWindow, PartInWindow]


class DriftMoment(_Answer):
    """A stretch of time that holds enough predictions to be compared."""

    start: datetime
    end: datetime
    rows: int
    psi: dict[str, float] = Field(description="Of each feature and the score; what belongs to the clock is left out.")


class DriftState(_Answer):
    """Payments that this server scored and recorded within a week, against the rows of training."""

    model: ModelVersion
    counted: bool = Field(description="Whether the server counts them (FRAUD_DRIFT).")
    minimum_rows: int = Field(description="Predictions below which nothing is told of a window.")
    rows: dict[DriftWindow, int] = Field(description="Predictions in each window.")
    parts: tuple[DriftPart, ...] = Field(
        description="The score, the features, and the merchant's category if the artifact has its reference; empty when"
        " nothing is counted."
    )
    moments: tuple[DriftMoment, ...] = Field(description="In order of time.")
