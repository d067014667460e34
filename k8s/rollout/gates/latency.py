"""Gate of the 99th percentile of latency, from the buckets of a histogram."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from k8s.rollout.evidence import Block, Number, Numbers
from k8s.rollout.gates.betting import (
    Capital,
    Flags,
    Floats,
    Proof,
    begin_proof,
    conditional_bets,
    grown,
    proven,
    rate_bets,
    stake,
    worth,
)
from k8s.rollout.gates.bursts import CLUSTER, cut, cut_alone
from k8s.rollout.gates.dispersion import Dispersion, begin_dispersion, inflation, observed
from k8s.rollout.gates.gaussian import interval
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["LatencyGate", "LatencyState", "quantile"]

_LEVEL: Final = 0.99
#: Requests of the champion from which its 99th percentile is known well enough to choose a bucket.
_ENOUGH: Final = 1_000
# How many times as many slow answers are bet on. Twice the latency is some 2 to 6 times as many, by the tail.
_MORE, _MORE_SHARES = np.array([1.6, 2.5, 5.0, 20.0]), np.array([0.25, 0.35, 0.25, 0.15])
_FEWER, _FEWER_SHARES = np.array([0.6, 0.3, 0.1]), np.array([0.35, 0.35, 0.3])
_WORDING: Final = Wording("times the champion's p99", "requests", "p99 in seconds", ".4f")


def quantile(cumulative: Floats, bounds: Floats, level: Floats | float) -> Floats:
    """Quantile of a histogram, by straight lines within buckets, as Prometheus' ``histogram_quantile`` does.

    Parameters
    ----------
    cumulative
        float64 [..., bounds + 1].
    bounds
        Upper bounds, float64 [bounds], increasing; what lies above the last one counts as that one.
    level
        In [0, 1].

    Returns
    -------
    float64 [...], NaN where nothing was counted.
    """
    total = cumulative[..., -1]
    rank = np.clip(level, 0, 1) * total
    index = np.minimum((cumulative[..., :-1] < rank[..., None]).sum(-1), len(bounds) - 1)
    upper = np.take_along_axis(cumulative, index[..., None], -1)[..., 0]
    lower = np.where(index > 0, np.take_along_axis(cumulative, np.maximum(index - 1, 0)[..., None], -1)[..., 0], 0.0)
    begin = np.where(index > 0, bounds[np.maximum(index - 1, 0)], 0.0)
    part = np.where(upper > lower, (rank - lower) / np.where(upper > lower, upper - lower, 1.0), 1.0)
    return np.where(total > 0, begin + np.clip(part, 0, 1) * (bounds[index] - begin), np.nan)


@dataclass(frozen=True, slots=True)
class LatencyState:
    """Bets, and histograms: the champion's own, the champion's by the challenger's traffic, the challenger's."""

    fails: Capital
    passes: Proof
    dispersion: tuple[Dispersion, Dispersion]
    champion: Floats
    weighted: Floats
    challenger: Floats


@dataclass(frozen=True, slots=True)
class _Slow:
    """Histograms of both, and answers slower than x: of the champion, of the challenger; and the challenger's by which
    it fails and passes. The champion's rate for when there is none, and whether it is known."""

    own: Floats
    other: Floats
    champion: Floats
    challenger: Floats
    failing: Floats
    passing: Floats
    rate: Floats
    enough: Flags


