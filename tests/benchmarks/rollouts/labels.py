"""Harm that is planned for, against a test with one look: doubled errors, and a fifth of the recall, by labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from k8s.rollout.evidence import Block, LabelBlock, Outcomes, Side, plus
from k8s.rollout.gates import calmed
from k8s.rollout.gates.recall import RecallGate
from k8s.rollout.gates.shares import ShareGate
from k8s.rollout.margins import Margins, Rates
from k8s.rollout.needed import Usual, needed
from k8s.rollout.plan import Plan
from tests.benchmarks.rollouts.scenarios import Floats

__all__ = ["Planned", "planned_errors", "planned_recall"]


@dataclass(frozen=True)
class Planned:
    """When harm of the planned size was found.

    Parameters
    ----------
    fixed, sequential
        What was printed beforehand: samples of a test with one look, and of the gate.
    failed, passed
        Samples of each rollout until either verdict, infinite when it never came, float64 [rollouts].
    evidence
        Against "no worse than tolerated", of the first forty rollouts at each look, float64 [looks, 40].
    """

    fixed: int
    sequential: int
    failed: Floats
    passed: Floats
    evidence: Floats

    def found(self, within: float) -> int:
        """Rollouts that failed within so many samples, and before they passed."""
        return int(((self.failed <= within * self.fixed) & (self.failed <= self.passed)).sum())


def planned_errors(ratio: float, rollouts: int, seed: int, looks: int = 300, usual: Usual | None = None) -> Planned:
    """Errors in the shadow stage, looked at every ten seconds; independent of each other, as the plan assumes.

    Parameters
    ----------
    ratio
        The challenger's share of errors over the champion's.
    """
    usual = usual or Usual()
    (need,) = (item for item in needed(Plan(), usual) if (item.gate, item.weight) == ("errors", 0))
    rng, gate = np.random.default_rng(seed), ShareGate("errors", Margins().errors)
    size = np.full(rollouts, usual.requests_per_second * 10)
    failed, passed = _Times.begin(rollouts), _Times.begin(rollouts)
    state, zeros = gate.begin((rollouts,)), np.zeros(rollouts)
    for number in range(-72, 0):
        errors = rng.binomial((size * 30).astype(int), usual.errors).astype(float)
        state = gate.add(state, Block(number, 0, 0, Side(size * 30, errors), Side(zeros, zeros)))
    opened, evidence = None, []
    for look in range(looks):
        errors = [rng.binomial(size.astype(int), usual.errors * item).astype(float) for item in (1.0, ratio)]
        seen = calmed((gate,), (state,), Block(look // 30, 0, 0, *(Side(size, item) for item in errors)), 10.0)
        opened = seen if opened is None else plus(opened, seen)
        added = gate.add(state, opened)
        reading = gate.read(added)
        evidence.append(reading.fail[:40])
        failed.note(reading.fail >= -np.log(Rates().fail_share("errors")), size * (look + 1))
        passed.note(reading.passes >= -np.log(Rates().missed), size * (look + 1))
        if look % 30 == 29:
            state, opened = added, None
    return Planned(need.fixed, need.sequential, failed.first, passed.first, np.stack(evidence))


def planned_recall(
    loss: float, rollouts: int, seed: int, looks: int = 400, usual: Usual | None = None, unseen: float = 0.0
) -> Planned:
    """Labels of pairs, a few at each look, days after the payments: the delay moves them, and changes nothing else.

    Parameters
    ----------
    loss
        Part of the champion's recall that the challenger loses.
    unseen
        Pairs that the champion blocked and the challenger would have approved, for each labelled fraud.
    """
    usual = usual or Usual()
    (need,) = (item for item in needed(Plan(), usual) if item.gate == "recall")
    rng, gate = np.random.default_rng(seed), RecallGate(Margins().recall)
    alone = usual.disagreement / 2
    both, second = (usual.recall - alone) * (1 - loss), alone * (1 - loss)
    first = usual.recall - both
    chances = [both, first, second, 1 - both - first - second]
    failed, passed = _Times.begin(rollouts), _Times.begin(rollouts)
    state, seen = gate.begin((rollouts,)), np.zeros(rollouts)
    frauds, evidence = np.zeros((rollouts, 4)), []
    for look in range(looks):
        arrived = rng.poisson(2.0, rollouts)
        frauds = frauds + rng.multinomial(arrived, chances)
        seen = seen + arrived
        added = gate.add(state, _labels(look // 30, frauds, unseen))
        reading = gate.read(added)
        evidence.append(reading.fail[:40])
        failed.note(reading.fail >= -np.log(Rates().fail_share("recall")), seen)
        passed.note(reading.passes >= -np.log(Rates().missed), seen)
        if look % 30 == 29:
            state, frauds = added, np.zeros((rollouts, 4))
    return Planned(need.fixed, need.sequential, failed.first, passed.first, np.stack(evidence))


def _labels(number: int, frauds: Floats, unseen: float) -> LabelBlock:
    total, (both, first, second, none) = frauds.sum(1), frauds.T
    return LabelBlock(
        number,
        0,
        Outcomes(caught=both + first, missed=second + none),
        Outcomes(caught=both + second, missed=first + none),
        pairs=np.maximum(total, 1),
        frauds=frauds,
        sampled=np.zeros_like(frauds),
        unseen=total * unseen,
    )


@dataclass
class _Times:
    first: Floats

    @classmethod
    def begin(cls, rollouts: int) -> _Times:
        return cls(np.full(rollouts, np.inf))

    def note(self, reached: NDArray[np.bool_], samples: Floats) -> None:
        self.first = np.where(np.isinf(self.first) & reached, samples, self.first)
