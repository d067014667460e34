"""Gate of the mean score of the same transactions, in the shadow stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import Block, Pairs
from k8s.rollout.gates.betting import Capital, Floats, Proof, begin_proof, grown, proven, stacked, stake, worth
from k8s.rollout.gates.gaussian import interval
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["ScoreDifferenceGate", "ScoreDifferenceState"]

#: Multiples of the bet that grows fastest under the planned harm, and their shares.
_BOLD, _BOLD_SHARES = np.array([0.4, 1.0, 2.0]), np.array([0.25, 0.5, 0.25])
#: Before anything is known: the bet of a mean score of 1 % and a root mean square of 5 %.
_FIRST_BET: Final = 0.3
_ENOUGH: Final = 100
_WORDING: Final = Wording("times the champion's mean score", "pairs", "mean score of the same transactions", ".5f")


@dataclass(frozen=True, slots=True)
class ScoreDifferenceState:
    """Bets against: not more than tolerated, not less; much more than the margin, much less. Then sums over pairs."""

    fail_more: Capital
    fail_less: Capital
    pass_more: Proof
    pass_less: Proof
    #: Pairs, champion, challenger, champion squared, product, challenger squared.
    sums: Floats


@dataclass(frozen=True)
class ScoreDifferenceGate:
    """Fails a challenger whose mean score is more than ``tolerated`` times the champion's, or less than its inverse.

    Scores are probabilities, so this is how many frauds each expects, whatever the thresholds. The differences
    s₁ − ratio·s₀ are bounded and are bet on by their sums alone: ln(1 + λx) ≥ λx + x²(ln(1 − λ) + λ) for x ≥ −1
    (Fan, Grama, Liu 2015), which makes the bet an empirical Bernstein one (Howard and others 2021, theorem 4); its size
    λ is planned from the pairs before the block.
    """

    margin: Margin
    name: Literal["score_difference"] = "score_difference"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> ScoreDifferenceState:
        """Nothing was seen."""
        return ScoreDifferenceState(
            stake(3, shape), stake(3, shape), begin_proof(3, shape), begin_proof(3, shape), np.zeros((*shape, 6))
        )

    def add(self, state: ScoreDifferenceState, block: Block) -> ScoreDifferenceState:
        """After a block."""
        fresh, number, margin = _sums(block.pairs), block.number, self.margin
        tolerated, inverse = margin.tolerated, 1 / margin.margin
        # Only copies make pairs: what they prove is never proven anew.
        copies = np.zeros(np.shape(block.pairs.pairs), dtype=bool)
        harm, good = margin.harm - tolerated, 1 - inverse
        return ScoreDifferenceState(
            grown(state.fail_more, number, _bets(state.sums, fresh, tolerated, harm)),
            grown(state.fail_less, number, _bets(_swapped(state.sums), _swapped(fresh), tolerated, harm)),
            proven(state.pass_more, copies, _bets(_swapped(state.sums), _swapped(fresh), inverse, good)),
            proven(state.pass_less, copies, _bets(state.sums, fresh, inverse, good)),
            state.sums + fresh,
        )

    def read(self, state: ScoreDifferenceState) -> Reading:
        """The numbers so far."""
        fail = np.logaddexp(worth(state.fail_more, _BOLD_SHARES), worth(state.fail_less, _BOLD_SHARES)) - np.log(2)
        good = np.minimum(worth(state.pass_more, _BOLD_SHARES), worth(state.pass_less, _BOLD_SHARES))
        pairs, s0, s1, *_ = np.moveaxis(state.sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(s0 > 0, s1 / s0, np.nan)
            variance = _squares(state.sums, np.nan_to_num(ratio)) / s0**2
        low, high = interval(ratio, variance, self.margin.harm - 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Reading(fail, good, ratio, low, high, s0 / pairs, s1 / pairs, pairs)


def _sums(pairs: Pairs) -> Floats:
    parts = (pairs.pairs, pairs.champion, pairs.challenger, pairs.champion_squared, pairs.product)
    return stacked(*parts, pairs.challenger_squared)


def _swapped(sums: Floats) -> Floats:
    return sums[..., [0, 2, 1, 5, 4, 3]]


def _squares(sums: Floats, ratio: Floats | float) -> Floats:
    """Σ (s₁ − ratio·s₀)²."""
    _, _, _, champion, product, challenger = np.moveaxis(sums, -1, 0)
    return np.asarray(np.maximum(challenger - 2 * ratio * product + ratio**2 * champion, 0.0))


def _bets(before: Floats, fresh: Floats, ratio: float, harm: float) -> Floats:
    """Bets that s₁ − ratio·s₀ is above 0, as if its mean were ``harm`` times that of s₀."""
    worst = max(ratio, 1.0)
    pairs, mean, square = before[..., 0], before[..., 1], _squares(before, ratio)
    known = (pairs >= _ENOUGH) & (square > 0)
    best = np.where(known, harm * mean * worst / np.where(known, square, 1.0), _FIRST_BET)
    bet = np.clip(best[..., None] * _BOLD, 0.0, 0.75)
    gained = (fresh[..., 2] - ratio * fresh[..., 1])[..., None] / worst
    spent = (_squares(fresh, ratio) / worst**2)[..., None]
    return np.asarray(bet * gained + spent * (np.log1p(-bet) + bet))
