"""Tables from paths and from URLs."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pandas as pd
import pytest

from bentos.core.errors import DataError
from tests.training.evaluate.standins import feature_table
from training.data.synthetic.generator import generate_table
from training.data.table import read_transactions, write_transactions
from training.features_file import feature_frame, read_features, read_or_compute_features, write_features


@pytest.fixture
def transactions(tmp_path: Path) -> Path:
    write_transactions([generate_table(rows=400, seed=0)], tmp_path / "transactions.parquet")
    return tmp_path / "transactions.parquet"


def test_a_url_is_read_as_a_path_is(tmp_path: Path, transactions: Path) -> None:
    write_features(feature_table(200), tmp_path / "features.parquet")
    with fsspec.open("memory://bank/features.parquet", "wb") as stream:
        stream.write((tmp_path / "features.parquet").read_bytes())
    pd.testing.assert_frame_equal(
        read_features("memory://bank/features.parquet"), read_features(tmp_path / "features.parquet")
    )
    pd.testing.assert_frame_equal(read_transactions(transactions.as_uri()), read_transactions(transactions))


def test_transactions_are_as_good_as_features(tmp_path: Path, transactions: Path) -> None:
    rows = read_transactions(transactions)
    table, found = read_or_compute_features(str(transactions))
    assert found is not None
    pd.testing.assert_frame_equal(found, rows)
    pd.testing.assert_frame_equal(table, feature_frame(rows))
    write_features(table, tmp_path / "features.parquet")
    again, found = read_or_compute_features(tmp_path / "features.parquet")
    assert found is None
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("memory://bank/nothing", "there is no feature table at memory://bank/nothing; make it with"),
        ("nothing.parquet", "there is no feature table at nothing.parquet; make it with"),
        ("nowhere://bank/x", "nowhere://bank/x cannot be opened: Protocol not known: nowhere"),
    ],
)
def test_what_is_not_there(place: str, words: str) -> None:
    for read in (read_features, read_or_compute_features):
        with pytest.raises(DataError) as raised:
            read(place)
        assert str(raised.value).startswith(words)


def test_a_url_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read at the moment \(IsADirectoryError"):
        read_features(tmp_path.as_uri())


def test_a_url_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table")
    with pytest.raises(DataError, match=r"file:.*notes.txt is no readable Parquet file"):
        read_or_compute_features((tmp_path / "notes.txt").as_uri())
