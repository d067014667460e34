"""RFC 3339 times of a column, with the offset of each."""

from __future__ import annotations

import re
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
_CLOCK: Final = len("2026-01-31T12:00:00")
#: Places of digits and marks in it.
_DIGITS: Final = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]
_MARKS: Final = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":"}
_TAIL: Final = re.compile(r"(?:\.(\d{1,6}))?(?:(Z)|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)
_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


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
    clock, usual = _clock(column)
    fraction, offset, known = _tails(pc.fill_null(pc.utf8_slice_codeunits(column, _CLOCK, 64), ""))
    time = clock * _SECOND + fraction - offset * _SECOND
    return time, offset, usual & known & (time >= _EARLIEST) & (time < _LATEST)


def _clock(column: pa.Array) -> tuple[IntArray, NDArray[np.bool_]]:
    """Seconds since 1970 on the clock itself."""
    ascii_only = pc.fill_null(pc.string_is_ascii(column), False)
    long = pc.fill_null(pc.greater(pc.binary_length(column), _CLOCK), False)
    usable = pc.and_(ascii_only, long)
    heads = pc.if_else(usable, pc.utf8_slice_codeunits(column, 0, _CLOCK), "0" * _CLOCK)
    offset = heads.offset * _CLOCK
    letters = np.frombuffer(heads.buffers()[2], np.uint8, len(column) * _CLOCK, offset).reshape(-1, _CLOCK)
    digits = letters[:, _DIGITS].astype(np.int64) - ord("0")
    usual = ((digits >= 0) & (digits <= 9)).all(axis=1)
    for place, mark in _MARKS.items():
        usual &= letters[:, place] == mark[0]
    year = digits[:, :4] @ np.array([1000, 100, 10, 1])
    month, day, hour, minute, second = (digits[:, k] * 10 + digits[:, k + 1] for k in range(4, 14, 2))
    usual &= (year >= 1) & (month >= 1) & (month <= 12) & (hour <= 23) & (minute <= 59) & (second <= 59)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    longest = _MONTH_DAYS[np.where(usual, month, 1)] + (leap & (month == 2))
    usual &= (day >= 1) & (day <= longest)
    days = _days(np.where(usual, year, 1970), np.where(usual, month, 1), np.where(usual, day, 1))
    return days * 86_400 + hour * 3600 + minute * 60 + second, usual


def _days(year: IntArray, month: IntArray, day: IntArray) -> IntArray:
    """Days since 1970-01-01, by numpy's own calendar."""
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    return months.astype("datetime64[D]").astype(np.int64) + day - 1


def _tails(tails: pa.Array) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """Microseconds and offsets in seconds of what follows the seconds."""
    zones = pc.utf8_slice_codeunits(tails, -6, 64)
    is_utc = pc.ends_with(tails, "Z")
    zones = pc.if_else(is_utc, "Z", zones)
    codes = zones.dictionary_encode()
    table = [_zone(text) for text in codes.dictionary.to_pylist()]
    index = codes.indices.to_numpy(zero_copy_only=False)
    offset = np.array([0 if one is None else one for one in table], np.int64)[index]
    known = np.array([one is not None for one in table], bool)[index]
    parts = pc.utf8_slice_codeunits(tails, 0, 8)
    lengths = pc.utf8_length(tails).to_numpy(zero_copy_only=False) - np.where(
        is_utc.to_numpy(zero_copy_only=False), 1, 6
    )
    fraction = np.zeros(len(tails), np.int64)
    some = np.flatnonzero(known & (lengths > 0))
    if len(some):
        part, right = _fractions(parts.take(pa.array(some)), lengths[some])
        fraction[some] = part
        known[some] = right
    return fraction, offset, known & (lengths >= 0)


def _fractions(parts: pa.Array, lengths: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    result = np.zeros(len(parts), np.int64)
    right = np.zeros(len(parts), bool)
    for length in np.unique(lengths[(lengths >= 2) & (lengths <= 7)]).tolist():
        chosen = np.flatnonzero(lengths == length)
        texts = pc.utf8_slice_codeunits(parts.take(pa.array(chosen)), 0, length)
        plain = pc.match_substring_regex(texts, r"^\.[0-9]+$")
        digits = pc.if_else(plain, pc.utf8_slice_codeunits(texts, 1, length), "0")
        result[chosen] = digits.cast(pa.int64()).to_numpy() * 10 ** (7 - length)
        right[chosen] = plain.to_numpy(zero_copy_only=False)
    return result, right


def _zone(text: str) -> int | None:
    matched = _TAIL.fullmatch(text)
    if matched is None or matched[1]:
        return None
    if matched[2]:
        return 0
    seconds = int(matched[4]) * 3600 + int(matched[5]) * 60
    return -seconds if matched[3] == "-" else seconds


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
