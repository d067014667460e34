"""Traffic over time as a table, from the service's own metrics or from Prometheus."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

import pandas as pd

from dashboard.prometheus import Prometheus
from dashboard.scrapes import Scrape, Span
from dashboard.style import DECISIONS

__all__ = ["COLUMNS", "QUANTILES", "failed", "from_prometheus", "from_scrapes", "share"]

#: Column → share of answers that took at most so long.
QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}

#: Transactions a second by decision; shares of 0–1: alerts, requests that failed, answers with defaults; seconds.
COLUMNS: Final = ("time", *DECISIONS, "alerts", "failed", "degraded", *QUANTILES)

#: Codes of HTTP and gRPC for what the service could not answer; what callers did wrong is not among them.
_FAILED: Final = re.compile("5..|INTERNAL|UNAVAILABLE|UNKNOWN")


def _queries(window: str) -> dict[str, str]:
    """For each column but the time its query, over all replicas."""

    def rate(name: str, labels: str = "") -> str:
        return f"sum(rate({name}{{{labels}}}[{window}]))"

    everything, requests = rate("fraud_predictions_total"), rate("fraud_requests_total")
    alerts = rate("fraud_predictions_total", 'decision=~"review|block"')
    unanswered = rate("fraud_requests_total", f'code=~"{_FAILED.pattern}"')
    buckets = f"sum by (le) (rate(fraud_prediction_latency_seconds_bucket[{window}]))"
    return {
        **{name: rate("fraud_predictions_total", f'decision="{name}"') for name in DECISIONS},
        "alerts": f"{alerts} / {everything}",
        "failed": f"({unanswered} or vector(0)) / {requests}",
        "degraded": f"{rate('fraud_degraded_predictions_total')} / {everything}",
        **{name: f"histogram_quantile({part}, {buckets})" for name, part in QUANTILES.items()},
    }


def from_scrapes(scrapes: Sequence[Scrape]) -> pd.DataFrame:
    """A row for each pair of scrapes that follow each other, at the time of the later one."""
    rows = [_row(Span(first, last), last.time) for first, last in pairwise(scrapes)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(span: Span, time: datetime) -> dict[str, object]:
    decisions = span.decisions()
    return {
        "time": time,
        **{name: count / span.seconds for name, count in decisions.items()},
        "alerts": share(decisions["review"] + decisions["block"], sum(decisions.values())),
        "failed": share(failed(span), span.total("fraud_requests_total")),
        "degraded": share(span.total("fraud_degraded_predictions_total"), sum(decisions.values())),
        **{name: span.latency(part) for name, part in QUANTILES.items()},
    }


def failed(span: Span) -> float:
    """Requests that the service could not answer; what callers did wrong is not among them."""
    codes = span.by("fraud_requests_total", "code")
    return sum(count for code, count in codes.items() if _FAILED.fullmatch(code))


def share(part: float, whole: float) -> float | None:
    """A share; None of nothing."""
    return part / whole if whole > 0 else None


def from_prometheus(
    url: str, timeout_seconds: float, *, minutes: int = 60, window: str = "1m", now: datetime | None = None
) -> pd.DataFrame:
    """The same over the last minutes, from Prometheus, over all replicas.

    Raises
    ------
    Unavailable
        When Prometheus does not answer, or not as it should.
    """
    columns: dict[str, Mapping[float, float]] = {}
    with Prometheus(url, timeout_seconds, minutes, now) as prometheus:
        for name, query in _queries(window).items():
            found = prometheus.series(query)
            columns[name] = found[0].points if found else {}
    frame = pd.DataFrame(columns, columns=list(COLUMNS[1:]))
    frame.insert(0, "time", pd.to_datetime(frame.index.to_numpy(dtype="float64"), unit="s", utc=True))
    return frame.sort_values("time").reset_index(drop=True)
