"""How much data verdicts will need, said before a rollout starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, sqrt
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import log_ndtr, ndtr, ndtri

from k8s.rollout.gates.reading import BOLDNESS
from k8s.rollout.margins import Margin
from k8s.rollout.plan import Plan
from k8s.rollout.verdict import GateName

__all__ = ["Need", "Usual", "fixed_sample", "needed", "sequential_ratio"]

#: Probability that harm of the planned size is found within the data that is named.
POWER: Final = 0.99


class Usual(BaseModel):
    """What traffic is like, by the champion's own numbers or a guess."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_second: float = Field(default=100.0, gt=0, description="Of all customers, mean over a day.")
    errors: float = Field(default=0.001, gt=0, lt=1, description="Share of requests that fail.")
    alerts: float = Field(default=0.02, gt=0, lt=1, description="Share of predictions that are flagged.")
    degraded: float = Field(default=0.002, gt=0, lt=1, description="Share of predictions made with defaults.")
    frauds: float = Field(default=0.002, gt=0, lt=1, description="Share of transactions that are fraud.")
    recall: float = Field(default=0.7, gt=0, lt=1, description="Share of frauds that the champion flags.")
    disagreement: float = Field(
        default=0.1, gt=0, lt=1, description="Share of frauds, and of alerts, that only one of two equal sides flags."
    )
    label_share: float = Field(default=1.0, gt=0, le=1, description="Share of frauds that are ever reported.")
    label_days: float = Field(default=7.0, ge=0, description="Until labels have arrived.")


@dataclass(frozen=True)
class Need:
    """What one gate will need to find the harm that it is planned for.

    Parameters
    ----------
    gate, weight
        Of which step: per cent of customers, 0 for shadow.
    harm
        In words.
    fixed
        Samples of the challenger that a test with one look at the end would take, of the same hypothesis, false-alarm
        rate and power.
    sequential
        The same, of the gate, which may be looked at always: within so many it finds the harm with that power. What
        it takes on the mean is less.
    counted
        What samples are.
    seconds
        How long that lasts at the usual traffic, labels' delay included.
    """

    gate: GateName
    weight: int
    harm: str
    fixed: int
    sequential: int
    counted: str
    seconds: float


def fixed_sample(alpha: float, effect: float, spread: float, spread_under_harm: float, power: float = POWER) -> float:
    """Samples of a one-sided test of a mean.

    Parameters
    ----------
    effect, spread, spread_under_harm
        Distance of the mean under harm from the hypothesis, and standard deviations of a sample under either.
    """
    return float(((ndtri(1 - alpha) * spread + ndtri(power) * spread_under_harm) / effect) ** 2)


def sequential_ratio(alpha: float, lost: float = 1.5, power: float = POWER) -> float:
    """Data within which bets find the harm, over that of a test with one look.

    The logarithm of a bet on a part c of the harm is a Brownian motion, of drift c − c²/2 and variance c² for each unit
    of data; when it crosses a line is known in closed form (the inverse Gaussian distribution).

    Parameters
    ----------
    lost
        What else the line takes: a half for the capital that bets on other harm or later starts, the rest for lumps of
        single events and for a variance inflation that is above 1 by chance.
    """
    line, drift, spread = log(1 / alpha) + lost, BOLDNESS - BOLDNESS**2 / 2, BOLDNESS

    def found(size: float) -> float:
        scale = spread * sqrt(size)
        late = 2 * drift * line / spread**2 + log_ndtr((-drift * size - line) / scale)
        return float(ndtr((drift * size - line) / scale) + np.exp(late))

    low, high = line, 100 * line
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if found(middle) < power else (low, middle)
    return high / float((ndtri(1 - alpha) + ndtri(power)) ** 2)


def needed(plan: Plan, usual: Usual | None = None) -> tuple[Need, ...]:
    """What the gates of a plan will need, of those whose rates are known beforehand.

    Latency and scores are left out: what they need depends on shapes that only traffic shows, and is little.
    """
    usual = usual or Usual()
    alpha = plan.rates.fail_share
    needs = []
    for step in plan.steps:
        if step.weight == 100:
            continue
        pace = usual.requests_per_second * (step.weight / 100 if step.weight else 1.0)
        shares: dict[GateName, float] = {"errors": usual.errors, "alerts": usual.alerts, "degraded": usual.degraded}
        for gate, share in shares.items():
            one_side = (0.75 if gate == "alerts" else 1.0) * alpha(gate)
            if gate == "alerts" and step.weight == 0:
                fixed = _of_alerts(plan.margins.alerts, usual, one_side)
            else:
                fixed = _of_ratio(plan.margins.of(gate), share, step.weight, one_side)
            counted = "requests" if gate == "errors" else "predictions"
            needs.append(_need(gate, step.weight, plan.margins.of(gate), fixed, counted, pace, alpha(gate)))
        if step.weight == 0:
            margin, pace = plan.margins.recall, pace * usual.frauds * usual.label_share
            fixed = _of_recall(margin, usual, alpha("recall"))
            need = _need("recall", 0, margin, fixed, "labelled frauds", pace, alpha("recall"))
            needs.append(Need(**{**vars(need), "seconds": need.seconds + usual.label_days * 86_400}))
    return tuple(needs)


def _need(gate: GateName, weight: int, margin: Margin, fixed: float, counted: str, pace: float, alpha: float) -> Need:
    harm = f"{margin.harm:.0%} lost" if gate == "recall" else f"× {margin.harm:g}"
    most = fixed * sequential_ratio(alpha)
    return Need(gate, weight, harm, ceil(fixed), ceil(most), counted, most / pace)


def _of_ratio(margin: Margin, share: float, weight: int, alpha: float) -> float:
    """Requests of the challenger, by the score test of Farrington and Manning 1990.

    For each of them the champion has r; y₁ − tolerated·y₀ / r is compared with 0, with the variance of rates that keep
    to the hypothesis and give as many events together.
    """
    times = (100 - weight) / weight if weight else 1.0
    ratio, harm = margin.tolerated, margin.harm
    at_null = share * (harm + times) / (ratio + times)
    spread = sqrt(ratio * at_null * (1 + ratio / times))
    return fixed_sample(alpha, share * (harm - ratio), spread, sqrt(share * (harm + ratio**2 / times)))


def _of_pairs(ratio: float, both: float, first: float, second: float, alpha: float) -> float:
    """Pairs, by McNemar's test: the mean of ±(y₁ − ratio·y₀), with chances of being flagged under harm.

    Under the hypothesis as many differ as under harm, half of them either way (Connor 1987).
    """
    mean = both * (1 - ratio) - first * ratio + second
    square = both * (1 - ratio) ** 2 + first * ratio**2 + second
    return fixed_sample(alpha, abs(mean), sqrt(square), sqrt(square - mean**2))


def _of_recall(margin: Margin, usual: Usual, alpha: float) -> float:
    """Labelled frauds: the challenger flags what it would if equal, but for the share that is lost."""
    alone = usual.disagreement / 2
    both = (usual.recall - alone) * (1 - margin.harm)
    return _of_pairs(1 - margin.tolerated, both, usual.recall - both, alone * (1 - margin.harm), alpha)


def _of_alerts(margin: Margin, usual: Usual, alpha: float) -> float:
    """Pairs: the challenger flags what it would if equal, and more."""
    alone = usual.alerts * usual.disagreement / 2
    both = usual.alerts - alone
    return _of_pairs(margin.tolerated, both, alone, usual.alerts * margin.harm - both, alpha)
