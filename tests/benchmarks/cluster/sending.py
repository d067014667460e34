"""Clients within the cluster's network: ``python -m tests.benchmarks.cluster.sending KIND OPTIONS``.

Options are JSON on the command line; what was seen is JSON on standard output. Kinds are the names of ``KINDS``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from bentos.client import ClientOptions, FraudClient
from bentos.core.errors import FraudError
from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.benchmarks.cluster.keeping import keeping
from tests.benchmarks.load.generator import Client, Generator, Protocol, Run, constant, write_requests
from tests.benchmarks.load.traffic import grpc_requests, http_requests, transactions

__all__ = ["CONNECTIONS", "LATE_MILLISECONDS", "LONGEST_SECONDS"]

CONNECTIONS: Final = 16
#: What comes later is counted as late.
LATE_MILLISECONDS: Final = 1_000
#: No change takes longer.
LONGEST_SECONDS: Final = 1_200
#: Threads of a client that tries again.
_CALLERS: Final = 8


def _client(folder: Path, protocol: Protocol, address: str, port: int) -> Client:
    bodies = transactions()
    requests = (
        http_requests(bodies, "flagged") if protocol == "http" else grpc_requests(bodies, fraud_pb2.EXPLAIN_FLAGGED)
    )
    return Client(
        port,
        write_requests(requests, folder / "requests"),
        protocol,
        connections=CONNECTIONS,
        address=address,
    )


def _seen(run: Run) -> dict[str, Any]:
    """What became of the requests of a run: what failed by its status, and milliseconds until the answers."""
    milliseconds = run.latencies() * 1e3
    quantiles = np.percentile(milliseconds, [50, 99, 99.9, 100]).round(1).tolist()
    return {
        "sent": len(run.status),
        "failed": {status: count for status, count in run.counts().items() if status != "200"},
        "failed_between": _between(run),
        "late": int(np.count_nonzero(milliseconds > LATE_MILLISECONDS)),
        **dict(zip(("p50_ms", "p99_ms", "p999_ms", "maximum_ms"), quantiles, strict=True)),
        "reconnected": run.reconnected,
    }


def _between(run: Run) -> list[float]:
    """First and last second, ``time.time()``, at which a request was due that failed; empty when none did."""
    due = run.due[~run.answered] + run.start + (time.time() - time.monotonic())
    return [round(float(due.min()), 1), round(float(due.max()), 1)] if len(due) else []


def steady(protocol: Protocol, address: str, port: int, rate: float, until: str) -> dict[str, Any]:
    """Requests at a steady rate, without retries, until a file is there."""
    with tempfile.TemporaryDirectory() as name:
        client = _client(Path(name), protocol, address, port)
        run = Generator(Path(name)).open_loop(client, constant(rate, LONGEST_SECONDS), Path(until).exists)
    return _seen(run)


def most(protocol: Protocol, address: str, port: int, seconds: float) -> dict[str, Any]:
    """As many requests as are answered: each connection sends its next when it has the answer to its last."""
    with tempfile.TemporaryDirectory() as name:
        run = Generator(Path(name)).closed_loop(_client(Path(name), protocol, address, port), seconds)
    return {"per_second": run.per_second, **_seen(run)}


def retrying(protocol: Protocol, address: str, port: int, rate: float, until: str) -> dict[str, Any]:
    """The Python client with its own retries, at a steady rate, until a file is there."""
    failed: Counter[str] = Counter()
    seconds: list[float] = []
    bodies = transactions()

    def call(client: FraudClient, caller: int) -> None:
        due = time.monotonic() + caller / rate
        for number in range(caller, sys.maxsize, _CALLERS):
            if Path(until).exists():
                return
            time.sleep(max(0.0, due - time.monotonic()))
            due += _CALLERS / rate
            begun = time.monotonic()
            try:
                client.predict(bodies[number % len(bodies)])
            except FraudError as error:
                failed[f"{type(error).__name__}: {error}"[:100]] += 1
            seconds.append(time.monotonic() - begun)

    scheme = {"http": "http", "grpc": "grpc"}[protocol]
    with FraudClient(f"{scheme}://{address}:{port}", options=ClientOptions()) as client:
        _all_at_once([lambda caller=caller: call(client, caller) for caller in range(_CALLERS)])  # type: ignore[misc]
    quantiles = (np.percentile(seconds, [50, 99, 99.9, 100]) * 1e3).round(1).tolist()
    return {
        "sent": len(seconds),
        "failed": dict(failed),
        "late": sum(one * 1e3 > LATE_MILLISECONDS for one in seconds),
        **dict(zip(("p50_ms", "p99_ms", "p999_ms", "maximum_ms"), quantiles, strict=True)),
    }


def _all_at_once(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


KINDS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "steady": steady,
    "most": most,
    "retrying": retrying,
    "keeping": keeping,
}


if __name__ == "__main__":
    kind, options = sys.argv[1:]
    print(json.dumps(KINDS[kind](**json.loads(options))))
