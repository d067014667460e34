"""Drift as one answer: indices, the counts behind them, and how they moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.core.answers import ModelVersion
from bentos.core.artifact.categories import Categories
from bentos.core.drift import DriftMoment, DriftPart, DriftState, PartInWindow
from bentos.fraud.drift.counts import SLICE_SECONDS, DriftCounts
from bentos.fraud.drift.drift import WINDOWS, Drift, Window, drift_of, limit, look, slices_of
from bentos.fraud.drift.layout import Layout

__all__ = ["drift_state"]


def drift_state(counts: DriftCounts | None, model: ModelVersion, minimum_rows: int) -> DriftState:
    """What a server has counted.

    Parameters
    ----------
    counts
        Of all its workers; None when it counts none.
    model
        That it serves.
    minimum_rows
        Of a window, or of a moment, below which no index is told.
    """
    if counts is None:
        return DriftState(
            model=model, counted=False, minimum_rows=minimum_rows, rows=dict.fromkeys(WINDOWS, 0), parts=(), moments=()
        )
    windows = {window: counts.last(slices_of(window)) for window in WINDOWS}
    found = {(one.name, one.window): one for one in look(counts, minimum_rows)}
    return DriftState(
        model=model,
        counted=True,
        minimum_rows=minimum_rows,
        rows={window: counts.layout.rows(counted) for window, counted in windows.items()},
        parts=tuple(_part(counts.layout, name, windows, found) for name in counts.layout.names),
        moments=tuple(_moments(counts, minimum_rows)),
    )


def _part(
    layout: Layout,
    name: str,
    windows: Mapping[Window, NDArray[Any]],
    found: Mapping[tuple[str, Window], Drift],
) -> DriftPart:
    reference = layout.reference(name)
    named = isinstance(reference, Categories)
    return DriftPart(
        name=name,
        edges=() if isinstance(reference, Categories) else tuple(reference.edges),
        categories=tuple(reference.names) if isinstance(reference, Categories) else None,
        training=tuple(reference.counts),
        limit=limit(name, reference),
        windows={
            window: PartInWindow(
                counts=tuple(int(count) for count in layout.histogram(counted, name)),
                psi=found[name, window].psi if (name, window) in found else None,
                missing=layout.missing(counted, name),
                unseen=layout.unseen(counted, name),
                expected=tuple(layout.expected(counted, name).tolist()) if named else None,
            )
            for window, counted in windows.items()
        },
    )


def _moments(counts: DriftCounts, minimum_rows: int) -> Iterator[DriftMoment]:
    """Slices that follow each other, joined until they hold enough; what does not become enough is left out."""
    numbers, counted = counts.slices()
    start, total = 0, np.zeros(counts.layout.size, np.int64)
    for place, number in enumerate(numbers.tolist()):
        if not total.any():
            start = number
        total = total + counted[place]
        rows = counts.layout.rows(total)
        if rows < minimum_rows:
            continue
        psi = {one.name: one.psi for one in drift_of(counts.layout, total, "hour", minimum_rows)}
        yield DriftMoment(start=_instant(start), end=_instant(number + 1), rows=rows, psi=psi)
        total = np.zeros_like(total)


def _instant(number: int) -> datetime:
    return datetime.fromtimestamp(number * SLICE_SECONDS, UTC)
