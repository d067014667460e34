"""Files of transactions, read piece by piece within limits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final

import fsspec
import pyarrow as pa

from bentos.core.errors import FieldError, InvalidInput, Unavailable

__all__ = ["FileForm", "Limits", "Piece", "open_source", "refused", "source_size"]

_PARQUET_MARK: Final = b"PAR1"
_PACKED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN_MARKS: Final = {
    b"PK\x03\x04": "a ZIP archive or spreadsheet",
    b"ORC": "an ORC file",
    b"ARROW1": "an Arrow file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
}


class FileForm(StrEnum):
    """What a file of transactions may be."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a file is taken; see :class:`.settings.BulkSettings`."""

    rows: int
    unpacked_bytes: int
    line_bytes: int
    columns: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file.

    Parameters
    ----------
    table
        n rows with the file's columns.
    broken
        What is wrong with rows that could not be taken apart, by their place in the table; their cells are null.
    originals
        Rows whose values have types that columns cannot hold, by their place.
    """

    table: pa.Table
    broken: dict[int, str] = field(default_factory=dict)
    originals: dict[int, dict[str, Any]] = field(default_factory=dict)


def refused(message: str, path: str = "file") -> InvalidInput:
    """Why a file as a whole cannot be used."""
    return InvalidInput([FieldError(path, message)])


@contextlib.contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """Open a local path or a URI."""
    try:
        stream = Path(source).open("rb") if "://" not in source else fsspec.open(source, "rb").open()  # noqa: SIM115
    except FileNotFoundError as error:
        raise refused("there is no such file") from error
    except (PermissionError, IsADirectoryError) as error:
        raise refused("cannot be opened: it is a folder, or not allowed to this service") from error
    except (ValueError, ImportError) as error:
        raise refused("cannot be opened: this service does not know the URI's scheme") from error
    except Exception as error:
        # The libraries behind URIs have no common class.
        raise Unavailable(f"the input cannot be opened at the moment ({type(error).__name__})") from error
    with stream:
        yield stream


def source_size(stream: BinaryIO) -> int:
    """Bytes of an open file, at least 1."""
    end = stream.seek(0, 2)
    stream.seek(0)
    return max(end, 1)


def open_source(
    source: str, form: FileForm, limits: Limits, on_progress: Callable[[float], None]
) -> contextlib.AbstractContextManager[Iterator[Piece]]:
    """Open a file and read its pieces.

    Raises
    ------
    InvalidInput
        On opening or on the way, when the file as a whole cannot be used.
    Unavailable
        When its place cannot be reached.
    """
    return _open(source, form, limits, on_progress)


@contextlib.contextmanager
def _open(
    source: str, form: FileForm, limits: Limits, on_progress: Callable[[float], None]
) -> Iterator[Iterator[Piece]]:
    from bentos.fraud.bulk import csv_rows, json_rows, parquet_rows
    from bentos.fraud.bulk.checked import CheckedStream

    with opened(source) as stream:
        size = source_size(stream)
        head = stream.read(16)
        stream.seek(0)
        packing = _check_form(head, form)
        if form == FileForm.PARQUET:
            yield parquet_rows.read(stream, limits, on_progress)
            return

        def told() -> None:
            on_progress(min(stream.tell() / size, 1.0))

        plain: Any = stream if packing is None else pa.CompressedInputStream(pa.PythonFile(stream, "r"), packing)
        text = CheckedStream(plain, limits, told)
        yield csv_rows.read(text, limits) if form == FileForm.CSV else json_rows.read(text, limits)


def _check_form(head: bytes, form: FileForm) -> str | None:
    """How the file is packed, if its first bytes agree with what it is said to be."""
    if not head:
        raise refused("is empty: it has no bytes")
    is_parquet = head.startswith(_PARQUET_MARK)
    if form == FileForm.PARQUET:
        if not is_parquet:
            raise refused(f"is said to be Parquet, but does not begin with {_PARQUET_MARK.decode()}")
        return None
    if is_parquet:
        raise refused(f"is said to be {form}, but is a Parquet file")
    for mark, name in _FOREIGN_MARKS.items():
        if head.startswith(mark):
            raise refused(f"is said to be {form}, but is {name}")
    if head.startswith(_UTF16_MARKS):
        raise refused("is UTF-16 text; only UTF-8 is read")
    packing = next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if packing is None and form == FileForm.JSONL and first != b"{":
        raise refused("is said to be JSON Lines, but does not begin with {: each line is one JSON object")
    if packing is None and form == FileForm.CSV and first in (b"{", b"["):
        raise refused("is said to be CSV, but begins like JSON; the first line of CSV names the columns")
    return packing
