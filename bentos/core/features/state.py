"""Cells of states, as a snapshot lays them out: a key's newest events exactly, older ones folded into hourly buckets.

A state never grows beyond ``EXACT_EVENTS`` events and one bucket an hour of its horizon. The compiled store
(:mod:`.online`) keeps the same cells in columns of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.features.ranges import Cells
from bentos.core.features.windows import IntArray

__all__ = ["BUCKET_LABEL", "CELL", "NO_LABEL", "bucket_cells"]

#: One exact event (count 1) or one bucket. ``time`` of a bucket is its newest event's. ``label_time`` is when the
#: fraud label arrived; a bucket's frauds have all arrived. ``identity`` is a hash of transaction_id, 0 for a bucket.
CELL: Final = np.dtype(
    [
        ("time", "<i8"),
        ("amount", "<f8"),
        ("squares", "<f8"),
        ("label_time", "<i8"),
        ("identity", "<u8"),
        ("count", "<i4"),
        ("frauds", "<i4"),
    ]
)
NO_LABEL: Final = np.iinfo(np.int64).max
BUCKET_LABEL: Final = np.iinfo(np.int64).min


def bucket_cells(newest: IntArray, running: Cells, last: IntArray, frauds: IntArray) -> NDArray[np.void]:
    """Buckets of whole hours, as the store would fold them.

    Parameters
    ----------
    newest
        int64 [k]; time of each bucket's newest event.
    running, last
        See :func:`.running.running_by_bucket`; the entry of each bucket's newest event.
    frauds
        int64 [k]; known frauds in each.
    """
    cells = np.zeros(len(last), CELL)
    cells["time"], cells["frauds"], cells["label_time"] = newest, frauds, BUCKET_LABEL
    cells["amount"] = running.total[last]
    if running.count is not None and running.squares is not None:
        cells["count"], cells["squares"] = running.count[last], running.squares[last]
    return cells
