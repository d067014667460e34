"""Random calls about jobs: never 500, refusals are problem documents, and only what the OpenAPI document says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from bentos.core.jobs import Job
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from bentos.fraud.http.jobs import ROUTES
from bentos.fraud.http.openapi import _operation
from bentos.fraud.http.problems import PROBLEM_JSON
from bentos.fraud.records.database import upgrade
from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.asgi import AppClient
from tests.fraud.blocking import running_application
from tests.fraud.jobs.payments import payments_csv

EXAMPLES = 150
LIMIT = 4096
#: By method and first segment of the path.
DOCUMENTED = {route.name: {int(status) for status in _operation(route)["responses"]} for route in ROUTES}

# What headers and targets may hold; anything else ends at the server's parser.
VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
OPTIONS = st.lists(
    st.tuples(
        st.sampled_from(["explain", "format", "record"]) | st.text(max_size=10),
        st.sampled_from(["none", "flagged", "all", "csv", "parquet", ""]) | st.text(max_size=20),
    ),
    max_size=3,
)
TYPES = (
    st.sampled_from(
        [
            "text/csv",
            "application/vnd.apache.parquet",
            "application/x-ndjson",
            "application/json",
            "multipart/form-data; boundary=b",
            "multipart/form-data",
            "application/vnd.bentoml+pickle",
        ]
    )
    | VISIBLE
)
PART = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
URIS = st.sampled_from(["s3://in/a.csv", "file:///etc/passwd", "http://169.254.169.254/", "s3://in/../a"]) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | URIS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["uri", "format", "x"]), inner),
    max_leaves=6,
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.just(b"x" * (LIMIT + 1)),
    st.just(payments_csv(3)),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"uri": URIS}).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=100).map(lambda content: PART + content + b"\r\n--b--\r\n"),
    st.binary(max_size=100).map(lambda content: PART + content),
)
NAMES = st.text(min_size=1, max_size=40) | st.text("0123456789abcdef", min_size=32, max_size=32)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """A client of a gateway in this process; nobody does the jobs."""
    home: Path = tmp_path_factory.mktemp("fuzz")
    make_champion(home)
    options = ScoringSettings(home=home, job_processes=0, job_upload_limit_bytes=LIMIT, job_sources=("s3://in/",))
    upgrade(options)

    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError(f"{scope['path']} was passed on")

    with asyncio.Runner() as runner, running_application(options, runner) as application:
        endpoints = Endpoints(application)
        yield AppClient(Gateway(nothing, lambda: endpoints), runner)


@pytest.fixture(scope="module")
def job_id(client: AppClient) -> str:
    """A job that waits."""
    response = client.post("/predict_batch", content=payments_csv(1), headers={"content-type": "text/csv"})
    return str(response.json()["job_id"])


def _check(response: httpx.Response, name: str, expected: type[Job] | None) -> None:
    assert response.status_code in DOCUMENTED[name], response.text
    assert response.status_code != 500, response.text
    if response.is_success:
        if expected is not None:
            expected.model_validate_json(response.content)
        return
    assert response.headers["content-type"] == PROBLEM_JSON
    document = response.json()
    assert document["status"] == response.status_code
    assert document["detail"]


@given(options=OPTIONS, content_type=TYPES, body=BODIES, key=st.none() | VISIBLE)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predict_batch(
    client: AppClient, options: list[tuple[str, str]], content_type: str, body: bytes, key: str | None
) -> None:
    headers = {"content-type": content_type.strip()} | ({} if key is None else {"idempotency-key": key.strip()})
    sent: Any = httpx.QueryParams(options)
    _check(client.post("/predict_batch", params=sent, content=body, headers=headers), "predict_batch", Job)


@pytest.mark.parametrize("name", ["job_status", "job_result", "job_cancel"])
@given(data=st.data(), options=OPTIONS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_calls_about_a_job(
    client: AppClient, job_id: str, name: str, data: st.DataObject, options: list[tuple[str, str]]
) -> None:
    segment = quote(data.draw(st.just(job_id) | NAMES), safe="")
    # Clients take these for the folder itself and the one above.
    if segment in (".", ".."):
        return
    method = "POST" if name == "job_cancel" else "GET"
    sent: Any = httpx.QueryParams(options)
    response = client.request(method, f"/{name}/{segment}", params=sent)
    _check(response, name, None if name == "job_result" else Job)
