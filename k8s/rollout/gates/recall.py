"""Gate of the share of frauds that are flagged, by labels that arrive days later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import LabelBlock
from k8s.rollout.gates.betting import (
    Capital,
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
from k8s.rollout.gates.gaussian import interval
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["RecallGate", "RecallState"]

# Parts of what a fraud could cost the bet, and their shares: 0.5 is right when a fifth of the recall is lost, 0.3 when
# the challenger is equal.
_BOLD = np.array([0.12, 0.3, 0.5, 0.85])
_FAIL_SHARES, _PASS_SHARES = np.array([0.1, 0.15, 0.65, 0.1]), np.array([0.2, 0.5, 0.2, 0.1])
# Powers of what is planned for, to bet on.
_POWERS = np.array([0.4, 0.8, 1.2, 1.8])
_WORDING: Final = Wording("of the champion's recall lost", "labelled frauds", "recall", ".1%")


@dataclass(frozen=True, slots=True)
class RecallState:
    """Bets, and sums.

    Parameters
    ----------
    sums
        Weighted: frauds caught and missed by the champion, what it blocked unseen, frauds caught and missed by the
        challenger, of pairs or of either side.
    frauds
        Labelled frauds of the challenger.
    """

    fails: Capital
    passes: Proof
    sums: Floats
    frauds: Floats


@dataclass(frozen=True)
class RecallGate:
    """Fails a challenger that loses more than ``tolerated`` of the champion's recall.

    Of pairs, a fraud pays (1 − loss)·y₀ − y₁, with 1 for a flag, whose mean is 0 or less if the challenger loses no
    more than that. A payment that the champion blocked has no outcome. Reviews of a random share of these stand for
    them, each with the inverse of its probability; without such reviews nothing is assumed: to pass, everything that
    the champion blocked and the challenger would have approved counts as a fraud that it missed, and to fail none of
    it does.

    Once both answer different customers, blocked frauds are unknown on either side, and only frauds that were approved
    are compared: as a share of all transactions, which are the same mixture on both sides. A loss of L of a recall r
    multiplies them by 1 + L·r / (1 − r); r is the champion's so far, with all of what it blocked unseen as fraud to
    fail, and none of it to pass.
    """

    margin: Margin
    name: Literal["recall"] = "recall"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> RecallState:
        """Nothing was seen."""
        return RecallState(stake(4, shape), begin_proof(4, shape), np.zeros((*shape, 5)), np.zeros(shape))

    def add(self, state: RecallState, block: LabelBlock) -> RecallState:
        """After labels arrived."""
        paired = np.asarray(block.pairs, dtype=float) > 0
        caught, missed, unseen = state.sums[..., 0], state.sums[..., 1], state.sums[..., 2]
        # One fraud of either kind counts as seen, so that the first block has a recall to go by.
        most = (caught + unseen + 1) / (caught + unseen + missed + 2)
        least = (caught + 1) / (caught + missed + 2)
        fail_null, pass_null = _multiple(self.margin.tolerated, most), _multiple(self.margin.margin, least)
        fail_split = _split(block, fail_null, _multiple(self.margin.harm, most) / fail_null)
        pass_split = _split(block, pass_null, 1 / pass_null)
        fails = np.where(paired[..., None], self._paired(block, passing=False), fail_split)
        passes = np.where(paired[..., None], self._paired(block, passing=True), pass_split)
        champion, challenger = block.champion, block.challenger
        parts = champion.caught, champion.missed, champion.unseen, challenger.caught, challenger.missed
        frauds = np.asarray(block.frauds, dtype=float).sum(-1) + np.asarray(block.sampled, dtype=float).sum(-1)
        return RecallState(
            grown(state.fails, block.number, fails),
            proven(state.passes, np.zeros(paired.shape, dtype=bool), passes),
            state.sums + stacked(*parts),
            state.frauds + np.where(paired, frauds, np.add(challenger.caught, challenger.missed)),
        )

    def read(self, state: RecallState) -> Reading:
        """The numbers so far."""
        caught0, missed0, _, caught1, missed1 = np.moveaxis(state.sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            champion, challenger = caught0 / (caught0 + missed0), caught1 / (caught1 + missed1)
            # As of two samples: wider than pairs would allow.
            variance = (1 - champion) / np.maximum(caught0, 0.5) + (1 - challenger) / np.maximum(caught1, 0.5)
            low, high = interval(np.log(challenger / champion), variance, self.margin.harm)
            lost = 1 - challenger / champion
        return Reading(
            worth(state.fails, _FAIL_SHARES),
            worth(state.passes, _PASS_SHARES),
            lost,
            1 - np.exp(high),
            1 - np.exp(low),
            champion,
            challenger,
            state.frauds,
        )

    def _paired(self, block: LabelBlock, *, passing: bool) -> Floats:
        loss = self.margin.margin if passing else self.margin.tolerated
        sign = -1.0 if passing else 1.0
        weight = 1 / block.sampling
        plain, sampled = (np.asarray(item, dtype=float) for item in (block.frauds, block.sampled))
        pays = sign * np.array([-loss, 1 - loss, -1.0, 0.0])
        # What the champion would have blocked is flagged by it: the last two cannot occur with a weight.
        weighed = weight * np.where(np.arange(4) < 2, pays, 0.0)
        worst = max(1.0, float(-weighed.min()))
        bet = _BOLD / worst
        logs = sum(
            counts[..., kind, None] * np.log1p(bet * pay)
            for counts, values in ((plain, pays), (sampled, weighed))
            for kind, pay in enumerate(values)
        )
        if passing:
            logs = logs + np.asarray(block.unseen, dtype=float)[..., None] * np.log1p(bet * pays[1])
        return np.asarray(logs)


def _multiple(loss: float, recall: Floats) -> Floats:
    """How many times as many frauds are missed when a part of the recall is lost."""
    return np.asarray(1 + loss * recall / (1 - recall))


def _split(block: LabelBlock, null: Floats, planned: Floats) -> Floats:
    champion, challenger = block.champion, block.challenger
    multiples = planned[..., None] ** _POWERS
    return conditional_bets(champion.missed, champion.decided, challenger.missed, challenger.decided, null, multiples)
