"""The service's metrics, and their scrape over all workers.

Every worker counts in files of a folder that all of one server share; whoever is scraped adds them up. The folder is
the server's own: BentoML's default is one for all servers of a machine, and each new server empties it. Only the event
loop's thread counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from bentos.core.answers import Decision, ModelVersion
from bentos.fraud.observe.distribution import Distribution
from bentos.fraud.observe.later import Later
from bentos.fraud.observe.values import MergedValues, share_values

if TYPE_CHECKING:
    from bentos.fraud.drift.counts import DriftCounts

__all__ = [
    "CONTENT_TYPE",
    "SCORES",
    "STAGES",
    "Metrics",
    "RecordMetrics",
    "declare_metrics",
    "declare_record_metrics",
    "scrape",
    "share_metrics",
]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

STAGES: Final = ("validation", "features", "inference", "reasons", "serialization")

_MODEL_LABELS: Final = ("model_name", "model_version", "role")
# Objectives are bounds, so that the share of answers that meet them is exact: 10, 30, 50 and 100 ms for whole answers;
# 1, 2, 5 and 10 ms for stages.
_SECONDS: Final = (
    *(0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1),
    *(0.15, 0.25, 0.5, 1.0, 2.5),
)
_STAGE_SECONDS: Final = (
    *(0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5),
)
_BATCH_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
#: Bounds of scores.
SCORES: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of one worker, labels of the model already set where there are no others."""

    predictions: dict[Decision, Counter]
    prediction_latency: Distribution
    score: Distribution
    stage_latency: dict[str, Distribution]
    degraded: Counter
    feature_lookups: dict[bool, Counter]
    batch_size: Distribution
    queue_depth: Gauge
    reasons_late: Counter
    bucket_mismatches: Counter
    log_lines_dropped: Counter
    feature_age: Gauge
    log_dropped: Counter
    records: RecordMetrics
    _requests: Counter
    _model_labels: tuple[str, str, str]
    _by_request: dict[tuple[str, str, str], Counter] = field(default_factory=dict)
    #: For what can be counted when answers have left.
    later: Later = field(default_factory=Later)
    #: Feature values and scores; None counts none.
    drift: DriftCounts | None = None

    def count_request(self, transport: str, method: str, code: str) -> None:
        """Count one answered request.

        Parameters
        ----------
        transport, method, code
            Few each: every combination is kept.
        """
        key = transport, method, code
        counter = self._by_request.get(key)
        if counter is None:
            counter = self._by_request[key] = self._requests.labels(*key, *self._model_labels)
        counter.inc()


@dataclass(frozen=True, slots=True)
class RecordMetrics:
    """The metrics of records, which workers and the process that records count."""

    _dropped: Counter
    _labels: Counter
    waiting: Gauge

    def dropped(self, model: tuple[str, str, str]) -> Counter:
        """Predictions that were given up instead of being recorded.

        Parameters
        ----------
        model
            Values of model_name, model_version and role.
        """
        return self._dropped.labels(*model)

    def count_label(self, label: str, decision: str, model: tuple[str, str, str]) -> None:
        """Count a label that is new or changed, of a prediction that may be another model's.

        Parameters
        ----------
        label, decision
            What the transaction turned out to be, and what had been decided.
        model
            Values of model_name, model_version and role.
        """
        self._labels.labels(label, decision, *model).inc()


def declare_record_metrics(registry: CollectorRegistry) -> RecordMetrics:
    """Declare the metrics of records.

    Parameters
    ----------
    registry
        Where they belong to.
    """
    return RecordMetrics(
        Counter(
            "fraud_log_dropped_total",
            "Predictions that were given up instead of being recorded.",
            _MODEL_LABELS,
            registry=registry,
        ),
        Counter(
            "fraud_labels_total",
            "Labels that are new or changed, of recorded predictions.",
            ("label", "decision", *_MODEL_LABELS),
            registry=registry,
        ),
        Gauge(
            "fraud_log_waiting_bytes",
            "Predictions that wait on this server's disk to be recorded.",
            registry=registry,
            multiprocess_mode="livesum",
        ),
    )


