"""The canonical table of transactions on disk: written whole or not at all, read with its types checked, hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from bentos.core.errors import DataError
from bentos.core.files import atomic_file
from bentos.core.transaction import CANONICAL_COLUMNS
from training.data.sources import opened

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Summary",
    "TableHasher",
    "arrow_table",
    "canonical_schema",
    "read_transactions",
    "summarise",
    "table_hash",
    "write_transactions",
]

#: Only these may be missing: NaN, and NaT for a label that came in time.
_NULLABLE: Final = frozenset(name for name in CANONICAL_COLUMNS if name.endswith(("itude", "label_timestamp")))


def canonical_schema() -> pa.Schema:
    """Arrow schema of a canonical table."""
    import pyarrow as pa

    kinds = {
        "str": pa.string(),
        "float64": pa.float64(),
        "int32": pa.int32(),
        "bool": pa.bool_(),
        "datetime64[us, UTC]": pa.timestamp("us", "UTC"),
    }
    return pa.schema([(name, kinds[dtype]) for name, dtype in CANONICAL_COLUMNS.items()])


def arrow_table(table: pd.DataFrame) -> pa.Table:
    """A canonical table, or a piece of one, as Arrow."""
    import pyarrow as pa

    columns = []
    for item in canonical_schema():
        column = table[item.name]
        if pa.types.is_timestamp(item.type):
            # Arrow's own conversion of pandas asks zoned columns for values in a way that pandas deprecates.
            columns.append(pa.array(column.dt.tz_convert(None).to_numpy("datetime64[us]")).cast(item.type))
        else:
            columns.append(pa.array(column, type=item.type, from_pandas=False))
    return pa.table(columns, schema=canonical_schema())


@dataclass
class Summary:
    """What a canonical table holds, gathered piece by piece with :meth:`add`."""

    rows: int = 0
    frauds: int = 0
    first: pd.Timestamp | None = None
    last: pd.Timestamp | None = None
    customer_ids: set[str] = field(default_factory=set, repr=False)
    merchant_ids: set[str] = field(default_factory=set, repr=False)

    @property
    def days(self) -> int:
        """Days in UTC from the first transaction's to the last one's, both included."""
        if self.first is None or self.last is None:
            return 0
        return int((self.last.floor("D") - self.first.floor("D")).days) + 1

    @property
    def fraud_rate(self) -> float:
        """Share of frauds; 0 in an empty table."""
        return self.frauds / self.rows if self.rows else 0.0

    def add(self, table: pd.DataFrame) -> None:
        """Count a piece of the table."""
        if table.empty:
            return
        self.rows += len(table)
        self.frauds += int(table["is_fraud"].sum())
        self.customer_ids.update(table["customer_id"].unique())
        self.merchant_ids.update(table["merchant_id"].unique())
        first, last = table["timestamp"].min(), table["timestamp"].max()
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)

    def lines(self) -> list[str]:
        """The summary in words, a line each."""
        return [
            f"rows       {self.rows:,}",
            f"days       {self.days:,}"
            + (f" ({self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}, UTC)" if self.first is not None else ""),
            f"customers  {len(self.customer_ids):,}",
            f"merchants  {len(self.merchant_ids):,}",
            f"frauds     {self.frauds:,} ({self.fraud_rate:.2%})",
        ]


def summarise(table: pd.DataFrame) -> Summary:
    """Summary of a whole table."""
    summary = Summary()
    summary.add(table)
    return summary


def write_transactions(pieces: Iterable[pd.DataFrame], path: Path) -> Summary:
    """Write canonical tables, one row group each, as one Parquet file.

    The file is there as a whole or not at all: on any failure, Ctrl-C included, nothing is left and a file that stood
    there before stays as it was.

    Parameters
    ----------
    pieces
        Canonical tables with labels, in order of time.
    path
        The file; its folder is made.

    Raises
    ------
    DataError
        The file cannot be written, for example because the disk is full.
    """
    import pyarrow.parquet as pq

    summary = Summary()
    try:
        with atomic_file(path) as stream:
            writer = pq.ParquetWriter(stream, canonical_schema(), compression="zstd")
            try:
                for piece in pieces:
                    writer.write_table(arrow_table(piece), row_group_size=max(1, len(piece)))
                    summary.add(piece)
            except BaseException:
                _abandon(writer)
                raise
            writer.close()
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; nothing was left there. Check space and permissions"
        ) from error
    return summary


def _abandon(writer: Any) -> None:
    """Close a writer whose file is thrown away; the footer that it wants to write may fail as the data did."""
    try:
        writer.close()
    except (OSError, ValueError):
        return


def read_transactions(path: Path | str) -> pd.DataFrame:
    """Read a canonical table with labels.

    Parameters
    ----------
    path
        A file that :func:`write_transactions` wrote (``python -m training generate`` and ``ingest`` do), or its URL.

    Returns
    -------
    The columns of ``CANONICAL_COLUMNS`` with their dtypes, in order of ``timestamp``, with a ``RangeIndex``.

    Raises
    ------
    DataError
        There is no such file, it is no Parquet file or a truncated one, columns are missing, of another type or
        empty where they must not be, or the rows are not in order of time.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    advice = "make a table with `python -m training generate` or `ingest`"
    try:
        with opened(path, "table of transactions", advice) as source, pq.ParquetFile(source) as file:
            found = file.schema_arrow
            _check_schema(path, found)
            table = file.read(columns=list(CANONICAL_COLUMNS))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file, or a truncated one ({error}); {advice}") from error
    for name in CANONICAL_COLUMNS:
        if name not in _NULLABLE and table[name].null_count:
            raise DataError(f"{path}: column {name} is empty in {table[name].null_count:,} rows; {advice}")
    frame: pd.DataFrame = table.cast(canonical_schema()).to_pandas().astype(CANONICAL_COLUMNS)
    if not frame["timestamp"].is_monotonic_increasing:
        raise DataError(f"{path}: rows are not in order of timestamp; {advice}")
    return frame


