"""One transaction of a batch: what is asked about it, and what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bentos.core.answers import Decision
from bentos.core.errors import FraudError
from bentos.core.transaction import Transaction
from bentos.fraud.observe.tracing import RequestTrace
from bentos.fraud.options import Explain
from bentos.fraud.rules import RuleAnswer
from bentos.fraud.scorer import FloatArray

__all__ = ["Ask", "Row"]


@dataclass(slots=True)
class Ask:
    """What is asked about one transaction.

    Parameters
    ----------
    transaction_id
        Of the transaction.
    transaction
        Bears that id.
    record
        Whether it becomes part of the history.
    explain
        Which answers get reasons; "parts" asks for an :class:`Explanation` instead of a prediction.
    trace
        Of the request, if it is traced.
    """

    transaction_id: str
    transaction: Transaction
    record: bool
    explain: Explain | Literal["parts"]
    trace: RequestTrace | None = None


class Row:
    """A transaction on its way through a batch.

    Parameters
    ----------
    ask
        What is asked.
    deadline
        When its caller stops waiting, ``time.monotonic()`` seconds.
    values
        Its feature row, float64 [21].
    degraded
        Names of the features that hold defaults.
    """

    __slots__ = (
        "ask",
        "block_review_share",
        "contributions",
        "deadline",
        "decision",
        "degraded",
        "error",
        "late",
        "raw",
        "rules",
        "score",
        "values",
    )

    def __init__(self, ask: Ask, deadline: float, values: FloatArray, degraded: tuple[str, ...]) -> None:
        self.ask = ask
        self.deadline = deadline
        self.values = values
        self.degraded = degraded
        self.raw = 0.0
        self.score = 0.0
        self.decision: Decision = "approve"
        #: Share of blocks that go to review, when this is one of them.
        self.block_review_share: float | None = None
        #: The answer when the model had none.
        self.rules: RuleAnswer | None = None
        self.error: FraudError | None = None
        self.contributions: FloatArray | None = None
        self.late = False

    @property
    def explained(self) -> bool:
        """Whether its answer needs contributions."""
        if self.error is not None or self.rules is not None:
            return False
        return self.reasoned

    @property
    def reasoned(self) -> bool:
        """Whether reasons are asked for."""
        wanted = self.ask.explain
        return wanted in ("all", "parts") or (wanted == "flagged" and self.decision != "approve")
