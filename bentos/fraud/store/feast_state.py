"""A key's state as the one field of bytes that Feast keeps of it.

A head, then hourly buckets of 32 bytes, exact events of 24 and labels of 12, all little-endian: half of what the same
takes as cells, and it is moved whole with each transaction. At most 176 kB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.features.state import BUCKET_LABEL, CELL, NO_LABEL
from bentos.fraud.store.base import Delivery

__all__ = ["NOTHING", "State", "packed_state", "unpacked_state"]

_FORMAT: Final = 1
#: Format, whether a label was delivered, how many buckets, events and labels; source and serial of the delivery.
_HEAD: Final = struct.Struct("<HHIII16sQ")
_BUCKET: Final = np.dtype([("time", "<i8"), ("amount", "<f8"), ("squares", "<f8"), ("count", "<i4"), ("frauds", "<i4")])
_EVENT: Final = np.dtype([("time", "<i8"), ("amount", "<f8"), ("identity", "<u8")])
#: Which exact event, counted from the first, and since when it is labelled.
_LABEL: Final = np.dtype([("place", "<u4"), ("label_time", "<i8")])


@dataclass(frozen=True, slots=True)
class State:
    """A key's state.

    Parameters
    ----------
    cells
        ``CELL`` [n]: buckets, then exact events, in order of time.
    buckets
        How many are buckets.
    delivery
        The label that was told last and changed it; None for none.
    """

    cells: NDArray[np.void]
    buckets: int
    delivery: Delivery | None = None


NOTHING: Final = State(np.empty(0, CELL), 0)


def packed_state(state: State) -> bytes:
    """The bytes of a state; none for one without cells."""
    if not len(state.cells):
        return b""
    folded, exact = state.cells[: state.buckets], state.cells[state.buckets :]
    places = np.flatnonzero(exact["label_time"] != NO_LABEL)
    labels = np.empty(len(places), _LABEL)
    labels["place"], labels["label_time"] = places, exact["label_time"][places]
    told = state.delivery
    source, serial = (bytes(16), 0) if told is None else (told.source, told.serial)
    head = _HEAD.pack(_FORMAT, told is not None, len(folded), len(exact), len(labels), source, serial)
    return b"".join((head, _columns(folded, _BUCKET), _columns(exact, _EVENT), labels.tobytes()))


def _columns(cells: NDArray[np.void], form: np.dtype[np.void]) -> bytes:
    records = np.empty(len(cells), form)
    for name in form.names or ():
        records[name] = cells[name]
    return records.tobytes()


def unpacked_state(data: bytes) -> State:
    """The state that these bytes are of.

    Raises
    ------
    DataError
        When they are of none: written by another version, or by somebody else.
    """
    if not data:
        return NOTHING
    if len(data) < _HEAD.size:
        raise DataError(f"a state of {len(data)} bytes is too short")
    version, told, buckets, events, labels, source, serial = _HEAD.unpack_from(data)
    ends = np.cumsum([_HEAD.size, buckets * _BUCKET.itemsize, events * _EVENT.itemsize, labels * _LABEL.itemsize])
    if version != _FORMAT or ends[-1] != len(data):
        raise DataError(
            f"a state of format {version} and {len(data)} bytes cannot be read; needed are format {_FORMAT} and"
            f" {ends[-1]} bytes"
        )
    cells = np.zeros(buckets + events, CELL)
    folded, exact = cells[:buckets], cells[buckets:]
    _spread(np.frombuffer(data, _BUCKET, buckets, int(ends[0])), folded)
    folded["label_time"] = BUCKET_LABEL
    _spread(np.frombuffer(data, _EVENT, events, int(ends[1])), exact)
    exact["count"], exact["label_time"] = 1, NO_LABEL
    known = np.frombuffer(data, _LABEL, labels, int(ends[2]))
    if labels and int(known["place"].max()) >= events:
        raise DataError("a state has a label of an event that it does not hold")
    exact["label_time"][known["place"]] = known["label_time"]
    exact["frauds"][known["place"]] = 1
    return State(cells, buckets, Delivery(source, serial) if told else None)


def _spread(records: NDArray[np.void], cells: NDArray[np.void]) -> None:
    for name in records.dtype.names or ():
        cells[name] = records[name]
