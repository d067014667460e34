"""The review queue: what waits, who has it, and what became of it. Knows nothing of Streamlit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Final

from bentos.core.errors import Conflict, FraudError, NotFound
from bentos.core.records import KeptPrediction, Label, LabelOutcome, LabelValue
from dashboard.service import Service

__all__ = ["Tally", "at_stake", "label_item", "ordered", "second_opinions", "take_next"]

#: Says in the records where a label comes from.
SOURCE: Final = "review"


def at_stake(item: KeptPrediction) -> float:
    """What is expected to be lost if it is let pass: score × amount."""
    return item.score * item.amount


def ordered(items: Sequence[KeptPrediction], analyst: str) -> list[KeptPrediction]:
    """The most valuable first, without what another analyst looks at. One transaction comes once."""
    free = {item.transaction_id: item for item in items if item.claim is None or item.claim.analyst == analyst}
    # The id makes the order the same for everybody, whatever came in between.
    return sorted(free.values(), key=lambda item: (-at_stake(item), item.transaction_id))


def second_opinions(items: Sequence[KeptPrediction], analyst: str) -> list[KeptPrediction]:
    """Those that another analyst has labelled in a review."""
    return [
        item
        for item in items
        if item.label is not None and item.label.source == SOURCE and item.label.analyst not in (None, analyst)
    ]


def take_next(
    service: Service, items: Sequence[KeptPrediction], analyst: str, passed: Collection[str]
) -> KeptPrediction | None:
    """Claim the first item that nobody has, and that was not passed over. None when there is none.

    Raises
    ------
    FraudError
        When the service fails. That another was quicker is no failure: the next one is tried.
    """
    for item in items:
        if item.transaction_id in passed:
            continue
        try:
            service.claim(item.transaction_id, analyst)
        except (Conflict, NotFound):
            continue
        return item
    return None


def label_item(
    service: Service, item: KeptPrediction, value: LabelValue, analyst: str, *, second: bool = False
) -> LabelOutcome:
    """Label an item that is claimed.

    The claim is renewed first, so that an item which another took over meanwhile is not labelled twice.

    Parameters
    ----------
    second
        Whether it is a second opinion, of an item that has a label.

    Raises
    ------
    Conflict
        When another analyst has claimed or labelled it meanwhile.
    FraudError
        When the service fails; nothing was labelled then, or the same label again does no harm.
    """
    service.claim(item.transaction_id, analyst)
    if not second:
        kept = service.predictions(transaction_id=item.transaction_id, limit=1).predictions
        label = kept[0].label if kept else None
        if label is not None and label.analyst != analyst:
            who = label.analyst or label.source or "somebody"
            raise Conflict(f"{who} has labelled this transaction {label.label} meanwhile; here is the next one")
    (outcome,) = service.client.feedback(
        [Label(transaction_id=item.transaction_id, label=value, source=SOURCE, analyst=analyst)]
    )
    if isinstance(outcome, FraudError):
        raise outcome
    return outcome


@dataclass
class Tally:
    """What an analyst did in this session."""

    labels: list[tuple[str, LabelValue]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    agreed: int = 0
    differed: int = 0

    def add(self, outcome: LabelOutcome, shown_at: datetime, *, second: bool, clock: Callable[..., datetime]) -> None:
        """Count a label.

        Parameters
        ----------
        outcome
            What became of it.
        shown_at
            Since when the item was looked at.
        second
            Whether it is a second opinion: unchanged means that both agree.
        clock
            ``datetime.now``.
        """
        self.labels.append((outcome.transaction_id, outcome.label))
        self.seconds.append((clock(UTC) - shown_at).total_seconds())
        if second:
            self.agreed += outcome.outcome == "unchanged"
            self.differed += outcome.outcome == "changed"

    @property
    def median_seconds(self) -> float | None:
        """Time of an item; None before the first."""
        return median(self.seconds) if self.seconds else None

    @property
    def fraud_share(self) -> float | None:
        """Share of labels that say fraud: how often the model was right to flag."""
        return sum(value == "fraud" for _, value in self.labels) / len(self.labels) if self.labels else None

    @property
    def agreement(self) -> float | None:
        """Share of second opinions that agree with the first."""
        looked = self.agreed + self.differed
        return self.agreed / looked if looked else None
