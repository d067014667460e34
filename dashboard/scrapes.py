"""What the service's metrics say: one scrape, and what happened between two. Knows nothing of Streamlit."""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from bentos.core.answers import Decision
from dashboard.service import Service
from dashboard.style import DECISIONS

__all__ = ["Scrape", "Span", "Trail", "quantile", "read_scrape"]

#: A sample: its name and its labels, sorted.
Key = tuple[str, tuple[tuple[str, str], ...]]

_KEPT: Final = 1440


@dataclass(frozen=True)
class Scrape:
    """The metrics at one moment.

    Parameters
    ----------
    time
        When they were read, UTC.
    values
        Every sample.
    """

    time: datetime
    values: Mapping[Key, float]


def read_scrape(text: str, time: datetime) -> Scrape:
    """Read Prometheus' text format."""
    values = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Scrape(time, values)


class Span:
    """What happened between two scrapes; a server that began anew in between has begun at 0.

    Parameters
    ----------
    first, last
        Scrapes of one service; without a first the span begins when the server did, and has no length.
    """

    def __init__(self, first: Scrape | None, last: Scrape) -> None:
        self._first, self._last = first, last
        #: Its length; 0 when it is not known.
        self.seconds = (last.time - first.time).total_seconds() if first else 0.0

    def total(self, name: str, **labels: str) -> float:
        """By how much a counter grew, over all series that have these labels."""
        return sum(change for found, change in self._changes(name) if labels.items() <= found.items())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """By how much a counter grew, by the values of a label."""
        totals: dict[str, float] = defaultdict(float)
        for found, change in self._changes(name):
            if labels.items() <= found.items():
                totals[found.get(label, "")] += change
        return dict(totals)

    def decisions(self, **labels: str) -> dict[Decision, float]:
        """Predictions by what was decided."""
        found = self.by("fraud_predictions_total", "decision", **labels)
        return {decision: found.get(decision, 0.0) for decision in DECISIONS}

    def latency(self, share: float, **labels: str) -> float | None:
        """A quantile of the time of an answer, in seconds; None when there was none."""
        buckets = {
            float(bound): count
            for bound, count in self.by("fraud_prediction_latency_seconds_bucket", "le", **labels).items()
        }
        return quantile(buckets, share)

    def gauge(self, name: str, **labels: str) -> float | None:
        """A gauge at the end of the span, the highest of several; None when there is none."""
        found = [
            value
            for (key, its), value in self._last.values.items()
            if key == name and labels.items() <= dict(its).items() and not math.isnan(value)
        ]
        return max(found) if found else None

    def level(self, name: str, **labels: str) -> float:
        """Gauges at the end of the span, added up over all series that have these labels."""
        return sum(
            value
            for (key, its), value in self._last.values.items()
            if key == name and labels.items() <= dict(its).items() and not math.isnan(value)
        )

    def models(self) -> list[tuple[str, str]]:
        """Role and version of each model that counted something at any time, champion first."""
        found = {
            (dict(labels)["role"], dict(labels)["model_version"])
            for (name, labels) in self._last.values
            if name == "fraud_predictions_total" and "role" in dict(labels)
        }
        return sorted(found)

    def _changes(self, name: str) -> list[tuple[dict[str, str], float]]:
        before = self._first.values if self._first else {}
        result = []
        for (key, labels), value in self._last.values.items():
            if key == name:
                earlier = before.get((key, labels), 0.0)
                result.append((dict(labels), value - earlier if value >= earlier else value))
        return result


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """A quantile of a histogram, as Prometheus' ``histogram_quantile`` estimates it.

    Parameters
    ----------
    buckets
        Upper bound to the count of all that lie at or under it.
    share
        From 0 to 1.

    Returns
    -------
    float or None
        Within its bucket by linear interpolation; the highest finite bound when it lies above; None when nothing was
        counted.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank, low, below = share * total, 0.0, 0.0
    for bound in bounds[:-1]:
        if buckets[bound] >= rank:
            within = buckets[bound] - below
            return low + (bound - low) * ((rank - below) / within if within else 1.0)
        low, below = bound, buckets[bound]
    return low


class Trail:
    """The latest scrapes of one service. Sessions share it, so that many viewers cost the service no more than one.

    Parameters
    ----------
    service
        To be scraped.
    pause_seconds
        Between two scrapes at least.
    """

    def __init__(self, service: Service, pause_seconds: float) -> None:
        self._service = service
        self._pause_seconds = pause_seconds
        self._scrapes: deque[Scrape] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()

    def scrapes(self) -> list[Scrape]:
        """All that are kept, the oldest first, with a new one when the last is old enough.

        Raises
        ------
        FraudError
            When the service does not answer.
        """
        # Who comes while another scrapes takes what there is, unless there is nothing.
        if self._lock.acquire(blocking=not self._scrapes):
            try:
                now = datetime.now(UTC)
                if not self._scrapes or (now - self._scrapes[-1].time).total_seconds() >= self._pause_seconds:
                    self._scrapes.append(read_scrape(self._service.metrics(), now))
            finally:
                self._lock.release()
        return list(self._scrapes)
