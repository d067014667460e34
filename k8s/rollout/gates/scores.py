"""Gate of the distribution of scores, by the population stability index (PSI)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from k8s.rollout.evidence import Block, Number, Numbers
from k8s.rollout.gates.betting import FIRST, Flags, Floats
from k8s.rollout.gates.dispersion import Dispersion, begin_dispersion, inflation, observed
from k8s.rollout.gates.gaussian import interval, normal_worth
from k8s.rollout.gates.reading import Reading, Wording
from k8s.rollout.margins import Margin

__all__ = ["ScoresGate", "ScoresState", "stability"]

#: Predictions of either side from which the index is near enough to normal.
_ENOUGH: Final = 500.0
#: Blocks of a window.
_WINDOW: Final = 12
_SHARES: Final = np.array([0.3, 0.4, 0.3])
_WORDING: Final = Wording("PSI", "predictions", "mean bucket of the scores", ".2f")


@dataclass(frozen=True, slots=True)
class ScoresState:
    """Histograms, not cumulative: of the whole rollout, of the present window, and of what proves a pass.

    Parameters
    ----------
    whole, recent, proof
        float64 [..., 3, buckets]: the challenger's, the champion's by the challenger's traffic, and the sum of that
        one's squared weights.
    live
        Whether customers were answered, with which the proof begins anew.
    windows, step, begun
        Windows so far; step and number of the first block of the present one.
    """

    whole: Floats
    recent: Floats
    proof: Floats
    live: Flags
    windows: Floats
    step: Floats
    begun: Floats
    dispersion: tuple[Dispersion, Dispersion]


def stability(sums: Floats, phi: Number) -> tuple[Floats, Floats, Floats]:
    """PSI, what it would be on average by chance alone, and its variance by the delta method.

    PSI = Σ (p₁ − p₀) ln(p₁ / p₀), over buckets, with half a count added to each.

    Parameters
    ----------
    sums
        See :class:`ScoresState`.
    phi
        Variance inflation.
    """
    buckets = sums.shape[-1]
    challenger, champion, squares = np.moveaxis(sums, -2, 0)
    n1, n0 = challenger.sum(-1), champion.sum(-1)
    p1 = (challenger + 0.5) / (n1 + buckets / 2)[..., None]
    p0 = (champion + 0.5) / (n0 + buckets / 2)[..., None]
    logs = np.log(p1 / p0)
    index = ((p1 - p0) * logs).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = n1, n0**2 / squares.sum(-1)
        parts = (p1, logs + 1 - p0 / p1), (p0, -logs + 1 - p1 / p0)
        variance = sum(
            ((p * slope**2).sum(-1) - (p * slope).sum(-1) ** 2) / size
            for (p, slope), size in zip(parts, sizes, strict=True)
        )
        bias = (buckets - 1) * (1 / sizes[0] + 1 / sizes[1]) * phi
        # Near equality the slopes vanish and the index is a sum of squares; it then varies as these do.
        return index, bias, np.asarray(variance * phi + 2 * bias**2 / (buckets - 1))


def _known(sums: Floats, phi: Number) -> tuple[Floats, Floats, Floats]:
    """The same, with an infinite variance until there is enough data."""
    index, bias, variance = stability(sums, phi)
    enough = (sums[..., :2, :].sum(-1) >= _ENOUGH).all(-1)
    return index, bias, np.where(enough, variance, np.inf)


@dataclass(frozen=True)
class ScoresGate:
    """Fails a challenger whose PSI against the champion is above ``tolerated``.

    The champion's scores are weighted block by block by the challenger's traffic (direct standardisation), so that a
    weight that grew by night does not look like a shift. Most of the capital bets on the whole rollout. The rest
    is for challengers that turn later: the n-th window, an hour or the beginning of a step, gets 1 / n(n + 1) of it.
    Pairs of the shadow stage count as two samples, which is on the safe side.
    """

    margin: Margin
    buckets: int
    name: Literal["scores"] = "scores"
    wording: Wording = _WORDING

    def begin(self, shape: tuple[int, ...] = ()) -> ScoresState:
        """Nothing was seen."""
        sums, dispersion = np.zeros((*shape, 3, self.buckets)), begin_dispersion(self.buckets, shape)
        none = np.full(shape, -np.inf)
        return ScoresState(
            sums, sums, sums, np.zeros(shape, dtype=bool), np.zeros(shape), none, none, (dispersion, dispersion)
        )

    def add(self, state: ScoresState, block: Block) -> ScoresState:
        """After a block."""
        paired = np.asarray(block.pairs.pairs, dtype=float) > 0
        h0 = self._counts(block.pairs.champion_scores, block.champion.scores, paired)
        h1 = self._counts(block.pairs.challenger_scores, block.challenger.scores, paired)
        n0, n1 = h0.sum(-1), h1.sum(-1)
        compared = (n0 > 0) & (n1 > 0)
        scale = np.where(compared, n1 / np.where(compared, n0, 1.0), 0.0)[..., None]
        fresh = np.stack([np.where(compared[..., None], h1, 0.0), h0 * scale, h0 * scale**2], axis=-2)
        same = (np.asarray(block.step) == state.step) & (block.number - state.begun < _WINDOW)
        live = np.asarray(block.weight) > 0
        anew = live & ~state.live
        return ScoresState(
            state.whole + fresh,
            np.where(same[..., None, None], state.recent, 0.0) + fresh,
            np.where(anew[..., None, None], 0.0, state.proof) + fresh,
            state.live | live,
            state.windows + ~same,
            np.where(same, state.step, block.step),
            np.where(same, state.begun, block.number),
            (
                observed(state.dispersion[0], h0, n0),
                observed(state.dispersion[1], np.where(paired[..., None], 0.0, h1), np.where(paired, 0.0, n1)),
            ),
        )

    def read(self, state: ScoresState) -> Reading:
        """The numbers so far."""
        phi, margin = inflation(*state.dispersion), self.margin
        others = np.array([margin.margin, margin.harm, 2 * margin.harm])
        fails = []
        for sums in (state.whole, state.recent):
            index, bias, variance = _known(sums, phi)
            fails.append(normal_worth(index - bias, variance, margin.tolerated, others, _SHARES))
        index, _, variance = _known(state.proof, phi)
        good = normal_worth(index, variance, margin.margin, margin.margin * np.array([0.5, 0.25, 0.0]), _SHARES)
        windows = np.maximum(state.windows, 1)
        fail = np.logaddexp(fails[0] + np.log(FIRST), fails[1] + np.log((1 - FIRST) / (windows * (windows + 1))))
        index, bias, variance = stability(state.whole, phi)
        low, high = interval(np.maximum(index - bias, 0), variance, margin.harm)
        n1, n0 = (state.whole[..., side, :].sum(-1) for side in (0, 1))
        known = (n1 > 0) & (n0 > 0)
        order = np.arange(self.buckets)
        with np.errstate(divide="ignore", invalid="ignore"):
            middle = [(state.whole[..., side, :] * order).sum(-1) / size for side, size in ((1, n0), (0, n1))]
        estimate = np.where(known, np.maximum(index - bias, 0), np.nan)
        return Reading(fail, good, estimate, np.maximum(low, 0), high, middle[0], middle[1], n1)

    def _counts(self, pairs: Numbers, side: Numbers, paired: Flags) -> Floats:
        empty = np.zeros((*np.shape(paired), self.buckets))
        own, of_pairs = (np.asarray(item, dtype=float) if len(item) else empty for item in (side, pairs))
        cumulative = np.where(paired[..., None], of_pairs, own)
        return np.diff(cumulative, axis=-1, prepend=0.0)
