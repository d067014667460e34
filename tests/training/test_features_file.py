"""The feature table on disk: written whole, read only when it is what this version computes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.core.errors import DataError
from bentos.core.features import FEATURE_NAMES, feature_table
from tests.training.evaluate.standins import feature_table as standin
from training.__main__ import main
from training.data.synthetic.generator import generate_table
from training.data.table import write_transactions
from training.features_file import FEATURE_COLUMNS, feature_frame, read_features, write_features

KEY = b"fraud.features"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_features(standin(200), tmp_path / "features.parquet")
    return tmp_path / "features.parquet"


def rewrite(path: Path, change: Any) -> None:
    """Change the Arrow table of a file."""
    pq.write_table(change(pq.read_table(path)), path)


def test_what_is_written_is_read(path: Path) -> None:
    table = read_features(path)
    pd.testing.assert_frame_equal(table, standin(200).astype(FEATURE_COLUMNS))
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == FEATURE_COLUMNS
    assert list(table.columns[5:26]) == list(FEATURE_NAMES)


def test_a_table_from_before_categories_were_kept_is_read(path: Path) -> None:
    rewrite(path, lambda table: table.drop(["merchant_category"]))
    table = read_features(path)
    pd.testing.assert_frame_equal(table, standin(200).drop(columns="merchant_category"))


def test_the_command_computes_the_features_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transactions = generate_table(600, seed=1)
    write_transactions([transactions], tmp_path / "transactions.parquet")
    output = tmp_path / "features.parquet"
    assert main(["features", str(tmp_path / "transactions.parquet"), "--output", str(output)]) == 0
    assert "600 rows of 21 features, 18 frauds (3.00%)" in capsys.readouterr().out
    table = read_features(output)
    np.testing.assert_array_equal(table[list(FEATURE_NAMES)].to_numpy(), feature_table(transactions))
    for name in ("transaction_id", "customer_id", "merchant_category", "timestamp", "is_fraud", "label_timestamp"):
        pd.testing.assert_series_equal(table[name], transactions[name])
    pd.testing.assert_frame_equal(feature_frame(transactions), table)


def swapped(table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    names[5], names[6] = names[6], names[5]
    return table.select(names)


def spoilt(column: str, value: object) -> Any:
    def change(table: pa.Table) -> pa.Table:
        values = [value, *table[column].to_pylist()[1:]]
        place = table.column_names.index(column)
        return table.set_column(place, column, pa.array(values, table[column].type))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(["amount", "hour"]), "lacks amount, hour"),
        (lambda table: table.append_column("scenario", table["hour"]), "has scenario besides"),
        (swapped, "in another order: column 6 is hour, must be amount"),
        (lambda table: table.replace_schema_metadata({}), "does not say how its features were made"),
        (lambda table: table.replace_schema_metadata({KEY: b"{"}), "does not say"),
        (
            lambda table: table.replace_schema_metadata({KEY: json.dumps({"schema": "old"}).encode()}),
            "was made with the feature definitions old; this version computes",
        ),
        (
            lambda table: table.set_column(5, "amount", table["amount"].cast(pa.float32())),
            "amount is float, must be float64",
        ),
        (spoilt("distance_km", float("nan")), "the first is distance_km in row 0"),
        (spoilt("amount", float("inf")), "not finite"),
        (spoilt("amount", None), "amount have empty cells"),
        (spoilt("is_fraud", None), "is_fraud have empty cells"),
        (lambda table: table.take(pa.array(range(len(table) - 1, -1, -1))), "not in the order of time"),
        (lambda table: table.slice(0, 0), "has no rows"),
    ],
)
def test_tables_that_are_none(path: Path, change: Any, words: str) -> None:
    rewrite(path, change)
    with pytest.raises(DataError) as caught:
        read_features(path)
    assert words in str(caught.value)
    assert "make it" in str(caught.value)


def test_files_that_are_none(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no feature table at"):
        read_features(tmp_path / "missing.parquet")
    content = path.read_bytes()
    for broken in (b"", b"timestamp,amount\n", content[: len(content) // 2]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="no readable Parquet file"):
            read_features(path)


def test_a_full_disk_leaves_the_table_before(path: Path) -> None:
    before = path.read_bytes()
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom tests.training.evaluate.standins import feature_table\n"
        "from training.__main__ import main\nfrom training import features_file\n"
        "from bentos.core.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n    features_file.write_features(feature_table(5000), Path(sys.argv[1]))\n"
        "except DataError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large; nothing was left there" in done.stdout
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["features.parquet"]
