"""From evidence to verdicts."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, isfinite, log
from typing import Any

import numpy as np

from k8s.rollout.evidence import Block, Evidence, LabelBlock
from k8s.rollout.gates.alerts import AlertsGate
from k8s.rollout.gates.cost import CostGate
from k8s.rollout.gates.latency import LatencyGate
from k8s.rollout.gates.precision import PrecisionGate
from k8s.rollout.gates.reading import Gate, Reading
from k8s.rollout.gates.recall import RecallGate
from k8s.rollout.gates.score_difference import ScoreDifferenceGate
from k8s.rollout.gates.scores import ScoresGate
from k8s.rollout.gates.shares import ShareGate
from k8s.rollout.margins import Margin, Margins, Rates
from k8s.rollout.verdict import Outcome, Verdict

__all__ = ["calm", "calmed", "judge", "label_gates", "service_gates", "spoken"]


def service_gates(
    margins: Margins, latency_bounds: tuple[float, ...], score_bounds: tuple[float, ...]
) -> tuple[Gate[Block, Any], ...]:
    """Gates that need no labels."""
    return (
        ShareGate("errors", margins.errors),
        LatencyGate(margins.latency, latency_bounds),
        ScoresGate(margins.scores, len(score_bounds) + 1),
        AlertsGate(margins.alerts),
        ShareGate("degraded", margins.degraded),
        ScoreDifferenceGate(margins.score_difference),
    )


def label_gates(margins: Margins) -> tuple[Gate[LabelBlock, Any], ...]:
    """Gates that need labels."""
    return PrecisionGate(margins.precision), RecallGate(margins.recall), CostGate(margins.cost)


def calmed(gates: Iterable[Gate[Block, Any]], states: Iterable[Any], spell: Block, seconds: float) -> Block:
    """A spell, with what came in bursts and is therefore left out of bets (``bursts.py``).

    Parameters
    ----------
    states
        Of the gates, before the block that the spell belongs to.
    spell
        What was counted in a few seconds.
    seconds
        Its length.
    """
    for gate, state in zip(gates, states, strict=True):
        if isinstance(gate, ShareGate | LatencyGate):
            spell = gate.calm(state, spell, seconds)
    return spell


def calm(evidence: Evidence, spell: Block, seconds: float, margins: Margins | None = None) -> Block:
    """The same, for a spell that comes after some evidence, maybe in its last block."""
    gates = service_gates(margins or Margins(), evidence.latency_bounds, evidence.score_bounds)
    gates = tuple(gate for gate in gates if isinstance(gate, ShareGate | LatencyGate))
    blocks = evidence.blocks
    if blocks and (blocks[-1].number, blocks[-1].step) == (spell.number, spell.step):
        blocks = blocks[:-1]
    states = []
    for gate in gates:
        state = gate.begin()
        for block in blocks:
            state = gate.add(state, block)
        states.append(state)
    return calmed(gates, states, spell, seconds)


def judge(evidence: Evidence, margins: Margins | None = None, rates: Rates | None = None) -> tuple[Verdict, ...]:
    """Verdicts of all gates, from all that was seen.

    A pure function of the evidence: how often it was called before changes nothing.
    """
    margins, rates = margins or Margins(), rates or Rates()
    verdicts = []
    for service in service_gates(margins, evidence.latency_bounds, evidence.score_bounds):
        state = service.begin()
        for block in evidence.blocks:
            state = service.add(state, block)
        verdicts.append(spoken(service, margins.of(service.name), service.read(state), rates))
    for labelled in label_gates(margins):
        state = labelled.begin()
        for labels in evidence.labels:
            state = labelled.add(state, labels)
        verdicts.append(spoken(labelled, margins.of(labelled.name), labelled.read(state), rates))
    return tuple(verdicts)


def spoken(gate: Gate[Any, Any], margin: Margin, reading: Reading, rates: Rates) -> Verdict:
    """The verdict of one rollout, in numbers and words."""
    fail_at, pass_at = -log(rates.fail_share(gate.name)), -log(rates.missed)
    fails, passes, samples = (float(item) for item in (reading.fail, reading.passes, reading.samples))
    outcome: Outcome = "fail" if fails >= fail_at else "pass" if passes >= pass_at else "inconclusive"
    needed = None
    if outcome == "inconclusive":
        # Evidence grows in proportion to data, as long as the challenger stays what it is.
        progress = max(fails / fail_at, passes / pass_at)
        needed = float(np.ceil(samples * (1 / progress - 1))) if progress > 0.05 else None
    text = _text(gate, margin, reading, outcome, needed, fail_at if outcome == "fail" else pass_at)
    return Verdict(
        gate=gate.name,
        outcome=outcome,
        estimate=_known(reading.estimate),
        low=_known(reading.low),
        high=_known(reading.high),
        tolerated=margin.tolerated,
        margin=margin.margin,
        unit=gate.wording.unit,
        fail_evidence=fails,
        pass_evidence=passes,
        fail_at=fail_at,
        pass_at=pass_at,
        samples=samples,
        needed=needed,
        counted=gate.wording.counted,
        text=text,
    )


def _known(value: Any) -> float | None:
    return float(value) if isfinite(float(value)) else None


def _text(
    gate: Gate[Any, Any], margin: Margin, reading: Reading, outcome: Outcome, needed: float | None, at: float
) -> str:
    words, samples = gate.wording, f"{float(reading.samples):,.0f} {gate.wording.counted}"
    champion, challenger, estimate = (_known(item) for item in (reading.champion, reading.challenger, reading.estimate))
    if champion is None or challenger is None:
        return f"nothing to compare yet ({samples} of the challenger)"
    seen = f"{words.what}: {challenger:{words.form}} against {champion:{words.form}}"
    if estimate is not None:
        seen += f", {estimate:.3g} {words.unit}"
        low, high = _known(reading.low), _known(reading.high)
        if low is not None and high is not None:
            seen += f" ({low:.3g} to {high:.3g})"
    seen += f", {samples}"
    if outcome == "fail":
        low = _known(reading.low)
        # What turned bad late still looks well on the whole.
        worse = "worse" if low is not None and low > margin.tolerated else "in a part of the rollout worse"
        return (
            f"{seen}: {worse} than the tolerated {margin.tolerated:g}, wrong in one of {exp(at):,.0f} rollouts at most"
        )
    if outcome == "pass":
        return f"{seen}: not as bad as {margin.margin:g}, wrong in one of {exp(at):,.0f} rollouts at most"
    more = f"some {needed:,.0f} more {words.counted} at this pace" if needed is not None else "more data"
    return f"{seen}: neither above {margin.tolerated:g} nor below {margin.margin:g} is shown; {more}"
