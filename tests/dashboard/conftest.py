"""A real service with predictions in it, and the dashboard over it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.dashboard.lively import Lively, running_lively
from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, environment, running_server

#: What the server is started with, and what it runs at each visit.
APP = ROOT / "dashboard" / "app.py"
VISIT = ROOT / "dashboard" / "main.py"
#: For everything that is waited for; a machine that is busy with other tests takes long.
PATIENCE_SECONDS = 90.0
#: What the test champion blocks.
LARGE = 5000.0

ResultT = TypeVar("ResultT")


def until(what: Callable[[], ResultT | None]) -> ResultT:
    """Ask again until there is an answer that is not empty."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if answer := what():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"nothing came within {PATIENCE_SECONDS:g} seconds")


@dataclass(frozen=True)
class Backend:
    """A running service, as tests speak to it."""

    url: str
    http: httpx.Client
    home: Path

    def predict(self, transaction_id: str, **fields: Any) -> dict[str, Any]:
        """Predict and record one transaction, and wait until it is kept."""
        payment = {
            "customer_id": "c016",
            "merchant_id": "m047",
            "amount": LARGE,
            "timestamp": "2026-05-30T03:12:00+02:00",
            **fields,
            "transaction_id": transaction_id,
        }
        answer = self.http.post("/predict", json=payment)
        assert answer.status_code == 200, answer.text
        until(lambda: self.kept(transaction_id=transaction_id))
        result: dict[str, Any] = answer.json()
        return result

    def kept(self, **filters: str) -> list[dict[str, Any]]:
        """Kept predictions."""
        answer = self.http.get("/predictions", params=filters)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    def label_all(self) -> None:
        """Leave nothing to review, so that a test's own items are the only ones."""
        while found := self.kept(decision="flagged", label="none", limit="500"):
            labels = [{"transaction_id": item["transaction_id"], "label": "legitimate"} for item in found]
            assert self.http.post("/feedback", json=labels).status_code in (200, 202)


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A service with a champion, which does batch jobs."""
    home = tmp_path_factory.mktemp("dashboard_service")
    make_champion(home)
    sources = home / "in"
    sources.mkdir()
    environ = environment(home, FRAUD_JOB_PROCESSES="1", FRAUD_JOB_SOURCES=f"file://{sources}/")
    with (
        running_server(environ, log=home / "server.log") as server,
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http,
    ):
        yield Backend(server.url, http, home)


@pytest.fixture(scope="session")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lively]:
    """A service with a challenger in its shadow, drift, labels and a Prometheus."""
    with running_lively(tmp_path_factory.mktemp("lively")) as running:
        yield running


@pytest.fixture
def dashboard_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a dashboard and nothing else of the caller's; to be changed by the test."""
    for name in list(os.environ):
        if name.startswith(("FRAUD_", "STREAMLIT_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FRAUD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    # AppTest has no server, and so no address.
    monkeypatch.setenv("FRAUD_DASHBOARD_ALLOW_UNAUTHENTICATED", "true")
    monkeypatch.setenv("FRAUD_DASHBOARD_TIMEOUT_SECONDS", "30")
    yield monkeypatch
    st.cache_data.clear()
    st.cache_resource.clear()


@pytest.fixture
def app(dashboard_settings: pytest.MonkeyPatch, backend: Backend) -> Callable[..., AppTest]:
    """Opens a page of a dashboard over the service: ``app("score")``; query parameters by name."""
    dashboard_settings.setenv("FRAUD_DASHBOARD_SERVICE_URL", backend.url)
    return open_page


def open_page(page: str, **parameters: str) -> AppTest:
    """Open a page as a new session does."""
    test = AppTest.from_file(str(VISIT), default_timeout=PATIENCE_SECONDS)
    for name, value in parameters.items():
        test.query_params[name] = value
    test.run()
    if page != "overview":
        test.switch_page(f"views/{page}.py").run()
    assert not test.exception, test.exception
    return test


def texts(elements: Any) -> str:
    """What elements say, as one text."""
    return "\n".join(str(element.value) for element in elements)
