"""Gate of what a transaction costs: missed fraud, reviews, customers who were blocked; by labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import LabelBlock, Outcomes
from k8s.rollout.gates.betting import Floats, stacked
from k8s.rollout.gates.gaussian import interval, normal_worth
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["CostGate", "CostState"]

#: Equal costs that would vary as much: below that a few large amounts decide.
_ENOUGH: Final = 50.0
_SHARES: Final = np.array([0.2, 0.6, 0.2])
_WORDING: Final = Wording("more than the champion's cost", "decided transactions", "cost of a transaction", ".4f")


@dataclass(frozen=True, slots=True)
class CostState:
    """Sums over labels.

    Parameters
    ----------
    sums
        float64 [..., 2, 3], champion and challenger: decided, cost, cost squared.
    product
        Sum over pairs of the product of both costs.
    """

    sums: Floats
    product: Floats


@dataclass(frozen=True)
class CostGate:
    """Fails a challenger whose cost of a transaction has grown by more than ``tolerated``.

    The estimate is the logarithm of the ratio of the mean costs. Pairs of the shadow stage share most of their costs,
    which their covariance takes out.
    """

    margin: Margin
    name: Literal["cost"] = "cost"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> CostState:
        """Nothing was seen."""
        return CostState(np.zeros((*shape, 2, 3)), np.zeros(shape))

    def add(self, state: CostState, block: LabelBlock) -> CostState:
        """After labels arrived."""
        fresh = np.stack([_sums(block.champion), _sums(block.challenger)], axis=-2)
        return CostState(state.sums + fresh, state.product + np.asarray(block.cost_product, dtype=float))

    def read(self, state: CostState) -> Reading:
        """The numbers so far."""
        margin = self.margin
        decided, cost, squares = np.moveaxis(state.sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = cost / decided
            equal = cost**2 / squares
            relative = np.maximum(1 / equal - 1 / decided, 0.0).sum(-1)
            shared = np.where(
                state.product > 0,
                state.product / cost.prod(-1) - 1 / np.maximum(decided[..., 0], 1.0),
                0.0,
            )
            variance = np.maximum(relative - 2 * shared, 0.02 * relative)
            estimate = np.log(mean[..., 1] / mean[..., 0])
        enough = (equal >= _ENOUGH).all(-1)
        spread = np.where(enough, variance, np.inf)
        growth = np.log1p(np.array([margin.margin, margin.harm, 2 * margin.harm]))
        unacceptable = np.log1p(margin.margin)
        low, high = interval(estimate, variance, margin.harm)
        return Reading(
            normal_worth(estimate, spread, np.log1p(margin.tolerated), growth, _SHARES),
            normal_worth(estimate, spread, unacceptable, unacceptable * np.array([0.5, 0, -0.5]), _SHARES),
            np.expm1(estimate),
            np.expm1(low),
            np.expm1(high),
            mean[..., 0],
            mean[..., 1],
            decided[..., 1],
        )


def _sums(side: Outcomes) -> Floats:
    return stacked(side.decided, side.cost, side.cost_squared)
