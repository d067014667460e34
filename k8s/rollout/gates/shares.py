"""Gates of shares that should not grow: requests that fail, predictions made with defaults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from k8s.rollout.evidence import Block, Number, Side
from k8s.rollout.gates.betting import (
    Capital,
    Floats,
    Proof,
    begin_proof,
    conditional_bets,
    grown,
    proven,
    rate_bets,
    stacked,
    stake,
    worth,
)
from k8s.rollout.gates.bursts import CLUSTER, cut, cut_alone
from k8s.rollout.gates.dispersion import Dispersion, begin_dispersion, inflation, observed
from k8s.rollout.gates.gaussian import ratio_interval
from k8s.rollout.gates.reading import Reading, Wording, alternatives_above, alternatives_below
from k8s.rollout.gates.reference import Reference, alone_bets, begin_reference, remembered
from k8s.rollout.margins import Margin

__all__ = ["ShareGate", "ShareState"]

_RATES = np.array([2.0, 5.0, 20.0])
_RATE_SHARES = np.array([0.4, 0.4, 0.2])


@dataclass(frozen=True, slots=True)
class ShareState:
    """Bets against: the ratio is tolerated; the rate is under the floor; the ratio, and the rate, are unacceptable."""

    fail_ratio: Capital
    fail_floor: Capital
    pass_ratio: Proof
    pass_floor: Proof
    dispersion: tuple[Dispersion, Dispersion]
    reference: Reference
    #: Events and total of the challenger, those that the champion would have had in its place, and its own events.
    sums: Floats


@dataclass(frozen=True)
class ShareGate:
    """Fails a challenger whose share is more than ``tolerated`` times the champion's and above the floor.

    To fail, both hypotheses have to fall, so that the smaller e-value counts; to pass it is enough that one falls, so
    the mean of the two e-values counts, which is an e-value again (Vovk, Wang 2021, "E-values: calibration,
    combination and applications", Annals of Statistics 49).
    """

    name: Literal["errors", "degraded"]
    margin: Margin

    @property
    def wording(self) -> Wording:
        """How its numbers are said."""
        what, counted = {
            "errors": ("requests that fail", "requests"),
            "degraded": ("predictions made with defaults", "predictions"),
        }[self.name]
        return Wording("times the champion's share", counted, what, ".3%")

    def _events(self, side: Side) -> tuple[Number, Number]:
        return (side.errors, side.requests) if self.name == "errors" else (side.degraded, side.predictions)

    def _counted(self, side: Side, *, passing: bool = False) -> Floats:
        """Events that bets count."""
        left = getattr(side, f"burst_{self.name}{'_pass' if passing else ''}")
        return np.asarray(np.maximum(np.asarray(self._events(side)[0], dtype=float) - left, 0.0))

    def begin(self, shape: tuple[int, ...] = ()) -> ShareState:
        """Nothing was seen."""
        return ShareState(
            stake(4, shape),
            stake(3, shape),
            begin_proof(3, shape),
            begin_proof(3, shape),
            (begin_dispersion(1, shape), begin_dispersion(1, shape)),
            begin_reference(shape),
            np.zeros((*shape, 5)),
        )

    def add(self, state: ShareState, block: Block) -> ShareState:
        """After a block."""
        k0, n0 = (np.asarray(item, dtype=float) for item in self._events(block.champion))
        k1, n1 = (np.asarray(item, dtype=float) for item in self._events(block.challenger))
        c0, c1 = self._counted(block.champion), self._counted(block.challenger)
        margin, phi = self.margin, inflation(*state.dispersion)[..., None]
        above, _ = alternatives_above(margin.tolerated, margin.harm)
        below, _ = alternatives_below(margin.margin)
        floor = max(margin.floor, 1e-12)
        alone = alone_bets(state.reference, c1, n1, (n0 == 0) & (n1 > 0), margin, above)
        worse = (conditional_bets(c0, n0, c1, n1, margin.tolerated, above) + alone) / phi
        p0, p1 = (self._counted(side, passing=True) for side in (block.champion, block.challenger))
        fine = conditional_bets(p0, n0, p1, n1, margin.margin, below) / phi
        live = np.asarray(block.weight) > 0
        compared = (n0 > 0) & (n1 > 0)
        scale = np.where(compared, n1 / np.where(compared, n0, 1.0), 0.0)
        parts = (
            np.where(compared, k1, 0),
            np.where(compared, n1, 0),
            k0 * scale,
            n0 * scale,
            np.where(compared, k0, 0),
        )
        return ShareState(
            grown(state.fail_ratio, block.number, worse),
            grown(state.fail_floor, block.number, rate_bets(k1, n1, floor, _RATES) / phi),
            proven(state.pass_ratio, live, fine),
            proven(state.pass_floor, live, rate_bets(k1, n1, floor, 1 / _RATES) / phi),
            (
                observed(state.dispersion[0], c0[..., None], n0, CLUSTER),
                observed(state.dispersion[1], c1[..., None], n1, CLUSTER),
            ),
            remembered(state.reference, k0, n0),
            state.sums + stacked(*parts),
        )

    def calm(self, state: ShareState, spell: Block, seconds: float) -> Block:
        """A spell, with what is left out of bets since it came in one burst.

        Parameters
        ----------
        state
            Before the block that the spell belongs to.
        seconds
            Of the spell.
        """
        (k0, n0), (k1, n1) = (self._events(side) for side in (spell.champion, spell.challenger))
        above, _ = alternatives_above(self.margin.tolerated, self.margin.harm)
        below, _ = alternatives_below(self.margin.margin)
        phi = inflation(*state.dispersion)
        fail0, fail1 = cut((k0, n0, k1, n1), above, phi, seconds, self.margin.tolerated)
        pass0, pass1 = cut((k0, n0, k1, n1), 1 / below, phi, seconds, self.margin.margin)
        usual = (state.reference.events + 1) / np.maximum(state.reference.total, 1.0)
        fail1 = np.where(np.asarray(n0) > 0, fail1, cut_alone(k1, n1, usual, above, phi, seconds))
        left = {f"burst_{self.name}": (fail0, fail1), f"burst_{self.name}_pass": (pass0, pass1)}
        return replace(
            spell,
            champion=replace(spell.champion, **{name: value[0] for name, value in left.items()}),
            challenger=replace(spell.challenger, **{name: value[1] for name, value in left.items()}),
        )

    def read(self, state: ShareState) -> Reading:
        """The numbers so far."""
        _, above = alternatives_above(self.margin.tolerated, self.margin.harm)
        _, below = alternatives_below(self.margin.margin)
        fail = np.minimum(worth(state.fail_ratio, above), worth(state.fail_floor, _RATE_SHARES))
        good = np.logaddexp(worth(state.pass_ratio, below), worth(state.pass_floor, _RATE_SHARES)) - np.log(2)
        k1, n1, k0, n0, own = np.moveaxis(state.sums, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            champion, challenger = k0 / n0, k1 / n1
            ratio = np.where(k0 > 0, challenger / champion, np.where(k1 > 0, np.inf, np.nan))
        low, high = ratio_interval(ratio, own, k1, inflation(*state.dispersion), self.margin.harm)
        return Reading(fail, good, ratio, low, high, champion, challenger, n1)
