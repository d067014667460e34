"""Counters of a release from Prometheus' HTTP interface.

Whatever Prometheus does not know is no evidence: it may be away, have lost its past, or not see the pods yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from bentos.core.errors import Unavailable
from k8s.rollout.counters import Series, Snapshot

__all__ = ["COUNTERS", "GAUGES", "Labels", "Prometheus"]

#: What is counted, by the names that Prometheus keeps.
COUNTERS: Final = (
    "fraud_requests_total",
    "fraud_predictions_total",
    "fraud_degraded_predictions_total",
    "fraud_prediction_latency_seconds_bucket",
    "fraud_score_bucket",
    "fraud_shadow_pairs_total",
    "fraud_shadow_decisions_total",
    "fraud_shadow_dropped_total",
    "fraud_shadow_score_bucket",
    "fraud_shadow_score_sum",
    "fraud_shadow_score_products_total",
)
#: Labelled pairs of a window, told by every server alike.
GAUGES: Final = tuple(f"fraud_shadow_labelled_{name}" for name in ("pairs", "weight", "amount", "amount_squared"))
_SECONDS: Final = 10.0
_SKEW_SECONDS: Final = 30.0

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that scrapes a release.

    Parameters
    ----------
    url
        Without a path of its interface.
    namespace, release
        Labels that its scrape adds.
    """

    url: str
    namespace: str
    release: str

    def counters(self, started: Mapping[str, float]) -> Snapshot:
        """All counters now, by the clock of Prometheus.

        Parameters
        ----------
        started
            When processes began, by instance.

        Raises
        ------
        Unavailable
            Prometheus does not answer, or not as it should.
        """
        read = self._ask("query", query=self._selector(COUNTERS))
        seconds = float(self._ask("query", query="time()")[1])
        return Snapshot(seconds, {_series(item["metric"]): float(item["value"][1]) for item in read}, started)

    def past(self, end: float, blocks: int, block_seconds: float) -> list[Snapshot]:
        """Counters at the ends of earlier blocks, the oldest first; of times that it does not know there are none.

        Raises
        ------
        Unavailable
            As :meth:`counters`.
        """
        read = self._ask(
            "query_range",
            query=self._selector(COUNTERS, ',role="champion"'),
            start=f"{end - blocks * block_seconds:.3f}",
            end=f"{end:.3f}",
            step=f"{block_seconds:g}s",
        )
        found: dict[float, dict[Series, float]] = {}
        for item in read:
            series = _series(item["metric"])
            for seconds, value in item["values"]:
                found.setdefault(float(seconds), {})[series] = float(value)
        return [Snapshot(seconds, values) for seconds, values in sorted(found.items())]

    def labelled(self) -> dict[Labels, float]:
        """Labelled pairs; of what several servers tell, the largest.

        Raises
        ------
        Unavailable
            As :meth:`counters`.
        """
        found: dict[Labels, float] = {}
        for item in self._ask("query", query=self._selector(GAUGES)):
            place = {name: value for name, value in item["metric"].items() if name not in _PROCESS}
            key = tuple(sorted(place.items()))
            found[key] = max(found.get(key, 0.0), float(item["value"][1]))
        return found

    def skew(self, prometheus_seconds: float, own_seconds: float) -> str:
        """In words, when the clocks differ by more than evidence may bear; empty when they do not."""
        apart = own_seconds - prometheus_seconds
        if abs(apart) <= _SKEW_SECONDS:
            return ""
        return f"the clocks of Prometheus and of this controller are {abs(apart):.0f} s apart: set them by NTP"

    def _selector(self, names: Sequence[str], more: str = "") -> str:
        of = f'namespace="{self.namespace}",release="{self.release}"{more}'
        return f'{{__name__=~"{"|".join(names)}",{of}}}'

    def _ask(self, call: str, **parameters: str) -> list[Any]:
        try:
            answer = httpx.post(f"{self.url.rstrip('/')}/api/v1/{call}", data=parameters, timeout=_SECONDS)
            read = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Unavailable(
                f"Prometheus at {self.url} does not answer ({type(error).__name__}: {error}): there is no evidence"
                " meanwhile; choose another with --prometheus"
            ) from error
        if not isinstance(read, dict) or read.get("status") != "success":
            said = read.get("error", "no reason given") if isinstance(read, dict) else "no object"
            raise Unavailable(f"Prometheus at {self.url} refuses the query with {answer.status_code}: {said}")
        return list(read["data"]["result"])


#: Labels of who was scraped, not of what was counted.
_PROCESS: Final = frozenset({"instance", "job", "pod", "container", "endpoint", "service", "namespace", "release"})


def _series(metric: Mapping[str, str]) -> Series:
    rest = sorted((name, _bound(value) if name == "le" else value) for name, value in metric.items())
    labels = (f"{name}={value}" for name, value in rest if name not in _PROCESS and name != "__name__")
    return (metric.get("instance", ""), metric["__name__"], *labels)


def _bound(text: str) -> str:
    """One spelling of a bucket's bound, whichever server wrote it."""
    value = float(text)
    return "+Inf" if math.isinf(value) else repr(value)
