"""What both sides count in ten seconds, for many rollouts at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from k8s.rollout.evidence import BLOCK_SECONDS, Block, Pairs, Side
from tests.benchmarks.rollouts.scenarios import LATENCY_BOUNDS, SCORE_BOUNDS, Floats, World

__all__ = ["LOOK_SECONDS", "PairPool", "Traffic", "season"]

LOOK_SECONDS: Final = 10.0
_DAY: Final = 86_400.0
#: An attacked customer tries once a look, and goes on with this probability.
_GOES_ON: Final = 0.9
_BURST: Final = 4.0
_HOUR_BLOCKS: Final = int(3_600 // BLOCK_SECONDS)
#: Of the scores' buckets: that of transactions under attack, 0.7 to 0.8.
_ATTACK_BUCKET: Final = 12


def season(seconds: Floats) -> Floats:
    """Traffic by the time of day over its mean: 1.67 at noon, a fifth of that at midnight."""
    return np.asarray(1 - 2 / 3 * np.cos(2 * np.pi * seconds / _DAY))


class PairPool:
    """Sums over batches of pairs, drawn once: each look of a shadow stage takes one.

    Parameters
    ----------
    shift, alerts
        Of the challenger's logits, and how many times as often it flags.
    noise
        How far the models differ: the correlation of their logits is 1 / (1 + noise²).
    """

    SIZES: Final = (330, 450, 600, 800, 1_100, 1_600)

    def __init__(
        self, world: World, shift: float, alerts: float, rng: np.random.Generator, noise: float = 0.25
    ) -> None:
        count = 400_000
        common = rng.standard_normal(count)
        logits = [
            world.logit + world.logit_spread * (common + noise * rng.standard_normal(count)) / np.hypot(1, noise)
            for _ in range(2)
        ]
        logits[1] += shift
        scores = [1 / (1 + np.exp(-item)) for item in logits]
        shares = world.alerts, min(world.alerts * alerts, 0.99)
        flags = [item >= np.quantile(item, 1 - share) for item, share in zip(logits, shares, strict=True)]
        buckets = [np.searchsorted(SCORE_BOUNDS, item) for item in scores]
        both, first, second = flags[0] & flags[1], flags[0] & ~flags[1], ~flags[0] & flags[1]
        sums = (scores[0], scores[1], scores[0] ** 2, scores[0] * scores[1], scores[1] ** 2)
        values = np.stack([*(np.asarray(item, dtype=float) for item in (both, first, second)), *sums], axis=1)
        width = len(SCORE_BOUNDS) + 1
        self._batches = []
        for size in self.SIZES:
            rows = rng.integers(0, count, (2_000, size))
            hists = [
                np.stack([np.bincount(buckets[side][row], minlength=width) for row in rows]).cumsum(1)
                for side in (0, 1)
            ]
            self._batches.append((values[rows].sum(1), *(hist.astype(float) for hist in hists)))

    def draw(self, expected: Floats, where: NDArray[np.bool_], rng: np.random.Generator) -> Pairs:
        """Pairs of a look where rollouts are in their shadow stage; nothing elsewhere."""
        kind = np.abs(np.log(np.array(self.SIZES) / np.maximum(expected, 1)[:, None])).argmin(1)
        row = rng.integers(0, 2_000, len(expected))
        parts = [np.stack([batch[part] for batch in self._batches])[kind, row] for part in range(3)]
        sums, champion, challenger = (np.where(where[:, None], part, 0.0) for part in parts)
        return Pairs(
            np.where(where, np.array(self.SIZES, dtype=float)[kind], 0.0),
            *np.moveaxis(sums, -1, 0),
            champion_scores=champion,
            challenger_scores=challenger,
        )


@dataclass
class Traffic:
    """Both sides of many rollouts.

    Parameters
    ----------
    world
        What they meet.
    begun
        Time of day of each start, seconds, float64 [rollouts].
    tastes
        How often customers of a bucket are flagged over the mean, summed over buckets in the order in which they move
        to the challenger, float64 [rollouts, 101].
    """

    world: World
    begun: Floats
    tastes: Floats
    rng: np.random.Generator
    #: Customers under attack, of champion and challenger; and the weight that they were divided by.
    attacked: tuple[Floats, Floats]
    weight: NDArray[np.int64]

    @classmethod
    def begin(cls, world: World, rollouts: int, rng: np.random.Generator) -> Traffic:
        """At random times of the day."""
        spread = world.spread / np.sqrt(world.customers / 100)
        tastes = np.zeros((rollouts, 101))
        tastes[:, 1:] = np.maximum(rng.normal(1, spread, (rollouts, 100)), 0.01).cumsum(1)
        begun = rng.uniform(0, _DAY, rollouts)
        usual = rng.poisson(world.requests_per_second * LOOK_SECONDS * season(begun) * world.alerts * world.attacks)
        return cls(world, begun, tastes, rng, (usual.astype(float), 0.0 * usual), np.full(rollouts, -1))

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Leave out rollouts that have ended."""
        self.begun, self.tastes = self.begun[which], self.tastes[which]
        self.attacked = self.attacked[0][which], self.attacked[1][which]
        self.weight = self.weight[which]

    def history(self, blocks: int) -> Iterator[Block]:
        """What the champion counted before the start: of the last hour with latencies, never with scores."""
        looks, zeros = int(BLOCK_SECONDS // LOOK_SECONDS), np.zeros(len(self.begun))
        nobody = Pairs(zeros, zeros, zeros, zeros)
        everybody = np.full(len(zeros), 100)
        for number in range(-blocks, 0):
            n, errors, degraded, flagged = zeros, zeros, zeros, zeros
            for look in range(number * looks, (number + 1) * looks):
                now = look * LOOK_SECONDS
                size = self.rng.poisson(self.expected(now)).astype(float)
                hour = season(self.begun + now)
                counts = self._counts(0, size, everybody, hour, (zeros + 1, zeros + 1, zeros + 1, zeros + 1, zeros))
                stalled = self._stalled(0, size, everybody)
                n, errors, degraded = n + size + counts[2], errors + counts[0], degraded + counts[1]
                errors, degraded = errors + stalled[0], degraded + stalled[2]
                flagged = flagged + counts[2] + counts[3]
            middle = season(self.begun + number * BLOCK_SECONDS)
            latency = self._latencies(n, middle, zeros + 1) if number >= -_HOUR_BLOCKS else ()
            yield Block(number, 0, 0, Side(n, errors, n, degraded, flagged, latency), Side(*(zeros,) * 5), nobody)

    def expected(self, now: float) -> Floats:
        """Requests of a look."""
        return self.world.requests_per_second * LOOK_SECONDS * season(self.begun + now)

    def look(self, now: float, weight: NDArray[np.int64], harm: tuple[Floats, ...]) -> tuple[Side, Side]:
        """What champion and challenger counted.

        Parameters
        ----------
        now
            Seconds since the start.
        weight
            Per cent, [rollouts]; 0 gives the challenger copies of all that the champion gets.
        harm
            Of the challenger: errors, latency, alerts, degraded, shift, [rollouts] each.
        """
        total = self.rng.poisson(self.expected(now)).astype(float)
        shadow = weight == 0
        self._divide(weight)
        n1 = np.where(shadow, total, self.rng.binomial(total.astype(int), weight / 100))
        n0 = np.where(shadow, total, total - n1)
        hour = season(self.begun + now)
        one = np.ones_like(total)
        return (
            self._side(0, n0, np.where(shadow, 100, 100 - weight), hour, (one, one, one, one, 0 * one)),
            self._side(1, n1, np.where(shadow, 100, weight), hour, harm),
        )

    def _side(self, which: int, n: Floats, weight: NDArray[np.int64], hour: Floats, harm: tuple[Floats, ...]) -> Side:
        world, size = self.world, n.astype(int)
        _, latency, *_, shift = harm
        errors, degraded, attack, calm = self._counts(which, n, weight, hour, harm)
        stalled = self._stalled(which, n, weight)
        logits = np.log(np.array(SCORE_BOUNDS[:-1]) / (1 - np.array(SCORE_BOUNDS[:-1])))
        below = ndtr((logits - world.logit - shift[:, None]) / world.logit_spread)
        scores = self._spread(size, below, len(SCORE_BOUNDS) + 1)
        scores[:, _ATTACK_BUCKET:] += attack[:, None]
        fast = self._latencies(n - stalled[1], hour, latency)
        fast[:, -1] += stalled[1]
        return Side(
            requests=n + attack,
            errors=np.minimum(errors + stalled[0], n),
            predictions=n + attack,
            degraded=np.minimum(degraded + stalled[2], n),
            flagged=calm + attack,
            latency=fast,
            scores=scores,
        )

    def _counts(
        self, which: int, n: Floats, weight: NDArray[np.int64], hour: Floats, harm: tuple[Floats, ...]
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Errors, degraded, flagged under attack, and flagged otherwise."""
        world, rng, size = self.world, self.rng, n.astype(int)
        errors, _, alerts, degraded, _ = harm
        share = world.alerts * (1.15 - 0.15 * hour) * alerts
        calm = rng.binomial(size, np.clip(share * (1 - world.attacks) * self._taste(which, weight), 0, 1)).astype(float)
        attack = self._attacks(which, n * world.alerts * world.attacks * alerts)
        failing = world.errors * errors
        single = rng.binomial(size, np.clip(failing * (1 - world.error_bursts), 0, 1))
        bursts = rng.poisson(rng.poisson(n * failing * world.error_bursts / _BURST) * _BURST)
        less = rng.binomial(size, np.clip(world.degraded * degraded, 0, 1)).astype(float)
        return np.minimum(single + bursts, n), less, attack, calm

    def _latencies(self, n: Floats, hour: Floats, times: Floats) -> Floats:
        """Histograms of answers, so many times as slow as the champion's."""
        middle = np.log(self.world.latency * times) + 0.25 * np.log(hour)
        cells = ndtr((np.log(LATENCY_BOUNDS) - middle[:, None]) / self.world.latency_spread)
        return self._spread(n.astype(int), cells, len(LATENCY_BOUNDS) + 1)

    def _stalled(self, which: int, n: Floats, weight: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """Failed, slow and degraded requests of pods that stalled."""
        world, none = self.world, np.zeros(len(n))
        if not world.stalls_per_hour:
            return none, none, none
        pods = np.full(len(n), world.pods) if which == 0 else np.maximum(np.round(world.pods * weight / 100), 1)
        pods = np.where((self.weight == 0) & (which == 1), 1, pods)
        stalls = self.rng.poisson(pods * world.stalls_per_hour * LOOK_SECONDS / 3_600)
        share = np.minimum(stalls * self.rng.uniform(0.5, 2, len(n)) / LOOK_SECONDS / pods, 1)
        asked = self.rng.binomial(n.astype(int), share).astype(float)
        kind = self.rng.integers(0, 3, len(n))
        return tuple(np.where(kind == item, asked, 0.0) for item in range(3))  # type: ignore[return-value]

    def _taste(self, which: int, weight: NDArray[np.int64]) -> Floats:
        """Mean of the buckets of a side; the first ones are the challenger's."""
        row, sums = np.arange(len(weight)), self.tastes
        mine = sums[row, weight] if which else sums[:, -1] - sums[row, 100 - weight]
        return np.asarray(mine / np.maximum(weight, 1))

    def _divide(self, weight: NDArray[np.int64]) -> None:
        """Customers under attack go to the side that their bucket is on from now on; copies know all of them."""
        moved, had = weight != self.weight, self.attacked
        total = np.where(self.weight > 0, had[0] + had[1], had[0])
        theirs = np.where(weight > 0, self.rng.binomial(total.astype(int), weight / 100), total)
        champions = np.where(weight > 0, total - theirs, total)
        self.attacked = np.where(moved, champions, had[0]), np.where(moved, theirs, had[1])
        self.weight = weight

    def _attacks(self, which: int, expected: Floats) -> Floats:
        """Attempts of customers under attack; each attack goes on at the side of its customer."""
        goes_on = self.rng.binomial(self.attacked[which].astype(int), _GOES_ON)
        begins = self.rng.poisson(expected * (1 - _GOES_ON))
        active = (goes_on + begins).astype(float)
        self.attacked = (active, self.attacked[1]) if which == 0 else (self.attacked[0], active)
        return self.rng.poisson(active).astype(float)

    def _spread(self, size: NDArray[np.int64], below: Floats, width: int) -> Floats:
        """Cumulative counts of a histogram."""
        cells = np.diff(below, axis=1, prepend=0.0)
        rest = np.maximum(1 - cells.sum(1, keepdims=True), 0)
        chances = np.concatenate([cells, rest], axis=1)
        counts = self.rng.multinomial(size, chances / chances.sum(1, keepdims=True))
        padded = np.zeros((len(size), width))
        padded[:, : counts.shape[1]] = counts
        return padded.cumsum(1)