@dataclass(frozen=True)
class LatencyGate:
    """Fails a challenger whose 99th percentile is more than ``tolerated`` times the champion's, and above the floor.

    If it were no more than that, the challenger would have at most as many answers slower than tolerated·x as the
    champion has slower than x. x is the bound nearest to the champion's percentile so far, tolerated·x the next bound
    from there on; which side the next slow answer is on is then bet on as for errors, so that busy hours, which slow
    both, cancel. Histograms cannot tell more than their buckets: where two bounds are further apart than the margin,
    the next one stands for it.
    """

    margin: Margin
    bounds: tuple[float, ...]
    name: Literal["latency"] = "latency"
    wording: Wording = _WORDING

    @cached_property
    def _indices(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For the index of each bound: those from which slow answers count to fail, and to pass."""
        bounds = np.array(self.bounds)
        last = len(bounds) - 1
        floor = np.searchsorted(bounds, self.margin.floor)
        fail = np.maximum(np.searchsorted(bounds, bounds * self.margin.tolerated * (1 - 1e-9)), floor)
        within = np.searchsorted(bounds, bounds * self.margin.margin * (1 + 1e-9), side="right") - 1
        good = np.maximum(np.maximum(within, np.arange(len(bounds)) + 1), floor)
        return np.minimum(fail, last), np.minimum(good, last)

    def begin(self, shape: tuple[int, ...] = ()) -> LatencyState:
        """Nothing was seen."""
        empty = np.zeros((*shape, len(self.bounds) + 1))
        dispersion = begin_dispersion(1, shape)
        return LatencyState(stake(4, shape), begin_proof(3, shape), (dispersion, dispersion), empty, empty, empty)

    def _split(self, state: LatencyState, block: Block) -> _Slow:
        """Slow answers of a block, by the bound nearest to the champion's percentile before it."""
        before = state.champion
        own, other = (_counts(side.latency, before) for side in (block.champion, block.challenger))
        known = np.where((before[..., -1] >= _ENOUGH)[..., None], before, before + own)
        slow = (known[..., -1:] - known[..., :-1] + 0.5) / (known[..., -1:] + 1)
        # The last bound has no slower one to compare with.
        index = np.abs(np.log(slow[..., :-1] / (1 - _LEVEL))).argmin(-1)
        fail_at, pass_at = (table[index] for table in self._indices)
        # Alone, the challenger is compared with what the champion was so far, and half as many slow answers are added.
        rate = 1.5 * (_slower(known, index) + 1) / (known[..., -1] + 1)
        return _Slow(
            own,
            other,
            *(_slower(own, index), _slower(other, index), _slower(other, fail_at), _slower(other, pass_at)),
            rate,
            known[..., -1] >= _ENOUGH,
        )

    def calm(self, state: LatencyState, spell: Block, seconds: float) -> Block:
        """As of the gates of shares."""
        slow = self._split(state, spell)
        n0, n1 = slow.own[..., -1], slow.other[..., -1]
        phi = inflation(*state.dispersion)
        fail0, fail1 = cut((slow.champion, n0, slow.failing, n1), _MORE, phi, seconds)
        pass0, pass1 = cut((slow.champion, n0, slow.passing, n1), 1 / _FEWER, phi, seconds)
        alone = cut_alone(slow.failing, n1, slow.rate, _MORE, phi, seconds)
        return replace(
            spell,
            champion=replace(spell.champion, burst_slow=fail0, burst_slow_pass=pass0),
            challenger=replace(spell.challenger, burst_slow=np.where(n0 > 0, fail1, alone), burst_slow_pass=pass1),
        )

    def add(self, state: LatencyState, block: Block) -> LatencyState:
        """After a block."""
        slow, champion, challenger = self._split(state, block), block.champion, block.challenger
        n0, n1 = slow.own[..., -1], slow.other[..., -1]
        k0, failing = _less(slow.champion, champion.burst_slow), _less(slow.failing, challenger.burst_slow)
        p0, passing = _less(slow.champion, champion.burst_slow_pass), _less(slow.passing, challenger.burst_slow_pass)
        phi = inflation(*state.dispersion)[..., None]
        compared = (n0 > 0) & (n1 > 0)
        scale = np.where(compared, n1 / np.where(compared, n0, 1.0), 0.0)[..., None]
        unaccompanied = ((n0 == 0) & (n1 > 0) & slow.enough)[..., None]
        alone = np.where(unaccompanied, rate_bets(failing, n1, slow.rate, _MORE), 0.0)
        worse = (conditional_bets(k0, n0, failing, n1, 1.0, _MORE) + alone) / phi
        fine = conditional_bets(p0, n0, passing, n1, 1.0, _FEWER) / phi
        same = _less(slow.challenger, challenger.burst_slow)
        return LatencyState(
            grown(state.fails, block.number, worse),
            proven(state.passes, np.asarray(block.weight) > 0, fine),
            (
                observed(state.dispersion[0], k0[..., None], n0, CLUSTER),
                observed(state.dispersion[1], same[..., None], n1, CLUSTER),
            ),
            state.champion + slow.own,
            state.weighted + slow.own * scale,
            state.challenger + np.where(compared[..., None], slow.other, 0.0),
        )

    def read(self, state: LatencyState) -> Reading:
        """The numbers so far."""
        bounds, n0, n1 = np.array(self.bounds), state.champion[..., -1], state.challenger[..., -1]
        champion, challenger = (quantile(counts, bounds, _LEVEL) for counts in (state.weighted, state.challenger))
        phi, wide = inflation(*state.dispersion), _LEVEL * (1 - _LEVEL)
        edges = []
        for counts, size in ((state.weighted, n0), (state.challenger, n1)):
            low, high = interval(np.full(size.shape, _LEVEL), phi * wide / np.maximum(size, 1), 1 - _LEVEL)
            edges.append((quantile(counts, bounds, low), quantile(counts, bounds, high)))
        (low0, high0), (low1, high1) = edges
        with np.errstate(divide="ignore", invalid="ignore"):
            return Reading(
                worth(state.fails, _MORE_SHARES),
                worth(state.passes, _FEWER_SHARES),
                challenger / champion,
                low1 / high0,
                high1 / low0,
                champion,
                challenger,
                n1,
            )


def _counts(latency: Numbers, like: Floats) -> Floats:
    return np.asarray(latency, dtype=float) if len(latency) else np.zeros_like(like)


def _slower(cumulative: Floats, index: NDArray[np.int64]) -> Floats:
    """Answers above the bound of an index."""
    return np.asarray(cumulative[..., -1] - np.take_along_axis(cumulative, index[..., None], -1)[..., 0])


def _less(counts: Floats, left: Number) -> Floats:
    """What bets count."""
    return np.asarray(np.maximum(counts - left, 0.0))
