"""Times of real data, in any of the forms that a mapping may name, as instants with the customer's clock."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.ingest.cells import numbers
from bentos.core.ingest.findings import Findings
from bentos.core.ingest.mapping import TimeMapping

__all__ = ["parse_times"]

IntArray = NDArray[np.int64]

#: RFC 3339 with the freedoms that the service's parser takes as well: a blank or underscore for T, seconds left out.
_WITH_OFFSET: Final = (
    r"^(?P<day>\d{4}-\d{2}-\d{2})[Tt _](?P<clock>\d{2}:\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?"
    r"(?P<offset>[Zz]|[+\-−](?:[01]\d|2[0-3]):?[0-5]\d)$"
)
_WITHOUT_OFFSET: Final = r"^\d{4}-\d{2}-\d{2}(?:[Tt _]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?$"
_MISSING: Final = np.iinfo(np.int64).min  # NaT
_NAIVE: Final = "has no offset from UTC; such times need kind: local and their timezone in the mapping"


def parse_times(
    column: pa.ChunkedArray, how: TimeMapping, target: str, found: Findings, *, required: bool = True
) -> tuple[IntArray, IntArray]:
    """Instants of a column.

    Parameters
    ----------
    column
        n cells of the source.
    how
        Their form.
    target
        Canonical column, for findings.
    found
        Takes the cells that are no time.
    required
        Whether an empty cell is one of these.

    Returns
    -------
    int64 [n] microseconds since 1970 UTC (NaT where there is none) and int64 [n] seconds by which the customer's
    clock was ahead of UTC.

    Raises
    ------
    DataError
        The column as a whole is not of the form that the mapping says.
    """
    if how.kind == "elapsed":
        time, offset = _elapsed(column, how, target, found)
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        time, offset = _typed(column, how, target, found)
    elif not pa.types.is_string(column.type):
        raise DataError(
            f"column {how.column} holds {column.type}; kind: {how.kind} needs text or timestamps, and numbers that"
            " count from a start need kind: elapsed"
        )
    elif how.kind == "offset":
        time, offset = _offset_text(column, target, found)
    else:
        time, offset = _local_text(column, how, target, found)
    if required:
        found.add(time == _MISSING, target, column, "is empty or no time")
    if how.timezone is not None and how.kind != "local":
        offset = _offsets(time, how.timezone)
    return time, offset


def _offsets(time: IntArray, zone: str) -> IntArray:
    """Seconds by which a zone's clock is ahead of UTC at instants; 0 where there is none."""
    instants = pd.DatetimeIndex(time.astype("datetime64[us]"), tz="UTC")
    local = instants.tz_convert(zone).tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    return np.where(time == _MISSING, 0, (local - np.where(time == _MISSING, local, time)) // 1_000_000)


def _elapsed(column: pa.ChunkedArray, how: TimeMapping, target: str, found: Findings) -> tuple[IntArray, IntArray]:
    if how.start is None:  # the mapping sees to it
        raise DataError("kind: elapsed needs start")
    value = numbers(column, ".", how.column, target, found)
    scale = 1_000_000 if how.unit == "seconds" else 1_000
    far = np.abs(value) > 1e16 / scale
    found.add(far, target, column, "is too far from the start")
    wrong = far | ~np.isfinite(value)
    start = pd.Timestamp(how.start).as_unit("us")
    time = np.where(
        wrong, _MISSING, start.value // 1_000 + np.round(np.where(wrong, 0, value) * scale).astype(np.int64)
    )
    offset = how.start.utcoffset()
    return time, np.full(len(time), int(offset.total_seconds()) if offset else 0)


def _typed(column: pa.ChunkedArray, how: TimeMapping, target: str, found: Findings) -> tuple[IntArray, IntArray]:
    zone = getattr(column.type, "tz", None)
    if zone is None and how.kind == "offset":
        raise DataError(
            f"column {how.column} holds {column.type}, times without a zone; state their zone: kind: local, timezone: …"
        )
    if zone is not None and how.kind == "local":
        raise DataError(f"column {how.column} holds {column.type}, whose instants are known; use kind: offset")
    unit = pa.timestamp("us", zone)
    plain = column.cast(unit, safe=False).cast(pa.int64())
    time = plain.fill_null(_MISSING).to_numpy().astype(np.int64)
    if zone is None:
        return _localize(time, column, how, target, found)
    return time, _offsets(time, zone)


def _offset_text(column: pa.ChunkedArray, target: str, found: Findings) -> tuple[IntArray, IntArray]:
    parts = pc.extract_regex(column, _WITH_OFFSET)
    matched = parts.is_valid().to_numpy().astype(bool)

    def part(name: str) -> pa.ChunkedArray:
        return pc.struct_field(parts, name)

    second = pc.if_else(pc.equal(part("second"), ""), "00", part("second"))
    clock = pc.binary_join_element_wise(part("day"), pc.binary_join_element_wise(part("clock"), second, ":"), "T")
    local = pd.to_datetime(clock.to_pandas(), format="ISO8601", errors="coerce").to_numpy("datetime64[us]")
    time = local.astype(np.int64)
    # Digits after the sixth are cut off, as the service does.
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(part("fraction"), 6, "0"), 0, 6)
    fraction = pc.if_else(pc.equal(fraction, "000000"), None, fraction)
    micro = fraction.cast(pa.int64()).fill_null(0).to_numpy()

    unique, codes = _unique(part("offset"))
    offset = np.array([_offset_seconds(text) for text in unique] + [0], dtype=np.int64)[codes]
    bad = ~matched | np.isnat(local)
    naive = pc.match_substring_regex(column, _WITHOUT_OFFSET).fill_null(False).to_numpy().astype(bool)
    found.add(naive, target, column, _NAIVE)
    empty = pc.fill_null(pc.equal(column, ""), True).to_numpy().astype(bool)
    found.add(
        bad & ~naive & ~empty,
        target,
        column,
        "is no RFC 3339 time with an offset, such as 2026-01-31T12:00:00+01:00",
    )
    return np.where(bad, _MISSING, time + micro - np.where(bad, 0, offset) * 1_000_000), np.where(bad, 0, offset)


