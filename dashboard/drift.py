"""Drift as the page shows it: what has drifted, how it moved, and what it did to the score. Knows no Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.core.drift import MERCHANT_CATEGORY, SCORE, DriftPart, DriftState, DriftWindow
from bentos.core.records import KeptPrediction
from dashboard.prometheus import Prometheus

__all__ = ["OTHERS", "distributions", "drifted", "from_moments", "from_prometheus", "moved_the_score", "table"]

#: How far back Prometheus is asked for an index of a window, in minutes.
_MINUTES: dict[DriftWindow, int] = {"hour": 2 * 1440, "day": 14 * 1440, "week": 42 * 1440}

#: Categories that training does not name.
OTHERS: Final = "all others"
#: What payments have to cover before a feature of the clock can be weighted: part of a day or a week is no drift.
_CLOCK: Final = {
    "hour": timedelta(days=1),
    "is_night": timedelta(days=1),
    "day_of_week": timedelta(days=7),
    "is_weekend": timedelta(days=7),
    # At night other merchants are open.
    MERCHANT_CATEGORY: timedelta(days=1),
}
#: Predictions in a bin that may stand for those of training: this share of all, and this many.
_FEWEST_SHARE: Final = 0.01
_FEWEST: Final = 5


def table(state: DriftState, window: DriftWindow) -> pd.DataFrame:
    """Name, index, limit, index as a multiple of the limit, and share without a value; the farthest first."""
    rows = [
        {
            "feature": part.name,
            "psi": part.windows[window].psi,
            "limit": part.limit,
            "of limit": _of_limit(part, part.windows[window].psi),
            "missing": part.windows[window].missing,
        }
        for part in state.parts
    ]
    columns = ["feature", "psi", "limit", "of limit", "missing"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[1:], "float64"))
    return frame.sort_values("of limit", ascending=False, kind="stable").reset_index(drop=True)


def drifted(state: DriftState, window: DriftWindow) -> list[DriftPart]:
    """What lies over its limit, the farthest first."""
    found = table(state, window)
    parts = {part.name: part for part in state.parts}
    return [parts[name] for name in found.loc[found["of limit"] > 1, "feature"]]


def _of_limit(part: DriftPart, psi: float | None) -> float | None:
    return None if psi is None else psi / part.limit


def distributions(part: DriftPart, window: DriftWindow) -> pd.DataFrame:
    """Shares of each bin in training and now: ``bin`` in words, ``place`` in order, ``of``, ``share``.

    Of categories, training as it would be at the hours of these payments.
    """
    seen = part.windows[window]
    sides: dict[str, Sequence[float]] = {"training": seen.expected or part.training, "now": seen.counts}
    rows = [
        {"bin": name, "place": place, "of": side, "share": count / max(1, sum(counts))}
        for side, counts in sides.items()
        for place, (name, count) in enumerate(zip(_bins(part), counts, strict=True))
    ]
    return pd.DataFrame(rows)


def _bins(part: DriftPart) -> list[str]:
    if part.categories is not None:
        return [*part.categories, OTHERS]
    bounds = [f"{edge:,.4g}" for edge in part.edges]
    between = [f"{low} – {high}" for low, high in pairwise(bounds)]
    return [f"≤ {bounds[0]}", *between, f"> {bounds[-1]}"] if bounds else ["all"]


def from_moments(state: DriftState) -> pd.DataFrame:
    """How indices moved, as multiples of their limits, by what the server counted: ``time``, then a column each."""
    parts = {part.name: part for part in state.parts}
    rows: list[dict[str, datetime | float | None]] = [
        {"time": moment.end, **{name: _of_limit(parts[name], psi) for name, psi in moment.psi.items()}}
        for moment in state.moments
    ]
    return pd.DataFrame(rows, columns=["time", *parts])


def from_prometheus(
    url: str, timeout_seconds: float, state: DriftState, window: DriftWindow, now: datetime | None = None
) -> pd.DataFrame:
    """The same from Prometheus, the mean over all replicas that answer customers.

    Raises
    ------
    Unavailable
        When Prometheus does not answer, or not as it should.
    """
    of = f'window="{window}",model_version="{state.model.version}",role="champion"'
    with Prometheus(url, timeout_seconds, _MINUTES[window], now) as prometheus:
        features = prometheus.series(f"avg by (feature) (fraud_feature_psi{{{of}}})")
        scores = prometheus.series(f"avg(fraud_score_psi{{{of}}})")
    found = {series.labels.get("feature", ""): series.points for series in features}
    if scores:
        found[SCORE] = scores[0].points
    limits = {part.name: part.limit for part in state.parts}
    frame = pd.DataFrame({name: pd.Series(found.get(name, {}), dtype="float64") / limits[name] for name in limits})
    frame.insert(0, "time", pd.to_datetime(frame.index.to_numpy(dtype="float64"), unit="s", utc=True))
    return frame.sort_values("time").reset_index(drop=True)


def moved_the_score(state: DriftState, kept: Sequence[KeptPrediction]) -> pd.DataFrame:
    """By how much each feature's drift moved the mean score of some predictions.

    Predictions are weighted so that the feature is distributed over its bins as in training; what the mean score then
    lacks is the feature's doing, and that of whatever goes along with it (correction of covariate shift by density
    ratios: Shimodaira 2000, doi:10.1016/S0378-3758(00)00115-4). Effects of features that go together are shared, so
    they do not add up. Bins into which hardly anybody falls now are left out: a few predictions would stand for many.

    Returns
    -------
    DataFrame
        ``feature``, ``effect`` on the mean score, and its standard ``error``; the largest first, and at last, with NaN,
        what cannot be weighted: most of training has no counterpart. What belongs to the clock is there when the
        predictions cover enough of it. Empty without feature rows of this model.
    """
    rows = [item for item in kept if item.features is not None and item.model.version == state.model.version]
    columns = ["feature", "effect", "error"]
    if not rows:
        return pd.DataFrame(columns=columns)
    scores = np.array([item.score for item in rows])
    moments = [item.timestamp for item in rows]
    covered = max(moments) - min(moments)
    effects = [
        (part.name, *_effect(part, _places(part, rows), scores))
        for part in state.parts
        if part.name != SCORE and covered >= _CLOCK.get(part.name, timedelta())
    ]
    frame = pd.DataFrame(effects, columns=columns)
    return frame.sort_values("effect", key=np.abs, ascending=False, kind="stable").reset_index(drop=True)


def _places(part: DriftPart, rows: Sequence[KeptPrediction]) -> NDArray[np.int64]:
    """Into which bin each prediction falls."""
    if part.categories is not None:
        places = {name: place for place, name in enumerate(part.categories)}
        return np.array([places.get(item.merchant_category, len(places)) for item in rows], np.int64)
    return np.searchsorted(np.asarray(part.edges), [(item.features or {})[part.name] for item in rows])


def _effect(part: DriftPart, bins: NDArray[np.int64], scores: NDArray[np.float64]) -> tuple[float, float]:
    """Effect of a part on the mean score, and its standard error; NaN when most of training has no counterpart."""
    training = np.asarray(part.training, dtype=np.float64)
    now = np.bincount(bins, minlength=training.size)
    usable = now >= max(_FEWEST, _FEWEST_SHARE * len(bins))
    if training[usable].sum() < 0.5 * training.sum():
        return np.nan, np.nan
    weights = np.where(usable, training / np.maximum(now, 1), 0.0)[bins]
    weights /= weights.sum()
    weighted = weights @ scores
    # How much each prediction pulls at the difference of both means.
    pulls = (scores - scores.mean()) / len(scores) - weights * (scores - weighted)
    return float(scores.mean() - weighted), float(np.sqrt(pulls @ pulls))
