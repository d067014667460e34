"""The first walk through the product, by the commands of `make serve`: data, training, registry, bento, answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from bentos.core.artifact import read_artifact
from bentos.core.features import FEATURE_NAMES
from tests.fraud.server import ROOT, Server, bentoml_command, environment, running_server

pytestmark = pytest.mark.slow

STEP_SECONDS = 400


def step(environ: dict[str, str], *arguments: str) -> str:
    """Run a training step as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "training", *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FRAUD_HOME after data, features, training of both models and promotion."""
    folder = tmp_path_factory.mktemp("first-path")
    environ = environment(folder)
    transactions, features = folder / "transactions.parquet", folder / "features.parquet"
    step(environ, "generate", "--output", str(transactions))
    step(environ, "features", str(transactions), "--output", str(features))
    step(environ, "run", str(transactions), "--features", str(features))
    return folder


@pytest.fixture(scope="module")
def server(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The bento of the champion, served with a fresh FRAUD_HOME, so with nothing but what it carries."""
    bentos = str(tmp_path_factory.mktemp("bentos"))
    environ = environment(home, BENTOML_HOME=bentos)
    built = subprocess.run(
        bentoml_command("build"), cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    away = environment(elsewhere, BENTOML_HOME=bentos)
    with running_server(away, "fraud_detector:latest", folder=elsewhere) as running:
        yield running


def last_payment(home: Path) -> dict[str, Any]:
    """The newest transaction of the data, as the body of a call."""
    row = pd.read_parquet(home / "transactions.parquet").iloc[-1]
    return {
        "customer_id": row["customer_id"],
        "merchant_id": row["merchant_id"],
        "merchant_category": row["merchant_category"],
        "amount": float(row["amount"]),
        "timestamp": (row["timestamp"] + pd.Timedelta(minutes=30)).isoformat(),
    }


def test_both_models_are_registered_and_the_better_is_champion(home: Path) -> None:
    listed = json.loads(step(environment(home), "models", "--json"))
    assert len(listed) == 2
    champions = [item for item in listed if "champion" in item["aliases"]]
    assert len(champions) == 1
    card = read_artifact(home / "champion" / "artifact", public_key=None).card
    assert card.mlflow_model_version == champions[0]["version"]
    best = max(listed, key=lambda item: float(item["tags"]["fraud.metric.average_precision"]))
    assert best["version"] == champions[0]["version"]
    assert float(best["tags"]["fraud.metric.roc_auc"]) > 0.9


def test_the_bento_scores_with_the_history_of_its_snapshot(home: Path, server: Server) -> None:
    answer = httpx.post(f"{server.url}/explain", json=last_payment(home), timeout=10).json()
    assert answer["features"]["customer_transactions_30d"] > 5
    assert answer["features"]["merchant_transactions_30d"] > 5
    assert sum(answer["contributions"].values()) + answer["base_value"] == pytest.approx(answer["raw_score"], abs=1e-6)
    assert list(answer["features"]) == list(FEATURE_NAMES)


def test_a_recorded_payment_is_part_of_the_next_ones_history(home: Path, server: Server) -> None:
    payment = last_payment(home)
    before = httpx.post(f"{server.url}/explain", json=payment, timeout=10).json()
    given = httpx.post(f"{server.url}/predict?explain=all", json=payment, timeout=10).json()
    after = httpx.post(f"{server.url}/explain", json=payment, timeout=10).json()
    assert len(given["reasons"]) == 3
    assert given["score"] == pytest.approx(before["score"], abs=1e-9)
    assert after["features"]["customer_transactions_1d"] == before["features"]["customer_transactions_1d"] + 1
