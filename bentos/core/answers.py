"""What the service answers, as pydantic models: the contract of its clients."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "Decision",
    "DependencyState",
    "Explanation",
    "Health",
    "ManyPredictions",
    "ModelVersion",
    "Prediction",
    "Problem",
    "ProblemField",
    "ReasonText",
    "RowProblem",
    "ThresholdPair",
]

Decision: TypeAlias = Literal["approve", "review", "block"]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThresholdPair(_Answer):
    """From which score on a transaction is reviewed, and from which it is blocked."""

    review: float = Field(description="Reviewed from this score on.")
    block: float = Field(description="Blocked from this score on.")


class ModelVersion(_Answer):
    """Which model answered."""

    name: str
    version: str


class ReasonText(_Answer):
    """One signed contribution to the score, in words."""

    feature: str
    value: float = Field(description="The feature's value, in its unit.")
    contribution: float = Field(description="Its share of raw_score: positive towards fraud.")
    text: str


class Prediction(_Answer):
    """The answer to one transaction."""

    transaction_id: str = Field(description="As sent, or made when none was.")
    score: float = Field(ge=0, le=1, description="Calibrated probability of fraud.")
    decision: Decision
    thresholds: ThresholdPair
    model: ModelVersion
    degraded: tuple[str, ...] = Field(description="Names of what holds a default instead of a known value.")
    reasons: tuple[ReasonText, ...] | None = Field(
        description="The three largest by effect; empty when not asked for, null when asked for and late."
    )


class Explanation(_Answer):
    """Everything that made one score. ``base_value`` and the contributions sum up to ``raw_score``."""

    transaction_id: str = Field(description="As sent, or made when none was.")
    raw_score: float = Field(description="The model's own output: a probability, or a logit difference.")
    base_value: float = Field(description="The raw score that the model gives without knowing any feature.")
    contributions: dict[str, float] = Field(description="Share of raw_score of every feature.")
    features: dict[str, float] = Field(description="The feature row that was scored.")
    score: float = Field(ge=0, le=1, description="Calibrated probability of fraud.")
    decision: Decision
    thresholds: ThresholdPair
    model: ModelVersion
    degraded: tuple[str, ...] = Field(description="Names of what holds a default instead of a known value.")


class ProblemField(_Answer):
    """One wrong field."""

    path: str = Field(description="Dotted, such as customer_latitude.")
    message: str


class RowProblem(_Answer):
    """What is wrong with one transaction of several; the others got their predictions."""

    status: int = Field(description="The status that a call with this transaction alone would have got.")
    title: str
    detail: str
    transaction_id: str | None = Field(description="As sent; null when none was, or it could not be read.")
    errors: tuple[ProblemField, ...] | None = Field(default=None, description="The wrong fields, for invalid input.")


class ManyPredictions(_Answer):
    """The answers to several transactions, in their order."""

    results: tuple[Prediction | RowProblem, ...]


class DependencyState(_Answer):
    """State of one thing that the service needs."""

    status: Literal["ok", "failing"]
    detail: str | None = None


class Health(_Answer):
    """State of the service. ``degraded`` still answers, with defaults for what it lacks."""

    status: Literal["ok", "degraded"]
    model: ModelVersion
    dependencies: dict[str, DependencyState]


class Problem(_Answer):
    """An error (RFC 9457)."""

    type: str = Field(description="Names the kind of error; stable.")
    title: str
    status: int
    detail: str
    request_id: str = Field(description="As in the header x-request-id; names the request in the logs.")
    errors: tuple[ProblemField, ...] | None = Field(default=None, description="The wrong fields, for invalid input.")

    def wire(self) -> bytes:
        """JSON without absent members."""
        return self.model_dump_json(exclude_none=True).encode()
