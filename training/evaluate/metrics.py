"""Metrics of scores against labels.

Every function takes labels bool [n] (True: fraud) and scores float64 [n], the calibrated probability of fraud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

from bentos.core.errors import DataError

__all__ = [
    "HIGHER_IS_BETTER",
    "BoolArray",
    "CalibrationBins",
    "CardPrecision",
    "Confusion",
    "FloatArray",
    "bin_of",
    "brier",
    "calibration_bins",
    "card_precision_at_k",
    "confusion",
    "day_of",
    "expected_calibration_error",
    "log_loss",
    "log_loss_of_rows",
    "quantile_edges",
    "ranking_metrics",
    "require_both_classes",
    "score_metrics",
]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: Which way is up, for every metric that evaluations report.
HIGHER_IS_BETTER: Final[Mapping[str, bool]] = {
    "roc_auc": True,
    "average_precision": True,
    "card_precision_at_k": True,
    "brier": False,
    "log_loss": False,
    "calibration_error": False,
}


def require_both_classes(labels: BoolArray, scores: FloatArray, where: str) -> None:
    """Refuse what no metric can be computed from.

    Raises
    ------
    DataError
        When there are no rows, labels of one class only, lengths differ, or a score is not finite or outside 0–1.
    """
    if labels.shape != scores.shape or labels.ndim != 1:
        raise DataError(
            f"{where}: {labels.shape} labels came with {scores.shape} scores; one score per label is needed"
        )
    frauds = int(labels.sum())
    if frauds in (0, len(labels)):
        raise DataError(
            f"{where}: {len(labels)} rows hold {frauds} frauds; metrics need both classes: choose a longer period, or"
            " check the label column"
        )
    wrong = ~np.isfinite(scores) | (scores < 0) | (scores > 1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{where}: {int(wrong.sum())} scores are not probabilities, the first is {scores[first]} at row {first};"
            " scores must be finite and from 0 to 1: run `python -m training doctor` on the model"
        )


def ranking_metrics(labels: BoolArray, scores: FloatArray) -> dict[str, float]:
    """ROC AUC and average precision, as scikit-learn defines them (the area by steps, not by trapezia)."""
    return {
        "roc_auc": float(roc_auc_score(labels, scores)),
        "average_precision": float(average_precision_score(labels, scores)),
    }


def brier(labels: BoolArray, scores: FloatArray) -> float:
    """Mean squared difference of score and label: Brier (1950), Monthly Weather Review 78(1)."""
    return float(np.mean((scores - labels) ** 2))


def log_loss_of_rows(labels: BoolArray, scores: FloatArray) -> FloatArray:
    """Negative log-likelihood of each row in nats, float64 [n]; scores are kept 2.2e-16 away from 0 and 1."""
    loss: FloatArray = -np.log(np.clip(np.where(labels, scores, 1.0 - scores), np.finfo(np.float64).eps, 1.0))
    return loss


def log_loss(labels: BoolArray, scores: FloatArray) -> float:
    """Mean of :func:`log_loss_of_rows`."""
    return float(log_loss_of_rows(labels, scores).mean())


@dataclass(frozen=True)
class CalibrationBins:
    """What was promised and what came, by bins of the score.

    All arrays have one entry per bin: mean score, share of fraud, number of rows, number of frauds.
    """

    predicted: FloatArray
    observed: FloatArray
    rows: npt.NDArray[np.int64]
    frauds: npt.NDArray[np.int64]


def quantile_edges(scores: FloatArray, bins: int = 15) -> FloatArray:
    """Edges of bins that hold about as many scores each, float64 [≤ bins + 1].

    Equal widths would put nearly every transaction into the first bin, as nearly every score is small. Equal scores
    stay together, so that fewer bins than asked for may come back.
    """
    edges: FloatArray = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)))
    return edges


def bin_of(scores: FloatArray, edges: FloatArray) -> npt.NDArray[np.int64]:
    """Bin of each score, int64 [n]; the first and the last bin are open to their side."""
    return np.searchsorted(edges[1:-1], scores, side="right").astype(np.int64)


def calibration_bins(labels: BoolArray, scores: FloatArray, edges: FloatArray) -> CalibrationBins:
    """Sum up the bins between ``edges``; empty ones are left out."""
    place = bin_of(scores, edges)
    count = np.bincount(place, minlength=max(len(edges) - 1, 1))
    used = count > 0
    total = np.bincount(place, weights=scores, minlength=len(count))[used]
    frauds = np.bincount(place, weights=labels, minlength=len(count))[used]
    rows = count[used]
    return CalibrationBins(total / rows, frauds / rows, rows.astype(np.int64), frauds.astype(np.int64))


def expected_calibration_error(labels: BoolArray, scores: FloatArray, bins: int = 15) -> float:
    """Mean absolute difference of promised and observed share of fraud, weighted by rows, over equal-count bins.

    Naeini, Cooper, Hauskrecht (2015), "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI.
    """
    found = calibration_bins(labels, scores, quantile_edges(scores, bins))
    return float(np.sum(found.rows * np.abs(found.predicted - found.observed)) / found.rows.sum())


def score_metrics(labels: BoolArray, scores: FloatArray, where: str = "these rows") -> dict[str, float]:
    """Every metric that needs labels and scores alone.

    Raises
    ------
    DataError
        See :func:`require_both_classes`.
    """
    require_both_classes(labels, scores, where)
    return {
        **ranking_metrics(labels, scores),
        "brier": brier(labels, scores),
        "log_loss": log_loss(labels, scores),
        "calibration_error": expected_calibration_error(labels, scores),
    }


def day_of(timestamps: pd.Series) -> npt.NDArray[np.int64]:
    """Whole days since 1970 in UTC, int64 [n]."""
    return np.asarray(timestamps.dt.tz_convert("UTC").dt.tz_localize(None), dtype="datetime64[D]").astype(np.int64)


@dataclass(frozen=True)
class CardPrecision:
    """Precision among the k most suspicious cards of each day: the mean, each day, and the cards there were to find."""

    mean: float
    per_day: tuple[float, ...]
    compromised_per_day: tuple[int, ...]


def card_precision_at_k(
    labels: BoolArray,
    scores: FloatArray,
    customers: npt.NDArray[np.generic],
    days: npt.NDArray[np.int64],
    k: int = 100,
    *,
    remove_detected: bool = True,
) -> CardPrecision:
    """Share of compromised cards among the k that investigators would check, the mean over days.

    A card's score on a day is its highest, and it is compromised when any of its transactions that day is a fraud.
    A compromised card among the k is found and leaves the following days. A day with fewer than k cards still
    divides by k. This is ``card_precision_top_k`` of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot,
    Bontempi 2022, chapter 4, "Precision top-k metrics"), except that equal scores are ordered by customer, so that
    the same input always gives the same number.

    Parameters
    ----------
    labels, scores
        bool [n] and float64 [n].
    customers
        [n], any sortable ids.
    days
        int64 [n], see :func:`day_of`.
    k
        Cards that can be checked a day.
    """
    if k < 1:
        raise DataError(f"card precision at k needs k of at least 1, got {k}")
    codes = np.unique(customers, return_inverse=True)[1].astype(np.int64)
    found = np.zeros(codes.max(initial=-1) + 1, dtype=bool)
    precisions: list[float] = []
    compromised: list[int] = []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~found[codes])
        cards, place = np.unique(codes[rows], return_inverse=True)
        highest = np.full(len(cards), -np.inf)
        np.maximum.at(highest, place, scores[rows])
        is_compromised = np.zeros(len(cards), dtype=bool)
        np.logical_or.at(is_compromised, place, labels[rows])
        top = np.argsort(-highest, kind="stable")[:k]
        detected = cards[top][is_compromised[top]]
        precisions.append(len(detected) / k)
        compromised.append(int(is_compromised.sum()))
        if remove_detected:
            found[detected] = True
    mean = float(np.mean(precisions)) if precisions else float("nan")
    return CardPrecision(mean, tuple(precisions), tuple(compromised))


@dataclass(frozen=True)
class Confusion:
    """Decisions against labels, in rows: what would be approved, reviewed and blocked."""

    approved_legitimate: int
    approved_fraud: int
    reviewed_legitimate: int
    reviewed_fraud: int
    blocked_legitimate: int
    blocked_fraud: int

    @property
    def precision(self) -> float:
        """Share of fraud among what is reviewed or blocked; NaN when nothing is."""
        flagged = self.reviewed_fraud + self.blocked_fraud
        total = flagged + self.reviewed_legitimate + self.blocked_legitimate
        return flagged / total if total else float("nan")

    @property
    def recall(self) -> float:
        """Share of the frauds that are reviewed or blocked; NaN when there are none."""
        flagged = self.reviewed_fraud + self.blocked_fraud
        total = flagged + self.approved_fraud
        return flagged / total if total else float("nan")

    @property
    def alert_rate(self) -> float:
        """Share of all rows that are reviewed or blocked."""
        flagged = self.reviewed_fraud + self.blocked_fraud + self.reviewed_legitimate + self.blocked_legitimate
        total = flagged + self.approved_fraud + self.approved_legitimate
        return flagged / total if total else float("nan")

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            *(getattr(self, name) + getattr(other, name) for name in Confusion.__dataclass_fields__)  # all are counts
        )


def confusion(labels: BoolArray, scores: FloatArray, review: float, block: float) -> Confusion:
    """Count decisions: block from ``block`` on, else review from ``review`` on, else approve (≥)."""
    blocked = scores >= block
    reviewed = (scores >= review) & ~blocked
    approved = ~(blocked | reviewed)
    return Confusion(
        approved_legitimate=int((approved & ~labels).sum()),
        approved_fraud=int((approved & labels).sum()),
        reviewed_legitimate=int((reviewed & ~labels).sum()),
        reviewed_fraud=int((reviewed & labels).sum()),
        blocked_legitimate=int((blocked & ~labels).sum()),
        blocked_fraud=int((blocked & labels).sum()),
    )
