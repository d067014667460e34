"""Metrics of weighted rows, sorted once and then cheap: what a bootstrap asks for hundreds of times."""

from __future__ import annotations

import numpy as np

from training.evaluate.metrics import BoolArray, FloatArray, bin_of, log_loss_of_rows, quantile_edges

__all__ = ["WeightedMetrics"]


class WeightedMetrics:
    """Metrics of one model's scores as functions of row weights, float64 [n], in O(n) each.

    They equal scikit-learn's with ``sample_weight``. Calibration bins keep the edges of the unweighted rows.

    Parameters
    ----------
    labels, scores
        bool [n] and float64 [n].
    """

    def __init__(self, labels: BoolArray, scores: FloatArray) -> None:
        self._labels = labels
        self._order = np.argsort(-scores, kind="stable")
        self._ends = np.flatnonzero(np.append(np.diff(scores[self._order]) != 0, True))
        self._squared = (scores - labels) ** 2
        self._log_loss = log_loss_of_rows(labels, scores)
        edges = quantile_edges(scores)
        self._bin = bin_of(scores, edges)
        self._bins = max(len(edges) - 1, 1)
        self._difference = scores - labels

    def _counts(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Frauds and all rows down to each distinct score, from the top, each [m]."""
        sorted_weights = weights[self._order]
        frauds = np.cumsum(sorted_weights * self._labels[self._order])[self._ends]
        return frauds, np.cumsum(sorted_weights)[self._ends]

    def roc_auc(self, weights: FloatArray) -> float:
        """Area under the ROC curve by trapezia, ties counted half."""
        frauds, flagged = self._counts(weights)
        legitimate = flagged - frauds
        area = np.sum(np.diff(legitimate, prepend=0.0) * (frauds + np.concatenate([[0.0], frauds[:-1]])) / 2)
        return float(area / (frauds[-1] * legitimate[-1]))

    def average_precision(self, weights: FloatArray) -> float:
        """Area under the precision-recall curve by steps."""
        frauds, flagged = self._counts(weights)
        precision = np.divide(frauds, flagged, out=np.zeros_like(frauds), where=flagged > 0)
        return float(np.sum(np.diff(frauds, prepend=0.0) * precision) / frauds[-1])

    def brier(self, weights: FloatArray) -> float:
        """Weighted mean squared difference of score and label."""
        return float(np.average(self._squared, weights=weights))

    def log_loss(self, weights: FloatArray) -> float:
        """Weighted mean negative log-likelihood, nats."""
        return float(np.average(self._log_loss, weights=weights))

    def calibration_error(self, weights: FloatArray) -> float:
        """Mean absolute difference of promised and observed share of fraud over fixed bins."""
        gaps = np.bincount(self._bin, weights=weights * self._difference, minlength=self._bins)
        return float(np.abs(gaps).sum() / weights.sum())
