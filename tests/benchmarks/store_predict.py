"""What lookups take of /predict: requests a second with them, embedded and in Redis, against the same without.

Run with ``python -m tests.benchmarks.store_predict [ROUNDS]``: the same source is served three times, one after the
other in each round, to 64 connections, with 5,000 customers and explain=none. A server that asks no store scores ready
rows of other transactions. All of it twice: two workers, whose cores the Redis and the load share; and one worker on a
core of its own beside that of Redis and the load, as a Redis that others share has a machine of its own. Prints every
round, and the ratios within each.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.benchmarks.load.generator import write_requests
from tests.benchmarks.load.models import make_models
from tests.benchmarks.load.servers import WORKERS, Server, Started
from tests.benchmarks.load.traffic import http_requests, transactions
from tests.benchmarks.load.wrk import run_wrk
from tests.fraud.server import ROOT, bentoml_command, environment
from tests.servers.redis import running_redis

WITHOUT, EMBEDDED, REDIS = "without lookups", "embedded", "Redis"
SERVICES = {
    WITHOUT: "tests.benchmarks.store_none:FraudDetector",
    EMBEDDED: "bentos.fraud.service:FraudDetector",
    REDIS: "bentos.fraud.service:FraudDetector",
}
ROUNDS = 3
_CONNECTIONS = 64
_WARM_SECONDS = 2
_SECONDS = 8


@contextlib.contextmanager
def _served(name: str, champion: Path, redis_url: str, workers: int) -> Iterator[Started]:
    with tempfile.TemporaryDirectory(dir=champion.parent) as text:
        home = Path(text)
        (home / "champion").symlink_to(champion)
        settings = {"FRAUD_FEATURE_STORE": "redis", "FRAUD_REDIS_URL": redis_url} if name == REDIS else {}
        environ = environment(home, workers=workers, PYTHONPATH=str(ROOT), **settings)
        command = bentoml_command("serve", SERVICES[name], "--host", "127.0.0.1", "--port")
        with Server(tuple(command), environ).started(home / "log") as server:
            yield server


def _measure(title: str, rounds: int, *, own: set[int], beside: set[int], workers: int) -> None:
    """Serve on the first cores, with Redis and the load on the second."""
    print(title, flush=True)
    found: dict[str, list[float]] = {name: [] for name in SERVICES}
    os.sched_setaffinity(0, beside)
    with tempfile.TemporaryDirectory() as text, running_redis(Path(text)) as server_of_redis:
        folder = Path(text)
        flush = redis.Redis.from_url(server_of_redis.url)
        champion = folder / "champion"
        champion.mkdir()
        make_models(champion)
        requests = write_requests(http_requests(transactions(), "none"), folder / "requests")
        for _ in range(rounds):
            for name, rates in found.items():
                flush.flushall()
                # What is started has the cores of who starts it.
                os.sched_setaffinity(0, own)
                with _served(name, champion, server_of_redis.url, workers) as server:
                    os.sched_setaffinity(0, beside)
                    run_wrk(server.url, requests, _CONNECTIONS, _WARM_SECONDS)
                    run = run_wrk(server.url, requests, _CONNECTIONS, _SECONDS)
                rates.append(run.per_second)
                print(f"{name:<16}{run.per_second:>9,.0f} requests/s  p99 {run.percentiles['p99']:.1f} ms", flush=True)
    for name in (EMBEDDED, REDIS):
        ratios = [rate / without for rate, without in zip(found[name], found[WITHOUT], strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name} against without: {statistics.median(ratios):.2f} ({each})\n", flush=True)


def main() -> None:
    """Measure."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    first, second = sorted(os.sched_getaffinity(0))[:2]
    both = {first, second}
    _measure("two workers, Redis and load on the same two cores", rounds, own=both, beside=both, workers=WORKERS)
    _measure("one worker on a core, Redis and load on another", rounds, own={first}, beside={second}, workers=1)


if __name__ == "__main__":
    main()
