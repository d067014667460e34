"""The champion's last rate, for when the challenger has all the traffic and there is nobody to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from k8s.rollout.gates.betting import Flags, Floats, rate_bets
from k8s.rollout.margins import Margin

__all__ = ["Reference", "alone_bets", "begin_reference", "remembered"]

#: What a block of the champion leaves of those before it: the mean age is some ten blocks.
_KEPT: Final = 0.9


@dataclass(frozen=True, slots=True)
class Reference:
    """Events of the champion and what they are out of, recent blocks above all, float64 [...]."""

    events: Floats
    total: Floats


def begin_reference(shape: tuple[int, ...] = ()) -> Reference:
    """Nothing is known."""
    return Reference(np.zeros(shape), np.zeros(shape))


def remembered(reference: Reference, events: Floats, total: Floats) -> Reference:
    """After a block; one without the champion changes nothing."""
    there = total > 0
    return Reference(
        np.where(there, _KEPT * reference.events + events, reference.events),
        np.where(there, _KEPT * reference.total + total, reference.total),
    )


def alone_bets(
    reference: Reference, events: Floats, total: Floats, alone: Flags, margin: Margin, alternatives: Floats
) -> Floats:
    """Bets that a challenger which is alone is worse than the champion was, logarithms, float64 [..., alternatives].

    The hypothesis is wider than that of a comparison, since hours differ: the champion's last rate, two standard errors
    higher than it was seen, times the geometric mean of what is tolerated and the margin.
    """
    between = np.sqrt(margin.tolerated * margin.margin)
    known = alone & (reference.total > 0)
    rate = (reference.events + 1 + 2 * np.sqrt(reference.events + 1)) / np.where(known, reference.total, 1.0)
    return np.asarray(np.where(known[..., None], rate_bets(events, total, between * rate, alternatives), 0.0))
