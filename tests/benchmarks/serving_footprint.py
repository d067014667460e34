"""Seconds to ready, memory and speed of the server, one client, reasons on every answer.

Run with ``python -m tests.benchmarks.serving_footprint``. It serves a forest of 100 trees of depth 10, or the champion
under FRAUD_HOME with ``--champion``. PSS counts a page that several processes share in equal parts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil

from tests.fraud.artifacts import make_champion
from tests.fraud.requests import NOON, transaction_json
from tests.fraud.server import Server, environment, running_server

CUSTOMERS = 5_000
MERCHANTS = 1_000
CATEGORIES = 20


def bodies(count: int) -> list[dict[str, object]]:
    """Transactions of many customers, a second apart."""
    rng = np.random.default_rng(0)
    amounts = np.exp(rng.normal(4, 2, count)).clip(max=1e6)
    return [
        transaction_json(
            customer_id=f"customer-{rng.integers(CUSTOMERS)}",
            merchant_id=f"merchant-{rng.integers(MERCHANTS)}",
            merchant_category=f"category-{rng.integers(CATEGORIES)}",
            amount=round(float(amount), 2),
            timestamp=(NOON + timedelta(seconds=second)).isoformat(),
        )
        for second, amount in enumerate(amounts)
    ]


def latencies(server: Server, count: int, options: str) -> list[float]:
    """Seconds of each of ``count`` requests, one after another on one connection."""
    result = []
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for body in bodies(count):
            request = client.build_request("POST", f"/predict?{options}", json=body)
            started = time.perf_counter()
            response = client.send(request)
            result.append(time.perf_counter() - started)
            assert response.status_code == httpx.codes.OK, response.text
    return result


def report(title: str, seconds: list[float]) -> None:
    """Print speed."""
    parts = statistics.quantiles(seconds, n=1000)
    print(
        f"{title:34} {len(seconds) / sum(seconds):8,.0f} requests/s"
        f"   p50 {parts[499] * 1e3:6.2f}   p99 {parts[989] * 1e3:6.2f}   p99.9 {parts[998] * 1e3:6.2f} ms"
    )


def report_memory(server: Server, title: str) -> None:
    """Print PSS of the supervisor and of every worker."""
    parent = psutil.Process(server.process.pid)
    processes = {"supervisor": parent, **{f"worker {n}": p for n, p in enumerate(parent.children(recursive=True), 1)}}
    for name, process in processes.items():
        memory = process.memory_full_info()
        print(f"{title:34} {name:10} PSS {memory.pss / 1e6:6.1f} MB   RSS {memory.rss / 1e6:6.1f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--champion", action="store_true", help="serve the champion under FRAUD_HOME")
    parser.add_argument("--requests", type=int, default=10_000, help="requests per measurement (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if options.champion:
            shutil.copytree(Path(os.environ.get("FRAUD_HOME", "var")) / "champion", home / "champion")
        else:
            make_champion(home, trees=100, depth=10)
        with running_server(environment(home, workers=options.workers), log=home / "server.log") as server:
            print(f"{'ready after':34} {server.seconds_to_ready:8.2f} s")
            report_memory(server, "at start")
            report("explain=all", latencies(server, options.requests, "explain=all"))
            report_memory(server, f"after {options.requests:,} with reasons")
            report("explain=none", latencies(server, options.requests, "explain=none"))
            report("explain=none&record=false", latencies(server, options.requests, "explain=none&record=false"))


if __name__ == "__main__":
    main()
