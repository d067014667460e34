"""From rows of a source, by its mapping, to rows of the canonical table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.ingest.cells import identifiers, numbers
from bentos.core.ingest.findings import Findings
from bentos.core.ingest.grid import LONGEST_KM, grid_to_degrees, kilometres_from_origin
from bentos.core.ingest.mapping import GridMapping, LabelMapping, Mapping, Point, ProfileMapping
from bentos.core.ingest.readers import header, read_batches
from bentos.core.ingest.times import parse_times
from bentos.core.transaction import CANONICAL_COLUMNS

__all__ = ["Converter"]

FloatArray = NDArray[np.float64]

_TEXTS = ("transaction_id", "customer_id", "merchant_id", "merchant_category")
_SIDES = ("customer", "merchant")


class _Profile:
    """One row per customer or merchant, found by name."""

    def __init__(self, how: ProfileMapping, folder: Path, mapping: Mapping) -> None:
        self._how = how
        path = folder / how.file
        if not path.is_file():
            raise DataError(f"the mapping joins {how.file}, which is not in {folder}")
        present = header(path, mapping)
        missing = [name for name in (how.key, *how.columns) if name not in present]
        if missing:
            raise DataError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(present)}")
        batches = list(read_batches(path, mapping, list(dict.fromkeys([how.key, *how.columns]))))
        broken = pd.concat([batch.broken for batch in batches]) if batches else pd.DataFrame()
        if len(broken):
            row = broken.iloc[0]
            raise DataError(f"{row['file']}:{row['line']}: {row['reason']}; {len(broken):,} such rows in a profile")
        if not batches:
            raise DataError(f"{path} has no rows")
        table = pa.concat_tables([batch.table for batch in batches])
        self._columns = {name: table[name].combine_chunks() for name in how.columns}
        found = Findings()
        self._names = pd.Index(identifiers(table[how.key], how.key, how.key, found).to_numpy(object))
        twice = self._names[self._names.duplicated()]
        if len(twice) or len(found.rows()):
            example = twice[0] if len(twice) else found.frame()["value"].iloc[0]
            raise DataError(f"{path}: column {how.key} must name each row once; {example!r} is wrong or there twice")

    def join(self, table: pa.Table, found: Findings) -> pa.Table:
        """Add the columns to transactions."""
        on = table[self._how.source]
        position = self._names.get_indexer(
            identifiers(on, self._how.source, self._how.source, Findings()).to_numpy(object)
        )
        if self._how.missing == "refuse":
            found.add(position < 0, self._how.source, on, f"has no row in {self._how.file}")
        index = pa.array(position, mask=position < 0)
        for name, values in self._columns.items():
            table = table.append_column(name, pc.take(values, index))
        return table


class Converter:
    """Makes canonical rows.

    Parameters
    ----------
    mapping
        What the columns mean.
    folder
        Of the transactions; profiles are looked for in it.

    Raises
    ------
    DataError
        A profile cannot be used.
    """

    def __init__(self, mapping: Mapping, folder: Path) -> None:
        self._mapping = mapping
        self._profiles = [_Profile(profile, folder, mapping) for profile in mapping.profiles]

    def convert(self, table: pa.Table, first_number: int) -> tuple[pd.DataFrame, Findings]:
        """Canonical rows of some source rows, and what is wrong with their cells.

        A refused row has placeholders in its wrong cells. Without ids of their own, rows are numbered from
        ``first_number``.

        Raises
        ------
        DataError
            A column as a whole is not of the type that it must be.
        """
        found = Findings()
        for profile in self._profiles:
            table = profile.join(table, found)
        columns: dict[str, Any] = {name: self._text(table, name, first_number, found) for name in _TEXTS}
        columns["amount"] = self._numbers(table, "amount", found)
        how = self._mapping.timestamp
        time, offset = parse_times(table[how.column], how, "timestamp", found)
        columns["timestamp"] = _instants(time)
        columns["utc_offset_seconds"] = offset
        for side in _SIDES:
            columns[f"{side}_latitude"], columns[f"{side}_longitude"] = self._place(table, side, found)
        columns["is_fraud"], columns["label_timestamp"] = _labels(table, self._mapping.label, found)
        frame = pd.DataFrame({name: columns[name] for name in CANONICAL_COLUMNS})
        return frame.astype(CANONICAL_COLUMNS), found

    def _text(self, table: pa.Table, name: str, first_number: int, found: Findings) -> pd.Series[Any]:
        source = self._mapping.columns.get(name)  # type: ignore[call-overload]
        constant = self._mapping.constants.get(name)  # type: ignore[call-overload]
        if source is not None:
            values = identifiers(table[source], source, name, found)
            return values if constant is None else values.where(values != "", str(constant))
        if name == "transaction_id":
            return pd.Series(np.arange(first_number, first_number + len(table))).astype("str")
        return pd.Series([str("unknown" if constant is None else constant)] * len(table), dtype="str")

    def _place(self, table: pa.Table, side: str, found: Findings) -> tuple[FloatArray, FloatArray]:
        grid = self._mapping.grid
        point: Point | None = getattr(grid, side) if grid else None
        if grid and point:
            return _grid_place(table, grid, point, self._mapping.decimal, found)
        return self._numbers(table, f"{side}_latitude", found), self._numbers(table, f"{side}_longitude", found)

    def _numbers(self, table: pa.Table, name: str, found: Findings) -> FloatArray:
        source = self._mapping.columns.get(name)  # type: ignore[call-overload]
        constant = self._mapping.constants.get(name)  # type: ignore[call-overload]
        fill = np.nan if constant is None else float(constant)
        if source is None:
            return np.full(len(table), fill)
        values = numbers(table[source], self._mapping.decimal, source, name, found)
        return np.where(np.isnan(values), fill, values)


def _instants(time: NDArray[np.int64]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(time.astype("datetime64[us]"), tz="UTC")


def _grid_place(
    table: pa.Table, grid: GridMapping, point: Point, decimal: str, found: Findings
) -> tuple[FloatArray, FloatArray]:
    x, y = (numbers(table[name], decimal, name, name, found) for name in (point.x, point.y))
    for name, one, other in ((point.x, x, y), (point.y, y, x)):
        found.add(np.isnan(one) & ~np.isnan(other), name, table[name], "is empty though its other half is given")
    far = ~(kilometres_from_origin(grid, x, y) <= LONGEST_KM) & ~(np.isnan(x) | np.isnan(y))
    found.add(far, point.x, table[point.x], f"lies more than {LONGEST_KM:,.0f} km from the grid's origin")
    return grid_to_degrees(grid, np.where(far, np.nan, x), np.where(far, np.nan, y))


def _labels(table: pa.Table, how: LabelMapping, found: Findings) -> tuple[NDArray[np.bool_], pd.DatetimeIndex]:
    column = table[how.column]
    values = identifiers(column, how.column, "is_fraud", found)
    is_fraud = values.isin(how.fraud).to_numpy(dtype=bool)
    known = is_fraud | values.isin(how.legitimate).to_numpy(dtype=bool)
    wanted = f"means neither fraud ({', '.join(how.fraud)}) nor legitimate ({', '.join(how.legitimate)})"
    found.add(~known, "is_fraud", column, wanted)
    if how.arrival is None:
        return is_fraud, pd.DatetimeIndex([pd.NaT] * len(values), tz="UTC").as_unit("us")
    time, _ = parse_times(table[how.arrival.column], how.arrival, "label_timestamp", found, required=False)
    return is_fraud, _instants(time)
