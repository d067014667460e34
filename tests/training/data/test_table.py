"""The canonical table on disk, and its hash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.core.errors import DataError
from training.data.synthetic import GeneratorConfig, generate_chunks, generate_table
from training.data.table import (
    CANONICAL_COLUMNS,
    TableHasher,
    arrow_table,
    read_transactions,
    summarise,
    table_hash,
    write_transactions,
)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return generate_table(600, fraud_rate=0.05)


def test_what_is_written_is_read(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "new" / "transactions.parquet"
    summary = write_transactions([table.iloc[:400], table.iloc[400:]], path)
    read = read_transactions(path)
    pd.testing.assert_frame_equal(read, table)
    assert {name: str(dtype) for name, dtype in read.dtypes.items()} == CANONICAL_COLUMNS
    assert pq.ParquetFile(path).metadata.num_row_groups == 2
    assert (summary.rows, summary.frauds, summary.days) == (600, 30, 90)
    assert summary.customer_ids == set(table["customer_id"])
    assert list(path.parent.iterdir()) == [path]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    config = GeneratorConfig(rows=500)
    for name in "ab":
        write_transactions(generate_chunks(config, 200), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_hash_is_that_of_the_content(table: pd.DataFrame, tmp_path: Path) -> None:
    digest = table_hash(table)
    path = tmp_path / "other.parquet"
    pq.write_table(arrow_table(table), path, compression="snappy", row_group_size=17, use_dictionary=False)
    assert table_hash(read_transactions(path)) == digest
    hasher = TableHasher()
    for begin in range(0, len(table), 41):
        hasher.update(table.iloc[begin : begin + 41])
    assert hasher.hexdigest() == digest


@pytest.mark.parametrize("column", list(CANONICAL_COLUMNS))
def test_one_changed_cell_changes_the_hash(table: pd.DataFrame, column: str) -> None:
    changed = table.copy()
    row = int(np.flatnonzero(table["is_fraud"])[0])
    old = table[column].iloc[row]
    new: object = {"str": f"{old}x", "bool": False}.get(CANONICAL_COLUMNS[column])
    if new is None:
        new = old + pd.Timedelta(microseconds=1) if CANONICAL_COLUMNS[column].startswith("date") else old + 1
        if np.isnan(new) if isinstance(new, float) else False:  # NaN at an online merchant
            new = 1.0
    changed.loc[row, column] = new
    assert table_hash(changed) != table_hash(table)


def test_the_hash_sees_where_texts_end() -> None:
    assert table_hash(pd.DataFrame({"a": ["xy", "z"]})) != table_hash(pd.DataFrame({"a": ["x", "yz"]}))
    assert table_hash(pd.DataFrame({"a": ["", "z"]})) != table_hash(pd.DataFrame({"a": [None, "z"]}, dtype="str"))


def test_equal_numbers_hash_alike() -> None:
    negative_nan = -np.array([np.nan])
    left, right = pd.DataFrame({"a": [0.0, np.nan]}), pd.DataFrame({"a": [-0.0, negative_nan[0]]})
    assert table_hash(left) == table_hash(right)


def test_pieces_of_a_table_have_its_columns() -> None:
    hasher = TableHasher()
    hasher.update(pd.DataFrame({"a": [1]}))
    with pytest.raises(DataError, match="differ in their columns"):
        hasher.update(pd.DataFrame({"b": [1]}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no table of transactions at .*training generate"):
        read_transactions(tmp_path / "none.parquet")


def test_a_truncated_file_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_transactions([table], path)
    for size in (0, 3, 2_000, path.stat().st_size - 1):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DataError, match="no readable Parquet file"):
            read_transactions(path)


def test_wrong_columns_are_named(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    arrow = arrow_table(table)
    pq.write_table(arrow.drop_columns(["amount", "is_fraud"]), path)
    with pytest.raises(DataError, match=r"lacks amount, is_fraud; it has transaction_id.*training ingest"):
        read_transactions(path)
    texts, naive = arrow["amount"].cast(pa.string()), arrow["timestamp"].cast(pa.timestamp("us"))
    pq.write_table(arrow.set_column(4, "amount", texts).set_column(5, "timestamp", naive), path)
    with pytest.raises(DataError, match=r"amount is .*string, must be double; timestamp is timestamp\[us\], must be"):
        read_transactions(path)
    pq.write_table(arrow.set_column(1, "customer_id", pa.array([None, *arrow["customer_id"].to_pylist()[1:]])), path)
    with pytest.raises(DataError, match="customer_id is empty in 1 rows"):
        read_transactions(path)
    pq.write_table(arrow_table(table.iloc[::-1]), path)
    with pytest.raises(DataError, match="not in order of timestamp"):
        read_transactions(path)


def test_a_failure_while_writing_leaves_what_was_there(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"old")

    def pieces():  # type: ignore[no-untyped-def]
        yield table
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_transactions(pieces(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


_FULL = """
import resource, sys
from pathlib import Path
from bentos.core.errors import DataError
from training.data.synthetic import GeneratorConfig, generate_chunks
from training.data.table import write_transactions
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_transactions(generate_chunks(GeneratorConfig(rows=20_000), 1_000), Path(sys.argv[1]))
except DataError as error:
    print(error)
"""


def test_no_space_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, as it does on a full disk."""
    path = tmp_path / "t.parquet"
    done = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large; nothing was left there. Check space" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_transactions([table], tmp_path / "file" / "t.parquet")


def test_a_summary_of_nothing() -> None:
    summary = summarise(generate_table(1).iloc[:0])
    assert (summary.rows, summary.days, summary.fraud_rate) == (0, 0, 0.0)
    assert summary.lines()[0] == "rows       0"
