"""Parquet as Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bentos.fraud.bulk.columns import check_columns
from bentos.fraud.bulk.reading import Limits, Piece, refused

__all__ = ["read"]

_ROWS: Final = 20_000
#: Of one row group at most, unpacked: it is held in memory in parts.
_GROUP_BYTES: Final = 1024**3


def read(stream: BinaryIO, limits: Limits, on_progress: Callable[[float], None]) -> Iterator[Piece]:
    """Pieces of a Parquet file.

    Raises
    ------
    InvalidInput
        When it is damaged, or would unpack to more than is taken.
    """
    try:
        head = pq.read_metadata(stream)
        stream.seek(0)
        names = list(head.schema.to_arrow_schema().names)
    except (pa.ArrowException, OSError) as error:
        raise refused("is a damaged Parquet file, or a truncated one: its footer cannot be read") from error
    check_columns(names, limits)
    if head.num_rows > limits.rows:
        raise refused(f"has {head.num_rows:,} rows, at most {limits.rows:,} are taken")
    groups = [head.row_group(number).total_byte_size for number in range(head.num_row_groups)]
    if sum(groups) > limits.unpacked_bytes or max(groups, default=0) > _GROUP_BYTES:
        raise refused(
            f"unpacks to {sum(groups):,} bytes, its largest row group to {max(groups, default=0):,}; at most"
            f" {limits.unpacked_bytes:,} and {_GROUP_BYTES:,} are taken"
        )
    done = 0
    try:
        # Text stays a dictionary, if it is one in the file: a small page may stand for gigabytes of equal cells.
        with pq.ParquetFile(stream, read_dictionary=_text_columns(head)) as file:
            for batch in file.iter_batches(_ROWS):
                table = _plain(pa.Table.from_batches([batch]), limits, done)
                done += table.num_rows
                on_progress(done / max(head.num_rows, 1))
                yield Piece(table)
    except (pa.ArrowException, OSError) as error:
        raise refused(f"cannot be read from row {done + 1:,} on: it is damaged or truncated") from error


def _text_columns(head: Any) -> list[str]:
    return [item.name for item in head.schema.to_arrow_schema() if _is_text(item.type)]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _plain(table: pa.Table, limits: Limits, done: int) -> pa.Table:
    """The same values, with one type for all the ways in which Parquet files hold text."""
    for number, item in enumerate(table.schema):
        if pa.types.is_dictionary(item.type):
            column = table.column(number)
            if _is_text(item.type.value_type):
                longest = max((_longest(chunk.dictionary) for chunk in column.chunks), default=0)
                if longest > limits.line_bytes or longest * table.num_rows > _GROUP_BYTES:
                    raise refused(f"column {item.name} has cells of {longest:,} bytes after row {done:,}, too many")
            kind = item.type.value_type
            table = table.set_column(number, item.name, column.cast(pa.string() if _is_text(kind) else kind))
        elif _is_text(item.type) and not pa.types.is_string(item.type):
            table = table.set_column(number, item.name, table.column(number).cast(pa.string()))
    if table.nbytes > _GROUP_BYTES:
        raise refused(f"the rows after {done:,} unpack to {table.nbytes:,} bytes, more than is taken")
    return table


def _longest(values: pa.Array) -> int:
    return int(pc.max(pc.binary_length(values)).as_py() or 0)
