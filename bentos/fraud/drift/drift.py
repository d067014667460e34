"""How far payments are from training: the population stability index of each feature, the score and the category.

The usual index differs between features: a day's amounts are all customers', a day's fraud rate of a category is one
number. So the limit of each follows from how far parts of its own training rows were from the whole
(:attr:`bentos.core.artifact.distributions.Histogram.usual`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bentos.core.artifact.categories import Categories
from bentos.core.artifact.distributions import Histogram
from bentos.core.artifact.stability import population_stability_index
from bentos.core.drift import DRIFT_WINDOWS, DriftWindow
from bentos.fraud.drift.counts import SLICE_SECONDS, DriftCounts
from bentos.fraud.drift.layout import Layout

__all__ = ["WINDOWS", "Drift", "Window", "drift_of", "limit", "look", "slices_of"]

Window: TypeAlias = DriftWindow
WINDOWS: Final = DRIFT_WINDOWS
_SLICES: Final[dict[Window, int]] = {
    "hour": 3600 // SLICE_SECONDS,
    "day": 86_400 // SLICE_SECONDS,
    "week": 7 * 86_400 // SLICE_SECONDS,
}
#: Shorter windows hold a part of the clock, or of the week, only; and at weekends people get up late.
_SHORTEST: Final[dict[str, Window]] = {"hour": "week", "is_night": "day", "day_of_week": "week", "is_weekend": "week"}
#: Share of a window that has to be counted: a server that began this morning knows no night.
_WHOLE: Final = 0.95
#: Beyond what is usual: of two bins, and of six or more.
_STEP: Final = 0.0125
_MOST: Final = 0.05
_USUAL: Final = 3.0
#: What the literature calls a shift (Siddiqi, "Credit Risk Scorecards", 2006), where nothing else is known.
_TEXTBOOK: Final = 0.25


@dataclass(frozen=True, slots=True)
class Drift:
    """One feature, the score, or the merchant's category, over a window.

    Parameters
    ----------
    name
        Of the feature; "score"; "merchant_category".
    window
        How long back.
    rows
        Predictions in it.
    psi
        Population stability index against training; of categories, against training at the same hours.
    limit
        From which on it is more than usual.
    missing
        Share of the rows in which it stands for nothing; None where it never does.
    unseen
        Share of the rows whose category the reference does not name; None where it is no category.
    """

    name: str
    window: Window
    rows: int
    psi: float
    limit: float
    missing: float | None
    unseen: float | None

    @property
    def drifted(self) -> bool:
        """Whether it is distributed otherwise than in training."""
        return self.psi > self.limit


def slices_of(window: Window) -> int:
    """Slices of counts in a window."""
    return _SLICES[window]


def limit(name: str, reference: Histogram | Categories) -> float:
    """From which index on a part has drifted: some beyond what is usual for it.

    What belongs to the clock is compared over whole days or weeks, of which one is as the other.

    Of 2,000 rows or more, chance alone reaches it once in some 100,000 looks: n times the index is then distributed as
    chi squared, with one degree of freedom less than there are bins.
    """
    if reference.usual is None:
        return _TEXTBOOK
    usual = 0.0 if name in _SHORTEST else reference.usual
    return min(_MOST, _STEP * (len(reference.counts) - 1)) + _USUAL * usual


def look(counts: DriftCounts, minimum_rows: int) -> Iterator[Drift]:
    """Every part over every window that holds enough.

    Parameters
    ----------
    counts
        Of all workers.
    minimum_rows
        In a window.
    """
    reach = counts.reach()
    for window in WINDOWS:
        slices = _SLICES[window]
        whole = reach >= _WHOLE * slices
        yield from drift_of(counts.layout, counts.last(slices), window, minimum_rows, whole=whole)


def drift_of(
    layout: Layout, counts: NDArray[np.int64], window: Window, minimum_rows: int, *, whole: bool = True
) -> Iterator[Drift]:
    """Every part, by counts of one window; nothing of too few.

    Parameters
    ----------
    layout
        Of the counts.
    counts
        int64 [size].
    window
        That they are of.
    minimum_rows
        In it.
    whole
        Whether they are of all of it; else nothing is told of what belongs to the clock.
    """
    rows = layout.rows(counts)
    if rows < minimum_rows:
        return
    for name in layout.names:
        shortest = _SHORTEST.get(name)
        if shortest is not None and (WINDOWS.index(window) < WINDOWS.index(shortest) or not whole):
            continue
        yield Drift(
            name,
            window,
            rows,
            population_stability_index(layout.expected(counts, name), layout.histogram(counts, name)),
            limit(name, layout.reference(name)),
            layout.missing(counts, name),
            layout.unseen(counts, name),
        )
