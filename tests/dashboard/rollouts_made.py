"""A rollout as the controller keeps it in the middle of its way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from k8s.rollout.plan import Plan
from k8s.rollout.record import SCHEMA_VERSION, Change, GateReading, Look, ModelRef, Rollout
from k8s.rollout.verdict import Verdict

__all__ = ["BEGAN", "made_rollout"]

BEGAN = datetime(2026, 5, 30, 8, tzinfo=UTC)
VERDICTS = (
    Verdict("errors", "pass", 1.0, 0.7, 1.4, 1.1, 2.0, "ratio", -2.0, 6.1, 5.0, 5.3, 4200, None, "requests", "fine"),
    Verdict(
        "alerts", "inconclusive", 1.2, 0.9, 1.6, 1.05, 1.4, "ratio", 1.0, 0.4, 5.0, 5.3, 4200, 9000, "requests", "?"
    ),
)


def _earlier(verdict: Verdict, looks: int) -> Verdict:
    """What it said some looks before: nothing decided, and a wider interval; nothing at all two looks before."""
    if looks == 0 or verdict.low is None or verdict.high is None:
        return verdict
    if looks == 2:
        return replace(verdict, outcome="inconclusive", estimate=None, low=None, high=None, samples=0.0)
    return replace(verdict, outcome="inconclusive", low=verdict.low / 2, high=verdict.high * 2, samples=900.0)


def made_rollout(**changes: Any) -> Rollout:
    """The rollout sunny-otter of the release fraud, in its third step; changes are of its fields."""
    looks = tuple(
        Look(
            at=BEGAN + timedelta(minutes=minute),
            step=1,
            weight=1,
            action="hold",
            reason="too little data",
            gates=tuple(GateReading.of(_earlier(verdict, 2 - minute)) for verdict in VERDICTS),
        )
        for minute in range(3)
    )
    known: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": "sunny-otter",
        "release": "fraud",
        "champion": ModelRef(version="7"),
        "challenger": ModelRef(version="8"),
        "plan": Plan(),
        "step": 2,
        "weight": 5,
        "stage": "canary",
        "began": BEGAN,
        "requests": 4200,
        "reason": "alerts: too little data for <b>a verdict</b>",
        "changes": (Change(at=BEGAN, phase="running", step=2, weight=5, reason="passed", revision=12),),
        "looks": looks,
        "verdicts": VERDICTS,
        **changes,
    }
    return Rollout(**known)
