"""The gateway and BentoML's own routes are two ways to the same calls: they must give the same answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest
from starlette.types import Receive, Scope, Send

from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from tests.fraud.asgi import AppClient, started
from tests.fraud.requests import transaction_json

Both = tuple[AppClient, AppClient]


@pytest.fixture
def both_ways(
    imported_bentoml: None, home: Path, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Both]:
    """Clients of one worker: through the gateway, and of BentoML's application behind it."""
    from bentos.fraud.service import FraudDetector

    monkeypatch.setenv("FRAUD_HOME", str(home))
    monkeypatch.setenv("FRAUD_GRPC_PORT", "0")
    # On a busy machine reasons would be late now and then.
    monkeypatch.setenv("FRAUD_DEADLINE_MILLISECONDS", "60000")
    framework = FraudDetector.framework_asgi()
    with started(framework, runner):
        gateway = Gateway(framework, lambda: bentoml.get_current_service().endpoints)
        yield AppClient(gateway, runner), AppClient(framework, runner)


def _same(clients: Both, path: str, body: dict[str, Any]) -> tuple[httpx.Response, httpx.Response]:
    headers = {"x-request-id": "same"}
    gateway, framework = (client.post(path, json=body, headers=headers) for client in clients)
    assert gateway.status_code == framework.status_code
    assert gateway.content == framework.content
    assert gateway.headers["content-type"] == framework.headers["content-type"]
    return gateway, framework


@pytest.mark.parametrize("amount", [1.0, 90.0, 700.0, 50_000.0])
@pytest.mark.parametrize("explain", ["none", "flagged", "all"])
def test_predictions_are_the_same(both_ways: Both, amount: float, explain: str) -> None:
    body = transaction_json(amount=amount, transaction_id="t-1")
    gateway, _ = _same(both_ways, f"/predict?explain={explain}&record=false", body)
    assert gateway.status_code == 200


def test_explanations_are_the_same(both_ways: Both) -> None:
    gateway, _ = _same(both_ways, "/explain", transaction_json(transaction_id="t-1"))
    assert gateway.status_code == 200


@pytest.mark.filterwarnings("ignore:Accessing the 'model_fields' attribute")  # BentoML does
def test_many_predictions_are_the_same(both_ways: Both) -> None:
    rows = [transaction_json(amount=amount, transaction_id=f"t-{amount}") for amount in (1.0, 700.0)]
    gateway, _ = _same(both_ways, "/predict_many?record=false", {"transactions": rows})
    assert gateway.status_code == 200


@pytest.mark.parametrize("query", ["explain=some", "record=maybe", "unknown=1", "explain=all&explain=all"])
def test_refused_options_are_the_same(both_ways: Both, query: str) -> None:
    gateway, _ = _same(both_ways, f"/predict?{query}", transaction_json())
    assert gateway.status_code == 422


@pytest.mark.parametrize(
    "body", [{}, transaction_json(amount=-1), transaction_json(timestamp="noon"), transaction_json(ammount=1)]
)
def test_the_framework_refuses_the_same_bodies_in_its_own_words(both_ways: Both, body: dict[str, Any]) -> None:
    gateway, framework = (client.post("/predict", json=body) for client in both_ways)
    assert (gateway.status_code, framework.status_code) == (422, 400)
    named = {error["path"] for error in gateway.json()["errors"]}
    assert {".".join(map(str, error["loc"])) for error in framework.json()["detail"]} == named


def test_what_is_not_the_gateways_is_passed_on(both_ways: Both) -> None:
    gateway, framework = both_ways
    assert gateway.get("/docs.json").json() == framework.get("/docs.json").json()
    assert gateway.get("/schema.json").json() == framework.get("/schema.json").json()


async def _failing(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("secret of the framework")


def test_a_failure_of_the_framework_is_told_to_nobody(endpoints: Endpoints, runner: asyncio.Runner) -> None:
    response = AppClient(Gateway(_failing, lambda: endpoints), runner).get("/elsewhere")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_a_failure_of_a_call_is_told_to_nobody(
    endpoints: Endpoints, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("secret of the model")

    monkeypatch.setattr(type(endpoints.application.predictor), "predict", fail)
    client = AppClient(Gateway(_failing, lambda: endpoints), runner)
    response = client.post("/predict", json=transaction_json(), headers={"x-request-id": "id-9"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert json.loads(response.text)["request_id"] == "id-9"
    assert client.post("/explain", json=transaction_json()).status_code == 200
