"""CSV as Arrow tables of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from bentos.fraud.bulk.checked import CheckedStream
from bentos.fraud.bulk.columns import check_columns
from bentos.fraud.bulk.reading import Limits, Piece, refused

__all__ = ["read"]

#: A row fits into one; Arrow reads up to 32 of them ahead.
_BLOCK = 1024 * 1024


def read(stream: CheckedStream, limits: Limits) -> Iterator[Piece]:
    """Pieces of a CSV file whose first line names the columns. An empty cell is null.

    Raises
    ------
    InvalidInput
        When it is no such file.
    """
    names = _header(stream, limits)
    check_columns(names, limits)
    broken: list[tuple[int, str]] = []

    def note(row: Any) -> str:
        broken.append((row.number - 2, f"has {row.actual_columns} cells, the header names {row.expected_columns}"))
        return "skip"

    try:
        reader = pa_csv.open_csv(
            stream,
            # Threads would lose count of the rows that are broken.
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=max(_BLOCK, limits.line_bytes)),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
                check_utf8=False,
            ),
        )
        start = 0
        for batch in reader:
            piece = _merged(pa.Table.from_batches([batch]), broken, start)
            start += piece.table.num_rows
            yield piece
    except pa.ArrowException as error:
        if stream.failure is not None:
            raise stream.failure from error
        raise refused(f"cannot be read as CSV: {str(error).splitlines()[0][:200]}") from error
    if broken:
        yield _merged(_nothing(names), broken, start)


def _header(stream: CheckedStream, limits: Limits) -> list[str]:
    head = stream.peek(limits.line_bytes)
    text = io.StringIO(head.decode("utf-8-sig", "ignore"), newline="")
    try:
        names = next((row for row in csv.reader(text, strict=True) if row), None)
    except csv.Error as error:
        raise refused(f"line 1 cannot be read as a header of CSV: {error}") from error
    if not names:
        raise refused("has no header: the first line of CSV names the columns")
    return names


def _nothing(names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in names})


def _merged(table: pa.Table, broken: list[tuple[int, str]], start: int) -> Piece:
    """Give broken rows their place among the good ones; what lies beyond these is left for later."""
    found: dict[int, str] = {}
    parts, taken = [], 0
    rows = table.num_rows
    while broken:
        place = broken[0][0] - start
        good = place - len(found) - taken
        if taken + good > rows:
            break
        parts += [table.slice(taken, good), _empty_row(table)]
        taken += good
        found[place] = broken.pop(0)[1]
    if not found:
        return Piece(table)
    return Piece(pa.concat_tables([*parts, table.slice(taken)]), found)


def _empty_row(table: pa.Table) -> pa.Table:
    return pa.table({name: pa.nulls(1, pa.string()) for name in table.column_names})
