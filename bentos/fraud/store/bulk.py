"""Fills a feature store from a file of transactions, millions at once.

The file's last 37 days are made into whole states, by the code that makes a snapshot, and each state is put if the
store does not hold its key. So it may be broken off and begun again, or run twice, and nothing counts twice; a key that
live traffic has begun keeps what it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bentos.core.errors import DataError
from bentos.core.features.history import KINDS
from bentos.core.features.offline import instants
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import KeyStates, Snapshot, joined_states, table_states
from bentos.core.transaction import LABEL_COLUMNS, MAXIMUM_AMOUNT
from bentos.fraud.store.base import FeatureStore

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["fill_store", "read_mapped", "read_recent"]

_NEEDED: Final = ("transaction_id", "customer_id", "merchant_id", "merchant_category", "amount", "timestamp")
_HORIZON: Final = max(kind.horizon for kind in KINDS)
#: Keys that are put between two looks at the progress.
_KEYS: Final = 5_000


def read_recent(path: Path) -> tuple[pd.DataFrame, int]:
    """The rows of a Parquet file that still lie in a window after its last one, in order of time; and how many it has.

    Parameters
    ----------
    path
        Of a canonical table: transaction_id, customer_id, merchant_id, merchant_category, amount, timestamp; optionally
        is_fraud and label_timestamp. Read in batches; only the last 37 days are held.

    Raises
    ------
    DataError
        When there is no such file, it is no Parquet file, lacks a column, or holds what a transaction cannot.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}; name a Parquet file of transactions") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {error}") from error
    with file:
        columns = _columns(file, path)
        latest = [pc.max(batch.column(0)).as_py() for batch in file.iter_batches(columns=["timestamp"])]
        latest = [one for one in latest if one is not None]
        pieces = []
        if latest:
            start = pa.scalar(max(latest), pa.timestamp("us", "UTC")).cast(pa.int64()).as_py() - _HORIZON
            since = pa.scalar(start, pa.int64()).cast(pa.timestamp("us", "UTC"))
            for batch in file.iter_batches(columns=columns):
                table = pa.Table.from_batches([batch])
                late = pc.greater(table["timestamp"], since.cast(table["timestamp"].type))
                pieces.append(table.filter(pc.fill_null(late, True)))
        rows = int(file.metadata.num_rows)
    if not pieces:
        raise DataError(f"{path} holds no transactions")
    return _checked(pa.concat_tables(pieces), path), rows


def read_mapped(source: Path, mapping: str) -> tuple[pd.DataFrame, int]:
    """As :func:`read_recent`, from files of any columns.

    Parameters
    ----------
    source
        CSV or Parquet file, or a folder of them. All of it is held.
    mapping
        Of its columns: a YAML file, or the name of one that ships.

    Raises
    ------
    DataError
        When the mapping is wrong, the data cannot be read, or any row is wrong; names rows by their lines.
    """
    from bentos.core.ingest.sources import ingest_table

    table = ingest_table([source], mapping)
    time = instants(table["timestamp"]).astype(np.int64)
    return table[time > time.max() - _HORIZON].reset_index(drop=True), len(table)


def _columns(file: pq.ParquetFile, path: Path) -> list[str]:
    import pyarrow as pa

    schema = file.schema_arrow
    missing = [name for name in _NEEDED if name not in schema.names]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; needed are {', '.join(_NEEDED)}; `training ingest` makes such a table"
        )
    kind = schema.field("timestamp").type
    if not pa.types.is_timestamp(kind) or kind.tz is None:
        raise DataError(f"{path} has a timestamp of type {kind}; needed are instants, such as timestamp[us, tz=UTC]")
    return [name for name in schema.names if name in (*_NEEDED, *LABEL_COLUMNS)]


def _checked(table: pa.Table, path: Path) -> pd.DataFrame:
    nulls = [name for name in table.column_names if name != "label_timestamp" and table[name].null_count]
    if nulls:
        raise DataError(f"{path} has rows without {', '.join(nulls)}; every transaction needs one")
    frame = _frame(table)
    amount = frame["amount"].to_numpy(np.float64)
    wrong = np.flatnonzero(~((amount >= 0) & (amount <= MAXIMUM_AMOUNT)))
    if len(wrong):
        raise DataError(f"{path} has {len(wrong)} amounts such as {amount[wrong[0]]}; allowed are 0 to 1e7")
    order = np.argsort(instants(frame["timestamp"]), kind="stable")
    frame = frame.iloc[order]
    # A transaction that is twice in the file counts once.
    return frame.drop_duplicates("transaction_id", ignore_index=True)


def _frame(table: pa.Table) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        if name.endswith("timestamp"):
            # Arrow's own conversion of zoned instants to pandas is deprecated there.
            plain = column.cast(pa.timestamp("us", "UTC")).to_numpy().astype("datetime64[us]")
            columns[name] = pd.DatetimeIndex(plain).tz_localize("UTC")
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def fill_store(
    store: FeatureStore, table: pd.DataFrame, pseudonyms: Pseudonyms, tell: Callable[[int, int], None] | None = None
) -> int:
    """Put the states after all rows of a table where the store has none.

    Parameters
    ----------
    store
        To fill.
    table
        See :func:`read_recent`.
    pseudonyms
        The hash of the store's keys.
    tell
        Told how many states are done, and of how many.

    Returns
    -------
    How many states the table makes.

    Raises
    ------
    Unavailable
        When the store fails; what was put stays, and a repeat goes on from there.
    """
    states = {kind.name: table_states(table, kind, pseudonyms) for kind in KINDS}
    total, done = sum(len(part.hashes) for part in states.values()), 0
    newest = int(instants(table["timestamp"])[-1].astype(np.int64))
    nothing = joined_states([])
    for name, part in states.items():
        for piece in _pieces(part):
            some = dict.fromkeys(states, nothing) | {name: piece}
            store.add(Snapshot(newest, pseudonyms.fingerprint(), some))
            done += len(piece.hashes)
            if tell is not None:
                tell(done, total)
    return total


def _pieces(states: KeyStates) -> Iterator[KeyStates]:
    for start in range(0, len(states.hashes), _KEYS):
        end = min(start + _KEYS, len(states.hashes))
        first, last = states.offsets[start], states.offsets[end]
        yield KeyStates(
            states.hashes[start:end],
            states.offsets[start : end + 1] - first,
            states.buckets[start:end],
            states.cells[first:last],
        )