def _unique(column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
    codes, unique = pd.factorize(column.to_pandas())
    return list(unique), codes.astype(np.int64)


def _offset_seconds(text: str) -> int:
    if text in "Zz":
        return 0
    digits = text[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return seconds if text[0] == "+" else -seconds


def _local_text(column: pa.ChunkedArray, how: TimeMapping, target: str, found: Findings) -> tuple[IntArray, IntArray]:
    given = column
    empty = pc.fill_null(pc.equal(column, ""), True).to_numpy().astype(bool)
    cells = column.to_pandas()
    if how.pattern is None:
        plain = pc.match_substring_regex(column, _WITHOUT_OFFSET).fill_null(False).to_numpy().astype(bool)
        aware = pc.match_substring_regex(column, _WITH_OFFSET).fill_null(False).to_numpy().astype(bool)
        found.add(aware, target, given, "has an offset although the mapping says kind: local")
        column = pc.replace_substring_regex(column, "[t _]", "T")
        cells = pc.replace_substring(column, ",", ".").to_pandas().where(plain)
    local = pd.to_datetime(cells, format=how.pattern or "ISO8601", errors="coerce").to_numpy("datetime64[us]")
    form = "an ISO 8601 time" if how.pattern is None else f"a time of the form {how.pattern}"
    found.add(np.isnat(local) & ~empty, target, given, f"is not {form}")
    return _localize(local.astype(np.int64), column, how, target, found)


def _localize(
    local: IntArray, column: pa.ChunkedArray, how: TimeMapping, target: str, found: Findings
) -> tuple[IntArray, IntArray]:
    """Instants of local times, refusing those that a change of the clock skips or repeats."""
    zone: Any = how.timezone
    wall = pd.DatetimeIndex(local.astype("datetime64[us]"))
    instants = wall.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    lost = np.asarray(instants.isna(), dtype=bool) & np.asarray(wall.notna(), dtype=bool)
    if lost.any():
        skipped = wall[lost].tz_localize(zone, ambiguous=np.zeros(lost.sum(), dtype=bool), nonexistent="NaT").isna()
        for number, what in ((True, "skips"), (False, "shows twice")):
            mask = np.zeros(len(local), dtype=bool)
            mask[np.flatnonzero(lost)[skipped == number]] = True
            found.add(mask, target, column, f"is a time that the clock of {zone} {what}; state its offset")
    time = instants.tz_convert(None).to_numpy("datetime64[us]").astype(np.int64)
    gone = time == _MISSING
    return time, np.where(gone, 0, (np.where(gone, 0, local) - np.where(gone, 0, time)) // 1_000_000)
