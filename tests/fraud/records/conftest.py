"""A worker whose records run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from bentos.fraud.application import Application, open_application, prepare
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from bentos.fraud.settings import ScoringSettings
from tests.fraud.asgi import AppClient
from tests.fraud.records.recording import recorded
from tests.servers.postgresql import PostgresServer, running_postgres


class Worker:
    """A worker's parts, and its calls over HTTP."""

    def __init__(self, application: Application, runner: asyncio.Runner) -> None:
        self.application = application
        self.runner = runner
        endpoints = Endpoints(application)
        self.http = AppClient(Gateway(_nothing, lambda: endpoints), runner)

    def until(self, done: Callable[[], Any]) -> Any:
        """Let the worker run until something is so, and return it."""
        limit = time.monotonic() + 30
        while not (found := done()):
            assert time.monotonic() < limit, "it did not come to pass"
            self.runner.run(asyncio.sleep(0.01))
        return found

    def kept(self, **filters: str) -> list[dict[str, Any]]:
        """Predictions as /predictions tells of them."""
        answer = self.http.get("/predictions", params=filters)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    def metric(self, name: str, **labels: str) -> float | None:
        """One value of a scrape."""
        registry = self.application.registry
        model = {"model_name": "fraud_detector", "model_version": "7", "role": "champion"}
        return registry.get_sample_value(name, model | labels)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the framework is not to be asked")


@pytest.fixture
def worker(home: Path, runner: asyncio.Runner, worker_settings: dict[str, Any]) -> Iterator[Worker]:
    """One that runs."""
    quick = {"prediction_log_interval_milliseconds": 10, "quality_interval_seconds": 0.1}
    settings = ScoringSettings(home=home, deadline_milliseconds=60_000, job_processes=0, **quick, **worker_settings)
    prepare(settings)
    application = open_application(settings)
    runner.run(application.warm_up())
    with recorded(application):
        try:
            yield Worker(application, runner)
        finally:
            runner.run(application.close())


@pytest.fixture
def worker_settings() -> dict[str, Any]:
    """Of the worker; tests that need others define their own."""
    return {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests."""
    with running_postgres() as server:
        yield server
