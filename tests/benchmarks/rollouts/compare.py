"""These verdicts and fixed thresholds, on the same traffic of a canary that begins without a shadow stage.

The thresholds are those of a progressive delivery controller that knows no statistics: once a minute it compares the
challenger's last minute with fixed numbers, and rolls back when five checks have failed. They are tuned as nobody could
in practice, on equal challengers in the same traffic, to the same rate of false alarms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from k8s.rollout.evidence import BLOCK_SECONDS, Block, Side, plus
from k8s.rollout.gates import calmed, service_gates
from k8s.rollout.gates.latency import quantile
from k8s.rollout.margins import Margins, Rates
from tests.benchmarks.rollouts.play import no_pairs
from tests.benchmarks.rollouts.scenarios import LATENCY_BOUNDS, SCORE_BOUNDS, Floats, Harm, World
from tests.benchmarks.rollouts.traffic import LOOK_SECONDS, Traffic

__all__ = ["Watched", "thresholds", "watched"]

_CHECKS: Final = 5
_MINUTE: Final = int(60 // LOOK_SECONDS)
_LOOKS: Final = int(BLOCK_SECONDS // LOOK_SECONDS)
_HISTORY: Final = 72


@dataclass(frozen=True)
class Watched:
    """What both ways saw of many canaries.

    Parameters
    ----------
    requests
        Of the challenger, at each minute, float64 [minutes, rollouts].
    worst
        The fifth largest value of each metric so far, float64 [minutes, metrics, rollouts]: errors, p99, alerts, mean
        bucket of the scores.
    failed
        Requests of the challenger when a gate failed first, infinite when none did, float64 [rollouts].
    """

    requests: Floats
    worst: Floats
    failed: Floats

    def by_thresholds(self, limits: Floats) -> Floats:
        """Requests of the challenger when five checks of a metric had failed, infinite when they never had."""
        over = (self.worst > limits[:, None]).any(1)
        first = over.argmax(0)
        return np.where(over.any(0), self.requests[first, np.arange(over.shape[1])], np.inf)


def thresholds(equal: Watched, false_alarm: float) -> Floats:
    """Limits of the metrics, float64 [metrics], that roll back so large a share of equal challengers."""
    at_end = equal.worst[-1]
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        limits = np.quantile(at_end, 1 - share, axis=1)
        rate = (at_end > limits[:, None]).any(0).mean()
        low, high = (low, share) if rate > false_alarm else (share, high)
    return np.quantile(at_end, 1 - low, axis=1)


def watched(harm: Harm, weight: int, world: World, rollouts: int, seed: int, seconds: float) -> Watched:
    """Canaries at one weight, watched by both, for as long as that.

    Parameters
    ----------
    weight
        Per cent of customers.
    seconds
        Whoever fails earlier is watched on, for the other's sake.
    """
    rng = np.random.default_rng(seed)
    traffic = Traffic.begin(world, rollouts, rng)
    gates = service_gates(Margins(), LATENCY_BOUNDS, SCORE_BOUNDS)
    states: tuple[Any, ...] = tuple(gate.begin((rollouts,)) for gate in gates)
    for past in traffic.history(_HISTORY):
        states = tuple(gate.add(state, past) for gate, state in zip(gates, states, strict=True))
    weights, shares = np.full(rollouts, weight), harm.part(np.ones(rollouts))
    requests, failed = np.zeros(rollouts), np.full(rollouts, np.inf)
    opened: Block | None = None
    minute: Side | None = None
    top = np.full((_CHECKS, 4, rollouts), -np.inf)
    seen: list[tuple[Floats, Floats]] = []
    for look in range(int(seconds // LOOK_SECONDS)):
        champion, challenger = traffic.look(look * LOOK_SECONDS, weights, shares)
        requests = requests + challenger.requests
        block = Block(look // _LOOKS, 1, weight, champion, challenger, no_pairs(rollouts))
        block = calmed(gates, states, block, LOOK_SECONDS)
        opened = block if opened is None else plus(opened, block)
        added = tuple(gate.add(state, opened) for gate, state in zip(gates, states, strict=True))
        beyond = [
            gate.read(state).fail >= -np.log(Rates().fail_share(gate.name))
            for gate, state in zip(gates, added, strict=True)
        ]
        failed = np.where(np.isinf(failed) & np.any(beyond, axis=0), requests, failed)
        if look % _LOOKS == _LOOKS - 1:
            states, opened = added, None
        minute = challenger if minute is None else plus(minute, challenger)
        if look % _MINUTE == _MINUTE - 1:
            top = np.sort(np.concatenate([top, _metrics(minute)[None]]), axis=0)[1:]
            seen.append((requests, top[0]))
            minute = None
    return Watched(np.stack([item[0] for item in seen]), np.stack([item[1] for item in seen]), failed)


def _metrics(side: Side) -> Floats:
    """Of one minute, float64 [4, rollouts]; what nobody asked for is no failure, which is kinder than most."""
    n = np.asarray(side.requests)
    there: NDArray[np.bool_] = n > 0
    size = np.where(there, n, 1.0)
    scores = np.diff(np.asarray(side.scores), axis=1, prepend=0.0)
    p99 = quantile(np.asarray(side.latency), np.array(LATENCY_BOUNDS), 0.99)
    mean = (scores * np.arange(scores.shape[1])).sum(1) / size
    values = np.stack([side.errors / size, np.nan_to_num(p99), side.flagged / size, mean])
    return np.where(there, values, -np.inf)
