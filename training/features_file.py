"""The feature table on disk: features of a table of transactions, written once, read with every assumption checked."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd

from bentos.core.drift import MERCHANT_CATEGORY
from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES, FEATURE_SCHEMA, feature_table
from bentos.core.files import atomic_file
from bentos.core.transaction import CANONICAL_COLUMNS
from training.data.sources import opened

__all__ = [
    "FEATURE_COLUMNS",
    "feature_frame",
    "features",
    "read_features",
    "read_or_compute_features",
    "write_features",
]

_BEFORE: Final = {
    "transaction_id": "str",
    "customer_id": "str",
    "merchant_category": "str",
    "timestamp": "datetime64[us, UTC]",
    "utc_offset_seconds": "int32",
}
_AFTER: Final = {"is_fraud": "bool", "label_timestamp": "datetime64[us, UTC]"}

#: Columns of a feature table, with their pandas dtypes, in order.
FEATURE_COLUMNS: Final[dict[str, str]] = {**_BEFORE, **dict.fromkeys(FEATURE_NAMES, "float64"), **_AFTER}

_METADATA: Final = b"fraud.features"
_FORMAT: Final = 1
_ADVICE: Final = "make it with `python -m training features`"


def feature_frame(transactions: pd.DataFrame) -> pd.DataFrame:
    """The feature table of a canonical table of transactions, row by row."""
    parts: dict[str, Any] = {name: transactions[name] for name in _BEFORE}
    values = feature_table(transactions)
    parts |= {name: values[:, place] for place, name in enumerate(FEATURE_NAMES)}
    parts |= {name: transactions[name] for name in _AFTER}
    return pd.DataFrame(parts).astype(FEATURE_COLUMNS)


def write_features(table: pd.DataFrame, path: Path) -> None:
    """Write a feature table as Parquet, in one step.

    Raises
    ------
    DataError
        The file cannot be written; what stood there before is untouched.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with warnings.catch_warnings():
        # pyarrow still reads Series.values of instants with a time zone.
        warnings.filterwarnings("ignore", message="Series.values returning", category=DeprecationWarning)
        rows = pa.Table.from_pandas(table[list(FEATURE_COLUMNS)], preserve_index=False)
    about = {"format": _FORMAT, "schema": FEATURE_SCHEMA, "features": list(FEATURE_NAMES)}
    rows = rows.replace_schema_metadata({_METADATA: json.dumps(about).encode()})
    try:
        with atomic_file(path) as stream:
            pq.write_table(rows, stream, compression="zstd")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}; nothing was left there. Check space and permissions"
        ) from error


