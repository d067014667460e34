"""``python -m bentos.fraud features``, on both backends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bentos.core.features import feature_table
from bentos.core.settings import load_settings
from bentos.fraud.__main__ import main
from bentos.fraud.store import open_store
from bentos.fraud.store.settings import StoreSettings
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.servers.redis import RedisServer, running_redis
from training.data.table import arrow_table


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["embedded", "redis"])
def settings(
    request: pytest.FixtureRequest, tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> StoreSettings:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    monkeypatch.setenv("FRAUD_FEATURE_STORE", request.param)
    monkeypatch.setenv("FRAUD_REDIS_URL", server.url)
    monkeypatch.setenv("FRAUD_REDIS_PREFIX", f"{{{tmp_path.name}}}:")
    monkeypatch.setenv("FRAUD_REDIS_TIMEOUT_MILLISECONDS", "30000")
    return load_settings(StoreSettings)


def written(folder: Path) -> tuple[Path, pd.DataFrame]:
    """A file of labelled transactions, not in order of time, and its table in order."""
    generator = np.random.default_rng(0)
    table = canonical(
        [
            {
                "transaction_id": f"t{number}",
                "customer_id": f"c{generator.integers(9)}",
                "merchant_id": f"m{generator.integers(9)}",
                "amount": float(generator.lognormal(3, 1)),
                "timestamp": START + DAY * float(generator.uniform(0, 60)),
                "is_fraud": bool(generator.uniform() < 0.1),
            }
            for number in range(3_000)
        ]
    ).sort_values("timestamp", ignore_index=True)
    if "label_timestamp" not in table:
        table["label_timestamp"] = pd.Series([pd.NaT] * len(table), dtype="datetime64[us, UTC]")
    import pyarrow.parquet as pq

    path = folder / "transactions.parquet"
    pq.write_table(arrow_table(table.iloc[::-1]), path, row_group_size=500)
    return path, table


def test_a_file_fills_the_store_and_twice_counts_once(
    settings: StoreSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, table = written(tmp_path)
    for _ in range(2):
        assert main(["features", "fill", str(path)]) == 0
    assert "3,000 transactions read" in capsys.readouterr().err
    _require_history(settings, table)


def test_a_folder_of_other_columns_fills_it_by_its_mapping(
    settings: StoreSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files as the Fraud Detection Handbook's, and the mapping that ships for them."""
    _, table = written(tmp_path)
    table["merchant_category"] = "unknown"
    raw = tmp_path / "raw"
    raw.mkdir()
    numbers = {name: table[name].str.slice(1).astype(int) for name in ("transaction_id", "customer_id", "merchant_id")}
    elapsed = table["timestamp"] - table["timestamp"].iloc[0]
    pd.DataFrame(
        {
            "TRANSACTION_ID": numbers["transaction_id"],
            "TX_DATETIME": table["timestamp"].dt.tz_convert(None),
            "CUSTOMER_ID": numbers["customer_id"],
            "TERMINAL_ID": numbers["merchant_id"],
            "TX_AMOUNT": table["amount"],
            "TX_TIME_SECONDS": elapsed.dt.total_seconds(),
            "TX_TIME_DAYS": elapsed.dt.days,
            "TX_FRAUD": table["is_fraud"].astype(int),
            "TX_FRAUD_SCENARIO": 0,
        }
    ).to_parquet(raw / "fdh_transactions_raw.parquet")
    for kind in ("customer", "terminal"):
        places = {f"{kind.upper()}_ID": range(10), f"x_{kind}_id": range(10), f"y_{kind}_id": range(10)}
        pd.DataFrame(places).to_parquet(raw / f"fdh_{kind}_profiles_regenerated.parquet")
    for _ in range(2):
        assert main(["features", "fill", str(raw), "--mapping", "fdh"]) == 0
    assert "3,000 transactions read" in capsys.readouterr().err
    for name in ("customer_id", "merchant_id"):
        table[name] = numbers[name].astype("str")
    _require_history(settings, table)


@pytest.mark.parametrize(("mapping", "message"), [("none.yaml", "cannot be read"), ("fdh", "lacks the columns")])
def test_a_mapping_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mapping: str, message: str
) -> None:
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    path, _ = written(tmp_path)
    assert main(["features", "fill", str(path), "--mapping", mapping]) == 2
    assert message in capsys.readouterr().err


def _require_history(settings: StoreSettings, table: pd.DataFrame) -> None:
    """The store knows of a customer and a merchant what the table says."""
    ids = {"customer_id": table["customer_id"].iloc[0], "merchant_id": table["merchant_id"].iloc[0]}
    more = canonical([ids | {"timestamp": table["timestamp"].iloc[-1], "transaction_id": "new"}])
    expected = feature_table(pd.concat([table, more], ignore_index=True))[-1]
    store = open_store(settings)

    async def row() -> np.ndarray:
        rows = await store.lookup_many(transactions(more), [False])
        await store.leave()
        assert rows.degraded == [()]
        return rows.values[0]  # noqa: PD011 - no pandas object

    np.testing.assert_allclose(asyncio.run(row()), expected, rtol=1e-9, atol=1e-9)
    store.close()


def test_status_and_erase(settings: StoreSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, table = written(tmp_path)
    assert main(["features", "status"]) == 0
    assert "newest       none" in capsys.readouterr().out
    assert main(["features", "fill", str(path)]) == 0
    assert main(["features", "status"]) == 0
    assert table["timestamp"].iloc[-1].strftime("newest       %Y-%m-%dT%H:%M:%SZ") in capsys.readouterr().out
    for answer in ("forgotten", "not in the store"):
        assert main(["features", "erase", "--customer", "c1"]) == 0
        assert f"customer_id c1: {answer}" in capsys.readouterr().out
    assert main(["features", "erase"]) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="amount"), "lacks amount"),
        (lambda table: table.assign(amount=-1.0), "amounts such as -1.0"),
        (lambda table: table.assign(customer_id=None), "rows without customer_id"),
        (lambda table: table.assign(timestamp=0), "timestamp of type int64"),
        (lambda table: table.iloc[:0], "holds no transactions"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    change: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setenv("FRAUD_HOME", str(tmp_path))
    path, table = written(tmp_path)
    arrow = arrow_table(table)
    columns = {name: arrow[name].to_pylist() for name in arrow.column_names}
    changed = change(pd.DataFrame(columns))  # type: ignore[operator]
    pq.write_table(pa.Table.from_pylist(changed.to_dict("records"), schema=_schema(arrow.schema, changed)), path)
    assert main(["features", "fill", str(path)]) == 2
    assert message in capsys.readouterr().err


def _schema(schema: object, table: pd.DataFrame) -> object:
    import pyarrow as pa

    kinds = {name: schema.field(name).type for name in table}  # type: ignore[attr-defined]
    if "timestamp" in table and len(table) and not isinstance(table["timestamp"].iloc[0], pd.Timestamp):
        kinds["timestamp"] = pa.int64()
    return pa.schema(list(kinds.items()))


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "fill", str(tmp_path / "none.parquet")]) == 2
    assert "there is no file" in capsys.readouterr().err
