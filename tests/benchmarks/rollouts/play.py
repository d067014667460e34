"""Many rollouts at once, looked at every ten seconds, judged and decided by the controller's own code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from k8s.rollout.decide import decide
from k8s.rollout.evidence import BLOCK_SECONDS, Block, Pairs, Side, plus
from k8s.rollout.gates import calmed, service_gates
from k8s.rollout.plan import Plan
from k8s.rollout.verdict import Outcome, Verdict
from tests.benchmarks.rollouts.scenarios import LATENCY_BOUNDS, SCORE_BOUNDS, Floats, Harm, Scenario, World
from tests.benchmarks.rollouts.traffic import LOOK_SECONDS, PairPool, Traffic

__all__ = ["Played", "kept", "no_pairs", "play"]

#: Blocks of the champion before the start.
_HISTORY: Final = 72
_LOOKS: Final = int(BLOCK_SECONDS // LOOK_SECONDS)
#: What happens to each challenger.
PROMOTED, ROLLED_BACK, OPEN = 1, 2, 0


@dataclass(frozen=True)
class Played:
    """How rollouts ended, arrays [rollouts].

    Parameters
    ----------
    ended
        1 promoted, 2 rolled back, 0 still open when the simulation ended.
    seconds
        From the start.
    answered, copied
        Requests of the challenger: answered to customers, and copies in shadow.
    harmed
        Expected answers to customers that were worse than the champion's: failed, flagged otherwise, or slower than
        its p99 beyond the usual.
    gate
        Name of the first gate that failed; empty when none did.
    """

    scenario: Scenario
    ended: NDArray[np.int64]
    seconds: Floats
    answered: Floats
    copied: Floats
    harmed: Floats
    gate: NDArray[np.str_]

    @property
    def rolled_back(self) -> NDArray[np.bool_]:
        """Rollouts that were."""
        return self.ended == ROLLED_BACK

    @property
    def promoted(self) -> NDArray[np.bool_]:
        """Rollouts that were."""
        return self.ended == PROMOTED


def kept(part: Any, which: NDArray[np.bool_]) -> Any:
    """The rows of some rollouts, of states and evidence."""
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{item.name: kept(getattr(part, item.name), which) for item in fields(part)})
    if isinstance(part, tuple):
        return tuple(kept(item, which) for item in part)
    return part[which] if isinstance(part, np.ndarray) and part.ndim else part


Watcher = Callable[[float, NDArray[np.int64], Side, Side, NDArray[np.int64]], None]


def play(
    scenario: Scenario,
    plan: Plan,
    world: World,
    rollouts: int,
    seed: int,
    longest_seconds: float,
    watch: Watcher | None = None,
) -> Played:
    """Play rollouts to their ends.

    Parameters
    ----------
    longest_seconds
        When the simulation ends.
    watch
        Is shown every look of every rollout that goes on: seconds, weights, both sides and which rollouts.
    """
    rng = np.random.default_rng(seed)
    game = _Game(scenario, plan, world, rollouts, rng)
    for look in range(int(longest_seconds // LOOK_SECONDS)):
        game.look(look, watch)
        if not len(game.which):
            break
    return game.result()


class _Game:
    def __init__(self, scenario: Scenario, plan: Plan, world: World, rollouts: int, rng: np.random.Generator) -> None:
        self.scenario, self.plan, self.world, self.rng = scenario, plan, world, rng
        self.traffic = Traffic.begin(world, rollouts, rng)
        self.gates = service_gates(plan.margins, LATENCY_BOUNDS, SCORE_BOUNDS)
        self.states: tuple[Any, ...] = tuple(gate.begin((rollouts,)) for gate in self.gates)
        for past in self.traffic.history(_HISTORY):
            self.states = tuple(gate.add(state, past) for gate, state in zip(self.gates, self.states, strict=True))
        self.open: Block | None = None
        self.which = np.arange(rollouts)
        self.step = np.zeros(rollouts, dtype=int)
        self.since, self.requests = np.zeros(rollouts), np.zeros(rollouts)
        self.live = np.full(rollouts, np.inf)
        self.late = scenario.late_seconds * rng.uniform(0, 2, rollouts)
        self.fail_at = [-np.log(plan.rates.fail_share(gate.name)) for gate in self.gates]
        self.pass_at = -np.log(plan.rates.missed)
        self.weights = np.array([step.weight for step in plan.steps])
        shown = Harm() if scenario.live_only else scenario.harm
        self.pool = PairPool(world, shown.shift, shown.alerts, rng) if self.weights[0] == 0 else None
        self.all = Played(
            scenario,
            np.zeros(rollouts, dtype=int),
            np.zeros(rollouts),
            np.zeros(rollouts),
            np.zeros(rollouts),
            np.zeros(rollouts),
            np.full(rollouts, "", dtype="<U20"),
        )

    def look(self, number: int, watch: Watcher | None) -> None:
        now, weight = number * LOOK_SECONDS, self.weights[self.step]
        self.live = np.where((weight > 0) & np.isinf(self.live), now, self.live)
        harm = self._harm(now)
        champion, challenger = self.traffic.look(now, weight, harm)
        if watch:
            watch(now, weight, champion, challenger, self.which)
        self._count(now, weight, challenger, harm)
        seen = Block(
            number // _LOOKS,
            self.step,  # type: ignore[arg-type]
            weight,  # type: ignore[arg-type]
            champion,
            challenger,
            self.pool.draw(self.traffic.expected(now), weight == 0, self.rng) if self.pool else no_pairs(len(weight)),
        )
        seen = calmed(self.gates, self.states, seen, LOOK_SECONDS)
        self.open = seen if self.open is None else plus(self.open, seen)
        added = tuple(gate.add(state, self.open) for gate, state in zip(self.gates, self.states, strict=True))
        readings = [gate.read(state) for gate, state in zip(self.gates, added, strict=True)]
        outcomes = np.stack(
            [
                np.where(item.fail >= fail_at, 2, np.where(item.passes >= self.pass_at, 1, 0))
                for item, fail_at in zip(readings, self.fail_at, strict=True)
            ]
        )
        if number % _LOOKS == _LOOKS - 1:
            self.states, self.open = added, None
            self._decide(now + LOOK_SECONDS, outcomes)
        else:
            self._end((outcomes == 2).any(0), ROLLED_BACK, outcomes)

    def _harm(self, now: float) -> tuple[Floats, ...]:
        scenario, count = self.scenario, len(self.which)
        started = np.zeros(count)
        if scenario.live_only:
            started = self.live + self.late
        share = (now >= started).astype(float)
        if scenario.drift_seconds:
            with np.errstate(invalid="ignore"):
                share = np.where(share > 0, np.clip((now - started) / scenario.drift_seconds, 0, 1), 0.0)
        return scenario.harm.part(share)

    def _count(self, now: float, weight: NDArray[np.int64], challenger: Side, harm: tuple[Floats, ...]) -> None:
        requests, answers = np.asarray(challenger.requests), np.where(weight > 0, challenger.requests, 0.0)
        errors, latency, alerts, *_ = harm
        worse = self.world.errors * np.maximum(errors - 1, 0) + self.world.alerts * np.abs(alerts - 1)
        worse = worse + np.where(latency > 1.01, 0.02, 0.0)
        self.requests = self.requests + requests
        self.all.answered[self.which] += answers
        self.all.copied[self.which] += requests - answers
        self.all.harmed[self.which] += answers * worse
        self.all.seconds[self.which] = now + LOOK_SECONDS

    def _decide(self, now: float, outcomes: NDArray[np.int64]) -> None:
        back, on, promoted = (np.zeros(len(self.which), dtype=bool) for _ in range(3))
        for row, step in enumerate(self.step):
            verdicts = [_verdict(gate, outcome) for gate, outcome in zip(self.gates, outcomes[:, row], strict=True)]
            found = decide(self.plan, int(step), now - self.since[row], float(self.requests[row]), verdicts)
            back[row], on[row] = found.action == "roll_back", found.action == "advance"
            promoted[row] = found.action == "promote"
        self.step = self.step + on
        self.since = np.where(on, now, self.since)
        self.requests = np.where(on, 0.0, self.requests)
        self.all.ended[self.which[promoted]] = PROMOTED
        self._end(back, ROLLED_BACK, outcomes, also=promoted)

    def _end(
        self, ended: NDArray[np.bool_], how: int, outcomes: NDArray[np.int64], also: NDArray[np.bool_] | None = None
    ) -> None:
        names = np.array([gate.name for gate in self.gates])
        self.all.ended[self.which[ended]] = how
        failed = (outcomes == 2).any(0) & ended
        self.all.gate[self.which[failed]] = names[(outcomes == 2).argmax(0)[failed]]
        going = ~ended if also is None else ~(ended | also)
        if going.all():
            return
        self.traffic.keep(going)
        self.states, self.open = kept(self.states, going), kept(self.open, going)
        for name in ("which", "step", "since", "requests", "live", "late"):
            setattr(self, name, getattr(self, name)[going])

    def result(self) -> Played:
        return self.all


def no_pairs(rollouts: int) -> Pairs:
    """Outside of the shadow stage."""
    empty = np.zeros((rollouts, len(SCORE_BOUNDS) + 1))
    zeros = np.zeros(rollouts)
    return Pairs(*(zeros,) * 9, champion_scores=empty, challenger_scores=empty)


_OUTCOMES: Final[tuple[Outcome, ...]] = ("inconclusive", "pass", "fail")


def _verdict(gate: Any, outcome: int) -> Verdict:
    return Verdict(gate.name, _OUTCOMES[outcome], *(None,) * 3, 0.0, 0.0, "", *(0.0,) * 5, None, "", "")
