"""The process of jobs beside a real server: it comes, comes again, and goes with the server."""

from __future__ import annotations

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
from tests.fraud.jobs.payments import payments_csv
from tests.fraud.server import Server, environment, running_server

FoundT = TypeVar("FoundT")
PATIENCE_SECONDS = 60.0


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
            if "--beside-server" in process.cmdline():
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
    environ = environment(home, workers=2, FRAUD_JOB_PROCESSES="1", FRAUD_JOB_LEASE_SECONDS="2")
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
