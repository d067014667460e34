"""From scores to decisions: where review and block begin.

Two thresholds cut the scores: approve below ``review``, review up to ``block``, block from there on (≥).
``review`` ≤ ``block`` always; when they are equal nothing is reviewed, and a ``block`` of 1 blocks nothing that
has a score below 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bentos.core.artifact import Thresholds
from bentos.core.errors import ConfigError
from training.evaluate.metrics import BoolArray, FloatArray, require_both_classes

__all__ = ["CostCurve", "CostModel", "cost_curve", "thresholds_by_cost", "thresholds_by_f1", "total_cost"]


@dataclass(frozen=True)
class CostModel:
    """What decisions cost, in the currency of the amounts.

    Parameters
    ----------
    missed_share
        Share of an undetected fraud's amount that is lost.
    review
        Cost of one review, an analyst's minutes.
    blocked_customer
        Cost of one blocked legitimate transaction: the lost fee, the call, the customer who leaves.
    review_misses
        Share of reviewed frauds that the reviewer lets pass.
    """

    missed_share: float = 1.0
    review: float = 3.0
    blocked_customer: float = 30.0
    review_misses: float = 0.0

    def __post_init__(self) -> None:
        if min(self.missed_share, self.review, self.blocked_customer) < 0 or not 0 <= self.review_misses <= 1:
            raise ConfigError(f"costs must not be negative and review_misses lies in 0–1, got {self}")


def _row_costs(labels: BoolArray, amounts: FloatArray, costs: CostModel) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cost of approving, reviewing and blocking each row, float64 [n] each."""
    lost = np.where(labels, amounts * costs.missed_share, 0.0)
    return lost, costs.review + lost * costs.review_misses, np.where(labels, 0.0, costs.blocked_customer)


def total_cost(
    labels: BoolArray, scores: FloatArray, amounts: FloatArray, thresholds: Thresholds, costs: CostModel
) -> float:
    """Cost of all decisions over these rows, in the currency of the amounts."""
    approve, review, block = _row_costs(labels, amounts, costs)
    return float(
        np.where(scores >= thresholds.block, block, np.where(scores >= thresholds.review, review, approve)).sum()
    )


@dataclass(frozen=True)
class _Cuts:
    """Sums below each possible cut: entry i is what lies under the i-th distinct score, the last entry all rows."""

    values: FloatArray  # [m + 1], the threshold that makes the cut
    approve: FloatArray
    review: FloatArray
    block_above: FloatArray


def _cut_value(distinct: FloatArray) -> FloatArray:
    # Halfway between neighbours, so that a score that moves in its last digit keeps its decision. The first cut
    # flags all rows, the last one none.
    middle = (distinct[1:] + distinct[:-1]) / 2
    # Neighbouring floats may have no number between them; the upper one then makes the cut (≥).
    middle = np.where(middle > distinct[:-1], middle, distinct[1:])
    return np.concatenate([[0.0], middle, [1.0]])


def _cuts(labels: BoolArray, scores: FloatArray, amounts: FloatArray, costs: CostModel) -> _Cuts:
    order = np.argsort(scores, kind="stable")
    distinct, starts = np.unique(scores[order], return_index=True)
    ends = np.concatenate([starts, [len(scores)]])

    def below(values: FloatArray) -> FloatArray:
        sums: FloatArray = np.concatenate([[0.0], np.cumsum(values[order])])[ends]
        return sums

    approve, review, block = _row_costs(labels, amounts, costs)
    blocked = below(block)
    return _Cuts(_cut_value(distinct), below(approve), below(review), blocked[-1] - blocked)


def thresholds_by_cost(
    labels: BoolArray, scores: FloatArray, amounts: FloatArray, costs: CostModel | None = None
) -> Thresholds:
    """The pair with the lowest total cost over these rows, exactly.

    The cost of a pair is (approved − reviewed below ``review``) + (reviewed below + blocked above ``block``), so
    the best ``review`` for each ``block`` is a running minimum: O(n log n) instead of all pairs. Among equal costs
    the higher thresholds win, which leave more customers alone.

    Parameters
    ----------
    labels, scores, amounts
        bool, float64, float64 [n]; use rows that the model has not seen.
    """
    require_both_classes(labels, scores, "thresholds by cost")
    cuts = _cuts(labels, scores, amounts, costs or CostModel())
    first = cuts.approve - cuts.review
    best = np.minimum.accumulate(first)
    total = best + cuts.review + cuts.block_above
    tolerance = 1e-9 * max(1.0, float(np.abs(total).max()))
    block = int(np.flatnonzero(total <= total.min() + tolerance)[-1])
    review = int(np.flatnonzero(first[: block + 1] <= best[block] + tolerance)[-1])
    return Thresholds(review=float(cuts.values[review]), block=float(cuts.values[block]))


def thresholds_by_f1(labels: BoolArray, scores: FloatArray, block_precision: float = 0.9) -> Thresholds:
    """Review from the score with the best F1 on; block from where at least ``block_precision`` are frauds.

    When no score reaches that precision, ``block`` is 1 and everything flagged is reviewed.
    """
    require_both_classes(labels, scores, "thresholds by F1")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    flagged = np.arange(1, len(scores) + 1)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # equal scores are flagged together
    f1 = 2 * hits[ends] / (flagged[ends] + hits[-1])
    precision = hits[ends] / flagged[ends]
    values = _cut_value(np.unique(scores))[:-1][::-1]  # value i flags all down to ends[i]
    best = int(np.argmax(f1))
    sure = np.flatnonzero(precision[: best + 1] >= block_precision)
    block = float(values[sure[-1]]) if len(sure) else 1.0
    return Thresholds(review=float(values[best]), block=max(block, float(values[best])))


@dataclass(frozen=True)
class CostCurve:
    """Cost per 1,000 transactions when one threshold decides, float64 [m] each; ``reviewed`` and ``blocked``
    are the two things that can happen to what lies above it."""

    threshold: FloatArray
    reviewed: FloatArray
    blocked: FloatArray


def cost_curve(labels: BoolArray, scores: FloatArray, amounts: FloatArray, costs: CostModel) -> CostCurve:
    """Cost of reviewing, or blocking, everything from a threshold on, for every threshold that changes a decision."""
    cuts = _cuts(labels, scores, amounts, costs)
    scale = 1000 / len(scores)
    reviewed = cuts.approve + cuts.review[-1] - cuts.review
    return CostCurve(cuts.values, reviewed * scale, (cuts.approve + cuts.block_above) * scale)
