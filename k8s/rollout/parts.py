"""The parts of evidence: what each side did in a period, pairs of both, and what became of their decisions.

Numbers of a rollout are floats and tuples of floats. A simulation puts arrays into the same fields, ``[rollouts]`` and
``[rollouts, buckets]``, and the gates judge thousands of rollouts at once by the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "LabelBlock", "Number", "Numbers", "Outcomes", "Pairs", "PartT", "Side", "plus"]

Number: TypeAlias = float | NDArray[np.float64]
Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]

PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did in a period.

    Parameters
    ----------
    requests, errors
        Requests answered, and those among them answered with a fault of the server.
    predictions, degraded, flagged
        Transactions scored, and those among them that were scored with defaults, and decided review or block.
    latency, scores
        Cumulative counts of Prometheus' buckets, the last of which counts all: as many as bounds, and one more. Empty
        when nothing was seen.
    burst_errors, burst_degraded, burst_slow
        How many of the errors, of the degraded, and of the slow answers are left out of bets that a challenger fails
        by, since they came with others in one burst (``gates/bursts.py``).
    burst_errors_pass, burst_degraded_pass, burst_slow_pass
        The same, of bets that it passes by.
    """

    requests: Number = 0.0
    errors: Number = 0.0
    predictions: Number = 0.0
    degraded: Number = 0.0
    flagged: Number = 0.0
    latency: Numbers = ()
    scores: Numbers = ()
    burst_errors: Number = 0.0
    burst_degraded: Number = 0.0
    burst_slow: Number = 0.0
    burst_errors_pass: Number = 0.0
    burst_degraded_pass: Number = 0.0
    burst_slow_pass: Number = 0.0


@dataclass(frozen=True, slots=True)
class Pairs:
    """Transactions that both sides scored in the shadow stage.

    Parameters
    ----------
    pairs
        How many.
    flagged_both, flagged_champion, flagged_challenger
        Decided review or block by both, by the champion alone, by the challenger alone.
    champion, challenger, champion_squared, product, challenger_squared
        Sums over pairs of the scores, their squares, and their product.
    champion_scores, challenger_scores
        Cumulative counts by the buckets of ``fraud_score``, the last of which counts all.
    """

    pairs: Number = 0.0
    flagged_both: Number = 0.0
    flagged_champion: Number = 0.0
    flagged_challenger: Number = 0.0
    champion: Number = 0.0
    challenger: Number = 0.0
    champion_squared: Number = 0.0
    product: Number = 0.0
    challenger_squared: Number = 0.0
    champion_scores: Numbers = ()
    challenger_scores: Numbers = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A period in which neither the step nor the weight changed.

    Parameters
    ----------
    number
        How many lengths of a block after the rollout's start it began; merged blocks keep the first number. Blocks of
        the champion alone, before the start, have negative numbers: they teach how much its counts vary.
    step
        Index into the plan's steps.
    weight
        Per cent of customers that the challenger answers; 0 is the shadow stage.
    champion, challenger
        What each did. In the shadow stage the challenger's are copies of the champion's transactions.
    pairs
        The same transactions scored by both; empty outside of the shadow stage.
    """

    number: int
    step: int
    weight: int
    champion: Side = field(default_factory=Side)
    challenger: Side = field(default_factory=Side)
    pairs: Pairs = field(default_factory=Pairs)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the decisions of one side, by the labels that came in.

    A payment that is blocked has no outcome: it is counted as unseen. If a random share of what would be blocked goes
    to review instead, each of these stands for as many as 1 / its probability, also among the other counts here: these
    are weighted, and the squares of the weights are summed beside them.

    Parameters
    ----------
    decided
        Predictions that these labels are about, labelled or not.
    caught, missed, false_alerts
        Weighted: frauds that were flagged, frauds that were approved, legitimate transactions that were flagged.
    caught_squared, false_alerts_squared
        Sums of the squared weights; what is approved always weighs 1.
    unseen
        Blocked without any outcome. 0 with randomised reviews, which stand for them.
    cost, cost_squared
        Sums over the labelled of weight times cost, and of its square, in the currency of the amounts.
    """

    decided: Number = 0.0
    caught: Number = 0.0
    missed: Number = 0.0
    false_alerts: Number = 0.0
    caught_squared: Number = 0.0
    false_alerts_squared: Number = 0.0
    unseen: Number = 0.0
    cost: Number = 0.0
    cost_squared: Number = 0.0


@dataclass(frozen=True, slots=True)
class LabelBlock:
    """Labels that arrived in a period, of predictions of both sides that were made in the same earlier periods.

    Parameters
    ----------
    number
        As in :class:`Block`, of the arrival.
    step
        In which they arrived.
    champion, challenger
        Of what each decided: in the shadow stage of the same transactions.
    pairs
        Labelled pairs of the shadow stage, weighted like the outcomes.
    frauds
        Labelled frauds of pairs, flagged by (both, the champion alone, the challenger alone, none), unweighted.
    sampled
        The same four, of those that the champion would have blocked but for a randomised review.
    sampling
        Probability of such a review.
    unseen
        Pairs that the champion blocked, so that no outcome is seen, and the challenger would have approved.
    cost_product
        Sum over labelled pairs of the product of both sides' weighted costs.
    """

    number: int
    step: int
    champion: Outcomes = field(default_factory=Outcomes)
    challenger: Outcomes = field(default_factory=Outcomes)
    pairs: Number = 0.0
    frauds: Numbers = (0.0, 0.0, 0.0, 0.0)
    sampled: Numbers = (0.0, 0.0, 0.0, 0.0)
    sampling: float = 1.0
    unseen: Number = 0.0
    cost_product: Number = 0.0


def plus(first: PartT, second: PartT) -> PartT:
    """Sum of two parts of evidence, field by field; number, step and weight are the first's."""
    if is_dataclass(first) and not isinstance(first, type):
        changed = {}
        for item in fields(first):
            if item.name in ("number", "step", "weight", "sampling"):
                continue
            changed[item.name] = plus(getattr(first, item.name), getattr(second, item.name))
        return replace(first, **changed)
    if isinstance(first, tuple) and isinstance(second, tuple):
        if not first or not second:
            return first or second
        return tuple(a + b for a, b in zip(first, second, strict=True))  # type: ignore[return-value]
    return first + second  # type: ignore[operator,no-any-return]
