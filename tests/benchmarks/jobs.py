"""Batch jobs beside a server: time of one, throughput of many tiny ones, what they cost online scoring.

python -m tests.benchmarks.jobs [--tiny 10000]
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil

from bentos.core.jobs import ENDED
from tests.fraud.artifacts import make_champion
from tests.fraud.jobs.payments import payments_csv
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server

CSV = {"content-type": "text/csv"}
#: Calls in sequence whose latency is measured.
CALLS = 2_000


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", type=int, default=10_000, help="number of tiny jobs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_champion(home, trees=100, depth=10)
        environ = environment(home, FRAUD_JOB_PROCESSES="1", FRAUD_ACCESS_LOG="false", FRAUD_LOG_LEVEL="warning")
        with (
            running_server(environ, log=home / "log") as server,
            httpx.Client(base_url=server.url, timeout=600) as client,
        ):
            _one(client, 10_000)
            for rows in (10, 10_000, 10_000, 10_000, 100_000):
                upload, whole = _one(client, rows)
                print(f"{rows:>9,} rows: accepted after {upload * 1000:.0f} ms, complete after {whole:.2f} s")
            print(f"PSS of the process of jobs: {_pss(server) / 2**20:.0f} MB")
            _tiny(client, options.tiny)
            _beside(client)


def _one(client: httpx.Client, rows: int) -> tuple[float, float]:
    content, started = payments_csv(rows), time.perf_counter()
    job_id = client.post("/predict_batch", content=content, headers=CSV).json()["job_id"]
    accepted = time.perf_counter() - started
    _await(client, job_id)
    return accepted, time.perf_counter() - started


def _await(client: httpx.Client, job_id: str) -> None:
    while (job := client.get(f"/job_status/{job_id}").json())["status"] not in ENDED:
        time.sleep(0.01)
    assert job["status"] == "completed", job


def _tiny(client: httpx.Client, jobs: int) -> None:
    contents = [payments_csv(2, name=f"j{number}-") for number in range(jobs)]
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda content: client.post("/predict_batch", content=content, headers=CSV), contents)
        )
    accepted = time.perf_counter() - started
    assert {answer.status_code for answer in answers} == {202}
    for answer in answers:
        _await(client, answer.json()["job_id"])
    whole = time.perf_counter() - started
    rate = jobs / whole
    print(f"{jobs:,} tiny jobs: accepted after {accepted:.1f} s, complete after {whole:.1f} s, {rate:.0f} a second")


def _beside(client: httpx.Client) -> None:
    alone = _latencies(client)
    stopping = threading.Event()

    def keep_busy() -> None:
        while not stopping.is_set():
            _one(client, 200_000)

    busy = threading.Thread(target=keep_busy)
    busy.start()
    time.sleep(1)
    beside = _latencies(client)
    stopping.set()
    busy.join()
    for name, found in (("alone", alone), ("beside a job", beside)):
        p50, p99 = np.percentile(found, [50, 99]) * 1000
        print(f"/predict {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms")


def _latencies(client: httpx.Client) -> list[float]:
    found = []
    for number in range(CALLS):
        started = time.perf_counter()
        client.post("/predict", json=transaction_json(transaction_id=f"b{number}"))
        found.append(time.perf_counter() - started)
    return found


def _pss(server: Server) -> int:
    children = psutil.Process(server.process.pid).children(recursive=True)
    (jobs,) = [process for process in children if {"jobs", "--beside-server"} <= {*process.cmdline()}]
    return int(jobs.memory_full_info().pss)


if __name__ == "__main__":
    main()
