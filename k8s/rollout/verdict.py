"""What a gate says, with its numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

__all__ = ["GATE_NAMES", "LABEL_GATES", "SERVICE_GATES", "SHADOW_GATES", "GateName", "Outcome", "Verdict"]

Outcome: TypeAlias = Literal["pass", "fail", "inconclusive"]
GateName: TypeAlias = Literal[
    "errors", "latency", "scores", "alerts", "degraded", "score_difference", "precision", "recall", "cost"
]
GATE_NAMES: tuple[GateName, ...] = get_args(GateName)
#: Need no labels, and traffic on both sides.
SERVICE_GATES: tuple[GateName, ...] = ("errors", "latency", "scores", "alerts", "degraded")
#: What pairs and copies can show. A copy is no request of a customer: it has no latency of its own, and no defaults.
SHADOW_GATES: tuple[GateName, ...] = ("errors", "scores", "alerts", "score_difference")
#: Need labels, which arrive days later.
LABEL_GATES: tuple[GateName, ...] = ("precision", "recall", "cost")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says of a challenger.

    Parameters
    ----------
    gate
        Its name.
    outcome
        Fail: worse than is tolerated. Pass: not as bad as the margin. Inconclusive: neither is shown yet.
    estimate, low, high
        What was measured and its interval, which holds however often somebody looks; None while nothing was seen.
        Challenger's over champion's, or what the unit says.
    tolerated, margin
        A challenger no worse than ``tolerated`` fails, and one worse than ``margin`` passes, with the plan's small
        probabilities at most.
    unit
        Of all five.
    fail_evidence, pass_evidence
        Natural logarithms of the e-values against "no worse than tolerated" and "worse than the margin".
    fail_at, pass_at
        What they have to reach.
    samples
        Seen of the challenger: requests, predictions, pairs or labelled frauds, as ``counted`` says.
    needed
        More of them that a verdict will take, by what was seen so far; None when that cannot be said.
    counted
        What samples are.
    text
        All of it in words.
    """

    gate: GateName
    outcome: Outcome
    estimate: float | None
    low: float | None
    high: float | None
    tolerated: float
    margin: float
    unit: str
    fail_evidence: float
    pass_evidence: float
    fail_at: float
    pass_at: float
    samples: float
    needed: float | None
    counted: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, read: dict[str, Any]) -> Verdict:
        """What :meth:`to_dict` made."""
        return cls(**read)
