"""Rows of a file as numbers, by the rules of a transaction.

Cells in the usual form are read column by column. Every other row is given to :class:`Transaction` itself, which says
what it means or what is wrong with it: so the rules are defined in one place, and what is unusual costs some
microseconds a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from bentos.core.features.online import utc_offset_seconds
from bentos.core.features.windows import FloatArray, IntArray
from bentos.core.transaction import MAXIMUM_AMOUNT, Transaction, field_errors, microseconds
from bentos.fraud.bulk.columns import COORDINATES, FIELDS, TEXTS
from bentos.fraud.bulk.reading import Piece
from bentos.fraud.bulk.times import read_times

__all__ = ["Rows", "validate"]

#: A plain decimal number; others, which are numbers too, are left to the rules.
_NUMBER: Final = r"^-?[0-9]{1,15}(\.[0-9]{1,17})?$"
_LONGEST: Final = 128
_RANGES: Final = {"amount": (0.0, MAXIMUM_AMOUNT)} | {
    name: (-90.0, 90.0) if name.endswith("latitude") else (-180.0, 180.0) for name in COORDINATES
}
_UNKNOWN: Final = Transaction.model_fields["merchant_category"].default


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows; those with an error hold anything.

    Parameters
    ----------
    errors
        What is wrong, by the row's place.
    good
        bool [n].
    names
        The identifiers, text [n] each; a missing transaction_id is null.
    time, offset
        int64 [n]; microseconds since 1970 UTC, and seconds that the customer's clock is ahead.
    amount
        float64 [n].
    coordinates
        float64 [4, n], degrees, customer's latitude and longitude, then the merchant's; NaN where they are missing.
    """

    errors: dict[int, str]
    good: NDArray[np.bool_]
    names: dict[str, pa.Array]
    time: IntArray
    offset: IntArray
    amount: FloatArray
    coordinates: FloatArray


def validate(piece: Piece) -> Rows:
    """Read the rows of a piece."""
    table = piece.table
    rows = table.num_rows
    cells = {name: _cells(table, name) for name in FIELDS if name in table.column_names}
    usual = np.ones(rows, bool)
    usual[list(piece.originals)] = False
    names = {name: _names(cells.get(name), rows, usual, required=_required(name)) for name in TEXTS}
    time, offset, known = read_times(cells["timestamp"])
    usual &= known
    numbers = {name: _numbers(name, cells.get(name), rows, usual) for name in ("amount", *COORDINATES)}
    usual &= ~np.isnan(numbers["amount"])
    for side in ("customer", "merchant"):
        usual &= np.isnan(numbers[f"{side}_latitude"]) == np.isnan(numbers[f"{side}_longitude"])
    coordinates = np.stack([numbers[name] for name in COORDINATES])
    found = Rows(dict(piece.broken), usual, names, time, offset, numbers["amount"], coordinates)
    usual[list(piece.broken)] = False
    for place in np.flatnonzero(~usual).tolist():
        if place not in piece.broken:
            _settle(found, place, piece.originals.get(place) or {name: cells[name][place].as_py() for name in cells})
    # Half a pair is an error, so a missing half means that the pair is missing.
    return found


def _required(name: str) -> bool:
    return Transaction.model_fields[name].is_required()


def _cells(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    column = column if isinstance(column, pa.Array) else pa.concat_arrays(column.chunks)
    if name in TEXTS and pa.types.is_integer(column.type):
        return column.cast(pa.string())
    return column


def _names(column: pa.Array | None, rows: int, usual: NDArray[np.bool_], *, required: bool) -> pa.Array:
    if column is None or pa.types.is_null(column.type):
        if required:
            usual[:] = False
        return pa.nulls(rows, pa.string())
    if not pa.types.is_string(column.type):
        usual &= pc.is_null(column).to_numpy(zero_copy_only=False) & (not required)
        return pa.nulls(rows, pa.string())
    column = _emptied(column)
    fits = pc.less_equal(pc.binary_length(column), _LONGEST)
    usual &= pc.fill_null(pc.and_(pc.ascii_is_printable(column), fits), not required).to_numpy(zero_copy_only=False)
    return column


def _emptied(column: pa.Array) -> pa.Array:
    """An empty cell is a missing one."""
    if pc.min(pc.binary_length(column)).as_py() != 0:
        return column
    return pc.if_else(pc.equal(pc.binary_length(column), 0), None, column)


def _numbers(name: str, column: pa.Array | None, rows: int, usual: NDArray[np.bool_]) -> FloatArray:
    if column is None or pa.types.is_null(column.type):
        return np.full(rows, np.nan)
    if pa.types.is_string(column.type):
        column = _parsed(_emptied(column), usual)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
    else:
        usual &= pc.is_null(column).to_numpy(zero_copy_only=False)
        return np.full(rows, np.nan)
    values = np.array(column.fill_null(np.nan).to_numpy(zero_copy_only=False), np.float64)
    least, most = _RANGES[name]
    usual &= np.isnan(values) | ((values >= least) & (values <= most))
    return values


def _parsed(texts: pa.Array, usual: NDArray[np.bool_]) -> pa.Array:
    """Text as numbers; null where it is none, or is left to the rules."""
    try:
        values = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(texts, _NUMBER)
        usual &= pc.fill_null(plain, True).to_numpy(zero_copy_only=False)
        return pc.if_else(plain, texts, None).cast(pa.float64())
    # NaN and infinity have their spelling too.
    usual &= pc.fill_null(pc.is_finite(values), True).to_numpy(zero_copy_only=False)
    return values


def _settle(rows: Rows, place: int, cells: Mapping[str, Any]) -> None:
    """Let the rules themselves read a row."""
    given = {name: value for name, value in cells.items() if name in FIELDS and not _missing(name, value)}
    try:
        item = Transaction.model_validate(given)
    except ValidationError as error:
        rows.errors[place] = "; ".join(f"{one.path}: {one.message}" for one in field_errors(error))
        return
    rows.good[place] = True
    rows.time[place] = microseconds(item.timestamp)
    rows.offset[place] = utc_offset_seconds(item)
    rows.amount[place] = item.amount
    for number, name in enumerate(COORDINATES):
        value = getattr(item, name)
        rows.coordinates[number, place] = np.nan if value is None else value


def _missing(name: str, value: Any) -> bool:
    if isinstance(value, float) and name in COORDINATES:
        return math.isnan(value)
    return value is None or value == ""


def default_category(column: pa.Array) -> pa.Array:
    """The categories, with the default where none is given."""
    return pc.fill_null(column, _UNKNOWN)
