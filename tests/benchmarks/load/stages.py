"""Percentiles of the stages of an answer, from two looks at the service's metrics."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["stage_milliseconds"]

_METRIC: Final = "fraud_stage_latency_seconds"


def stage_milliseconds(before: str, after: str, quantile: float) -> dict[str, float]:
    """Milliseconds within which a stage was done in a share of the cases that came between two scrapes.

    Linear within a bucket, as Prometheus' ``histogram_quantile``; stages that did not happen are left out.
    """
    first, last = _buckets(before), _buckets(after)
    result = {}
    for stage, counts in last.items():
        bounds = sorted(counts)
        grown = np.array([counts[bound] - first.get(stage, {}).get(bound, 0.0) for bound in bounds])
        if grown[-1]:
            result[stage] = _quantile(np.array(bounds), grown, quantile) * 1e3
    return result


def _quantile(bounds: np.ndarray, cumulative: np.ndarray, quantile: float) -> float:
    wanted = quantile * cumulative[-1]
    place = int(np.searchsorted(cumulative, wanted))
    if np.isinf(bounds[place]):
        return float(bounds[place - 1])
    low, below = (bounds[place - 1], cumulative[place - 1]) if place else (0.0, 0.0)
    return float(low + (bounds[place] - low) * (wanted - below) / (cumulative[place] - below))


def _buckets(text: str) -> dict[str, dict[float, float]]:
    result: dict[str, dict[float, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"{_METRIC}_bucket":
                result[sample.labels["stage"]][float(sample.labels["le"])] = sample.value
    return dict(result)
