"""How good decisions were, by the labels that came in: only labelled transactions count, whatever was decided.

An alert is a decision to review or to block. What was blocked rarely gets a label and what was approved only when
somebody complains, so precision and recall are those of what is known, not of all transactions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, delete, func, insert, select

from bentos.fraud.records.tables import LABELS, PREDICTIONS, QUALITY, from_labels

__all__ = ["ModelKey", "Quality", "QualityCollector", "count_quality", "keep_quality", "kept_quality"]


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """A model version in its role."""

    name: str
    version: str
    role: str


@dataclass(frozen=True, slots=True)
class Quality:
    """Labelled predictions of one model.

    Parameters
    ----------
    counts
        By decision and label.
    """

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def _count(self, label: str, *decisions: str) -> int:
        return sum(self.counts.get((decision, label), 0) for decision in decisions)

    @property
    def labelled(self) -> int:
        """Predictions that have a label."""
        return sum(self.counts.values())

    @property
    def frauds(self) -> int:
        """Those that turned out to be fraud."""
        return self._count("fraud", "approve", "review", "block")

    @property
    def precision(self) -> float:
        """Share of the labelled alerts that are fraud; NaN when there are none."""
        caught = self._count("fraud", "review", "block")
        return _share(caught, caught + self._count("legitimate", "review", "block"))

    @property
    def block_precision(self) -> float:
        """Share of the labelled blocks that are fraud; NaN when there are none."""
        caught = self._count("fraud", "block")
        return _share(caught, caught + self._count("legitimate", "block"))

    @property
    def recall(self) -> float:
        """Share of the frauds that gave an alert; NaN when there are none."""
        return _share(self._count("fraud", "review", "block"), self.frauds)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


class QualityCollector(Collector):
    """Precision and recall as metrics. Every worker tells the same, whichever counted.

    Parameters
    ----------
    known
        Gives what was counted last.
    """

    def __init__(self, known: Callable[[], Mapping[ModelKey, Quality]]) -> None:
        self._known = known

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        labels = ("model_name", "model_version", "role")
        precision = GaugeMetricFamily(
            "fraud_label_precision", "Share of the labelled alerts that are fraud.", labels=labels
        )
        recall = GaugeMetricFamily(
            "fraud_label_recall", "Share of the labelled frauds that gave an alert.", labels=labels
        )
        for model, quality in self._known().items():
            values = (model.name, model.version, model.role)
            precision.add_metric(values, quality.precision)
            recall.add_metric(values, quality.recall)
        yield precision
        yield recall


def count_quality(connection: Connection, since: int, until: int | None = None) -> dict[ModelKey, Quality]:
    """Join predictions with their labels and count.

    Parameters
    ----------
    connection
        To read from.
    since, until
        When the predictions were made, microseconds since 1970 UTC: from ``since``, to before ``until`` if given.
    """
    table = PREDICTIONS.c
    query = (
        select(table.model_name, table.model_version, table.role, table.decision, LABELS.c.label, func.count())
        .select_from(LABELS.join(PREDICTIONS, from_labels(connection) == table.transaction_id))
        .where(table.created_at >= since, LABELS.c.revision > 0)
        .group_by(table.model_name, table.model_version, table.role, table.decision, LABELS.c.label)
    )
    if until is not None:
        query = query.where(table.created_at < until)
    return _by_model(tuple(row) for row in connection.execute(query))


def keep_quality(connection: Connection, found: Mapping[ModelKey, Quality]) -> None:
    """Keep counts for all workers, within a transaction that writes."""
    connection.execute(delete(QUALITY))
    rows = [
        {
            "model_name": model.name,
            "model_version": model.version,
            "role": model.role,
            "decision": decision,
            "label": label,
            "transactions": count,
        }
        for model, quality in found.items()
        for (decision, label), count in quality.counts.items()
    ]
    if rows:
        connection.execute(insert(QUALITY), rows)


def kept_quality(connection: Connection) -> dict[ModelKey, Quality]:
    """The counts that were kept last."""
    return _by_model(tuple(row) for row in connection.execute(select(QUALITY)))


def _by_model(rows: Iterable[tuple[str, str, str, str, str, int]]) -> dict[ModelKey, Quality]:
    counts: dict[ModelKey, dict[tuple[str, str], int]] = defaultdict(dict)
    for name, version, role, decision, label, count in rows:
        counts[ModelKey(name, version, role)][decision, label] = count
    return {model: Quality(found) for model, found in sorted(counts.items())}
