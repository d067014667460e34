"""RFC 3339 times of a column, with the offset of each."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.features.windows import IntArray
from bentos.core.transaction import EARLIEST, LATEST, microseconds
from bentos.fraud.bulk.reading import refused

__all__ = ["read_times"]

_EARLIEST: Final = microseconds(EARLIEST)
_LATEST: Final = microseconds(LATEST)
_SECOND: Final = 1_000_000
_DAYS: Final = (
    r"[0-9]{4}-(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    r"[0-9]{4}-(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)",
    r"[0-9]{4}-02-(?:0[1-9]|1[0-9]|2[0-8])",
    r"[0-9]{2}(?:0[48]|[2468][048]|[13579][26])-02-29",
    r"(?:[02468][048]|[13579][26])00-02-29",
)
_HOUR: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#: Arrow refuses a whole column for one day that no calendar has.
_USUAL: Final = rf"^(?:{'|'.join(_DAYS)})T{_HOUR}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR})$"
_ZONE: Final = len("+01:00")


def read_times(column: pa.Array) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """Times in the usual form.

    Returns
    -------
    tuple
        int64 [n] microseconds since 1970 UTC, int64 [n] seconds that the clock is ahead of UTC, and bool [n] whether
        the cell is a time in the usual form, and in range.

    Raises
    ------
    InvalidInput
        When the column holds times of no zone, so that none of its rows can be used.
    """
    if pa.types.is_timestamp(column.type):
        return _typed(column)
    rows = len(column)
    if not pa.types.is_string(column.type):
        return np.zeros(rows, np.int64), np.zeros(rows, np.int64), np.zeros(rows, bool)
    usual = pc.fill_null(pc.match_substring_regex(column, _USUAL), False)
    known = usual.to_numpy(zero_copy_only=False)
    texts = column if known.all() else pc.if_else(usual, column, None)
    exact = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    time = exact.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return time, _offsets(texts), known & (time >= _EARLIEST) & (time < _LATEST)


def _offsets(texts: pa.Array) -> IntArray:
    """Seconds that the clocks are ahead of UTC; of few kinds, so each is read once."""
    zones = pc.if_else(pc.ends_with(texts, "Z"), "+00:00", pc.utf8_slice_codeunits(texts, -_ZONE))
    codes = pc.fill_null(zones, "+00:00").dictionary_encode()
    seconds = np.array([_seconds(zone) for zone in codes.dictionary.to_pylist()], np.int64)
    offsets: IntArray = seconds[codes.indices.to_numpy(zero_copy_only=False)]
    return offsets


def _seconds(zone: str) -> int:
    seconds = int(zone[1:3]) * 3600 + int(zone[4:]) * 60
    return -seconds if zone[0] == "-" else seconds


def _typed(column: pa.Array) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    zone = column.type.tz
    if zone is None:
        raise refused("column timestamp holds times without a zone; write them as text with an offset, or with a zone")
    exact = column.cast(pa.timestamp("us", zone), safe=False)
    time = exact.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    known = (time >= _EARLIEST) & (time < _LATEST)
    within = pa.array(np.where(known, time, 0)).cast(pa.timestamp("us", zone))
    local = pc.local_timestamp(within).cast(pa.int64()).to_numpy(zero_copy_only=False)
    return time, (local - np.where(known, time, 0)) // _SECOND, known
