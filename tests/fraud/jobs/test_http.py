"""The calls about jobs, in this process: what is accepted, and what clients get wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import Message, Receive, Scope, Send

from bentos.fraud.application import Application
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from bentos.fraud.jobs.model import new_job_id
from bentos.fraud.records.database import upgrade
from bentos.fraud.settings import ScoringSettings
from tests.fraud.asgi import AppClient
from tests.fraud.blocking import running_application
from tests.fraud.jobs.payments import payments_csv
from tests.ports import free_port

CSV = {"content-type": "text/csv"}
LIMIT = 4096


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"{scope['path']} was passed on")


@pytest.fixture
def settings(home: Path) -> ScoringSettings:
    """Settings with limits that a test can reach."""
    (home / "in").mkdir()
    return ScoringSettings(
        home=home,
        job_processes=0,
        job_upload_limit_bytes=LIMIT,
        job_waiting_limit=5,
        job_sources=(f"file://{home}/in/", "s3://payments-in/"),
    )


@pytest.fixture
def application(settings: ScoringSettings, runner: asyncio.Runner) -> Iterator[Application]:
    """A worker's parts."""
    upgrade(settings)
    with running_application(settings, runner) as opened:
        yield opened


@pytest.fixture
def gateway(application: Application) -> Gateway:
    """What answers HTTP."""
    endpoints = Endpoints(application)
    return Gateway(_nothing, lambda: endpoints)


@pytest.fixture
def client(gateway: Gateway, runner: asyncio.Runner) -> AppClient:
    """Its client."""
    return AppClient(gateway, runner)


@pytest.fixture
def folder(home: Path) -> Path:
    """Where the jobs' files lie."""
    return home / "serving" / "jobs"


