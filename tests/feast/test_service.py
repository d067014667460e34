"""Commands and the service over the store in Feast, with one setting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.core.features import feature_table
from bentos.core.settings import load_settings
from bentos.fraud.__main__ import main
from bentos.fraud.store import open_store
from bentos.fraud.store.feast_repository import OnlineStore
from bentos.fraud.store.settings import StoreSettings
from tests.contracts.feature_stores import payment, values
from tests.core.features.tables import DAY, START, canonical, transactions
from tests.feast.repositories import NEEDS_FEAST
from tests.fraud import server
from tests.fraud.artifacts import make_champion
from tests.fraud.server import environment, running_server

pytestmark = NEEDS_FEAST


@pytest.fixture
def environ(
    feast_repository: Callable[[OnlineStore], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Environment of a service with two workers and its commands."""
    # Feast takes seconds to import, each worker's own; a busy machine a minute.
    monkeypatch.setattr(server, "START_SECONDS", 600.0)
    environ = environment(
        tmp_path,
        workers=2,
        FRAUD_FEATURE_STORE="feast",
        FRAUD_FEAST_REPOSITORY=str(feast_repository("redis")),
        FRAUD_FEAST_TIMEOUT_MILLISECONDS="30000",
        FRAUD_PSEUDONYM_KEY="secret",
    )
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


def test_a_file_fills_it_and_status_and_erasure_work(
    environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    table = canonical(
        [
            {
                "customer_id": f"c{generator.integers(9)}",
                "merchant_id": f"m{generator.integers(9)}",
                "amount": float(generator.lognormal(3, 1)),
                "timestamp": START + DAY * float(generator.uniform(0, 60)),
            }
            for _ in range(1_000)
        ]
    ).sort_values("timestamp", ignore_index=True)
    table.drop(columns=["is_fraud", "label_timestamp"]).to_parquet(tmp_path / "transactions.parquet")
    for _ in range(2):
        assert main(["features", "fill", str(tmp_path / "transactions.parquet")]) == 0
    more = canonical([{"timestamp": START + 60 * DAY, "transaction_id": "new"}])
    expected = feature_table(pd.concat([table, more], ignore_index=True))[-1]
    store = open_store(load_settings(StoreSettings))
    rows = asyncio.run(store.lookup_many(transactions(more), [False]))
    store.close()
    np.testing.assert_allclose(list(rows.values), [expected], rtol=1e-9, atol=1e-9)
    capsys.readouterr()
    assert main(["features", "status"]) == 0
    said = capsys.readouterr().out
    assert "store        feast" in said
    assert table["timestamp"].iloc[-1].strftime("newest       %Y-%m-%dT%H:%M:%SZ") in said
    for answer in ("forgotten", "not in the store"):
        assert main(["features", "erase", "--customer", "c1"]) == 0
        assert f"customer_id c1: {answer}" in capsys.readouterr().out


def found_rows(url: str) -> float:
    """Feature rows that the workers have found, as they tell Prometheus."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).text)
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "fraud_feature_lookups_total" and sample.labels["outcome"] == "found"
    )


def test_workers_of_the_service_share_it(environ: dict[str, str], tmp_path: Path) -> None:
    make_champion(tmp_path)
    with running_server(environ, log=tmp_path / "log") as running:
        for number in range(20):
            body = payment(number % 10, transaction_id=f"t{number % 10}").model_dump(mode="json", exclude_none=True)
            # A connection each, so that both workers have some.
            answer = httpx.post(f"{running.url}/predict?explain=none", json=body, timeout=60)
            assert answer.json()["degraded"] == [], answer.text
        assert httpx.get(f"{running.url}/health", timeout=60).json()["status"] == "ok"
        # Feast's own metrics must not take the place of the service's.
        until = time.monotonic() + 60
        while found_rows(running.url) != 20:
            assert time.monotonic() < until, "the workers' metrics are not together"
            time.sleep(0.2)
    store = open_store(load_settings(StoreSettings))
    row = values(store, payment(10), record=False)
    store.close()
    # Each id once, with the one that asks.
    assert row[7] == 11
