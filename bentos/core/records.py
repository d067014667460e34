"""Labels and kept predictions, as callers send them and the service tells of them: the contract of its clients."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from bentos.core.answers import Decision, ModelVersion, ReasonText, RowProblem
from bentos.core.transaction import Identifier, in_range, textual

__all__ = [
    "Claim",
    "ClaimRequest",
    "History",
    "KeptLabel",
    "KeptPrediction",
    "Label",
    "LabelOutcome",
    "LabelOutcomes",
    "LabelState",
    "LabelValue",
    "Predictions",
]

LabelValue: TypeAlias = Literal["fraud", "legitimate"]
LabelState: TypeAlias = Literal["fraud", "legitimate", "none"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Record):
    """What a transaction turned out to be. Unknown fields are refused: a misspelt one would silently be lost."""

    transaction_id: Identifier = Field(description="Of a transaction that was predicted, or is going to be.")
    label: LabelValue
    label_time: Annotated[AwareDatetime, BeforeValidator(textual), AfterValidator(in_range)] | None = Field(
        default=None, description="Since when it is known, RFC 3339 with an offset; now when absent."
    )
    source: Identifier | None = Field(default=None, description="Where it comes from, such as chargeback.")
    analyst: Identifier | None = Field(default=None, description="Who found out.")


class LabelOutcome(_Record):
    """What became of one label. It is on disk."""

    transaction_id: str
    label: LabelValue
    outcome: Literal["recorded", "changed", "unchanged"] = Field(
        description="The transaction's first label, another than before, or the one that it had."
    )
    pending: bool = Field(description="Whether the label waits for the prediction of its transaction.")


class LabelOutcomes(_Record):
    """What became of several labels, in their order."""

    results: tuple[LabelOutcome | RowProblem, ...]


class KeptLabel(_Record):
    """The label that counts."""

    label: LabelValue
    label_time: datetime = Field(description="Since when it is known.")
    source: str | None
    analyst: str | None
    updated_at: datetime = Field(description="When it came.")


class Claim(_Record):
    """Which analyst looks at a transaction."""

    transaction_id: str
    analyst: str
    expires_at: datetime = Field(description="Until when nobody else can claim it.")


class ClaimRequest(_Record):
    """Who wants to look at a transaction."""

    analyst: Identifier = Field(description="Names the analyst.")


class KeptPrediction(_Record):
    """A prediction as it was made."""

    transaction_id: str
    customer_id: str = Field(description="A keyed hash when the service keeps no identifiers.")
    merchant_id: str = Field(description="A keyed hash when the service keeps no identifiers.")
    merchant_category: str
    amount: float
    timestamp: datetime = Field(description="Of the transaction, by the customer's clock.")
    score: float = Field(ge=0, le=1)
    raw_score: float | None = Field(description="Null when the rules answered, not the model.")
    decision: Decision
    model: ModelVersion
    role: str
    degraded: tuple[str, ...]
    reasons: tuple[ReasonText, ...] | None = Field(description="Null when none were made.")
    features: dict[str, float] | None = Field(description="The feature row; null unless asked for.")
    label: KeptLabel | None
    claim: Claim | None = Field(description="Null when nobody looks at it now.")
    created_at: datetime = Field(description="When the prediction was made.")


class Predictions(_Record):
    """Kept predictions, the newest first."""

    predictions: tuple[KeptPrediction, ...]
    next: str | None = Field(description="The parameter cursor of what comes after these; null at the end.")


class History(_Record):
    """A customer's transactions that were predicted, the newest first."""

    customer_id: str
    events: tuple[KeptPrediction, ...]
    next: str | None = Field(description="The parameter cursor of what comes after these; null at the end.")
