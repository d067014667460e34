"""Paired scores of champion and challenger, as the champion's metrics tell of them. Knows nothing of Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import pandas as pd

from dashboard.scrapes import Scrape, Span
from dashboard.style import DECISIONS

__all__ = ["Pairs", "Quality", "pairs_of"]

_SIDES: Final = ("champion", "challenger")


@dataclass(frozen=True)
class Quality:
    """Labelled pairs of one side: alerts, frauds, and frauds among the alerts."""

    alerts: int
    frauds: int
    caught: int

    @property
    def precision(self) -> float | None:
        """Share of the alerts that are fraud; None without any."""
        return self.caught / self.alerts if self.alerts else None

    @property
    def recall(self) -> float | None:
        """Share of the frauds that gave an alert; None without any."""
        return self.caught / self.frauds if self.frauds else None


@dataclass(frozen=True)
class Pairs:
    """What both models said of the same transactions since the server started.

    Parameters
    ----------
    champion, challenger
        Their versions.
    count
        Pairs.
    decisions
        Pairs by the champion's decision (rows) and the challenger's (columns).
    scores
        Shares of the scores by bin: ``low``, ``high``, ``side``, ``share``.
    differences
        Challenger minus champion: ``low``, ``high``, ``pairs``.
    labelled
        By label and who gave an alert, at each one's own thresholds: ``label``, ``champion``, ``challenger``,
        ``pairs``.
    dropped
        Copies that became no pair, by reason.
    """

    champion: str
    challenger: str
    count: int
    decisions: pd.DataFrame
    scores: pd.DataFrame
    differences: pd.DataFrame
    labelled: pd.DataFrame
    dropped: Mapping[str, int]

    @property
    def agreement(self) -> float:
        """Share of pairs with the same decision."""
        same = int(self.decisions.to_numpy().trace())
        return same / self.count if self.count else 0.0

    def quality(self, side: str) -> Quality:
        """What labels say of the alerts of a side, champion or challenger."""
        alerts = self.labelled[self.labelled[side] == "alert"]
        return Quality(
            alerts=int(alerts["pairs"].sum()),
            frauds=int(self.labelled.loc[self.labelled["label"] == "fraud", "pairs"].sum()),
            caught=int(alerts.loc[alerts["label"] == "fraud", "pairs"].sum()),
        )


def pairs_of(scrape: Scrape) -> list[Pairs]:
    """Pairs with each challenger, the one with the most first; empty without a shadow."""
    ever = Span(None, scrape)
    counts = ever.by("fraud_shadow_pairs_total", "challenger_version")
    return [_pairs(ever, version, int(count)) for version, count in sorted(counts.items(), key=lambda item: -item[1])]


def _pairs(ever: Span, version: str, count: int) -> Pairs:
    of = {"challenger_version": version}
    decisions = {name: ever.by("fraud_shadow_decisions_total", "challenger", champion=name, **of) for name in DECISIONS}
    matrix = pd.DataFrame(
        [[int(decisions[row].get(column, 0)) for column in DECISIONS] for row in DECISIONS],
        index=list(DECISIONS),
        columns=list(DECISIONS),
    )
    champions = [known for role, known in ever.models() if role == "champion"]
    return Pairs(
        champion=champions[-1] if champions else "",
        challenger=version,
        count=count,
        decisions=matrix,
        scores=pd.concat([_shares(ever, side, of) for side in _SIDES], ignore_index=True),
        differences=_bins(ever.by("fraud_shadow_score_difference_bucket", "le", **of), -1.0).rename(
            columns={"count": "pairs"}
        ),
        labelled=_labelled(ever, of),
        dropped={
            reason: int(found) for reason, found in ever.by("fraud_shadow_dropped_total", "reason").items() if found
        },
    )


def _shares(ever: Span, side: str, of: Mapping[str, str]) -> pd.DataFrame:
    frame = _bins(ever.by("fraud_shadow_score_bucket", "le", side=side, **of), 0.0)
    total = frame["count"].sum()
    return frame.assign(side=side, share=frame["count"] / (total or 1)).drop(columns=["count"])


def _bins(cumulative: Mapping[str, float], lowest: float) -> pd.DataFrame:
    """Counts of bins from counts of all at or under a bound."""
    rows, below, low = [], 0.0, lowest
    for bound, count in sorted((float(text), count) for text, count in cumulative.items()):
        high = min(bound, 1.0)
        if high > low or count > below:
            rows.append({"low": low, "high": high, "count": count - below})
        below, low = count, high
    return pd.DataFrame(rows, columns=["low", "high", "count"])


def _labelled(ever: Span, of: Mapping[str, str]) -> pd.DataFrame:
    rows = []
    for label in ("fraud", "legitimate"):
        for champion, challenger in product(("alert", "none"), repeat=2):
            cell = {"label": label, "champion": champion, "challenger": challenger}
            pairs = ever.level("fraud_shadow_labelled_pairs", budget="own", **cell, **of)
            rows.append({**cell, "pairs": int(pairs)})
    return pd.DataFrame(rows)
