"""The process of jobs beside a real server: it comes, comes again, and goes with the server."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
import pytest

from bentos.client import FraudClient
from bentos.core.jobs import Job
from tests.client.variants import PATIENT
from tests.fraud.artifacts import make_champion
from tests.fraud.jobs.payments import payments_csv, result_column
from tests.fraud.server import Server, environment, running_server

FoundT = TypeVar("FoundT")
PATIENCE_SECONDS = 300.0


def _until(found: Callable[[], FoundT | None]) -> FoundT:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := found()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def _job_processes(server: Server) -> list[psutil.Process]:
    """Processes of jobs below the server, whichever worker started them."""
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        try:
            if {"jobs", "--beside-server"} <= {*process.cmdline()}:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _one_other_than(server: Server, *gone: psutil.Process) -> psutil.Process:
    def look() -> psutil.Process | None:
        found = [process for process in _job_processes(server) if process not in gone]
        assert len(found) <= 1
        return found[0] if found else None

    return _until(look)


def _score(server: Server, folder: Path, rows: int) -> Job:
    file = folder / "payments.csv"
    file.write_bytes(payments_csv(rows))
    with FraudClient(server.url, options=PATIENT) as client:
        return client.job_wait(client.predict_batch(file).job_id, timeout_seconds=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FRAUD_HOME with a champion."""
    made = tmp_path_factory.mktemp("beside")
    make_champion(made)
    return made


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server of two workers that does its jobs."""
    waits = {"FRAUD_JOB_LEASE_SECONDS": "2", "FRAUD_JOB_UPLOAD_IDLE_SECONDS": "5"}
    environ = environment(home, workers=2, FRAUD_JOB_PROCESSES="1", **waits)
    with running_server(environ, log=home / "server.log") as running:
        yield running


def test_a_server_does_its_jobs(server: Server, tmp_path: Path) -> None:
    job = _score(server, tmp_path, 1_000)
    assert (job.status, job.rows_done, job.rows_failed) == ("completed", 1_000, 0)
    process = _one_other_than(server)
    assert process.nice() == min(19, psutil.Process().nice() + 10)
    health = httpx.get(f"{server.url}/health", timeout=30).json()
    assert health["dependencies"]["queue"] == {"status": "ok", "detail": None}


def test_metrics_are_the_same_whoever_answers(server: Server) -> None:
    scrapes = {
        "\n".join(
            line for line in httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines() if "fraud_job" in line
        )
        for _ in range(6)
    }
    (text,) = scrapes
    assert 'fraud_jobs{state="completed"} 1.0' in text
    assert 'fraud_job_rows_total{outcome="scored"} 1000.0' in text


def test_a_process_that_is_killed_has_a_successor(server: Server, tmp_path: Path) -> None:
    killed = _one_other_than(server)
    killed.kill()
    _one_other_than(server, killed)
    assert _score(server, tmp_path, 10).status == "completed"


def test_it_goes_with_the_worker_that_started_it(server: Server, tmp_path: Path) -> None:
    process = _one_other_than(server)
    starter = process.parent()
    assert starter is not None
    starter.kill()
    process.wait(PATIENCE_SECONDS)
    _one_other_than(server, process)
    assert _score(server, tmp_path, 10).status == "completed"


def test_it_goes_with_the_server(tmp_path: Path) -> None:
    make_champion(tmp_path)
    environ = environment(tmp_path, FRAUD_JOB_PROCESSES="2", FRAUD_JOB_NICE="0")
    with running_server(environ, log=tmp_path / "log") as server:
        processes = _until(lambda: found if len(found := _job_processes(server)) == 2 else None)
        assert _score(server, tmp_path, 10).status == "completed"
    assert psutil.wait_procs(processes, PATIENCE_SECONDS)[1] == []


def test_an_upload_that_stops_in_the_middle(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = b"POST /predict_batch HTTP/1.1\r\nhost: x\r\ncontent-type: text/csv\r\ncontent-length: 1000\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(head + b"customer_id,merch")
        answer = b""
        # The server ends the connection; it would take the rest of the body for the next request.
        while part := connection.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in answer


def test_a_server_that_is_killed_as_a_whole_goes_on_where_it_was(tmp_path: Path) -> None:
    rows, chunk_rows = 5_000, 50
    make_champion(tmp_path)
    small = {"FRAUD_BULK_CHUNK_ROWS": str(chunk_rows), "FRAUD_JOB_SMALL_BYTES": "0", "FRAUD_JOB_LEASE_SECONDS": "2"}
    environ = environment(tmp_path, workers=2, FRAUD_JOB_PROCESSES="1", **small)
    file = tmp_path / "payments.csv"
    file.write_bytes(payments_csv(rows))
    with running_server(environ, log=tmp_path / "first.log") as server:
        with FraudClient(server.url, options=PATIENT) as client:
            job_id = client.predict_batch(file).job_id
            _until(lambda: client.job_status(job_id).rows_done > chunk_rows or None)
        _kill_all(server)
    with (
        running_server(environ, log=tmp_path / "second.log") as server,
        FraudClient(server.url, options=PATIENT) as client,
    ):
        caught = client.job_status(job_id)
        assert caught.status == "running"
        job = client.job_wait(job_id, timeout_seconds=PATIENCE_SECONDS)
        assert (job.status, job.rows_done, job.rows_failed) == ("completed", rows, 0)
        result = httpx.get(f"{server.url}/job_result/{job_id}?format=csv", timeout=PATIENCE_SECONDS).content
        metrics = httpx.get(f"{server.url}/metrics", timeout=PATIENCE_SECONDS).text
    assert result_column(iter([result]), "transaction_id") == [f"t{number}" for number in range(rows)]
    assert f'fraud_job_rows_total{{outcome="scored"}} {rows}.0' in metrics


def _kill_all(server: Server) -> None:
    main = psutil.Process(server.process.pid)
    everything = [main, *main.children(recursive=True)]
    # None of them may start another one meanwhile.
    for process in everything:
        process.suspend()
    for process in everything:
        process.kill()
    psutil.wait_procs(everything[1:], PATIENCE_SECONDS)
    server.process.wait()
