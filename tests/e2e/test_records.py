"""A server with two workers: what it predicted is labelled, told to Prometheus, and survives a killed worker."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.client import FraudClient
from bentos.core.errors import FraudError
from bentos.core.records import LabelOutcome
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolFile, spool_folder, spooled
from tests.fraud.artifacts import make_champion
from tests.fraud.records.predicted import Book
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.ports import free_port

SECONDS = 60.0
LARGE = 50_000.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A FRAUD_HOME of one's own, with a champion."""
    make_champion(tmp_path)
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    """A server with two workers."""
    settings = {
        "FRAUD_GRPC_HOST": "127.0.0.1",
        "FRAUD_GRPC_PORT": str(free_port()),
        "FRAUD_QUALITY_INTERVAL_SECONDS": "0.5",
        "FRAUD_PREDICTION_LOG_INTERVAL_MILLISECONDS": "50",
    }
    with running_server(environment(home, workers=2, **settings), log=home / "server.log") as running:
        yield running


def _until(done: Callable[[], Any]) -> Any:
    limit = time.monotonic() + SECONDS
    while not (found := done()):
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.1)
    return found


def _kept(http: httpx.Client) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        page = http.get("/predictions", params={"limit": "500", **cursor}).raise_for_status().json()
        found |= {one["transaction_id"]: one for one in page["predictions"]}
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def _metrics(server: Server) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.get(name, "") for name in ("label", "decision"))): sample.value
        for family in text_string_to_metric_families(httpx.get(f"{server.url}/metrics").text)
        if family.name.startswith("fraud_label")
        for sample in family.samples
    }


def test_labels_of_two_workers_and_a_killed_one(server: Server, home: Path) -> None:
    http = httpx.Client(base_url=server.url, timeout=30)
    grpc = FraudClient(f"grpc://127.0.0.1:{server.grpc_port}")
    rows = [
        transaction_json(transaction_id=f"t-{number}", customer_id=f"c-{number}", amount=LARGE if number < 20 else 1.0)
        for number in range(60)
    ]
    with http, grpc:
        for row in rows[:30]:
            http.post("/predict", json=row).raise_for_status()
        assert all(not isinstance(result, FraudError) for result in grpc.predict_many(rows[30:]))
        kept = _until(lambda: found if len(found := _kept(http)) == 60 else None)
        assert {kept[f"t-{number}"]["decision"] for number in range(20)} == {"block"}

        # Each label by its own call, half over each transport; some twice, from both.
        for number in range(30):
            label = {"transaction_id": f"t-{number}", "label": "fraud" if number < 15 or number >= 25 else "legitimate"}
            if number % 2:
                http.post("/feedback", json=label).raise_for_status()
            (outcome,) = grpc.feedback([label])
            assert isinstance(outcome, LabelOutcome)
            assert outcome.outcome == ("unchanged" if number % 2 else "recorded")
        expected = {
            ("fraud_labels_total", ("fraud", "block")): 15.0,
            ("fraud_labels_total", ("legitimate", "block")): 5.0,
            ("fraud_labels_total", ("legitimate", "approve")): 5.0,
            ("fraud_labels_total", ("fraud", "approve")): 5.0,
            ("fraud_label_precision", ("", "")): 0.75,
            ("fraud_label_recall", ("", "")): 0.75,
        }
        # Whichever worker is asked.
        for _ in range(5):
            _until(lambda: expected.items() <= _metrics(server).items())

    acknowledged = _label_while_a_worker_is_killed(server)
    assert len(acknowledged) > 20
    book = Book(RecordsSettings(home=home))
    with book.database.read() as connection:
        known = set(connection.exec_driver_sql("SELECT transaction_id FROM labels").scalars())
        doubled = connection.exec_driver_sql("SELECT count(*) FROM label_history WHERE revision > 1").scalar_one()
    book.database.close()
    assert acknowledged <= known
    assert doubled == 0


def test_predictions_outlive_the_process_that_records_them(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as http:
        for number in range(60):
            http.post("/predict", json=transaction_json(transaction_id=f"t-{number}")).raise_for_status()
            if number % 20 == 10:
                _recorder(server).kill()
        assert len(_until(lambda: found if len(found := _kept(http)) == 60 else None)) == 60


def test_a_server_that_stops_records_what_it_answered(home: Path) -> None:
    with (
        running_server(environment(home, workers=2), log=home / "server.log") as running,
        httpx.Client(base_url=running.url, timeout=30) as http,
    ):
        for number in range(40):
            http.post("/predict", json=transaction_json(transaction_id=f"t-{number}")).raise_for_status()
    book = Book(RecordsSettings(home=home))
    assert book.queries.status()["predictions"] == 40
    assert not spooled(spool_folder(home))
    book.database.close()


def test_what_a_killed_server_had_handed_over_the_next_one_records(home: Path) -> None:
    settings = environment(home, workers=2)
    with running_server(settings, log=home / "server.log") as running:
        recorder = _recorder(running)
        recorder.suspend()
        with httpx.Client(base_url=running.url, timeout=30) as http:
            for number in range(40):
                http.post("/predict", json=transaction_json(transaction_id=f"t-{number}")).raise_for_status()
        _until(lambda: _handed_over(home) == 40)
        server = psutil.Process(running.process.pid)
        for process in (*server.children(recursive=True), server):
            process.kill()
        running.process.wait(SECONDS)
    with running_server(settings, log=home / "server.log") as running, httpx.Client(base_url=running.url) as http:
        assert len(_until(lambda: found if len(found := _kept(http)) == 40 else None)) == 40
        _until(lambda: not spooled(spool_folder(home)))


def _recorder(server: Server) -> psutil.Process:
    def found() -> psutil.Process | None:
        for process in psutil.Process(server.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "records" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    return process
        return None

    process: psutil.Process = _until(found)
    return process


def _handed_over(home: Path) -> int:
    rows = 0
    for path in spooled(spool_folder(home)):
        file = SpoolFile(path)
        while taken := file.take():
            rows += len(taken)
        file.close()
    return rows


def _label_while_a_worker_is_killed(server: Server) -> set[str]:
    """Labels that were acknowledged, of which some before and some after."""
    acknowledged: set[str] = set()
    stopped = threading.Event()

    def label(caller: int) -> None:
        number = 0
        while not stopped.is_set():
            name = f"late-{caller}-{number}"
            number += 1
            try:
                answer = httpx.post(
                    f"{server.url}/feedback", json={"transaction_id": name, "label": "fraud"}, timeout=30
                )
            except httpx.TransportError:
                continue
            if answer.is_success:
                acknowledged.add(name)

    callers = [threading.Thread(target=label, args=(caller,)) for caller in range(4)]
    for caller in callers:
        caller.start()
    _until(lambda: len(acknowledged) > 10)
    _until(lambda: _workers(server))[0].kill()
    before = len(acknowledged)
    _until(lambda: len(acknowledged) > before + 10)
    stopped.set()
    for caller in callers:
        caller.join()
    return acknowledged


def _workers(server: Server) -> list[psutil.Process]:
    """Processes that answer: those which hold connections to the port."""
    port = int(server.url.rsplit(":", 1)[1])
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(item.laddr.port == port for item in process.net_connections("inet") if item.status == "ESTABLISHED"):
                found.append(process)
    return found
