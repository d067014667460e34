"""What a pair of thresholds decides on held-out rows, for the explorer. Costs are those that training chose by.

The table of all cuts is made once; moving a slider then looks two rows up, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["Costs", "Cuts", "Outcome", "calibration", "precision_recall"]


@dataclass(frozen=True)
class Costs:
    """What decisions cost, in the currency of the amounts; see the evaluation that training logged.

    Parameters
    ----------
    missed_share
        Share of an undetected fraud's amount that is lost.
    review
        Of one review.
    blocked_customer
        Of one blocked legitimate transaction.
    review_misses
        Share of reviewed frauds that the reviewer lets pass.
    """

    missed_share: float = 1.0
    review: float = 3.0
    blocked_customer: float = 30.0
    review_misses: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a pair of thresholds does to the rows."""

    rows: int
    approved_frauds: int
    reviewed: int
    reviewed_frauds: int
    blocked: int
    blocked_frauds: int
    cost: float

    @property
    def recall(self) -> float:
        """Of the frauds, the share that gives an alert."""
        caught = self.reviewed_frauds + self.blocked_frauds
        return caught / (caught + self.approved_frauds) if caught + self.approved_frauds else 0.0

    @property
    def precision(self) -> float:
        """Of the alerts, the share that is fraud."""
        alerts = self.reviewed + self.blocked
        return (self.reviewed_frauds + self.blocked_frauds) / alerts if alerts else 0.0

    @property
    def alert_rate(self) -> float:
        """Share of transactions that are reviewed or blocked."""
        return (self.reviewed + self.blocked) / self.rows if self.rows else 0.0


class Cuts:
    """Held-out rows, ready to be cut.

    Parameters
    ----------
    frame
        ``score``, ``is_fraud``, ``paid``.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        ordered = frame.sort_values("score")
        self._scores = ordered["score"].to_numpy(dtype=np.float64)
        frauds = ordered["is_fraud"].to_numpy(dtype=bool)
        self._frauds = np.concatenate([[0], np.cumsum(frauds)])
        self._lost = np.concatenate([[0.0], np.cumsum(np.where(frauds, ordered["paid"].to_numpy(np.float64), 0.0))])

    def outcome(self, review: float, block: float, costs: Costs) -> Outcome:
        """What is decided when reviews begin at one score and blocks at another (≥)."""
        first = int(np.searchsorted(self._scores, min(review, block)))
        second = int(np.searchsorted(self._scores, block))
        rows, frauds, lost = len(self._scores), self._frauds, self._lost
        reviewed_frauds = int(frauds[second] - frauds[first])
        blocked_frauds = int(frauds[-1] - frauds[second])
        missed = lost[first] + costs.review_misses * (lost[second] - lost[first])
        cost = (
            costs.missed_share * missed
            + costs.review * (second - first)
            + costs.blocked_customer * (rows - second - blocked_frauds)
        )
        return Outcome(
            rows, int(frauds[first]), second - first, reviewed_frauds, rows - second, blocked_frauds, float(cost)
        )

    def curve(self, block: float, costs: Costs, points: int = 101) -> pd.DataFrame:
        """Cost per 1,000 transactions by where reviews begin, with blocks from ``block`` on."""
        reviews = np.linspace(0, block, points)
        scale = 1000 / max(1, len(self._scores))
        return pd.DataFrame(
            {"review": reviews, "cost": [scale * self.outcome(float(at), block, costs).cost for at in reviews]}
        )


def precision_recall(frame: pd.DataFrame, points: int = 200) -> pd.DataFrame:
    """The precision-recall curve, thinned for a picture: ``recall``, ``precision``."""
    ordered = frame.sort_values("score", ascending=False)
    hits = np.cumsum(ordered["is_fraud"].to_numpy(dtype=bool))
    if not len(hits) or not hits[-1]:
        return pd.DataFrame({"recall": [], "precision": []})
    ends = np.flatnonzero(np.append(np.diff(ordered["score"].to_numpy()) != 0, True))
    recall, precision = hits[ends] / hits[-1], hits[ends] / (ends + 1)
    taken = np.unique(np.searchsorted(recall, np.linspace(0, 1, points)).clip(max=len(recall) - 1))
    return pd.DataFrame({"recall": recall[taken], "precision": precision[taken]})


def calibration(frame: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Promised against found: bins of equally many rows with ``promised``, ``found`` and ``rows``."""
    ordered = frame.sort_values("score")
    parts = np.array_split(np.arange(len(ordered)), bins)
    rows: list[Mapping[str, float]] = [
        {
            "promised": float(ordered["score"].iloc[part].mean()),
            "found": float(ordered["is_fraud"].iloc[part].mean()),
            "rows": len(part),
        }
        for part in parts
        if len(part)
    ]
    return pd.DataFrame(rows)
