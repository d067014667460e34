"""The service's metrics, and their scrape over all workers.

Every worker counts in files of a folder that all of one server share (prometheus_client's multiprocess mode);
whoever is scraped adds them up. The folder is the server's own: BentoML's default is one for all servers of a
machine, and each new server empties it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from bentos.fraud.answers import Decision, ModelVersion

__all__ = ["CONTENT_TYPE", "STAGES", "Metrics", "declare_metrics", "scrape", "share_metrics"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

STAGES: Final = ("validation", "features", "inference", "reasons", "serialization")

_MODEL_LABELS: Final = ("model_name", "model_version", "role")
_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STAGE_SECONDS: Final = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_SCORES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one worker, labels of the model already set where there are no others."""

    requests: Counter
    predictions: dict[Decision, Counter]
    prediction_latency: Histogram
    score: Histogram
    stage_latency: dict[str, Histogram]
    degraded: Counter
    feature_lookups: dict[bool, Counter]
    model_labels: tuple[str, str, str]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of an answer."""
        started = perf_counter()
        yield
        self.stage_latency[name].observe(perf_counter() - started)

    def count_request(self, transport: str, method: str, code: str) -> None:
        """Count one answered request."""
        self.requests.labels(transport, method, code, *self.model_labels).inc()


def declare_metrics(registry: CollectorRegistry, model: ModelVersion, role: str) -> Metrics:
    """Declare every metric of a scoring worker.

    Parameters
    ----------
    registry
        Where they belong to; two servers in one process need one each.
    model, role
        Values of the labels model_name, model_version and role.
    """
    labels = (model.name, model.version, role)
    predictions = Counter(
        "fraud_predictions_total", "Transactions scored.", ("decision", *_MODEL_LABELS), registry=registry
    )
    stage_latency = Histogram(
        "fraud_stage_latency_seconds",
        "Time of one stage of an answer.",
        ("stage", *_MODEL_LABELS),
        registry=registry,
        buckets=_STAGE_SECONDS,
    )
    lookups = Counter(
        "fraud_feature_lookups_total",
        "Feature rows asked from the store: found, or filled with defaults because it failed.",
        ("outcome", *_MODEL_LABELS),
        registry=registry,
    )
    decisions: tuple[Decision, ...] = ("approve", "review", "block")
    return Metrics(
        requests=Counter(
            "fraud_requests_total",
            "Requests answered, by the status they got.",
            ("transport", "method", "code", *_MODEL_LABELS),
            registry=registry,
        ),
        predictions={decision: predictions.labels(decision, *labels) for decision in decisions},
        prediction_latency=Histogram(
            "fraud_prediction_latency_seconds",
            "From the request's body to the answer's.",
            _MODEL_LABELS,
            registry=registry,
            buckets=_SECONDS,
        ).labels(*labels),
        score=Histogram("fraud_score", "Scores given.", _MODEL_LABELS, registry=registry, buckets=_SCORES).labels(
            *labels
        ),
        stage_latency={stage: stage_latency.labels(stage, *labels) for stage in STAGES},
        degraded=Counter(
            "fraud_degraded_predictions_total",
            "Predictions made with defaults instead of known features.",
            _MODEL_LABELS,
            registry=registry,
        ).labels(*labels),
        feature_lookups={found: lookups.labels("found" if found else "defaulted", *labels) for found in (True, False)},
        model_labels=labels,
    )


def share_metrics(folder: Path) -> None:
    """Make this worker count in a folder. To be called before the first metric is declared."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def scrape(registry: CollectorRegistry, folder: Path | None) -> bytes:
    """The metrics of all workers of this server in Prometheus' text format.

    Parameters
    ----------
    registry
        The worker's own.
    folder
        Where the workers share their metrics; None when there is only this one.
    """
    if folder is None:
        return generate_latest(registry)
    merged = CollectorRegistry()
    MultiProcessCollector(merged, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(merged)
