"""A real server, seen as its operators see it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bentos.core.buckets import bucket
from bentos.protos._generated.fraud.v1 import fraud_pb2, fraud_pb2_grpc
from tests.fraud.artifacts import CARD
from tests.fraud.observe.receiver import Receiver, attributes, receiver
from tests.fraud.requests import NOON, transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.fraud.test_metrics import samples, value
from tests.ports import free_port
from tests.waiting import eventually

SECONDS = 30.0
LABELS = {"model_name": CARD.name, "model_version": CARD.version}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
CUSTOMER = "customer-with-a-secret"
AMOUNT = 9876.54


@dataclass(frozen=True)
class Observed:
    """A server and its log."""

    server: Server
    log: Path

    def post(self, call: str = "predict", headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Send a transaction, on a connection of its own."""
        url = f"{self.server.url}/{call}"
        return httpx.post(url, json=transaction_json(**fields), headers=headers, timeout=SECONDS)

    def metrics(self) -> bytes:
        """A scrape."""
        answer = httpx.get(f"{self.server.url}/metrics", timeout=SECONDS)
        assert answer.status_code == 200
        return answer.content

    def predicted(self) -> float:
        """Transactions scored, over all workers."""
        decisions = ("approve", "review", "block")
        text = self.metrics()
        return sum(value(text, "fraud_predictions_total", decision=decision, **LABELS) for decision in decisions)

    def workers(self) -> set[int]:
        """Process ids of the workers that listen."""
        found = set()
        for process in psutil.Process(self.server.process.pid).children(recursive=True):
            # One that was killed stays a zombie until the supervisor looks.
            with suppress(psutil.NoSuchProcess):
                if "_bentoml_impl.worker.service" in process.cmdline():
                    found.add(process.pid)
        return found

    def logged(self) -> list[dict[str, Any]]:
        """The lines that were written since the service was loaded."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if "[entry_service:" not in line and "[cli]" not in line]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The access log's line of a request."""

        def found() -> list[dict[str, Any]]:
            return [
                line for line in self.logged() if line["logger"] == "bentos.access" and line["request_id"] == request_id
            ]

        eventually(found)
        (line,) = found()
        return line