def read_features(path: Path | str) -> pd.DataFrame:
    """Read a feature table from a file or a URL of fsspec.

    Returns
    -------
    The columns of :data:`FEATURE_COLUMNS` with their dtypes, in the order of time, with a RangeIndex; a table that was
    made before categories were kept lacks ``merchant_category``.

    Raises
    ------
    DataError
        No such file, no Parquet, columns that are missing, superfluous, in another order or of another type, features
        of another definition, values that are missing or not finite, or rows that are not in the order of time.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with opened(path, "feature table", _ADVICE) as source, pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            _check_columns(path, schema.names)
            _check_definition(path, schema.metadata or {})
            _check_types(path, schema)
            rows = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no readable Parquet file, or a truncated one ({error}); {_ADVICE}") from error
    empty = [name for name in rows.column_names if name != "label_timestamp" and rows[name].null_count]
    if empty:
        raise DataError(f"{path}: {', '.join(empty)} have empty cells, which no feature table has; {_ADVICE}")
    table: pd.DataFrame = rows.to_pandas()
    table = table.astype({name: FEATURE_COLUMNS[name] for name in table.columns})
    _check_values(path, table)
    return table


def read_or_compute_features(source: Path | str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A feature table; and the transactions too when ``source`` is a table of them, whose features are computed.

    Parameters
    ----------
    source
        Path or URL of either.

    Raises
    ------
    DataError
        As :func:`read_features` and :func:`~training.data.table.read_transactions`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from training.data.table import read_transactions

    names: list[str] = []
    with (
        contextlib.suppress(pa.ArrowException, OSError),
        opened(source, "feature table", _ADVICE) as place,
        pq.ParquetFile(place) as file,
    ):
        names = file.schema_arrow.names
    if set(CANONICAL_COLUMNS) <= set(names) and not set(FEATURE_NAMES) <= set(names):
        transactions = read_transactions(source)
        return feature_frame(transactions), transactions
    return read_features(source), None


def _check_columns(path: Path | str, found: list[str]) -> None:
    wanted = list(FEATURE_COLUMNS)
    if MERCHANT_CATEGORY not in found:
        wanted.remove(MERCHANT_CATEGORY)
    if found == wanted:
        return
    missing = [name for name in wanted if name not in found]
    other = [name for name in found if name not in FEATURE_COLUMNS]
    if missing or other:
        problems = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(other)} besides"] * bool(other)
        raise DataError(f"{path} is no feature table: it {' and '.join(problems)}; {_ADVICE}")
    place = next(i for i, name in enumerate(wanted) if found[i] != name)
    raise DataError(
        f"{path} has the columns of a feature table in another order: column {place + 1} is {found[place]}, must be"
        f" {wanted[place]}; a model trained on it would read one feature as another: {_ADVICE}"
    )


def _check_definition(path: Path | str, metadata: dict[bytes, bytes]) -> None:
    try:
        about = json.loads(metadata.get(_METADATA, b"{}"))
    except ValueError:
        about = {}
    schema = about.get("schema") if isinstance(about, dict) else None
    if schema != FEATURE_SCHEMA:
        made = (
            f"was made with the feature definitions {schema}" if schema else "does not say how its features were made"
        )
        raise DataError(f"{path} {made}; this version computes {FEATURE_SCHEMA}: {_ADVICE} of this version")


def _check_types(path: Path | str, schema: Any) -> None:
    import pyarrow as pa

    kinds = {
        "str": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind),
        "float64": pa.types.is_float64,
        "int32": pa.types.is_int32,
        "bool": pa.types.is_boolean,
        "datetime64[us, UTC]": lambda kind: kind == pa.timestamp("us", "UTC"),
    }
    wrong = [
        f"{name} is {schema.field(name).type}, must be {dtype}"
        for name, dtype in FEATURE_COLUMNS.items()
        if name in schema.names and not kinds[dtype](schema.field(name).type)
    ]
    if wrong:
        raise DataError(f"{path} is no feature table: {'; '.join(wrong)}; {_ADVICE}")


def _check_values(path: Path | str, table: pd.DataFrame) -> None:
    if not len(table):
        raise DataError(f"{path} has no rows; make it from a table that has transactions")
    wrong = ~np.isfinite(table[list(FEATURE_NAMES)].to_numpy())
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong))
        raise DataError(
            f"{path}: {int(wrong.sum())} feature values are not finite, the first is {FEATURE_NAMES[column]} in row"
            f" {row}; {_ADVICE}"
        )
    if not table["timestamp"].is_monotonic_increasing:
        raise DataError(f"{path}: rows are not in the order of time; {_ADVICE}")


@click.command("features")
@click.argument("transactions", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="Parquet file to write the feature table to."
)
def features(transactions: Path, output: Path) -> None:
    """Compute the 21 features of TRANSACTIONS, a table that `generate` or `ingest` wrote.

    The file carries a digest of the feature definitions; training refuses a table that was made with other ones.
    """
    from training.data.table import read_transactions, table_hash

    table = feature_frame(read_transactions(transactions))
    write_features(table, output)
    frauds = int(table["is_fraud"].sum())
    click.echo(
        f"{output}: {len(table):,} rows of {len(FEATURE_NAMES)} features, {frauds:,} frauds"
        f" ({frauds / len(table):.2%}), hash {table_hash(table)[:16]}"
    )
