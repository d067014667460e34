"""What comes in one burst counts as a few events, however many they are.

A pod stalls for a second, and all that it was asked in it is slow, or degraded, or fails: seven events, and one chance.
Bets that take them as seven call a good challenger bad. How bursts are spread cannot be learned in time where they are
rare, so that no variance inflation helps (``dispersion.py``). Therefore evidence is made of spells, some seconds each,
and none of them weighs more than :data:`UP`, what six events are worth at equal traffic and two at little traffic; a
verdict takes three of them at least. What goes beyond is left out on both sides alike, so that the ratio of a spell
stays what it is. Lasting harm fills one spell after the other, and is found a few of them later.

To leave out evidence against a hypothesis can only make it fall more rarely. Evidence for it is left out beyond
:data:`DOWN`: independent events rarely give that much, and what then stays is little less than all capital. Both
together, bets on independent events are still no better than fair (``tests/k8s/rollout/test_bursts.py``). What fails a
challenger and what passes it is bet on against different hypotheses, and cut for each.

What one stall cannot have done counts as it is: a challenger that fails all it is asked is found in the next look.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from k8s.rollout.evidence import Number
from k8s.rollout.gates.betting import Floats

__all__ = ["CLUSTER", "DOWN", "STALL_SECONDS", "UP", "cut", "cut_alone"]

#: Evidence of a spell against a hypothesis, and for it, at most; natural logarithms.
UP: Final = 3.0
DOWN: Final = 3.0
#: How long a pod stalls at most: a full collection of garbage, a slow answer of a store, a node without CPU.
STALL_SECONDS: Final = 2.5
#: What two neighbouring blocks say at most of the variance inflation.
CLUSTER: Final = 9.0


def cut(
    counts: tuple[Number, Number, Number, Number], multiples: Floats, phi: Floats, seconds: float, null: float = 1.0
) -> tuple[Floats, Floats]:
    """Events of champion and challenger that bets leave out.

    Parameters
    ----------
    counts
        Of a spell: the champion's events and what they are out of, then the challenger's.
    multiples
        Of ``null``, that bets are on.
    phi
        Variance inflation that bets will be divided by.
    seconds
        Length of the spell.
    null
        The challenger's rate over the champion's that bets are against.

    Returns
    -------
    Two arrays, float64 [...]; 0 where not both sides were there.
    """
    k0, n0, k1, n1 = (np.asarray(item, dtype=float) for item in counts)
    both = (n0 > 0) & (n1 > 0)
    stalled = _stalled(k0, n0, seconds), _stalled(k1, n1, seconds)
    ratio = np.where(both, null * n1 / np.where(both, n0, 1.0), 1.0)
    # Against each side in turn: the best bet that it is worse.
    up = _best(*stalled, ratio, multiples) / phi
    down = _best(*stalled[::-1], 1 / ratio, multiples) / phi
    share = np.minimum(UP / np.maximum(up, UP), DOWN / np.maximum(down, DOWN))
    left = np.where(both, 1 - share, 0.0)
    return left * stalled[0], left * stalled[1]


def cut_alone(events: Number, total: Number, rate: Floats, multiples: Floats, phi: Floats, seconds: float) -> Floats:
    """Events that are left out of a challenger that is alone.

    Parameters
    ----------
    rate
        The champion's, before.
    """
    k, n = np.asarray(events, dtype=float), np.asarray(total, dtype=float)
    stalled = _stalled(k, n, seconds)
    expected = (n * rate)[..., None] * (multiples - 1)
    most = (((UP * phi)[..., None] + expected) / np.log(multiples)).min(-1)
    return np.asarray(np.maximum(stalled - most, 0.0))


def _stalled(events: Floats, total: Floats, seconds: float) -> Floats:
    """Events that one stall can have made: two standard deviations more than its part of the spell."""
    reach = total * min(1.0, STALL_SECONDS / seconds)
    return np.asarray(np.minimum(events, reach + 2 * np.sqrt(reach)))


def _best(one: Floats, other: Floats, ratio: Floats, multiples: Floats) -> Floats:
    """Best logarithm of bets that the other's rate is a multiple of the one's, if it is not; ``ratio`` of traffic."""
    r = ratio[..., None]
    shrink = np.log1p(r) - np.log1p(r * multiples)
    return np.asarray((other[..., None] * np.log(multiples) + (one + other)[..., None] * shrink).max(-1))
