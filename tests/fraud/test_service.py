"""The service as clients see it, against a running server with two workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.artifact import ModelCard
from bentos.core.features import FEATURE_NAMES
from bentos.core.transaction import Transaction
from tests.fraud.artifacts import CARD, THRESHOLDS
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server
from tests.fraud.test_metrics import samples, value
from tests.waiting import eventually


def test_predict_answers_what_the_contract_says(client: httpx.Client) -> None:
    response = client.post(
        "/predict?explain=all", json=transaction_json(transaction_id="t-1", customer_id="c-contract")
    )
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    Prediction.model_validate(document)
    assert list(document) == [
        "transaction_id",
        "score",
        "decision",
        "thresholds",
        "model",
        "degraded",
        "reasons",
    ]
    assert document["transaction_id"] == "t-1"
    assert document["thresholds"] == {"review": THRESHOLDS.review, "block": THRESHOLDS.block}
    assert document["model"] == {"name": CARD.name, "version": CARD.version}
    assert document["degraded"] == []
    assert [list(reason) for reason in document["reasons"]] == [["feature", "value", "contribution", "text"]] * 3


@pytest.mark.parametrize(
    ("amount", "explain", "explained"),
    [(5.0, "none", False), (5.0, "flagged", False), (5.0, "all", True), (9e6, "none", False), (9e6, "flagged", True)],
)
def test_explain_chooses_the_answers_with_reasons(
    client: httpx.Client, amount: float, explain: str, explained: bool
) -> None:
    query = {"explain": explain, "record": "false"}
    document = client.post("/predict", params=query, json=transaction_json(amount=amount)).json()
    assert (document["decision"] == "approve") == (amount == 5.0)
    assert len(document["reasons"]) == (3 if explained else 0)


def test_explain_takes_a_score_apart(client: httpx.Client) -> None:
    document = client.post("/explain", json=transaction_json(amount=700)).json()
    explanation = Explanation.model_validate(document)
    assert list(document["contributions"]) == list(document["features"]) == list(FEATURE_NAMES)
    total = explanation.base_value + sum(explanation.contributions.values())
    assert total == pytest.approx(explanation.raw_score, abs=1e-6)
    assert explanation.features["amount"] == 700


def test_workers_share_what_is_recorded(client: httpx.Client) -> None:
    body = transaction_json(customer_id="c-shared")
    before = client.post("/explain", json=body).json()["features"]["customer_transactions_30d"]
    for _ in range(4):
        client.post("/predict", json=body)
    client.post("/predict?record=false", json=body)
    after = client.post("/explain", json=body).json()["features"]["customer_transactions_30d"]
    assert (before, after) == (1, 5)


def test_health_names_model_and_dependencies(client: httpx.Client) -> None:
    health = Health.model_validate(client.get("/health").json())
    assert health.status == "ok"
    assert health.model.version == CARD.version
    assert {name: state.status for name, state in health.dependencies.items()} == {
        "model": "ok",
        "features": "ok",
        "records": "ok",
        "queue": "ok",
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_probes_answer_get_and_head(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")


def test_model_gives_the_card(client: httpx.Client) -> None:
    assert ModelCard.model_validate(client.get("/model").json()) == CARD


def _quiet(counts: Callable[[], object]) -> Callable[[], bool]:
    """Whether nothing more is counted; what was answered is counted a moment later."""
    seen: list[object] = []

    def unchanged() -> bool:
        try:
            seen.append(counts())
        except KeyError:
            return False
        time.sleep(0.2)
        return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    return unchanged


def test_a_question_that_is_not_recorded_counts_as_a_request_alone(server: Server) -> None:
    labels = {"model_name": CARD.name, "model_version": CARD.version}
    flagged = transaction_json(amount=9000.0)

    def counts() -> tuple[float, list[float]]:
        text = httpx.get(f"{server.url}/metrics", timeout=30).content
        methods = ("predict", "predict_many")
        requests = [
            value(text, "fraud_requests_total", transport="http", method=m, code="200", **labels) for m in methods
        ]
        decisions = ("approve", "review", "block")
        predictions = [value(text, "fraud_predictions_total", decision=d, **labels) for d in decisions]
        names = ("fraud_score_count", "fraud_prediction_latency_seconds_count")
        return sum(requests), predictions + [value(text, name, **labels) for name in names]

    for call in ("predict", "predict_many"):
        # Nothing is counted of a call that was never made.
        body = flagged if call == "predict" else {"transactions": [flagged]}
        assert httpx.post(f"{server.url}/{call}", json=body, timeout=30).status_code == 200
    eventually(_quiet(counts))
    requests, before = counts()
    for _ in range(3):
        answer = httpx.post(f"{server.url}/predict?record=false", json=flagged, timeout=30)
        assert answer.json()["decision"] != "approve"
    many = {"transactions": [flagged] * 5}
    assert httpx.post(f"{server.url}/predict_many?record=false", json=many, timeout=30).status_code == 200
    # One that is recorded comes last: what was counted before it has been counted when it has.
    assert httpx.post(f"{server.url}/predict", json=flagged, timeout=30).status_code == 200
    eventually(lambda: counts()[1][3] > before[3])
    after = counts()
    assert after[0] == requests + 5
    assert sum(after[1][:3]) == sum(before[:3]) + 1
    assert [now - then for now, then in zip(after[1][3:], before[3:], strict=True)] == [1, 1]


def test_metrics_add_up_over_the_workers(server: Server) -> None:
    labels = {"model_name": CARD.name, "model_version": CARD.version}

    def request(number: int) -> int:
        # Each on a connection of its own, so that both workers get some.
        body = transaction_json(customer_id=f"c-metrics-{number}")
        return httpx.post(f"{server.url}/predict?explain=all", json=body, timeout=30).status_code

    def scrape() -> bytes:
        return httpx.get(f"{server.url}/metrics", timeout=30).content

    def counts(text: bytes) -> tuple[float, ...]:
        decisions = [
            value(text, "fraud_predictions_total", decision=d, **labels) for d in ("approve", "review", "block")
        ]
        stages = [
            value(text, "fraud_stage_latency_seconds_count", stage=stage, **labels)
            for stage in ("reasons", "serialization")
        ]
        answered = value(text, "fraud_requests_total", transport="http", method="predict", code="200", **labels)
        latencies = value(text, "fraud_prediction_latency_seconds_count", **labels)
        return sum(decisions), value(text, "fraud_score_count", **labels), answered, latencies, *stages

    started = value(scrape(), "fraud_stage_latency_seconds_count", stage="reasons", **labels)
    assert request(0) == 200
    # Counted a moment after the answer; reasons are among the last that are.
    eventually(lambda: value(scrape(), "fraud_stage_latency_seconds_count", stage="reasons", **labels) == started + 1)
    before = counts(scrape())
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(request, range(40))) == {200}
    expected = [40] * len(before)
    eventually(lambda: [late - early for early, late in zip(before, counts(scrape()), strict=True)] == expected)
    after = counts(scrape())
    assert [late - early for early, late in zip(before, after, strict=True)] == expected
    # Whichever worker is asked, the sums are those of all.
    assert {counts(scrape()) for _ in range(6)} == {after}


def test_refusals_are_counted_by_their_status(client: httpx.Client) -> None:
    def refused() -> float:
        key = (
            "fraud_requests_total",
            frozenset(
                {
                    "transport": "http",
                    "method": "predict",
                    "code": "422",
                    "model_name": CARD.name,
                    "model_version": CARD.version,
                    "role": "champion",
                }.items()
            ),
        )
        return samples(client.get("/metrics").content).get(key, 0)

    before = refused()
    client.post("/predict", json={})
    eventually(lambda: refused() > before)
    assert refused() == before + 1


_OWN_CLIENT = """
import json, sys, bentoml
body = json.loads(sys.argv[2])
with bentoml.SyncHTTPClient(sys.argv[1]) as client:
    print(json.dumps([client.predict(body), client.explain(body)]))
