"""Many rows in one statement of PostgreSQL: an array for each column.

The text of a statement is then the same for any number of rows, so that the driver prepares it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Double, Integer, LargeBinary, Row, Table

__all__ = ["insert_arrays"]

#: All else is text.
_TYPES: tuple[tuple[type, str], ...] = (
    (BigInteger, "bigint"),
    (Integer, "int"),
    (Double, "float8"),
    (Boolean, "boolean"),
    (LargeBinary, "bytea"),
)


def insert_arrays(
    connection: Connection, table: Table, names: tuple[str, ...], rows: Sequence[Sequence[Any]], conflict: str = ""
) -> Sequence[Row[Any]]:
    """Insert rows, in their order.

    Parameters
    ----------
    connection
        In a transaction of PostgreSQL that writes.
    table
        Where.
    names
        Of the columns that the rows have, in order.
    rows
        Their values.
    conflict
        What happens to one that is there already, ``ON CONFLICT ...``; it may return columns.

    Returns
    -------
    Sequence
        What it returns of the rows that were inserted.
    """
    if not rows:
        return []
    columns = tuple(list(column) for column in zip(*rows, strict=True))
    result = connection.exec_driver_sql(_statement(table, names, conflict), columns)
    return result.all() if result.returns_rows else []


@lru_cache
def _statement(table: Table, names: tuple[str, ...], conflict: str) -> str:
    arrays = ", ".join(f"%s::{_type(table, name)}[]" for name in names)
    # No value is in it.
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays}) {conflict}"  # noqa: S608


def _type(table: Table, name: str) -> str:
    return next((kind for base, kind in _TYPES if isinstance(table.c[name].type, base)), "text")
