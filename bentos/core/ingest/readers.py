"""CSV and Parquet files as Arrow tables, piece by piece, each row with its line."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.ingest.findings import REFUSED_COLUMNS, shown
from bentos.core.ingest.mapping import Mapping

__all__ = ["Batch", "file_format", "find_sources", "header", "read_batches"]

_ENDINGS: Final = {".csv": "csv", ".parquet": "parquet"}
_BATCH_ROWS: Final = 131_072
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file.

    ``table`` holds the asked columns (text only, from CSV), ``lines`` int64 [n] where each row stands, and ``broken``
    the rows that could not be taken apart, as ``REFUSED_COLUMNS``.
    """

    table: pa.Table
    lines: NDArray[np.int64]
    broken: pd.DataFrame


def file_format(path: Path, mapping: Mapping) -> str | None:
    """Whether a file is "csv" or "parquet"; None when nothing says so."""
    return mapping.format or _ENDINGS.get(path.suffix.lower())


def find_sources(sources: Sequence[str | Path], mapping: Mapping) -> list[Path]:
    """Files of transactions behind file names, folders and glob patterns, in order, each once.

    Raises
    ------
    DataError
        A source names nothing, or a file whose format is not known.
    """
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_file():
            some = [path]
        elif path.is_dir():
            some = sorted(item for item in path.glob(mapping.files or "*") if item.is_file())
            some = [item for item in some if file_format(item, mapping) and not item.name.startswith(".")]
        else:
            some = sorted(Path(item) for item in glob.glob(str(source), recursive=True) if Path(item).is_file())  # noqa: PTH207 - absolute patterns
        if not some:
            raise DataError(f"{source} names no file to read: give CSV or Parquet files, a folder or a glob pattern")
        found.extend(some)
    unknown = [str(path) for path in found if file_format(path, mapping) is None]
    if unknown:
        raise DataError(
            f"cannot tell the format of {', '.join(unknown)}: the name should end in .csv or .parquet, or the mapping"
            " state `format`"
        )
    return list({path.resolve(): path for path in found}.values())


def header(path: Path, mapping: Mapping) -> list[str]:
    """Names of the columns of a file.

    Raises
    ------
    DataError
        The file is empty, unreadable or names a column twice.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: it has no bytes, not even a header")
    if file_format(path, mapping) == "csv":
        with _open_csv(path, mapping) as stream:
            names = _csv_header(path, csv.reader(stream, delimiter=mapping.delimiter, strict=True), mapping)
    else:
        with _open_parquet(path) as file:
            names = list(file.schema_arrow.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} names these columns more than once: {', '.join(twice)}")
    return names


def read_batches(path: Path, mapping: Mapping, columns: Sequence[str]) -> Iterator[Batch]:
    """Read some columns of a file whose header was checked.

    Raises
    ------
    DataError
        The file is damaged, such as a truncated one.
    """
    if file_format(path, mapping) == "csv":
        yield from _read_csv(path, mapping, columns)
    else:
        yield from _read_parquet(path, columns)


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file, or a truncated one: {error}") from error


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Batch]:
    line = 1
    with _open_parquet(path) as file:
        try:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns)):
                lines = np.arange(line, line + len(batch))
                line += len(batch)
                yield Batch(_plain(pa.Table.from_batches([batch])), lines, pd.DataFrame(columns=list(REFUSED_COLUMNS)))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read from row {line:,} on, it is damaged: {error}") from error


def _plain(table: pa.Table) -> pa.Table:
    """The same values, with one type for all the ways in which Parquet files hold text."""
    for number, item in enumerate(table.schema):
        kind = item.type.value_type if pa.types.is_dictionary(item.type) else item.type
        text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if text or kind != item.type:
            plain = table.column(number).cast(kind).cast(pa.string() if text else kind)
            table = table.set_column(number, item.name, plain)
    return table


def _open_csv(path: Path, mapping: Mapping) -> IO[str]:
    with path.open("rb") as stream:
        mark = stream.read(2)
    encoding = mapping.encoding
    if mark in _UTF16_MARKS and "16" not in encoding:
        raise DataError(f"{path} begins like a UTF-16 file; state `encoding: utf-16` in the mapping")
    if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        encoding = "utf-8-sig"
    # Bytes that are not of this encoding come through as surrogates, so that the row can be named that holds them.
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def _csv_header(path: Path, reader: Iterator[list[str]], mapping: Mapping) -> list[str]:
    try:
        names = next(reader, None)
    except (csv.Error, UnicodeError) as error:
        raise DataError(f"{path}:1: the header cannot be read as {mapping.encoding} CSV: {error}") from error
    if not names:
        raise DataError(f"{path} has no header in its first line")
    if not "".join(names).isprintable():
        raise DataError(
            f"{path}:1: the header holds bytes that are not {mapping.encoding} text, or unprintable ones; state the"
            " file's `encoding` in the mapping"
        )
    return names


def _read_csv(path: Path, mapping: Mapping, columns: Sequence[str]) -> Iterator[Batch]:
    with _open_csv(path, mapping) as stream:
        reader = csv.reader(stream, delimiter=mapping.delimiter, strict=True)
        names = _csv_header(path, reader, mapping)
        positions = [names.index(column) for column in columns]
        before = reader.line_num

        def numbered() -> Iterator[tuple[int, list[str]]]:
            nonlocal before
            for row in reader:
                yield before + 1, row
                before = reader.line_num

        rows = numbered()
        while True:
            try:
                some = list(islice(rows, _BATCH_ROWS))
            except csv.Error as error:
                raise DataError(
                    f"{path}:{before + 1}: {error}: a quote is missing or out of place, or the file is truncated"
                ) from error
            except UnicodeError as error:
                raise DataError(
                    f"{path}: after line {before:,} the file is no {mapping.encoding} text, or is truncated: {error}"
                ) from error
            if not some:
                return
            yield _csv_batch(path, mapping, some, len(names), dict(zip(columns, positions, strict=True)))


def _csv_batch(
    path: Path, mapping: Mapping, rows: list[tuple[int, list[str]]], fields: int, positions: dict[str, int]
) -> Batch:
    broken: list[tuple[str, int, str, str, str]] = []
    good: list[tuple[int, list[str]]] = []
    for line, row in rows:
        if len(row) == fields:
            good.append((line, row))
        elif row:  # an empty line is no row
            text = shown(mapping.delimiter.join(row))
            broken.append((str(path), line, "(row)", text, f"has {len(row)} fields, the header names {fields}"))
    try:
        table = _csv_table([row for _, row in good], positions)
    except UnicodeEncodeError:
        reason = f"holds bytes that are not {mapping.encoding}; state the file's encoding in the mapping"
        clean = []
        for line, row in good:
            bad = [name for name, position in positions.items() if not _encodable(row[position])]
            broken.extend((str(path), line, name, shown(row[positions[name]]), reason) for name in bad)
            if not bad:
                clean.append((line, row))
        good = clean
        table = _csv_table([row for _, row in good], positions)
    lines = np.fromiter((line for line, _ in good), dtype=np.int64, count=len(good))
    return Batch(table, lines, pd.DataFrame(broken, columns=list(REFUSED_COLUMNS)))


def _csv_table(rows: list[list[str]], positions: dict[str, int]) -> pa.Table:
    return pa.table(
        {name: pa.array([row[position] for row in rows], pa.string()) for name, position in positions.items()}
    )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
