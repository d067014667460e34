"""The metrics of a challenger in the shadow."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram

from bentos.fraud.metrics import SCORES
from bentos.fraud.observe.distribution import Distribution
from bentos.fraud.records.pairs import Pair

__all__ = ["ShadowMetrics", "declare_shadow_metrics"]

_MODEL_LABELS: Final = ("model_name", "model_version", "role")
#: Of a challenger's score minus the champion's. Sums of negative numbers are no counters: only buckets are of use.
_DIFFERENCES: Final = (
    *(-1.0, -0.5, -0.2, -0.1, -0.05, -0.02, -0.01, -0.005, -0.002, -0.001),
    *(0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
)


@dataclass(frozen=True, slots=True)
class ShadowMetrics:
    """The metrics of a challenger in the shadow, which the process that records counts.

    Models are values of model_name, model_version and role: the champion's, whose server this is. The challenger is
    told by its version.
    """

    _pairs: Counter
    _dropped: Counter
    _decisions: Counter
    _difference: Histogram
    _scores: Histogram
    _products: Counter

    def dropped(self, reason: str, model: tuple[str, str, str], count: int) -> None:
        """Count copies that gave no pairs."""
        self._dropped.labels(reason, *model).inc(count)

    def paired(self, model: tuple[str, str, str], challenger_version: str, pairs: Sequence[Pair]) -> None:
        """Count pairs, all of these two models."""
        key = challenger_version, *model
        self._pairs.labels(*key).inc(len(pairs))
        for decisions, count in collections.Counter(
            (pair.champion_decision, pair.challenger_decision) for pair in pairs
        ).items():
            self._decisions.labels(*decisions, *key).inc(count)
        champion = np.array([pair.champion_score for pair in pairs])
        challenger = np.array([pair.challenger_score for pair in pairs])
        Distribution(self._difference.labels(*key)).observe_all(challenger - champion)
        for side, scores in (("champion", champion), ("challenger", challenger)):
            Distribution(self._scores.labels(side, *key)).observe_all(scores)
        for product, total in (
            ("champion_squared", champion @ champion),
            ("challenger_squared", challenger @ challenger),
            ("champion_challenger", champion @ challenger),
        ):
            self._products.labels(product, *key).inc(float(total))


def declare_shadow_metrics(registry: CollectorRegistry) -> ShadowMetrics:
    """Declare the metrics of a challenger in the shadow.

    Parameters
    ----------
    registry
        Where they belong to.
    """
    labels = ("challenger_version", *_MODEL_LABELS)
    return ShadowMetrics(
        Counter("fraud_shadow_pairs_total", "Predictions that the challenger scored too.", labels, registry=registry),
        Counter(
            "fraud_shadow_dropped_total",
            "Copies of predictions that the challenger did not score, or whose pair is not recorded.",
            ("reason", *_MODEL_LABELS),
            registry=registry,
        ),
        Counter(
            "fraud_shadow_decisions_total",
            "Pairs by the decision of either side, at its own thresholds.",
            ("champion", "challenger", *labels),
            registry=registry,
        ),
        Histogram(
            "fraud_shadow_score_difference",
            "The challenger's score minus the champion's, of pairs.",
            labels,
            registry=registry,
            buckets=_DIFFERENCES,
        ),
        Histogram("fraud_shadow_score", "Scores of pairs.", ("side", *labels), registry=registry, buckets=SCORES),
        Counter(
            "fraud_shadow_score_products_total",
            "Sums of products of the two scores of a pair: with their sums, for means and variances of differences.",
            ("product", *labels),
            registry=registry,
        ),
    )
