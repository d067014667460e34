"""Which window statistics the compiled store computes for a row, and where in its answer they stand."""

from __future__ import annotations

from typing import Final

from bentos.core.features import _states
from bentos.core.features.clock import DAY
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind

__all__ = ["COUNT", "FRAUDS", "LAST", "PLACES", "SPECIFICATION", "SQUARES", "TOTAL", "WIDTH", "Place"]

COUNT: Final = _states.COUNT
FRAUDS: Final = _states.FRAUDS
TOTAL: Final = _states.TOTAL
SQUARES: Final = _states.SQUARES
#: Time of the previous event; has no window.
LAST: Final = 0

#: Days of a window, and the statistic.
Place = tuple[int, int]

#: What the features ask, by kind: whether for the previous event, and the statistics of each window in days.
_ASKED: Final[dict[KeyKind, tuple[bool, dict[int, int]]]] = {
    CUSTOMER: (True, {1: COUNT | TOTAL, 7: COUNT | TOTAL, 30: COUNT | TOTAL | SQUARES}),
    MERCHANT: (False, dict.fromkeys((1, 7, 30), COUNT | FRAUDS)),
    CATEGORY: (False, {30: COUNT | FRAUDS}),
}


def _places() -> dict[KeyKind, dict[Place, int]]:
    places: dict[KeyKind, dict[Place, int]] = {}
    column = 0
    for kind in KINDS:
        last, windows = _ASKED[kind]
        asked = [(0, LAST)] if last else []
        for days, statistics in windows.items():
            asked += [(days, one) for one in (COUNT, FRAUDS, TOTAL, SQUARES) if statistics & one]
        places[kind] = {place: column + number for number, place in enumerate(asked)}
        column += len(asked)
    return places


#: Column of each statistic in a row of the store's answer.
PLACES: Final = _places()
#: Statistics of a row.
WIDTH: Final = sum(len(places) for places in PLACES.values())

#: The same as the store wants to be told: delay, horizon, previous event, windows; spans in microseconds.
SPECIFICATION: Final = tuple(
    (
        kind.delay_days * DAY,
        kind.horizon,
        _ASKED[kind][0],
        tuple((days * DAY, asked) for days, asked in _ASKED[kind][1].items()),
    )
    for kind in KINDS
)
