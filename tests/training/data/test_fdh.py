"""The Fraud Detection Handbook's data, by the mapping that ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.features.clock import great_circle_km
from bentos.core.ingest.sources import ingest_table

pytestmark = [pytest.mark.fdh, pytest.mark.slow]


@pytest.fixture(scope="module")
def table(fdh_folder: Path) -> pd.DataFrame:
    return ingest_table([fdh_folder], "fdh")


def test_every_row_is_taken(table: pd.DataFrame, fdh_folder: Path) -> None:
    raw = pd.read_parquet(fdh_folder / "fdh_transactions_raw.parquet")
    assert len(table) == len(raw) == 1_754_155
    assert table["is_fraud"].sum() == raw["TX_FRAUD"].sum() == 14_681
    assert table["transaction_id"].tolist() == raw["TRANSACTION_ID"].astype("str").tolist()
    assert (table["amount"].to_numpy() == raw["TX_AMOUNT"].to_numpy()).all()


def test_days_are_the_handbooks(table: pd.DataFrame, fdh_folder: Path) -> None:
    raw = pd.read_parquet(fdh_folder / "fdh_transactions_raw.parquet", columns=["TX_TIME_SECONDS", "TX_TIME_DAYS"])
    elapsed = table["timestamp"] - pd.Timestamp("2018-04-01", tz="UTC")
    assert (elapsed.dt.days.to_numpy() == raw["TX_TIME_DAYS"].to_numpy()).all()
    assert (elapsed.dt.total_seconds().to_numpy() == raw["TX_TIME_SECONDS"].to_numpy()).all()
    assert (table["utc_offset_seconds"] == 0).all()


def test_distances_are_the_grids(table: pd.DataFrame, fdh_folder: Path) -> None:
    customers = pd.read_parquet(fdh_folder / "fdh_customer_profiles_regenerated.parquet").set_index("CUSTOMER_ID")
    terminals = pd.read_parquet(fdh_folder / "fdh_terminal_profiles_regenerated.parquet").set_index("TERMINAL_ID")
    some = table.iloc[::101]
    home = customers.loc[some["customer_id"].astype(int), ["x_customer_id", "y_customer_id"]].to_numpy()
    shop = terminals.loc[some["merchant_id"].astype(int), ["x_terminal_id", "y_terminal_id"]].to_numpy()
    flat = np.hypot(*(home - shop).T)
    places = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
    distance = great_circle_km(*(some[name].to_numpy() for name in places))
    assert np.allclose(distance, flat, rtol=0.005, atol=1e-6)