def declare_metrics(
    registry: CollectorRegistry, model: ModelVersion, role: str, digest: str = "", drift: DriftCounts | None = None
) -> Metrics:
    """Declare every metric of a scoring worker.

    Parameters
    ----------
    registry
        Where they belong to; two servers in one process need one each.
    model, role
        Values of the labels model_name, model_version and role.
    digest
        Of the artifact that is served; empty when it comes from none.
    drift
        Where feature values and scores are counted; None counts none.
    """
    declare, records = _Declarations(registry, (model.name, model.version, role)), declare_record_metrics(registry)
    predictions = declare.counter("fraud_predictions_total", "Transactions scored and recorded.", "decision")
    stages = declare.histogram(
        "fraud_stage_latency_seconds", "Time of one stage of an answer.", _STAGE_SECONDS, "stage"
    )
    lookups = declare.counter(
        "fraud_feature_lookups_total",
        "Feature rows asked from the store: found, or filled with defaults because it failed.",
        "outcome",
    )
    declare.gauge("fraud_model_info", "1; the label names the artifact's digest.", "digest").labels(
        digest, *declare.model_labels
    ).set(1)
    decisions: tuple[Decision, ...] = ("approve", "review", "block")
    return Metrics(
        predictions={decision: predictions.labels(decision, *declare.model_labels) for decision in decisions},
        prediction_latency=declare.distribution(
            "fraud_prediction_latency_seconds", "From a whole request to its answer.", _SECONDS
        ),
        score=declare.distribution("fraud_score", "Scores given.", SCORES),
        stage_latency={stage: Distribution(stages.labels(stage, *declare.model_labels)) for stage in STAGES},
        degraded=declare.of_model(
            "fraud_degraded_predictions_total",
            "Predictions made with defaults instead of known features, or by the rules instead of the model.",
        ),
        feature_lookups={
            found: lookups.labels("found" if found else "defaulted", *declare.model_labels) for found in (True, False)
        },
        batch_size=declare.distribution("fraud_batch_size", "Rows scored together.", _BATCH_ROWS),
        queue_depth=Gauge(
            "fraud_queue_depth",
            "Rows that wait to be scored, over all workers.",
            registry=registry,
            multiprocess_mode="livesum",
        ),
        reasons_late=declare.of_model(
            "fraud_reasons_late_total",
            "Predictions answered without the reasons that were asked for, because those would have been late.",
        ),
        bucket_mismatches=declare.of_model(
            "fraud_bucket_mismatches_total",
            "Requests whose x-fraud-bucket is not their customer's: a rollout may send them to the wrong side.",
        ),
        log_lines_dropped=Counter(
            "fraud_log_lines_dropped_total",
            "Lines of the process's log that were given up because standard error did not take them.",
            registry=registry,
        ),
        # Every worker looks; who looked last knows the least.
        feature_age=Gauge(
            "fraud_feature_age_seconds",
            "Now minus the time of the newest recorded transaction.",
            registry=registry,
            multiprocess_mode="livemin",
        ),
        log_dropped=records.dropped(declare.model_labels),
        records=records,
        _requests=declare.counter(
            "fraud_requests_total", "Requests answered, by the status they got.", "transport", "method", "code"
        ),
        _model_labels=declare.model_labels,
        drift=drift,
    )


class _Declarations:
    """Declares metrics that bear the model's labels, after their own."""

    def __init__(self, registry: CollectorRegistry, model_labels: tuple[str, str, str]) -> None:
        self._registry = registry
        self.model_labels = model_labels

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, (*labels, *_MODEL_LABELS), registry=self._registry)

    def of_model(self, name: str, text: str) -> Counter:
        return self.counter(name, text).labels(*self.model_labels)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, (*labels, *_MODEL_LABELS), registry=self._registry, multiprocess_mode="livemax")

    def histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, (*labels, *_MODEL_LABELS), registry=self._registry, buckets=bounds)

    def distribution(self, name: str, text: str, bounds: Sequence[float]) -> Distribution:
        return Distribution(self.histogram(name, text, bounds).labels(*self.model_labels))


def share_metrics(folder: Path) -> None:
    """Make this worker count in a folder. To be called before the first metric is declared."""
    share_values(folder)


def scrape(registry: CollectorRegistry, folder: Path | None, *others: Collector) -> bytes:
    """The metrics of all workers of this server in Prometheus' text format. Safe for use in another thread.

    Parameters
    ----------
    registry
        The worker's own.
    folder
        Where the workers share their metrics; None when there is only this one.
    others
        What is not counted by workers, such as rows of the database.
    """
    merged = CollectorRegistry()
    merged.register(registry if folder is None else MergedValues(folder))
    for other in others:
        merged.register(other)
    return generate_latest(merged)
