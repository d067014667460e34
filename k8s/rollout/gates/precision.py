"""Gate of the share of alerts that are fraud, by labels that arrive days later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import LabelBlock, Outcomes
from k8s.rollout.gates.betting import Floats, stacked
from k8s.rollout.gates.gaussian import interval, normal_worth
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["PrecisionGate", "PrecisionState"]

#: Frauds and false alerts, of either side, from which the logarithm of a ratio is near enough to normal.
_ENOUGH: Final = 20.0
_SHARES: Final = np.array([0.2, 0.6, 0.2])
_WORDING: Final = Wording("of the champion's precision lost", "labelled alerts", "precision", ".1%")


@dataclass(frozen=True, slots=True)
class PrecisionState:
    """Sums over labels.

    Parameters
    ----------
    sums
        float64 [..., 2, 5], champion and challenger: caught, false alerts, their squared weights, unseen.
    """

    sums: Floats


@dataclass(frozen=True)
class PrecisionGate:
    """Fails a challenger that loses more than ``tolerated`` of the champion's precision.

    Blocked payments that nobody sees the outcome of are no part of it. They are the surest ones, so a challenger that
    blocks more has the harder rest to be precise on: to fail, all that it blocked unseen counts as fraud.
    The estimate is the logarithm of the ratio; that both sides flag the same transactions in the shadow stage would
    make it narrower, which is left out on the safe side.
    """

    margin: Margin
    name: Literal["precision"] = "precision"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> PrecisionState:
        """Nothing was seen."""
        return PrecisionState(np.zeros((*shape, 2, 5)))

    def add(self, state: PrecisionState, block: LabelBlock) -> PrecisionState:
        """After labels arrived."""
        return PrecisionState(state.sums + np.stack([_sums(block.champion), _sums(block.challenger)], axis=-2))

    def read(self, state: PrecisionState) -> Reading:
        """The numbers so far."""
        margin, caught, false_alerts = self.margin, state.sums[..., 0], state.sums[..., 1]
        enough = ((caught >= _ENOUGH) & (false_alerts >= _ENOUGH)).all(-1)
        kind = state.sums.copy()
        kind[..., 1, 0] += kind[..., 1, 4]
        kind[..., 1, 2] += kind[..., 1, 4]
        estimate, variance = _ratio(state.sums)
        kindest, its_variance = _ratio(kind)
        losses = np.log(1 - np.array([margin.margin, margin.harm, min(2 * margin.harm, 0.9)]))
        fail = normal_worth(
            kindest, np.where(enough, its_variance, np.inf), np.log(1 - margin.tolerated), losses, _SHARES
        )
        unacceptable = np.log(1 - margin.margin)
        good = normal_worth(
            estimate, np.where(enough, variance, np.inf), unacceptable, unacceptable * np.array([0.5, 0, -0.5]), _SHARES
        )
        low, high = interval(estimate, variance, margin.harm)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = caught / (caught + false_alerts)
        samples = (caught + false_alerts)[..., 1]
        return Reading(
            fail,
            good,
            1 - np.exp(estimate),
            1 - np.exp(high),
            1 - np.exp(low),
            precision[..., 0],
            precision[..., 1],
            samples,
        )


def _sums(side: Outcomes) -> Floats:
    parts = (side.caught, side.false_alerts, side.caught_squared, side.false_alerts_squared, side.unseen)
    return stacked(*parts)


def _ratio(sums: Floats) -> tuple[Floats, Floats]:
    """Logarithm of the challenger's precision over the champion's, and its variance, weights included."""
    caught, false_alerts, caught_squared, false_squared, _ = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        alerts = caught + false_alerts
        precision = caught / alerts
        spread = ((1 - precision) ** 2 * caught_squared + precision**2 * false_squared) / (alerts * precision) ** 2
        return np.log(precision[..., 1] / precision[..., 0]), spread.sum(-1)
