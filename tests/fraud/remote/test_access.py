"""A model server behind TLS and keys."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bentos.fraud.options import PredictOptions
from bentos.fraud.settings import ScoringSettings
from tests.fraud.access.authority import Authority
from tests.fraud.access.test_guard import add
from tests.fraud.grpc.serving import HOST, Serving, serving_application
from tests.fraud.remote.conftest import Open
from tests.fraud.requests import transaction

ASK = PredictOptions("all", record=False)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Of the model server's certificate."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The model server's keys."""
    return tmp_path / "keys.json"


@pytest.fixture
def key(keys: Path) -> str:
    """One of them."""
    return add(keys, "front", "score")


@pytest.fixture
def guarded(champion_home: Path, tmp_path: Path, authority: Authority, keys: Path, key: str) -> Iterator[Serving]:
    """The model server."""
    assert key
    home = Path(shutil.copytree(champion_home, tmp_path / "guarded"))
    certificate, private = authority.issue("model")

    def settings(port: int) -> ScoringSettings:
        return ScoringSettings(
            home=home,
            grpc_host=HOST,
            grpc_port=port,
            deadline_milliseconds=60_000,
            grpc_tls_certificate=certificate,
            grpc_tls_key=private,
            api_keys_file=keys,
        )

    with serving_application(settings) as serving:
        yield serving


def _degraded(opened: Open, runner: asyncio.Runner, url: str, **settings: Any) -> tuple[tuple[str, ...], str]:
    application = opened(url, **settings)
    prediction = runner.run(application.predictor.predict(transaction(), ASK))
    return prediction.degraded, application.health().dependencies["model"].detail or ""


def test_with_certificate_and_key_it_scores(
    guarded: Serving, opened: Open, runner: asyncio.Runner, authority: Authority, key: str
) -> None:
    settings = {"model_ca_file": authority.file, "model_api_key": SecretStr(key)}
    assert _degraded(opened, runner, f"grpcs://{guarded.address}", **settings) == ((), "")


def test_without_a_key_health_says_so(
    guarded: Serving, opened: Open, runner: asyncio.Runner, authority: Authority
) -> None:
    degraded, detail = _degraded(opened, runner, f"grpcs://{guarded.address}", model_ca_file=authority.file)
    assert degraded == ("model",)
    assert "UNAUTHENTICATED" in detail


def test_a_certificate_of_another_authority_is_not_trusted(
    guarded: Serving, opened: Open, runner: asyncio.Runner, tmp_path: Path, key: str
) -> None:
    settings = {"model_ca_file": Authority(tmp_path / "another").file, "model_api_key": SecretStr(key)}
    degraded, detail = _degraded(opened, runner, f"grpcs://{guarded.address}", **settings)
    assert degraded == ("model",)
    assert "UNAVAILABLE" in detail
    assert key not in detail
