"""A real artifact, and what runs on it."""

from __future__ import annotations

import asyncio
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bentos.fraud.application import Application
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.records.database import upgrade
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.blocking import BlockingPredictor, running_application
from tests.fraud.server import Server, environment, running_server
from tests.ports import free_port


@pytest.fixture(scope="session")
def imported_bentoml() -> None:
    """BentoML and the service, imported.

    Their import warns: of pathspec's GitWildMatchPattern and of a pydantic method that BentoML calls.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import bentoml.client

        import bentos.fraud.service  # noqa: F401

        _ = bentoml.SyncHTTPClient


@pytest.fixture(scope="session")
def champion_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FRAUD_HOME that holds a champion and nothing else. Not to be written to."""
    home = tmp_path_factory.mktemp("champion_home")
    make_champion(home)
    return home


@pytest.fixture
def home(champion_home: Path, tmp_path: Path) -> Path:
    """A FRAUD_HOME of one's own, with a champion."""
    return Path(shutil.copytree(champion_home, tmp_path / "home"))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """An event loop."""
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture
def application(home: Path, runner: asyncio.Runner) -> Iterator[Application]:
    """A worker's parts, with an empty feature store."""
    # A machine that is busy with other tests is no reason to refuse.
    settings = ScoringSettings(home=home, deadline_milliseconds=60_000, job_processes=0)
    upgrade(settings)
    with running_application(settings, runner) as opened:
        yield opened


@pytest.fixture
def predictor(application: Application, runner: asyncio.Runner) -> BlockingPredictor:
    """The calls of that worker, one after the other."""
    return BlockingPredictor(application.predictor, runner)


@pytest.fixture
def endpoints(application: Application) -> Endpoints:
    """The calls of that worker."""
    return Endpoints(application)


@pytest.fixture(scope="session")
def server(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two workers, for all tests that ask one."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("server") / "home"))
    grpc = {"FRAUD_GRPC_HOST": "127.0.0.1", "FRAUD_GRPC_PORT": str(free_port())}
    with running_server(environment(home, workers=2, **grpc), log=home / "server.log") as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=server.url, timeout=30) as opened:
        yield opened
