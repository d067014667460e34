"""Bets against a hypothesis. Their capital is an e-process: a verdict by it is right however often somebody looks.

Whoever starts with 1 and bets on what comes next at odds that are fair, or worse, under a hypothesis, reaches 1/α with
probability α at most if the hypothesis holds, at any time (Ville 1939; Ramdas, Grünwald, Vovk, Shafer 2023,
"Game-theoretic statistics and safe anytime-valid inference", Statistical Science 38). So looking every ten seconds for
weeks costs no certainty, which no fixed threshold and no p-value can say.

Capital is spread over alternatives, each a bet on another size of harm (a mixture: Robbins 1970; Johari, Koomen,
Pekelis, Walsh 2022, "Always valid inference", Operations Research 70), and over starts: most of it bets from the
beginning, and a rest that never ends is set aside for challengers that turn bad later. What comes into play at the k-th
start has lost nothing before it, so that harm is found about as fast after a good day as after a good hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from k8s.rollout.evidence import Number

__all__ = [
    "FIRST",
    "Capital",
    "Flags",
    "Floats",
    "Proof",
    "begin_proof",
    "conditional_bets",
    "grown",
    "proven",
    "rate_bets",
    "stacked",
    "stake",
    "worth",
]

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]

#: Share of the capital that bets from the beginning; a tenth less capital is 0.1 of some 8 that a verdict takes.
FIRST: Final = 0.9


@dataclass(frozen=True, slots=True)
class Capital:
    """What bets are worth.

    Parameters
    ----------
    in_play
        Logarithm of the capital of each alternative, its share of 1 not yet taken, float64 [..., alternatives].
    started
        Share of the capital that is in play.
    """

    in_play: Floats
    started: float


def stacked(*parts: Number) -> Floats:
    """Numbers of one rollout or of many side by side, float64 [..., parts]."""
    return np.stack(np.broadcast_arrays(*(np.asarray(part, dtype=float) for part in parts)), axis=-1)


def stake(alternatives: int, shape: tuple[int, ...] = ()) -> Capital:
    """Nothing is in play."""
    return Capital(np.full((*shape, alternatives), -np.inf), 0.0)


@dataclass(frozen=True, slots=True)
class Proof:
    """What bets against "worse than the margin" are worth.

    They begin anew with the challenger's first answer to a customer: what copies have shown is no proof of what happens
    when others depend on it.

    Parameters
    ----------
    in_play
        As of :class:`Capital`.
    live
        Whether customers were answered, bool [...].
    """

    in_play: Floats
    live: Flags


def begin_proof(alternatives: int, shape: tuple[int, ...] = ()) -> Proof:
    """All of it is in play."""
    return Proof(np.zeros((*shape, alternatives)), np.zeros(shape, dtype=bool))


def proven(proof: Proof, live: Flags, increments: Floats) -> Proof:
    """After a block, in which customers were answered or not."""
    anew = live & ~proof.live
    return Proof(np.where(anew[..., None], 0.0, proof.in_play) + increments, proof.live | live)


def grown(capital: Capital, number: int, increments: Floats) -> Capital:
    """After a block.

    Parameters
    ----------
    number
        Of the block: as many starts were possible before it. Before 0 nothing is bet.
    increments
        Logarithms of what the block made of 1, float64 [..., alternatives].
    """
    if number < 0:
        return capital
    started = max(capital.started, 1 - (1 - FIRST) / (number + 1))
    fresh = started - capital.started
    in_play = np.logaddexp(capital.in_play, np.log(fresh)) if fresh else capital.in_play
    return Capital(in_play + increments, started)


def worth(capital: Capital | Proof, weights: Floats) -> Floats:
    """Logarithm of the e-value, float64 [...].

    Parameters
    ----------
    weights
        Shares of the alternatives, float64 [alternatives], of sum 1.
    """
    together = np.logaddexp.reduce(capital.in_play + np.log(weights), axis=-1)
    idle = 1 - capital.started if isinstance(capital, Capital) else 0.0
    return np.asarray(np.logaddexp(together, np.log(idle)) if idle > 0 else together)


def conditional_bets(
    champion: Number,
    champion_total: Number,
    challenger: Number,
    challenger_total: Number,
    null: Number,
    alternatives: Floats,
) -> Floats:
    """Bets on which side the next event falls, given that one falls: logarithms, float64 [..., alternatives].

    If the challenger's rate is ``null`` times the champion's, an event of either is the challenger's with probability
    null·n₁ / (n₀ + null·n₁), whatever the rate: seasons, attacks and holidays cancel, and a weight that changes is only
    another probability. Bets of the likelihood ratio are fair for Poisson counts. For shares they are worse than fair,
    so on the safe side: given the sum, the count of a side is then hypergeometric, and the mean of any convex function
    of it is at most the binomial's (Hoeffding 1963, section 6). The e-variable of Turner, Ly, Grünwald 2024 ("Generic
    E-variables for exact sequential k-sample tests") for two streams of rare events is this one, but for the base rate
    that it has to learn.

    Parameters
    ----------
    champion, champion_total, challenger, challenger_total
        Events and what they are out of, in one block.
    null
        The challenger's rate over the champion's.
    alternatives
        Multiples of ``null`` that are bet on, float64 [..., alternatives].
    """
    k0, n0, k1, n1 = (
        np.asarray(item, dtype=float)[..., None] for item in (champion, champion_total, challenger, challenger_total)
    )
    at_null = n0 + n1 * np.asarray(null, dtype=float)[..., None]
    at_other = n0 + n1 * np.asarray(null, dtype=float)[..., None] * alternatives
    both = (n0 > 0) & (n1 > 0)
    shrink = np.log(np.where(both, at_null, 1.0) / np.where(both, at_other, 1.0))
    return np.asarray(np.where(both, k1 * np.log(alternatives) + (k0 + k1) * shrink, 0.0))


def rate_bets(events: Number, total: Number, null: Number, alternatives: Floats) -> Floats:
    """Bets on a rate: likelihood ratios of Poisson counts, logarithms, float64 [..., alternatives].

    Parameters
    ----------
    events, total
        In one block.
    null
        Rate of the hypothesis.
    alternatives
        Multiples of it.
    """
    k, n, rate = (np.asarray(item, dtype=float)[..., None] for item in (events, total, null))
    return np.asarray(k * np.log(alternatives) - n * rate * (alternatives - 1))
