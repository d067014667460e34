"""Evidence that tests make: deterministic counts, whose shares are exact."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from k8s.rollout.evidence import Block, Evidence, LabelBlock, Outcomes, Pairs, Side
from k8s.rollout.gates import judge
from k8s.rollout.verdict import GateName, Verdict
from tests.benchmarks.rollouts.scenarios import LATENCY_BOUNDS, SCORE_BOUNDS

__all__ = ["EMPTY", "block", "label_block", "pairs", "side", "verdict"]

EMPTY = Evidence(LATENCY_BOUNDS, SCORE_BOUNDS)


def side(
    requests: float,
    errors: float = 0.001,
    flagged: float = 0.02,
    degraded: float = 0.002,
    latency: float = 0.004,
    shift: float = 0.0,
) -> Side:
    """What a side counts that does what it is expected to."""
    slow = norm.cdf((np.log(LATENCY_BOUNDS) - np.log(latency)) / 0.5)
    logits = np.log(SCORE_BOUNDS[:-1]) - np.log(1 - np.array(SCORE_BOUNDS[:-1]))
    below = [*norm.cdf((logits + 5 - shift) / 1.7), 1.0, 1.0]
    return Side(
        requests,
        requests * errors,
        requests,
        requests * degraded,
        requests * flagged,
        tuple(float(item) for item in np.round(requests * np.array([*slow, 1.0]))),
        tuple(float(item) for item in np.round(requests * np.array(below))),
    )


def block(number: int, champion: Side, challenger: Side, weight: int = 25, step: int = 1) -> Block:
    """A block of a step with traffic."""
    return Block(number, step, weight, champion, challenger)


def pairs(count: float, only_champion: float = 0.003, only_challenger: float = 0.003, ratio: float = 1.0) -> Pairs:
    """Pairs of scores of 0.01 and ``ratio`` times that, of which 2 % are flagged by the champion."""
    first = 0.01
    moments = (first, first * ratio, 4 * first**2, 4 * first**2 * ratio, 4 * (first * ratio) ** 2)
    histogram = side(count).scores
    return Pairs(
        count,
        count * (0.02 - only_champion),
        count * only_champion,
        count * only_challenger,
        *(count * item for item in moments),
        champion_scores=histogram,
        challenger_scores=histogram,
    )


def label_block(number: int, frauds: tuple[float, float, float, float], **more: object) -> LabelBlock:
    """Labelled pairs: frauds flagged by both, the champion alone, the challenger alone, none."""
    both, first, second, none = frauds
    return LabelBlock(
        number,
        0,
        Outcomes(caught=both + first, missed=second + none),
        Outcomes(caught=both + second, missed=first + none),
        pairs=sum(frauds),
        frauds=frauds,
        **more,  # type: ignore[arg-type]
    )


def verdict(evidence: Evidence, gate: GateName) -> Verdict:
    """Of one gate."""
    return next(item for item in judge(evidence) if item.gate == gate)
