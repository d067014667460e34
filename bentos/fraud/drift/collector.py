"""Drift as metrics, computed when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bentos.core.answers import ModelVersion
from bentos.core.artifact.distributions import Distributions
from bentos.core.drift import SCORE
from bentos.fraud.drift.counts import DriftCounts
from bentos.fraud.drift.drift import limit, look
from bentos.fraud.drift.layout import Layout
from bentos.fraud.drift.settings import DriftSettings

__all__ = ["DriftCollector", "open_counts"]

_LABELS: Final = ("model_name", "model_version", "role")


class DriftCollector(Collector):
    """Tells of all workers of this server; nothing of windows with too few predictions.

    Parameters
    ----------
    counts
        None tells nothing.
    model, role
        Of this server.
    minimum_rows
        In a window.
    """

    def __init__(self, counts: DriftCounts | None, model: ModelVersion, role: str, minimum_rows: int) -> None:
        self._counts = counts
        self._model = model.name, model.version, role
        self._minimum_rows = minimum_rows

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        if self._counts is None:
            return
        psi = _gauge("fraud_feature_psi", "Population stability index against training.", "feature", "window")
        limits = _gauge("fraud_feature_psi_limit", "Index from which on a feature has drifted.", "feature")
        score = _gauge("fraud_score_psi", "Population stability index of scores against training.", "window")
        score_limit = _gauge("fraud_score_psi_limit", "Index from which on scores have drifted.")
        missing = _gauge("fraud_feature_missing_ratio", "Share of rows without it.", "feature", "window")
        unseen = _gauge(
            "fraud_feature_unseen_ratio", "Share of rows whose category training does not name.", "feature", "window"
        )
        rows = _gauge("fraud_drift_rows", "Predictions in a window.", "window")
        for one in look(self._counts, self._minimum_rows):
            if one.name == SCORE:
                score.add_metric((one.window, *self._model), one.psi)
                rows.add_metric((one.window, *self._model), one.rows)
                continue
            psi.add_metric((one.name, one.window, *self._model), one.psi)
            if one.missing is not None:
                missing.add_metric((one.name, one.window, *self._model), one.missing)
            if one.unseen is not None:
                unseen.add_metric((one.name, one.window, *self._model), one.unseen)
        for name in self._counts.layout.names:
            bound = limit(name, self._counts.layout.reference(name))
            if name == SCORE:
                score_limit.add_metric(self._model, bound)
            else:
                limits.add_metric((name, *self._model), bound)
        yield from (psi, limits, score, score_limit, missing, unseen, rows)


def open_counts(settings: DriftSettings, folder: Path | None, distributions: Distributions) -> DriftCounts | None:
    """Counts of a worker; None when nothing is to be counted.

    Parameters
    ----------
    settings
        Of drift.
    folder
        That the workers share.
    distributions
        Of the artifact that is served.
    """
    return DriftCounts(Layout(distributions), folder) if settings.drift else None


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=(*labels, *_LABELS))
