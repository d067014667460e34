"""What is tolerated, what is unacceptable and what has to be found fast: one table, in business terms."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from k8s.rollout.verdict import GateName

__all__ = ["FAIL_SHARES", "MARGINS", "Margin", "Margins", "Rates"]


class Margin(BaseModel):
    """How much worse a challenger may be, in the unit of its gate.

    Between ``tolerated`` and ``margin`` either verdict is right, which is what lets a test end: whoever wants to fail
    everything beyond a line and pass everything below it would wait forever for a challenger that lies on it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerated: float = Field(gt=0, description="No challenger fails for being this much worse.")
    margin: float = Field(gt=0, description="No challenger passes that is worse than this (non-inferiority).")
    harm: float = Field(gt=0, description="What has to be found fast: the data needed is planned for it.")
    floor: float = Field(
        default=0.0, ge=0, description="No challenger fails that is below it, whatever the champion does."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.tolerated < self.margin <= self.harm:
            raise ValueError(
                f"tolerated < margin <= harm is needed, got {self.tolerated:g}, {self.margin:g}, {self.harm:g}"
            )
        return self


#: Ratios are challenger's over champion's.
MARGINS: Final[dict[GateName, Margin]] = {
    # Ratio of the shares of requests that fail; floor: share of requests.
    "errors": Margin(tolerated=1.1, margin=2.0, harm=2.0, floor=0.0002),
    # Ratio of the 99th percentiles; floor: seconds.
    "latency": Margin(tolerated=1.25, margin=2.0, harm=2.0, floor=0.005),
    # Population stability index.
    "scores": Margin(tolerated=0.05, margin=0.2, harm=0.25),
    # Ratio of the shares of predictions that are flagged, in either direction.
    "alerts": Margin(tolerated=1.05, margin=1.4, harm=1.5),
    # Ratio of the shares of predictions made with defaults; floor: share of predictions.
    "degraded": Margin(tolerated=1.1, margin=2.0, harm=2.0, floor=0.002),
    # Ratio of the mean scores of the same transactions, in either direction.
    "score_difference": Margin(tolerated=1.1, margin=1.4, harm=1.5),
    # Relative loss of the share of alerts that are fraud.
    "precision": Margin(tolerated=0.03, margin=0.15, harm=0.2),
    # Relative loss of the share of frauds that are flagged.
    "recall": Margin(tolerated=0.01, margin=0.05, harm=0.2),
    # Relative growth of the cost of a transaction.
    "cost": Margin(tolerated=0.03, margin=0.15, harm=0.3),
}

#: Parts of the rate of false alarms. What rare events have to show gets more of it; what a thousand transactions show
#: anyway can do with less.
FAIL_SHARES: Final[dict[GateName, float]] = {
    "errors": 2.0,
    "latency": 0.5,
    "scores": 0.25,
    "alerts": 2.0,
    "degraded": 1.0,
    "score_difference": 0.25,
    "precision": 1.0,
    "recall": 1.0,
    "cost": 1.0,
}


class Margins(BaseModel):
    """Margins of all gates; what is not given is the default's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    errors: Margin = MARGINS["errors"]
    latency: Margin = MARGINS["latency"]
    scores: Margin = MARGINS["scores"]
    alerts: Margin = MARGINS["alerts"]
    degraded: Margin = MARGINS["degraded"]
    score_difference: Margin = MARGINS["score_difference"]
    precision: Margin = MARGINS["precision"]
    recall: Margin = MARGINS["recall"]
    cost: Margin = MARGINS["cost"]

    def of(self, gate: GateName) -> Margin:
        """Of one gate."""
        margin: Margin = getattr(self, gate)
        return margin


class Rates(BaseModel):
    """How often verdicts may be wrong, over a whole rollout and however often somebody looks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarm: float = Field(
        default=0.0075,
        gt=0,
        lt=0.5,
        description="Probability that any gate at all fails a challenger that is no worse than tolerated; gates share"
        " it: errors and alerts have twice as much as others, latency half, scores and score_difference a quarter.",
    )
    missed: float = Field(
        default=0.005,
        gt=0,
        lt=0.5,
        description="Probability that a challenger which one gate should stop passes that gate. Not shared: a"
        " challenger advances only when all gates pass.",
    )

    def fail_share(self, gate: GateName) -> float:
        """False-alarm rate of one gate."""
        return self.false_alarm * FAIL_SHARES[gate] / sum(FAIL_SHARES.values())