"""


def test_bentomls_own_client_works(server: Server) -> None:
    body = transaction_json(customer_id="c-client", transaction_id="t-client")
    # In a process of its own: the client leaves a temporary folder to be cleaned up with a warning.
    printed = subprocess.run(
        [sys.executable, "-c", _OWN_CLIENT, server.url, json.dumps(body)], capture_output=True, text=True, check=True
    )
    answer, explanation = json.loads(printed.stdout)
    assert Prediction.model_validate(answer).transaction_id == "t-client"
    assert Explanation.model_validate(explanation).features["amount"] == body["amount"]


def test_openapi_describes_predict(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    operation = document["paths"]["/predict"]["post"]
    parameters = {item["name"]: item for item in operation["parameters"]}
    assert parameters["explain"]["schema"] == {
        "type": "string",
        "enum": ["none", "flagged", "all"],
        "default": "flagged",
    }
    assert parameters["record"]["schema"]["default"] is True
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(Transaction.model_fields)
    assert set(schema["required"]) == {"customer_id", "merchant_id", "amount", "timestamp"}
    assert schema["additionalProperties"] is False
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(answer["properties"]) == set(Prediction.model_fields)
    problem = operation["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert problem.rpartition("/")[2] in document["components"]["schemas"]
    assert "400" not in operation["responses"]


def test_every_reference_of_the_openapi_document_leads_somewhere(client: httpx.Client) -> None:
    text = client.get("/docs.json").text
    document = json.loads(text)
    references = [part.partition('"')[0] for part in text.replace(" ", "").split('"$ref":"')[1:]]
    assert references
    for reference in references:
        target = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_every_documented_page_is_there(client: httpx.Client) -> None:
    document = client.get("/docs.json").json()
    pages = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    assert {"/health", "/livez", "/readyz", "/model", "/metrics"} <= set(pages)
    for page in pages:
        assert client.get(page).status_code == 200, page


def test_docs_shows_the_openapi_document(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    used = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page.text)
    assert len(used) == 4
    # Whoever reads the documentation of a fraud service is nobody else's business.
    assert all(address.startswith("./static_content/") for address in used)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for address in used:
        assert client.get(address.removeprefix(".")).status_code == 200
    assert "./docs.json" in client.get("/static_content/swagger-initializer.js").text