@pytest.fixture(scope="module")
def observed(champion_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A server with two workers."""
    home = Path(shutil.copytree(champion_home, tmp_path_factory.mktemp("observed") / "home"))
    log = home / "server.log"
    with running_server(environment(home, workers=2), log=log) as server:
        yield Observed(server, log)


def test_every_request_is_counted_once_and_logged_once(observed: Observed) -> None:
    before = observed.predicted()
    ids = [f"counted-{number}" for number in range(60)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: observed.post(headers={"x-request-id": name}), ids))
    assert {answer.status_code for answer in answers} == {200}
    eventually(lambda: observed.predicted() - before == len(ids))
    # Whichever worker is asked.
    assert {observed.predicted() - before for _ in range(6)} == {len(ids)}
    for name, answer in zip(ids, answers, strict=True):
        line = observed.line_of(name)
        assert line["decision"] == answer.json()["decision"]
        assert 0 < line["seconds"] < SECONDS
        assert (line["transport"], line["method"], line["status"]) == ("http", "predict", "200")
        assert line["model_version"] == CARD.version


def test_the_callers_trace_is_logged_though_none_is_exported(observed: Observed) -> None:
    observed.post(headers={"x-request-id": "traced", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    observed.post(headers={"x-request-id": "untraced", "traceparent": f"00-{TRACE}-{SPAN}-0"})
    assert observed.line_of("traced")["trace_id"] == TRACE
    assert "trace_id" not in observed.line_of("untraced")


def test_no_customer_and_no_amount_is_logged(observed: Observed) -> None:
    secret = transaction_json(customer_id=CUSTOMER, amount=AMOUNT)
    url = observed.server.url
    hostile = {"traceparent": CUSTOMER, "tracestate": CUSTOMER, "x-fraud-bucket": CUSTOMER, "user-agent": CUSTOMER}
    with httpx.Client(headers=hostile, timeout=SECONDS) as client:
        for call in ("predict", "explain"):
            client.post(f"{url}/{call}", json=secret)
            client.post(f"{url}/{call}?explain={CUSTOMER}", json=secret)
            client.post(f"{url}/{call}", json={**secret, CUSTOMER: CUSTOMER, "timestamp": CUSTOMER})
            client.post(f"{url}/{call}", content=json.dumps(secret)[:-1], headers={"content-type": "application/json"})
        client.post(f"{url}/predict_many", json={"transactions": [secret, {**secret, "merchant_id": ""}, CUSTOMER]})
        client.post(f"{url}/{CUSTOMER}?amount={AMOUNT}", json=secret)
        client.get(f"{url}/v2/models/{CUSTOMER}")
        client.get(f"{url}/livez", headers={"x-request-id": "the-last"})
    observed.line_of("the-last")
    text = observed.log.read_text()
    assert CUSTOMER not in text
    assert str(AMOUNT) not in text


def test_a_wrong_bucket_is_counted(observed: Observed) -> None:
    def mismatches() -> float:
        return value(observed.metrics(), "fraud_bucket_mismatches_total", **LABELS)

    before = mismatches()
    right = bucket(CUSTOMER)
    wrong = f"{(int(right) + 1) % 100:02d}"
    for given in (right, wrong, "not a bucket"):
        assert observed.post(customer_id=CUSTOMER, headers={"x-fraud-bucket": given}).status_code == 200
    assert observed.post(customer_id=CUSTOMER).status_code == 200
    eventually(lambda: mismatches() - before == 2)


def test_the_model_is_told(observed: Observed) -> None:
    infos = [dict(labels) for name, labels in samples(observed.metrics()) if name == "fraud_model_info"]
    assert [(info["model_version"], len(info["digest"])) for info in infos] == [(CARD.version, 64)]


@pytest.mark.slow
def test_a_killed_workers_counts_stay_and_its_successor_adds_to_them(observed: Observed) -> None:
    before = observed.predicted()
    for number in range(20):
        assert observed.post(customer_id=f"c-{number}").status_code == 200
    # What a killed worker had not counted yet, 20 ms of answers, nobody counts.
    eventually(lambda: observed.predicted() == before + 20)
    expected = before + 20
    workers = observed.workers()
    assert len(workers) == 2
    os.kill(min(workers), signal.SIGKILL)

    def replaced() -> bool:
        # The one that lives answers all the time, or the connection that the other had accepted breaks.
        with suppress(httpx.TransportError):
            assert observed.predicted() == expected
        return len(observed.workers() - workers) == 1

    eventually(replaced)
    # The supervisor starts a worker; that it listens shows when it has logged so.
    started = "Completed async startup hook: warm_up"
    eventually(lambda: sum(line["message"] == started for line in observed.logged()) == 3)
    for number in range(20):
        assert observed.post(customer_id=f"c-{number}").status_code == 200
    eventually(lambda: observed.predicted() == expected + 20)


@pytest.fixture
def received() -> Iterator[Receiver]:
    """A receiver of traces."""
    with receiver() as opened:
        yield opened


def test_both_transports_are_traced_and_text_is_readable(home: Path, tmp_path: Path, received: Receiver) -> None:
    log = tmp_path / "server.log"
    port = free_port()
    environ = environment(
        home,
        FRAUD_LOG_FORMAT="text",
        FRAUD_GRPC_PORT=str(port),
        FRAUD_GRPC_HOST="127.0.0.1",
        OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    parents = {"http": "1" * 16, "grpc": "2" * 16, "many": "3" * 16}
    headers = {name: {"traceparent": f"00-{TRACE}-{span}-01", "x-request-id": name} for name, span in parents.items()}
    with running_server(environ, log=log) as server:
        url = f"{server.url}/predict"
        body = transaction_json()
        answer = httpx.post(f"{url}?explain=all", json=body, headers=headers["http"], timeout=SECONDS)
        assert answer.status_code == 200
        many = {"transactions": [transaction_json(customer_id=f"c-{number}") for number in range(200)]}
        assert httpx.post(f"{url}_many", json=many, headers=headers["many"], timeout=SECONDS).status_code == 200
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            transaction = fraud_pb2.Transaction(
                customer_id="c", merchant_id="m", amount=1.0, timestamp=NOON.isoformat()
            )
            fraud_pb2_grpc.FraudServiceStub(channel).Predict(
                fraud_pb2.PredictRequest(transaction=transaction),
                metadata=tuple(headers["grpc"].items()),
                timeout=SECONDS,
            )
    # What was left was exported when the server stopped.
    roots = {span.parent_span_id.hex(): span for span in received.spans if span.kind == Span.SPAN_KIND_SERVER}
    assert {name: roots[span].name for name, span in parents.items()} == {
        "http": "http predict",
        "grpc": "grpc predict",
        "many": "http predict_many",
    }
    stages = {name: [span.name for span in received.children(roots[parent])] for name, parent in parents.items()}
    assert stages["http"] == ["validation", "features", "inference", "reasons", "serialization"]
    assert stages["grpc"] == ["validation", "features", "inference", "serialization"]
    sizes = [
        attributes(span)["fraud.batch_size"]
        for span in received.children(roots[parents["many"]])
        if span.name == "features"
    ]
    assert sizes == [64, 64, 64, 8]
    for name in parents:
        (line,) = [line for line in log.read_text().splitlines() if f" request_id={name} " in line]
        assert f"trace_id={TRACE}" in line


def test_a_blocked_standard_error_blocks_no_request(home: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with running_server(environment(home, FRAUD_LOG_BUFFER_LINES="10"), log=pipe) as server:
            with httpx.Client(base_url=server.url, timeout=SECONDS) as client:
                # A pipe holds 64 KiB, and each line has more than 200 bytes.
                assert {client.get("/livez").status_code for _ in range(600)} == {200}
                assert client.post("/predict", json=transaction_json()).status_code == 200
                text = client.get("/metrics").content
            assert samples(text)["fraud_log_lines_dropped_total", frozenset()] > 100
            lines = os.read(reading, 1 << 16).decode().splitlines()
        assert json.loads(lines[-2])["logger"] == "bentos.access"
    finally:
        os.close(reading)


def test_without_an_access_log_there_is_none(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with running_server(environment(home, FRAUD_ACCESS_LOG="false"), log=log) as server:
        assert httpx.post(f"{server.url}/predict", json=transaction_json(), timeout=SECONDS).status_code == 200
    text = log.read_text()
    assert "Completed async startup hook" in text
    assert "bentos.access" not in text
