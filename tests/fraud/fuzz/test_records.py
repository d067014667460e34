"""Random calls about labels and kept predictions: never 500, always a documented answer, and problems are problems."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fraud.requests import transaction_json
from tests.fraud.server import Server

KNOWN = "fuzz-1"
#: What the service knows by name, and what often goes wrong.
WORDS = [
    KNOWN,
    "",
    " ",
    "fraud",
    "legitimate",
    "none",
    "flagged",
    "approve",
    "true",
    "50",
    "0",
    "501",
    "-1",
    "0.5",
    "NaN",
    "1e999",
    "٣",
    "2026-01-31T12:00:00+01:00",
    "2026-01-31T12:00:00",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "A" * 22,
    "_" * 22,
    "x" * 128,
    "x" * 129,
    "a\0b",
    "a/b",
    "'; DROP TABLE labels; --",
    "%",
    "\u202e",
    "\U0001f0a1" * 128,
]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=20)
#: In a path, dots alone name folders.
NAMES = TEXTS.filter(lambda text: text.strip(".") != "")
PARAMETERS = [
    "transaction_id",
    "customer_id",
    "merchant_id",
    "decision",
    "label",
    "model_version",
    "since",
    "until",
    "score_from",
    "score_to",
    "limit",
    "cursor",
    "features",
]
QUERIES = st.lists(st.tuples(st.sampled_from(PARAMETERS) | TEXTS, TEXTS), max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
FIELDS = ["transaction_id", "label", "label_time", "source", "analyst"]
OBJECTS = st.dictionaries(st.sampled_from(FIELDS) | TEXTS, SCALARS | st.lists(SCALARS, max_size=2), max_size=6)
LABELS = st.fixed_dictionaries(
    {"transaction_id": TEXTS, "label": st.sampled_from(["fraud", "legitimate"]) | SCALARS},
    optional={"label_time": TEXTS | SCALARS, "source": SCALARS, "analyst": SCALARS},
)
VALUES = LABELS | OBJECTS | SCALARS
BODIES = (VALUES | st.lists(VALUES, max_size=4)).map(lambda value: json.dumps(value).encode()) | st.binary(max_size=100)
CLAIMS = (st.fixed_dictionaries({"analyst": SCALARS}) | VALUES).map(lambda value: json.dumps(value).encode())

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    """A client of a server that has a prediction."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        client.post("/predict", json=transaction_json(transaction_id=KNOWN, customer_id=KNOWN)).raise_for_status()
        yield client


@pytest.fixture(scope="module")
def documented(http: httpx.Client) -> dict[tuple[str, str], dict[str, Any]]:
    """Answers that the OpenAPI document names, by method and path."""
    paths = http.get("/docs.json").raise_for_status().json()["paths"]
    return {
        (method, path): operation["responses"] for path, item in paths.items() for method, operation in item.items()
    }


Documented = dict[tuple[str, str], dict[str, Any]]


def _check(answer: httpx.Response, responses: dict[str, Any]) -> None:
    assert answer.status_code < 500, answer.text
    assert str(answer.status_code) in responses, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in responses[str(answer.status_code)]["content"]
    found = answer.json()
    if answer.status_code >= 400:
        assert kind == "application/problem+json"
        assert found["status"] == answer.status_code
        assert "Traceback" not in answer.text
        assert "SELECT" not in answer.text


@QUICK
@given(query=QUERIES)
def test_predictions(http: httpx.Client, documented: Documented, query: list[tuple[str, str]]) -> None:
    _check(http.get(f"/predictions?{_encoded(query)}"), documented["get", "/predictions"])


@QUICK
@given(query=st.binary(max_size=60))
def test_predictions_by_octets(http: httpx.Client, documented: Documented, query: bytes) -> None:
    _check(http.get(f"/predictions?{quote(query, safe='&=')}"), documented["get", "/predictions"])


@QUICK
@given(name=NAMES, query=QUERIES)
def test_history(http: httpx.Client, documented: Documented, name: str, query: list[tuple[str, str]]) -> None:
    answer = http.get(f"/customers/{_segment(name)}/history?{_encoded(query)}")
    _check(answer, documented["get", "/customers/{id}/history"])


@QUICK
@given(body=BODIES)
def test_feedback(http: httpx.Client, documented: Documented, body: bytes) -> None:
    _check(_posted(http, "/feedback", body), documented["post", "/feedback"])


@QUICK
@given(name=NAMES, body=CLAIMS)
def test_claims(http: httpx.Client, documented: Documented, name: str, body: bytes) -> None:
    answer = _posted(http, f"/review/{_segment(name)}/claim", body)
    _check(answer, documented["post", "/review/{transaction_id}/claim"])


def _posted(http: httpx.Client, path: str, body: bytes) -> httpx.Response:
    return http.post(path, content=body, headers={"content-type": "application/json"})


def _encoded(query: list[tuple[str, str]]) -> str:
    return urlencode(query, errors="surrogatepass")


def _segment(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")
