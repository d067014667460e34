"""Tests and intervals for estimates that are normal when there is enough data.

An estimate θ̂ of variance V moves like a Brownian motion in time 1/V, so that likelihood ratios of its mean are
e-processes as soon as it is normal (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2024, "Time-uniform central limit
theory and asymptotic confidence sequences", Annals of Statistics 52). Where that is not exact the gates wait for
enough data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from k8s.rollout.evidence import Number
from k8s.rollout.gates.betting import Floats

__all__ = ["INTERVAL", "interval", "normal_worth", "ratio_interval"]

#: Probability that an interval misses the truth at any time.
INTERVAL = 0.05


def normal_worth(
    estimate: Number, variance: Number, null: float, alternatives: Sequence[float] | Floats, weights: Floats
) -> Floats:
    """Logarithm of the e-value against "the mean is ``null``, or beyond it, away from the alternatives".

    Parameters
    ----------
    estimate, variance
        Of the estimate; a variance of 0 or infinity means nothing is known.
    null, alternatives, weights
        Means; all alternatives on one side of the null, with shares of sum 1.
    """
    other = np.asarray(alternatives, dtype=float)
    known = np.isfinite(variance) & (np.asarray(variance) > 0) & np.isfinite(estimate)
    value = np.where(known, estimate, 0.0)[..., None]
    spread = np.where(known, variance, 1.0)[..., None]
    logs = (other - null) * (value - (other + null) / 2) / spread
    return np.asarray(np.where(known, np.logaddexp.reduce(logs + np.log(weights), axis=-1), 0.0))


def interval(estimate: Number, variance: Number, scale: float) -> tuple[Floats, Floats]:
    """Confidence sequence of a mean: it misses it with probability :data:`INTERVAL` at most, whenever one looks.

    The normal mixture of Robbins 1970, as Howard, Ramdas, McAuliffe, Sekhon 2021 ("Time-uniform, nonparametric,
    nonasymptotic confidence sequences", Annals of Statistics 49), equation 14.

    Parameters
    ----------
    scale
        Differences that it is narrowest for.
    """
    value, spread = np.asarray(estimate, dtype=float), np.asarray(variance, dtype=float)
    known = np.isfinite(spread) & (spread > 0)
    v = np.where(known, spread, 1.0)
    total = v + scale**2
    radius = np.where(known, np.sqrt(v * total / scale**2 * np.log(total / (v * INTERVAL**2))), np.inf)
    return value - radius, value + radius


def ratio_interval(
    ratio: Number, champion: Number, challenger: Number, phi: Number, harm: float
) -> tuple[Floats, Floats]:
    """Interval of a ratio of rates, by the events that it is made of and their inflation φ."""
    k0, k1 = np.asarray(champion, dtype=float), np.asarray(challenger, dtype=float)
    variance = np.asarray(phi) * (1 / np.maximum(k0, 0.5) + 1 / np.maximum(k1, 0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = interval(np.log(np.asarray(ratio)), variance, np.log(harm))
        return np.exp(low), np.exp(high)
