"""Gate of the share of transactions that are flagged: neither many more nor many fewer than the champion's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import Block, Pairs
from k8s.rollout.gates.betting import (
    Capital,
    Flags,
    Floats,
    Proof,
    begin_proof,
    conditional_bets,
    grown,
    proven,
    stacked,
    stake,
    worth,
)
from k8s.rollout.gates.dispersion import Dispersion, begin_dispersion, inflation, observed
from k8s.rollout.gates.gaussian import ratio_interval
from k8s.rollout.gates.reading import Reading, Wording, alternatives_below
from k8s.rollout.gates.reference import Reference, alone_bets, begin_reference, remembered
from k8s.rollout.margins import Margin

__all__ = ["AlertsGate", "AlertsState", "paired_bets"]

#: Shares of the capital that pairs put at risk, by the alternatives of splits: larger harm, larger bets.
_BOLD = np.array([0.15, 0.35, 0.7])
#: Share of the capital for more alerts, which stop customers at once; what fewer alerts miss, labels show as well.
_MORE: Final = 0.75
# Bolder bets than these lose their certainty where alerts come in clusters: one cluster could decide.
_STEPS, _SHARES = np.array([0.4, 0.8, 1.2]), np.array([0.1, 0.8, 0.1])
_WORDING: Final = Wording("times the champion's share", "predictions", "transactions that are flagged", ".3%")


def paired_bets(both: Floats, first: Floats, second: Floats, ratio: float, bold: Floats) -> Floats:
    """Bets that the second flags more than ``ratio`` times as often as the first, on the same transactions.

    Flags y₁ and y₂ of a transaction pay y₂ − ratio·y₁, whose mean is 0 or less under the hypothesis, whatever else
    differs between transactions (betting on bounded means: Waudby-Smith, Ramdas 2024, "Estimating means of bounded
    random variables by betting", JRSS B 86). With a ratio of 1 only what one of them flags counts, as in McNemar's
    test.

    Parameters
    ----------
    both, first, second
        Flagged by both, by the first alone, by the second alone, float64 [...].
    ratio
        Of the hypothesis.
    bold
        Shares of what a transaction could lose, in (0, 1), float64 [alternatives].
    """
    bet = bold / max(ratio, 1.0)
    parts = (both, 1 + bet * (1 - ratio)), (first, 1 - bet * ratio), (second, 1 + bet)
    return np.asarray(sum(np.asarray(count)[..., None] * np.log(pays) for count, pays in parts))


@dataclass(frozen=True, slots=True)
class AlertsState:
    """Bets against: not more than tolerated, not fewer; many more than the margin, many fewer."""

    fail_more: Capital
    fail_fewer: Capital
    pass_more: Proof
    pass_fewer: Proof
    #: Of both sides, and of what only one of them flags of pairs.
    dispersion: tuple[Dispersion, Dispersion, Dispersion]
    reference: Reference
    #: As in ``ShareState``.
    sums: Floats


@dataclass(frozen=True)
class AlertsGate:
    """Fails a challenger that flags more than ``tolerated`` times as often as the champion, or less than its inverse.

    Both directions share the capital to fail, and both have to be excluded to pass. In the shadow stage the
    pairs bet, which know that both saw the same transactions and therefore need a fraction of the data.
    """

    margin: Margin
    name: Literal["alerts"] = "alerts"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> AlertsState:
        """Nothing was seen."""
        return AlertsState(
            stake(3, shape),
            stake(3, shape),
            begin_proof(3, shape),
            begin_proof(3, shape),
            (begin_dispersion(1, shape), begin_dispersion(1, shape), begin_dispersion(2, shape)),
            begin_reference(shape),
            np.zeros((*shape, 5)),
        )

    def add(self, state: AlertsState, block: Block) -> AlertsState:
        """After a block."""
        pairs, margin = block.pairs, self.margin
        paired = np.asarray(pairs.pairs, dtype=float) > 0
        k0, n0 = (np.asarray(item, dtype=float) for item in (block.champion.flagged, block.champion.predictions))
        k1, n1 = (np.asarray(item, dtype=float) for item in (block.challenger.flagged, block.challenger.predictions))
        phi = np.where(paired, inflation(state.dispersion[2]), inflation(*state.dispersion[:2]))[..., None]
        discordant = stacked(pairs.flagged_champion, pairs.flagged_challenger)

        def bets(null: float, multiples: Floats, *, swapped: bool) -> Floats:
            sides = (k1, n1, k0, n0) if swapped else (k0, n0, k1, n1)
            split = conditional_bets(*sides, null, multiples)
            return np.where(paired[..., None], _of_pairs(pairs, null, swapped=swapped), split) / phi

        above = (margin.harm / margin.tolerated) ** _STEPS
        alone = alone_bets(state.reference, k1, n1, (n0 == 0) & (n1 > 0), margin, above) / phi
        below, _ = alternatives_below(margin.margin)
        # Against "many more": the champion flags at least 1 / margin as often as the challenger, seen from its side.
        inverse = 1 / margin.margin
        live = np.asarray(block.weight) > 0
        return AlertsState(
            grown(state.fail_more, block.number, bets(margin.tolerated, above, swapped=False) + alone),
            grown(state.fail_fewer, block.number, bets(margin.tolerated, above, swapped=True)),
            proven(state.pass_more, live, bets(inverse, 1 / below, swapped=True)),
            proven(state.pass_fewer, live, bets(inverse, 1 / below, swapped=False)),
            (
                observed(state.dispersion[0], k0[..., None], n0),
                observed(state.dispersion[1], np.where(paired, 0, k1)[..., None], np.where(paired, 0, n1)),
                observed(state.dispersion[2], discordant, pairs.pairs),
            ),
            remembered(state.reference, k0, n0),
            np.add(state.sums, _sums(pairs, paired, (k0, n0, k1, n1))),
        )

    def read(self, state: AlertsState) -> Reading:
        """The numbers so far."""
        _, below = alternatives_below(self.margin.margin)
        fail = np.logaddexp(
            worth(state.fail_more, _SHARES) + np.log(_MORE), worth(state.fail_fewer, _SHARES) + np.log(1 - _MORE)
        )
        good = np.minimum(worth(state.pass_more, below), worth(state.pass_fewer, below))
        k1, n1, k0, n0, own = np.moveaxis(state.sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            champion, challenger = k0 / n0, k1 / n1
            ratio = np.where(k0 > 0, challenger / champion, np.where(k1 > 0, np.inf, np.nan))
        low, high = ratio_interval(ratio, own, k1, inflation(*state.dispersion[:2]), self.margin.harm)
        return Reading(fail, good, ratio, low, high, champion, challenger, n1)


def _of_pairs(pairs: Pairs, null: float, *, swapped: bool) -> Floats:
    both, champion, challenger = (
        np.asarray(item, dtype=float) for item in (pairs.flagged_both, pairs.flagged_champion, pairs.flagged_challenger)
    )
    first, second = (challenger, champion) if swapped else (champion, challenger)
    return paired_bets(both, first, second, null, _BOLD)


def _sums(pairs: Pairs, paired: Flags, split: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    k0, n0, k1, n1 = split
    compared = (n0 > 0) & (n1 > 0)
    scale = np.where(compared, n1 / np.where(compared, n0, 1.0), 0.0)
    champion = np.asarray(pairs.flagged_both, dtype=float) + pairs.flagged_champion
    challenger = np.asarray(pairs.flagged_both, dtype=float) + pairs.flagged_challenger
    of_pairs = (challenger, pairs.pairs, champion, pairs.pairs, champion)
    of_split = (np.where(compared, k1, 0), np.where(compared, n1, 0), k0 * scale, n0 * scale, np.where(compared, k0, 0))
    return stacked(*(np.where(paired, a, b) for a, b in zip(of_pairs, of_split, strict=True)))
