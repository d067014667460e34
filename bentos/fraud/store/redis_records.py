"""Between cells, as snapshots hold them, and the strings of a key in Redis; see :mod:`.redis_layout`."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.state import BUCKET_LABEL, CELL, NO_LABEL
from bentos.fraud.store.redis_layout import HAS_BUCKETS, HAS_LABELS, HEAD

__all__ = ["packed_cells", "unpacked_cells"]

_EVENT: Final = np.dtype([("time", "<i8"), ("amount", "<f8"), ("identity", "<u8")])
_IN_CELLS: Final = ("time", "amount", "squares", "count", "frauds")
_BUCKET: Final = np.dtype(
    [
        ("time", "<i8"),
        ("amount", "<f8"),
        ("squares", "<f8"),
        ("count", "<i4"),
        ("frauds", "<i4"),
        ("all", "<f8"),
        ("bad", "<f8"),
    ]
)
_LABEL: Final = np.dtype([("identity", "<u8"), ("time", "<i8"), ("label_time", "<i8")])


def packed_cells(cells: NDArray[np.void], buckets: int) -> tuple[bytes, bytes, bytes]:
    """A state's three strings.

    Parameters
    ----------
    cells
        ``CELL`` [n].
    buckets
        How many of them, the first, are buckets.
    """
    exact = cells[buckets:]
    labelled = exact[exact["label_time"] != NO_LABEL]
    has = (HAS_BUCKETS if buckets else 0) + (HAS_LABELS if len(labelled) else 0)
    events = HEAD.pack(0, has) + _columns(exact, _EVENT) if len(exact) else b""
    return events, _buckets(cells[:buckets]), _columns(labelled, _LABEL)


def unpacked_cells(events: bytes | None, buckets: bytes | None, labels: bytes | None) -> tuple[NDArray[np.void], int]:
    """A state's cells, and how many of them are buckets; the strings that are missing are None."""
    dead = HEAD.unpack_from(events)[0] if events else 0
    exact = np.frombuffer((events or b"")[HEAD.size :], _EVENT)[dead:]
    folded = np.frombuffer(buckets or b"", _BUCKET)
    known = np.frombuffer(labels or b"", _LABEL)
    cells = np.zeros(len(folded) + len(exact), CELL)
    start = len(folded)
    for name in _IN_CELLS:
        cells[name][:start] = folded[name]
    cells["label_time"][:start] = BUCKET_LABEL
    for name in _EVENT.names or ():
        cells[name][start:] = exact[name]
    arrivals = dict(zip(known["identity"].tolist(), known["label_time"].tolist(), strict=True))
    label_times = np.array([arrivals.get(identity, NO_LABEL) for identity in exact["identity"].tolist()], np.int64)
    cells["label_time"][start:] = label_times
    cells["count"][start:] = 1
    cells["frauds"][start:] = label_times != NO_LABEL
    return cells, start


def _buckets(cells: NDArray[np.void]) -> bytes:
    records = np.empty(len(cells), _BUCKET)
    for name in _IN_CELLS:
        records[name] = cells[name]
    records["all"], records["bad"] = np.cumsum(cells["count"]), np.cumsum(cells["frauds"])
    return records.tobytes()


def _columns(cells: NDArray[np.void], form: np.dtype[np.void]) -> bytes:
    records = np.empty(len(cells), form)
    for name in form.names or ():
        records[name] = cells[name]
    return records.tobytes()
