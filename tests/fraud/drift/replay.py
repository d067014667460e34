"""Payments counted as a server counts them while they come, and when something of them was first flagged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bentos.fraud.drift.counts import DriftCounts
from bentos.fraud.drift.drift import look
from bentos.fraud.drift.layout import Layout
from tests.fraud.drift.clock import Clock

__all__ = ["first_flags"]

#: As the service's default: what fewer say is not told.
_MINIMUM_ROWS = 2000
#: Alerts ask this many limits of an hour.
_HOUR_FACTOR = 10


def first_flags(
    layout: Layout,
    seconds: NDArray[np.float64],
    rows: NDArray[np.float64],
    scores: NDArray[np.float64],
    categories: Sequence[str] = (),
) -> dict[str, int]:
    """How many payments had come when a feature, or the score, was first flagged, as alerts flag it; looks each hour.

    Parameters
    ----------
    layout
        Of the training rows.
    seconds
        When each payment came, since 1970, ascending, [n].
    rows
        Feature rows, [n, 21].
    scores
        [n].
    categories
        Of the merchants, n of them, when the layout counts them.
    """
    clock = Clock()
    counts = DriftCounts(layout, None, clock)
    hours = (seconds // 3600).astype(np.int64)
    flagged: dict[str, int] = {}
    for hour in np.unique(hours):
        begin, end = np.searchsorted(hours, [hour, hour + 1])
        clock.seconds = float(hour) * 3600 + 1800
        counts.count_values(rows[begin:end], scores[begin:end], categories[begin:end])
        for one in look(counts, _MINIMUM_ROWS):
            if one.psi > one.limit * (_HOUR_FACTOR if one.window == "hour" else 1):
                flagged.setdefault(one.name, int(end))
    return flagged
