"""From counters as they are scraped to what was counted between two looks.

Counters begin anew with their process, processes come and go, and Prometheus may be away, or have lost its past. What
cannot be known is left out, on both sides alike: less evidence is only a later verdict, and wrong evidence a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Series", "Snapshot", "growth"]

#: Process, then name and labels of the counter, in any form that stays the same.
Series: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters at one time.

    Parameters
    ----------
    seconds
        When, by one clock.
    values
        By process and counter.
    started
        When processes began, by the same clock; those that are not named may be as old as any.
    """

    seconds: float
    values: Mapping[Series, float]
    started: Mapping[str, float] = field(default_factory=dict)


def growth(before: Snapshot, after: Snapshot, longest_seconds: float = 600.0) -> dict[tuple[str, ...], float] | None:
    """What each counter grew by, over all processes.

    A counter that is smaller than before began anew and counts from zero. One that is new counts from zero if its
    process was there before, or has started since; otherwise its past is unknown, and it begins to count now.

    Parameters
    ----------
    longest_seconds
        Looks further apart are not compared.

    Returns
    -------
    By name and labels, without the process, never negative. None when the looks are too far apart, when time went
    backwards, or when nothing was seen at either of them: there is no evidence then, which is not evidence of nothing.
    """
    if not before.values or not after.values or not 0 < after.seconds - before.seconds <= longest_seconds:
        return None
    known = {series[0] for series in before.values}
    grown: dict[tuple[str, ...], float] = {}
    for series, value in after.values.items():
        process, counter = series[0], series[1:]
        if series in before.values:
            earlier = before.values[series]
            added = value - earlier if value >= earlier else value
        elif process in known or after.started.get(process, float("-inf")) >= before.seconds:
            added = value
        else:
            added = 0.0
        grown[counter] = grown.get(counter, 0.0) + added
    return grown
