"""From labelled predictions to evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from bentos.core.answers import Decision
from bentos.core.errors import DataError
from k8s.rollout.evidence import LabelBlock, Outcomes

__all__ = ["Costs", "Label", "LabelledPair", "LabelledPrediction", "pair_block", "side_outcomes"]

Label: TypeAlias = Literal["fraud", "legitimate"]


class Costs(BaseModel):
    """What decisions cost, in the currency of the amounts. Training chooses thresholds by the same defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missed_share: float = Field(default=1.0, ge=0, description="Share of a missed fraud's amount that is lost.")
    review: float = Field(default=3.0, ge=0, description="Cost of one review.")
    blocked_customer: float = Field(default=30.0, ge=0, description="Cost of one blocked legitimate transaction.")
    largest: float = Field(
        default=5_000.0, gt=0, description="Amounts count up to this: one transaction should not decide a rollout."
    )

    def of(self, decision: Decision, label: Label, amount: float) -> float:
        """Of one decision."""
        if decision == "approve":
            return min(amount, self.largest) * self.missed_share if label == "fraud" else 0.0
        if decision == "review":
            return self.review
        return self.blocked_customer if label == "legitimate" else 0.0


@dataclass(frozen=True, slots=True)
class LabelledPrediction:
    """A decision whose label came in.

    Parameters
    ----------
    decision
        What the model decided: block also for what went to a randomised review instead.
    sampled
        Whether it went there.
    """

    decision: Decision
    label: Label
    amount: float
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """The champion's decision whose label came in, and the challenger's of the same transaction."""

    champion: LabelledPrediction
    challenger: Decision


def side_outcomes(
    rows: Iterable[LabelledPrediction], decided: float, blocked: float, costs: Costs, sampling: float | None = None
) -> Outcomes:
    """What became of the decisions of one side.

    Parameters
    ----------
    rows
        Of which a label arrived.
    decided, blocked
        Predictions, and those that were blocked without an outcome, in the periods that these labels are about.
    sampling
        Probability of a randomised review of what would be blocked; None without such reviews.

    Raises
    ------
    DataError
        A row is of a randomised review, and no probability is given.
    """
    result = _Sums()
    for row in rows:
        result.add(row.decision, row.label, costs.of(row.decision, row.label, row.amount), _weight(row, sampling))
    return result.outcomes(decided, 0.0 if sampling else blocked)


def pair_block(
    number: int,
    step: int,
    rows: Iterable[LabelledPair],
    decided: float,
    unseen: tuple[float, float],
    costs: Costs,
    sampling: float | None = None,
) -> LabelBlock:
    """What became of pairs of the shadow stage.

    Parameters
    ----------
    decided
        Pairs in the periods that these labels are about.
    unseen
        Pairs that the champion blocked without an outcome: which the challenger would have flagged as well, and which
        it would have approved.
    sampling
        As in :func:`side_outcomes`.
    """
    sides, product, pairs = (_Sums(), _Sums()), 0.0, 0.0
    plain, sampled = [0.0] * 4, [0.0] * 4
    for row in rows:
        champion, weight = row.champion, _weight(row.champion, sampling)
        spent = [costs.of(item, champion.label, champion.amount) for item in (champion.decision, row.challenger)]
        for side, decision, cost in zip(sides, (champion.decision, row.challenger), spent, strict=True):
            side.add(decision, champion.label, cost, weight)
        product, pairs = product + weight**2 * spent[0] * spent[1], pairs + weight
        if champion.label == "fraud":
            first, second = champion.decision != "approve", row.challenger != "approve"
            (sampled if champion.sampled else plain)[0 if first and second else 1 if first else 2 if second else 3] += 1
    gone = (0.0, 0.0) if sampling else unseen
    return LabelBlock(
        number,
        step,
        sides[0].outcomes(decided, sum(gone)),
        sides[1].outcomes(decided, gone[0]),
        pairs=pairs,
        frauds=tuple(plain),
        sampled=tuple(sampled),
        sampling=sampling or 1.0,
        unseen=gone[1],
        cost_product=product,
    )


def _weight(row: LabelledPrediction, sampling: float | None) -> float:
    if not row.sampled:
        return 1.0
    if not sampling:
        raise DataError(
            "a label is of a randomised review of what would be blocked, and the probability of these reviews is not"
            " given: set it as the service has it"
        )
    return 1 / sampling


@dataclass
class _Sums:
    caught: float = 0.0
    missed: float = 0.0
    false_alerts: float = 0.0
    caught_squared: float = 0.0
    false_alerts_squared: float = 0.0
    cost: float = 0.0
    cost_squared: float = 0.0

    def add(self, decision: Decision, label: Label, cost: float, weight: float) -> None:
        if decision == "approve":
            self.missed += weight * (label == "fraud")
        elif label == "fraud":
            self.caught, self.caught_squared = self.caught + weight, self.caught_squared + weight**2
        else:
            self.false_alerts += weight
            self.false_alerts_squared += weight**2
        self.cost, self.cost_squared = self.cost + weight * cost, self.cost_squared + (weight * cost) ** 2

    def outcomes(self, decided: float, unseen: float) -> Outcomes:
        return Outcomes(decided=decided, unseen=unseen, **vars(self))