def _problem(response: Any, status: int) -> str:
    """What a problem document says."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    return " ".join([document["detail"], *(f"{one['path']}: {one['message']}" for one in document.get("errors", []))])


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_an_upload_is_accepted(client: AppClient, folder: Path) -> None:
    content = payments_csv(3)
    response = client.post("/predict_batch?explain=all&format=csv", content=content, headers=CSV)
    assert response.status_code == 202
    job = response.json()
    assert (job["status"], job["progress"], job["rows_total"], job["error"]) == ("pending", 0, None, None)
    assert re.fullmatch("[0-9a-f]{32}", job["job_id"])
    assert response.headers["location"] == f"job_status/{job['job_id']}"
    assert response.headers["cache-control"] == "no-store"
    assert (folder / job["job_id"] / "input").read_bytes() == content
    assert client.get(f"/job_status/{job['job_id']}").json() == job


@pytest.mark.parametrize(
    ("name", "content_type"),
    [("a.csv", None), ("A.CSV", "application/octet-stream"), ("x", "text/csv"), ("a.parquet", "text/csv")],
)
def test_a_form_is_accepted(client: AppClient, folder: Path, name: str, content_type: str | None) -> None:
    content = b"a,b\r\n--x--\r\n" * 50
    response = client.post("/predict_batch", files={"file": (name, content, content_type)})
    assert response.status_code == 202, response.text
    assert (folder / response.json()["job_id"] / "input").read_bytes() == content


def test_a_uri_is_accepted(client: AppClient, home: Path) -> None:
    (home / "in" / "a.csv").write_bytes(payments_csv(1))
    for document in (
        {"uri": f"file://{home}/in/a.csv"},
        {"uri": "s3://payments-in/2026/a.parquet"},
        {"uri": "s3://payments-in/a", "format": "jsonl"},
    ):
        response = client.post("/predict_batch", json=document)
        assert response.status_code == 202, response.text


BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "empty": ({"content": b"", "headers": CSV}, 422, "file: is empty"),
    "empty part": ({"files": {"file": ("a.csv", b"")}}, 422, "file: is empty"),
    "nothing at all": ({}, 422, "body: is not JSON"),
    "too large": ({"content": b"x" * (LIMIT + 1), "headers": CSV}, 413, f"larger than {LIMIT} bytes"),
    "too large part": ({"files": {"file": ("a.csv", b"x" * (LIMIT + 1))}}, 413, f"larger than {LIMIT} bytes"),
    "too large by its own word": (
        {"content": b"x", "headers": CSV | {"content-length": str(10**15)}},
        413,
        f"larger than {LIMIT} bytes",
    ),
    "another type": ({"content": b"x", "headers": {"content-type": "application/pdf"}}, 415, "text/csv"),
    "a pickle": ({"content": b"x", "headers": {"content-type": "application/vnd.bentoml+pickle"}}, 415, "pickle"),
    "compressed": ({"content": b"x", "headers": CSV | {"content-encoding": "gzip"}}, 415, "Compressed"),
    "unknown part": ({"files": {"payments": ("a.csv", b"x")}}, 422, "must have one part, file"),
    "two parts": ({"files": [("file", ("a.csv", b"x")), ("file", ("b.csv", b"x"))]}, 422, "must have one part"),
    "options as parts": ({"files": {"file": ("a.csv", b"x")}, "data": {"explain": "all"}}, 422, "query parameters"),
    "part of no form": ({"files": {"file": ("a.txt", b"x")}}, 422, "file: its form is not known"),
    "no boundary": ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "boundary"),
    "long boundary": (
        {"content": b"x", "headers": {"content-type": f"multipart/form-data; boundary={'x' * 2000}"}},
        422,
        "boundary",
    ),
    "no form": (
        {"content": b"x" * 50, "headers": {"content-type": "multipart/form-data; boundary=b"}},
        422,
        "is no multipart/form-data",
    ),
    "cut off": (
        {
            "content": b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\nabc',
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        422,
        "ends before its last boundary",
    ),
    "no parts": (
        {"content": b"--b--\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}},
        422,
        "",
    ),
    "many headers": (
        {
            "content": b"--b\r\n" + b"x-a: 1\r\n" * 1000 + b"\r\n",
            "headers": {"content-type": "multipart/form-data; boundary=b"},
        },
        422,
        "is no multipart/form-data",
    ),
    "no JSON": ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "is not JSON"),
    "a list": ({"json": []}, 422, "must be an object"),
    "no uri": ({"json": {"format": "csv"}}, 422, "must be an object"),
    "unknown member": ({"json": {"uri": "s3://payments-in/a.csv", "x": 1}}, 422, "must be an object"),
    "uri of no text": ({"json": {"uri": 1}}, 422, "uri: must be text"),
    "uri of no form": ({"json": {"uri": "s3://payments-in/a"}}, 422, "format: must be one of"),
    "unknown form": ({"json": {"uri": "s3://payments-in/a.csv", "format": "xls"}}, 422, "format: must be one of"),
    "form of no text": ({"json": {"uri": "s3://payments-in/a.csv", "format": [1]}}, 422, "format: must be one of"),
    "elsewhere": ({"json": {"uri": "http://169.254.169.254/latest/a.csv"}}, 422, "no place that is allowed"),
    "long document": ({"json": {"uri": "s3://payments-in/" + "a" * 20_000 + ".csv"}}, 413, ""),
}


@pytest.mark.parametrize("case", BODIES)
def test_bad_bodies(client: AppClient, folder: Path, case: str) -> None:
    sent, status, said = BODIES[case]
    assert said in _problem(client.post("/predict_batch", **sent), status)
    assert _left(folder) == []


@pytest.mark.parametrize(
    ("query", "headers", "said"),
    [
        ("explain=some", {}, "explain: must be one of"),
        ("format=xls", {}, "format: must be one of"),
        ("format=csv&format=csv", {}, "format: given more than once"),
        ("record=true", {}, "record: unknown query parameter"),
        ("", {"idempotency-key": ""}, "idempotency-key: must be 1 to 255"),
        ("", {"idempotency-key": "a b"}, "idempotency-key: must be 1 to 255"),
        ("", {"idempotency-key": "x" * 256}, "idempotency-key: must be 1 to 255"),
    ],
)
def test_bad_options(client: AppClient, folder: Path, query: str, headers: dict[str, str], said: str) -> None:
    response = client.post(f"/predict_batch?{query}", content=payments_csv(1), headers=CSV | headers)
    assert said in _problem(response, 422)
    assert _left(folder) == []


def test_a_key_is_one_job(client: AppClient, folder: Path) -> None:
    headers = CSV | {"idempotency-key": "nightly-2026-05-30"}
    first, again = (client.post("/predict_batch", content=payments_csv(2), headers=headers) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert _left(folder) == [first.json()["job_id"]]
    for changed in (
        client.post("/predict_batch", content=payments_csv(3), headers=headers),
        client.post("/predict_batch?explain=all", content=payments_csv(2), headers=headers),
    ):
        assert "came with another file or other options" in _problem(changed, 422)
    assert len(_left(folder)) == 1


def test_too_many_jobs_are_refused(client: AppClient, folder: Path) -> None:
    accepted = [client.post("/predict_batch", content=payments_csv(1), headers=CSV) for _ in range(5)]
    assert {response.status_code for response in accepted} == {202}
    for sent in ({"content": payments_csv(1), "headers": CSV}, {"json": {"uri": "s3://payments-in/a.csv"}}):
        refused = client.post("/predict_batch", **sent)
        assert "5 jobs wait already" in _problem(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
    assert len(_left(folder)) == 5
    client.post(f"/job_cancel/{accepted[0].json()['job_id']}")
    assert client.post("/predict_batch", content=payments_csv(1), headers=CSV).status_code == 202


def test_too_many_bytes_are_refused(client: AppClient, application: Application) -> None:
    client.post("/predict_batch", content=payments_csv(10), headers=CSV)
    admission = application.jobs._admission
    admission._bytes = 100
    assert "take all the room" in _problem(client.post("/predict_batch", content=b"x", headers=CSV), 429)


@pytest.mark.parametrize("call", ["job_status", "job_result"])
@pytest.mark.parametrize("job_id", ["x", "%00", "..%2f..%2fetc", "a" * 500, "%F0%9F%92%A9", "0" * 32])
def test_unknown_jobs(client: AppClient, call: str, job_id: str) -> None:
    assert "no job of this name" in _problem(client.get(f"/{call}/{job_id}"), 404)
    assert "no job of this name" in _problem(client.post(f"/job_cancel/{job_id}"), 404)


def test_results_that_are_none(client: AppClient, application: Application) -> None:
    job_id = client.post("/predict_batch", content=payments_csv(1), headers=CSV).json()["job_id"]
    assert "the job is pending" in _problem(client.get(f"/job_result/{job_id}"), 409)
    assert "format: must be one of" in _problem(client.get(f"/job_result/{job_id}?format=xls"), 422)
    cancelled = client.post(f"/job_cancel/{job_id}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert client.post(f"/job_cancel/{job_id}").status_code == 200
    assert "the job is cancelled" in _problem(client.get(f"/job_result/{job_id}"), 409)


def test_wrong_methods(client: AppClient) -> None:
    assert client.get("/predict_batch").headers["allow"] == "POST"
    _problem(client.get("/predict_batch"), 405)
    _problem(client.post("/job_status/x"), 405)
    _problem(client.request("DELETE", "/job_cancel/x"), 405)


def _send(
    gateway: Gateway, runner: asyncio.Runner, parts: list[bytes], content_type: str, *, leaves: bool = False
) -> tuple[int, list[Message]]:
    """Send a body part by part; status 0 when there was no answer."""
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append(
        {"type": "http.disconnect"} if leaves else {"type": "http.request", "body": b"", "more_body": False}
    )
    sent: list[Message] = []
    iterator = iter(messages)

    async def receive() -> Message:
        await asyncio.sleep(0)
        return next(iterator)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict_batch",
        "query_string": b"",
        "headers": [(b"content-type", content_type.encode())],
    }
    runner.run(gateway(scope, receive, send))
    return (sent[0]["status"] if sent else 0), sent


@pytest.mark.parametrize("content_type", ["text/csv", "multipart/form-data; boundary=b"])
def test_a_client_that_leaves_in_the_middle(
    gateway: Gateway, runner: asyncio.Runner, folder: Path, application: Application, content_type: str
) -> None:
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    before = gateway.endpoints().room._left
    status, sent = _send(gateway, runner, [head, b"a" * 1000], content_type, leaves=True)
    assert (status, sent) == (0, [])
    assert _left(folder) == []
    assert gateway.endpoints().room._left == before
    assert application.jobs.ledger.counts()["pending"].jobs == 0


def test_the_database_is_down(settings: ScoringSettings, runner: asyncio.Runner, folder: Path) -> None:
    nowhere = SecretStr(f"postgresql+psycopg://nobody:secret@127.0.0.1:{free_port()}/none")
    with running_application(settings.model_copy(update={"records_url": nowhere}), runner) as application:
        endpoints = Endpoints(application)
        client = AppClient(Gateway(_nothing, lambda: endpoints), runner)
        for response in (
            client.post("/predict_batch", content=payments_csv(1), headers=CSV),
            client.post("/predict_batch", json={"uri": "s3://payments-in/a.csv"}),
            client.get(f"/job_status/{new_job_id()}"),
            client.get(f"/job_result/{new_job_id()}"),
            client.post(f"/job_cancel/{new_job_id()}"),
        ):
            said = _problem(response, 503)
            assert "database cannot be used at the moment" in said
            assert "secret" not in said
            assert int(response.headers["retry-after"]) > 0
        assert client.get("/readyz").status_code == 200
        assert "fraud_predictions_total" in client.get("/metrics").text
    assert _left(folder) == []


@pytest.mark.parametrize("silent", [True, False])
def test_an_upload_that_stops_or_trickles(
    gateway: Gateway, runner: asyncio.Runner, folder: Path, application: Application, silent: bool
) -> None:
    desk, room = application.jobs, gateway.endpoints().room
    before = room._left
    if silent:
        desk.upload_idle_seconds = 0.2
    else:
        desk.upload_seconds = 0.5
    sent: list[Message] = []

    async def receive() -> Message:
        if silent and sent == [] and room._left < before:
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"a", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/csv")]
    scope = {"type": "http", "method": "POST", "path": "/predict_batch", "query_string": b"", "headers": headers}
    runner.run(gateway(scope, receive, send))
    assert sent[0]["status"] == 408
    assert dict(sent[0]["headers"])[b"connection"] == b"close"
    assert b"did not come in time" in sent[1]["body"]
    assert _left(folder) == []
    assert room._left == before


def test_unfinished_uploads_take_room_too(client: AppClient, application: Application) -> None:
    desk = application.jobs
    desk._admission._bytes = 3000
    _, first = desk.open_upload()
    first.write(b"x" * 2000)
    refused = client.post("/predict_batch", content=b"x" * 2000, headers=CSV)
    assert "take all the room" in _problem(refused, 429)
    first.discard()
    first.discard()
    assert client.post("/predict_batch", content=b"x" * 2000, headers=CSV).status_code == 202
    assert client.post("/predict_batch", content=b"x" * 2000, headers=CSV).status_code == 429
