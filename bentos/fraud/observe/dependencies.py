"""What ``/health`` says of the things that the service needs, as metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.core.answers import Health

__all__ = ["DependencyCollector"]

_LABELS: Final = ("dependency", "model_name", "model_version", "role")


class DependencyCollector(Collector):
    """States of dependencies, as the worker that is scraped sees them.

    Parameters
    ----------
    health
        Asks for them; called in the scrape's thread.
    role
        Value of the label.
    """

    def __init__(self, health: Callable[[], Health], role: str) -> None:
        self._health = health
        self._role = role

    def collect(self) -> Iterator[Metric]:
        """The metric."""
        found = self._health()
        up = GaugeMetricFamily(
            "fraud_dependency_up", "1 when something that the service needs works, 0 when it fails.", labels=_LABELS
        )
        for name, state in found.dependencies.items():
            up.add_metric((name, found.model.name, found.model.version, self._role), float(state.status == "ok"))
        yield up
