"""Challengers, and the traffic that they meet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATENCY_BOUNDS", "SCENARIOS", "SCORE_BOUNDS", "Harm", "Scenario", "World"]

Floats = NDArray[np.float64]

#: The service's own buckets (bentos/fraud/metrics.py), which a test compares.
LATENCY_BOUNDS: Final = (
    *(0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1),
    *(0.15, 0.25, 0.5, 1.0, 2.5),
)
SCORE_BOUNDS: Final = (*(0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),)


@dataclass(frozen=True)
class World:
    """Traffic of a day, the same for both sides.

    Parameters
    ----------
    requests_per_second
        Mean over the day; nights have a fifth of noon's.
    errors, degraded
        Shares of requests and of predictions.
    error_bursts
        Share of the errors that come as failures of some seconds, several at once.
    alerts
        Share of transactions that the champion flags, mean over the day; higher by night.
    attacks
        Share of the alerts that come from customers under attack, who try every ten seconds for a minute and a half.
    customers, spread
        Active customers, and the coefficient of variation of their own shares of alerts: customers stay on one side,
        so this difference between sides does not vanish with time.
    latency
        Median, seconds; busy hours are slower.
    latency_spread
        Standard deviation of its logarithm.
    stalls_per_hour
        Of each pod, for half a second to two: all that it is asked meanwhile is slow, or degraded, or fails.
    pods
        Of the champion. The challenger has its share of as many, at least one, and one in shadow.
    """

    requests_per_second: float = 100.0
    errors: float = 0.001
    error_bursts: float = 0.2
    degraded: float = 0.002
    alerts: float = 0.02
    attacks: float = 0.2
    customers: int = 50_000
    spread: float = 1.5
    latency: float = 0.004
    latency_spread: float = 0.55
    stalls_per_hour: float = 0.0
    pods: int = 3
    logit: float = -5.0
    logit_spread: float = 1.7


@dataclass(frozen=True)
class Harm:
    """What is different of a challenger: multiples of the champion's, and a shift of the logit of its scores."""

    errors: float = 1.0
    latency: float = 1.0
    alerts: float = 1.0
    degraded: float = 1.0
    shift: float = 0.0

    def part(self, share: Floats) -> tuple[Floats, ...]:
        """Errors, latency, alerts, degraded, shift when only a share of the harm has come yet, float64 [rollouts]."""
        whole = np.array([self.errors, self.latency, self.alerts, self.degraded])
        return (*(whole[:, None] ** share), self.shift * share)


@dataclass(frozen=True)
class Scenario:
    """A challenger.

    Parameters
    ----------
    name
        In tables.
    harm
        Once it is complete.
    live_only
        Whether copies in the shadow stage do not show it.
    late_seconds
        It begins so long after the first step with traffic, at a random time up to twice that.
    drift_seconds
        Over which it grows.
    good
        Whether it should be promoted.
    world
        Its traffic.
    """

    name: str
    harm: Harm
    live_only: bool = False
    late_seconds: float = 0.0
    drift_seconds: float = 0.0
    good: bool = False
    world: World = field(default_factory=World)


_DOUBLED_LATENCY: Final = Scenario("p99 doubled", Harm(latency=2.0))
SCENARIOS: Final = (
    Scenario("equal", Harm(), good=True),
    Scenario("equal, a stall a pod and hour", Harm(), good=True, world=World(stalls_per_hour=1.0)),
    Scenario("equal, six stalls a pod and hour", Harm(), good=True, world=World(stalls_per_hour=6.0)),
    Scenario("better", Harm(errors=0.5, latency=0.8, degraded=0.5), good=True),
    Scenario("errors × 10", Harm(errors=10.0)),
    Scenario("errors × 10, a stall a pod and hour", Harm(errors=10.0), world=World(stalls_per_hour=1.0)),
    Scenario("errors × 2", Harm(errors=2.0)),
    _DOUBLED_LATENCY,
    Scenario("alerts × 1.5", Harm(alerts=1.5)),
    Scenario("scores shifted", Harm(shift=1.0)),
    Scenario("errors × 10, live only", Harm(errors=10.0), live_only=True),
    Scenario("alerts × 1.5, live only", Harm(alerts=1.5), live_only=True),
    replace(_DOUBLED_LATENCY, name="p99 doubled, late", live_only=True, late_seconds=1_800),
    Scenario("errors × 10, late", Harm(errors=10.0), live_only=True, late_seconds=1_800),
    Scenario("alerts drift to × 2 in 2 h", Harm(alerts=2.0), live_only=True, drift_seconds=7_200),
)
