"""The drift report: recorded predictions of a model version, day by day, against its training rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from bentos.core.answers import ModelVersion
from bentos.fraud.drift.drift import Drift, drift_of
from bentos.fraud.drift.layout import Layout
from bentos.fraud.records.quality import ModelKey, Quality
from bentos.fraud.records.scored import ScoredRows

__all__ = ["Day", "Period", "Report", "drift_report"]

_DAY: int = 86_400_000_000


@dataclass
class Day:
    """Predictions of one day, UTC.

    Parameters
    ----------
    rows, alerts
        How many, and how many of them were reviewed or blocked.
    counts
        As the layout has them.
    """

    rows: int
    alerts: int
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Period:
    """Days whose labels had time to come in, with what they say of each model."""

    first: date
    last: date
    quality: Mapping[ModelKey, Quality]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Parameters
    ----------
    model
        Whose predictions they are.
    layout
        Of the counts.
    days
        In order; without predictions a day is left out.
    drift
        Of each day that has enough predictions, and of all together under None.
    periods
        The oldest first.
    """

    model: ModelVersion
    layout: Layout
    days: Mapping[date, Day]
    drift: Mapping[date | None, Mapping[str, Drift]] = field(default_factory=dict)
    periods: Sequence[Period] = ()

    @property
    def drifted(self) -> list[Drift]:
        """What has drifted over all days together, the farthest beyond its limit first."""
        found = [one for one in self.drift.get(None, {}).values() if one.drifted]
        return sorted(found, key=lambda one: one.psi / one.limit, reverse=True)


def drift_report(
    model: ModelVersion,
    layout: Layout,
    parts: Iterable[ScoredRows],
    minimum_rows: int,
    periods: Sequence[Period] = (),
) -> Report:
    """Count predictions by day and compare.

    Parameters
    ----------
    model
        That made them.
    layout
        With the model's reference.
    parts
        The predictions.
    minimum_rows
        Of a day below which nothing is told of it.
    periods
        What labels say.
    """
    days: dict[date, Day] = {}
    for part in parts:
        numbers = part.created_at // _DAY
        for number in np.unique(numbers):
            chosen = numbers == number
            day = days.setdefault(_date(int(number)), Day(0, 0, np.zeros(layout.size, np.int64)))
            day.rows += int(chosen.sum())
            day.alerts += int(part.alerts[chosen].sum())
            day.counts += layout.count(part.values[chosen], part.scores[chosen], part.categories[chosen].tolist())
    days = dict(sorted(days.items()))
    drift: dict[date | None, dict[str, Drift]] = {
        when: {one.name: one for one in drift_of(layout, day.counts, "day", minimum_rows)} for when, day in days.items()
    }
    if days:
        total = np.sum([day.counts for day in days.values()], axis=0)
        drift[None] = {one.name: one for one in drift_of(layout, total, "week", minimum_rows, whole=len(days) >= 7)}
    return Report(model, layout, days, {when: found for when, found in drift.items() if found}, periods)


def _date(number: int) -> date:
    return datetime.fromtimestamp(number * 86_400, UTC).date()
