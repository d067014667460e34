"""The metrics of rollouts."""

from __future__ import annotations

from typing import get_args

from prometheus_client import CollectorRegistry, Gauge

from k8s.rollout.record import Phase, Rollout
from k8s.rollout.verdict import Outcome

__all__ = ["Telemetry"]


class Telemetry:
    """What a rollout is at, as gauges. Verdicts stay when it has ended, so that alerts can tell why.

    Parameters
    ----------
    registry
        Where they belong to.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._weight = Gauge(
            "fraud_rollout_weight", "Per cent of customers that a challenger answers.", registry=registry
        )
        self._gate = Gauge(
            "fraud_rollout_gate", "1 for the verdict that a gate has.", ("gate", "verdict"), registry=registry
        )
        self._step = Gauge("fraud_rollout_step", "Number of the step, from 1 on.", registry=registry)
        self._phase = Gauge("fraud_rollout_phase", "1 for the phase that it is in.", ("phase",), registry=registry)
        self._looked = Gauge(
            "fraud_rollout_look_timestamp_seconds", "When the controller last looked.", registry=registry
        )

    def show(self, rollout: Rollout) -> None:
        """Set all of them."""
        self._weight.set(rollout.weight)
        self._step.set(rollout.step + 1)
        for phase in get_args(Phase):
            self._phase.labels(phase).set(phase == rollout.phase)
        if rollout.looked is not None:
            self._looked.set(rollout.looked.timestamp())
        for verdict in rollout.verdicts:
            for outcome in get_args(Outcome):
                self._gate.labels(verdict.gate, outcome).set(verdict.outcome == outcome)
