"""The last step: one file with a row for each row of the input, in its order; and how it is handed out."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from bentos.core.errors import NotFound
from bentos.fraud.bulk.chunks import PlanFile, input_name, read_plan, read_table, scored_name, written
from bentos.fraud.bulk.columns import kept_names
from bentos.fraud.bulk.planning import ERROR
from bentos.fraud.bulk.threads import ahead

__all__ = ["RESULT_FILE", "csv_parts", "write_result"]

RESULT_FILE: Final = "result.parquet"
_ROWS: Final = 16_384
#: What a spreadsheet takes for a formula, unless it is a number.
_FORMULA: Final = r"^[=+\-@\t\r\n＝＋－＠]"
_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def write_result(folder: Path, chunks: int, on_progress: Callable[[float], None]) -> Path:
    """See :meth:`.pipeline.Pipeline.finish`."""
    path = folder / RESULT_FILE
    if path.is_file():
        return path
    plan = read_plan(folder)
    if plan is None or plan.chunks != chunks:
        raise NotFound(f"there is no plan of {chunks} chunks in the folder of this work")
    schema = _schema(folder, plan)
    with (
        written(path) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        contextlib.closing(ahead(lambda chunk: _combined(folder, chunk, plan, schema), range(chunks))) as parts,
    ):
        for done, part in enumerate(parts, 1):
            writer.write_table(part)
            on_progress(done / chunks)
    return path


def _schema(folder: Path, plan: PlanFile) -> pa.Schema:
    with (folder / input_name(0)).open("rb") as stream:
        first = pa.ipc.open_file(stream).schema
    kinds = {item.name: item.type for item in first}
    kept = [
        (name, kinds.get(column, pa.string()))
        for column, name in zip(plan.columns, kept_names(plan.columns), strict=True)
    ]
    text = pa.string()
    own = [("score", pa.float64()), ("decision", text), ("reasons", text), ("error", text), ("model_version", text)]
    return pa.schema([*kept, *own])


def _combined(folder: Path, chunk: int, plan: PlanFile, schema: pa.Schema) -> pa.Table:
    given = read_table(folder / input_name(chunk))
    scored = read_table(folder / scored_name(chunk))
    rows = given.num_rows
    columns = [given[name] if name in given.column_names else pa.nulls(rows, pa.string()) for name in plan.columns]
    *own, version = scored.columns
    return pa.table([*columns, *own, given[ERROR], version], schema=schema)


def csv_parts(stream: BinaryIO) -> Iterator[bytes]:
    """A finished result as CSV, piece by piece, made from its Parquet file on the way; closes the stream in the end."""
    with stream, pq.ParquetFile(stream) as file:
        header = True
        for batch in file.iter_batches(_ROWS):
            table = pa.Table.from_batches([batch])
            names = _plain(pa.chunked_array([pa.array(table.column_names, pa.string())])).to_pylist()
            table = pa.Table.from_arrays([_plain(column) for column in table.columns], names)
            part = io.BytesIO()
            pa_csv.write_csv(table, part, pa_csv.WriteOptions(include_header=header))
            header = False
            yield part.getvalue()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as CSV can hold it, and as no spreadsheet takes it for a formula."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if cell is None else json.dumps(cell, default=str) for cell in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if not pa.types.is_string(kind):
        return column
    formula = pc.and_(pc.match_substring_regex(column, _FORMULA), pc.invert(pc.match_substring_regex(column, _NUMBER)))
    return pc.if_else(formula, pc.binary_join_element_wise("'", column, ""), column)