def _check_schema(path: Path | str, found: pa.Schema) -> None:
    import pyarrow as pa

    wanted = canonical_schema()
    missing = [name for name in wanted.names if name not in found.names]
    if missing:
        raise DataError(
            f"{path} is not a canonical table of transactions: it lacks {', '.join(missing)}; it has "
            f"{', '.join(found.names)}. Raw data is brought into that form by `python -m training ingest`"
        )
    wrong = []
    for item in wanted:
        kind = found.field(item.name).type
        text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        if kind != item.type and not (pa.types.is_string(item.type) and text):
            wrong.append(f"{item.name} is {kind}, must be {item.type}")
    if wrong:
        raise DataError(
            f"{path} is not a canonical table of transactions: {'; '.join(wrong)}. Raw data is brought into that form "
            "by `python -m training ingest`"
        )


class TableHasher:
    """SHA-256 of the content of a canonical table, fed piece by piece.

    It depends on columns, dtypes and values in their order, not on pieces, files, encoding or compression: each
    column has a digest of its own, strings one of their lengths and one of their UTF-8 bytes, numbers one of their
    little-endian bytes with every NaN alike. The digest of the table is that of all of them.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[Any]] = {}
        self._rows = 0

    def update(self, table: pd.DataFrame) -> None:
        """Add the rows of a piece; its columns are those of the pieces before."""
        names = [f"{name}:{table[name].dtype}" for name in table.columns]
        if self._rows and names != list(self._columns):
            raise DataError(f"pieces of one table differ in their columns: {names} after {list(self._columns)}")
        self._rows += len(table)
        for key, name in zip(names, table.columns, strict=True):
            digests = self._columns.setdefault(key, [hashlib.sha256(), hashlib.sha256()])
            for digest, content in zip(digests, _contents(table[name]), strict=True):
                digest.update(content)

    def hexdigest(self) -> str:
        """The digest of everything so far, 64 hexadecimal digits."""
        whole = hashlib.sha256(f"rows {self._rows}\n".encode())
        for key, digests in self._columns.items():
            whole.update(f"{key} {' '.join(digest.hexdigest() for digest in digests)}\n".encode())
        return whole.hexdigest()


def _contents(column: pd.Series[Any]) -> tuple[bytes, bytes]:
    import numpy as np
    import pyarrow as pa

    if column.dtype.kind in "iub":
        return column.to_numpy().astype(column.to_numpy().dtype.newbyteorder("<")).tobytes(), b""
    if column.dtype.kind == "f":
        values = column.to_numpy().astype("<f8") + 0.0  # makes −0 and 0 alike, which compare equal
        values[np.isnan(values)] = np.nan
        return values.tobytes(), b""
    if column.dtype.kind == "M":
        instants = column.dt.tz_convert(None) if getattr(column.dt, "tz", None) is not None else column
        return instants.to_numpy("datetime64[us]").astype("<i8").tobytes(), b""
    text = pa.Table.from_pandas(column.to_frame("text"), preserve_index=False)["text"].cast(pa.large_string())
    text = text.combine_chunks()
    if isinstance(text, pa.ChunkedArray):  # nothing in it
        return b"", b""
    offsets = np.frombuffer(text.buffers()[1], dtype="<i8")[text.offset : text.offset + len(text) + 1]
    lengths = np.where(column.isna().to_numpy(), -1, np.diff(offsets)).astype("<i8")
    data = memoryview(text.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])] if len(text) else b""
    return lengths.tobytes(), bytes(data)


def table_hash(table: pd.DataFrame) -> str:
    """Hash of a table's content, 64 hexadecimal digits (see :class:`TableHasher`)."""
    hasher = TableHasher()
    hasher.update(table)
    return hasher.hexdigest()
