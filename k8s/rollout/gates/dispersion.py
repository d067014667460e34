"""How much more counts vary than those of independent events.

A card tester tries forty times in a minute, a shop's terminal fails for an hour: events come in clusters, and clusters
make chance look like harm. Bets are therefore divided by the variance inflation φ (quasi-likelihood; Wedderburn 1974).
With φ ≥ 1 the mean of a bet's φ-th root is at most 1 where the bet's is (Jensen), so that a wrong φ costs data, never
certainty beyond that of independent events.

φ is learned from each side alone, as the difference of neighbouring blocks: neither the season nor harm counts as
clusters, and the champion teaches it in the shadow stage, before the challenger has any traffic. Only blocks before the
one that is bet on are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from k8s.rollout.evidence import Number, Numbers
from k8s.rollout.gates.betting import Floats

__all__ = ["Dispersion", "begin_dispersion", "inflation", "observed"]

#: Events, and pairs of blocks, that count as seen at φ = 1: a few early ones say little.
_EVENTS: Final = 5.0
_PAIRS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Differences of neighbouring blocks.

    Parameters
    ----------
    counts, total
        Of the last block: events of each category, float64 [..., categories], and what they are out of.
    squares, expected
        Sums of squared differences, and of what independent events would give.
    compared
        Pairs of blocks in these sums.
    """

    counts: Floats
    total: Floats
    squares: Floats
    expected: Floats
    compared: Floats


def begin_dispersion(categories: int = 1, shape: tuple[int, ...] = ()) -> Dispersion:
    """Nothing was seen."""
    zeros = np.zeros(shape)
    return Dispersion(np.zeros((*shape, categories)), zeros, zeros, zeros, zeros)


def observed(state: Dispersion, counts: Numbers | Floats, total: Number, most: float = np.inf) -> Dispersion:
    """After a block.

    Parameters
    ----------
    most
        Times what independent events would give, that one pair of blocks counts at most: a burst in a day is not the
        day. Finite where bursts are cut anyway (``bursts.py``).
    """
    events, size = np.asarray(counts, dtype=float), np.asarray(total, dtype=float)
    there = (size > 0) & (state.total > 0)
    share = np.where(there, size / np.where(there, size + state.total, 1.0), 0.0)
    sums = events + state.counts
    squares = ((events - sums * share[..., None]) ** 2).sum(-1)
    expected = sums.sum(-1) * share * (1 - share)
    squares = np.minimum(squares, most * expected) if np.isfinite(most) else squares
    seen = size > 0
    return Dispersion(
        np.where(seen[..., None], events, state.counts),
        np.where(seen, size, state.total),
        state.squares + np.where(there, squares, 0.0),
        state.expected + np.where(there, expected, 0.0),
        state.compared + there,
    )


def inflation(*states: Dispersion) -> Floats:
    """φ, at least 1, float64 [...]: less half of its standard error, so that chance alone seldom costs data."""
    squares = sum((state.squares for state in states), start=np.asarray(_EVENTS))
    expected = sum((state.expected for state in states), start=np.asarray(_EVENTS))
    compared = sum((state.compared for state in states), start=np.asarray(0.0))
    found = (_PAIRS + compared * squares / expected) / (_PAIRS + compared)
    return np.asarray(np.maximum(1.0, found * (1 - 0.5 * np.sqrt(2 / (_PAIRS + compared)))))
