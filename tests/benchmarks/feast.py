"""What the store in Feast costs beside the own ones: lookup, update, fill, requests a second, all in one run.

Run with ``.venv-feast/bin/python -m tests.benchmarks.feast``, after ``make feast`` has made that environment; the own
stores run on its versions too. Each store holds the events of :mod:`.store_load` before a lookup is timed; one
transaction at a time, so that nothing waits for another. The service is asked over 32 connections, two workers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pandas as pd
import psutil

from bentos.core.transaction import Transaction
from bentos.fraud.store import EmbeddedStore, FeatureStore
from bentos.fraud.store.bulk import fill_store
from bentos.fraud.store.feast_repository import OnlineStore
from bentos.fraud.store.feast_store import FeastPlace, FeastStore
from bentos.fraud.store.redis_link import RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.benchmarks.load.generator import Client, Generator, write_requests
from tests.benchmarks.load.traffic import http_requests
from tests.benchmarks.load.traffic import transactions as bodies
from tests.benchmarks.store import EVENTS, SECRET, transactions
from tests.benchmarks.store_load import table
from tests.feast.repositories import apply_repository
from tests.fraud import server as servers
from tests.fraud.artifacts import make_champion
from tests.fraud.server import environment, running_server
from tests.servers.redis import RedisServer, running_redis

STORES: Final = ("embedded", "redis", "feast-redis", "feast-sqlite")
CONNECTIONS: Final = 32


class Bench:
    """Where the stores are.

    Parameters
    ----------
    folder
        Of their files.
    redis
        Of both stores in Redis.
    """

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis

    def repository(self, name: str, part: str) -> Path:
        """One that is applied, of its own project: nothing that another part wrote is in it."""
        online: OnlineStore = "redis" if name.endswith("redis") else "sqlite"
        folder = self.folder / f"{name}-{part}"
        apply_repository(folder, online, self.redis if online == "redis" else None)
        return folder

    def store(self, name: str) -> FeatureStore:
        """One of ``STORES``, empty."""
        if name == "embedded":
            return EmbeddedStore(self.folder / "features.states", SECRET)
        if name == "redis":
            return RedisStore(RedisPlace(self.redis.url, "{own}:", timeout_seconds=30.0), SECRET)
        folder = self.repository(name, "lookup")
        return FeastStore(FeastPlace(folder, folder / "lock", timeout_seconds=30.0), SECRET)

    def settings(self, name: str) -> dict[str, str]:
        """Of a service over one of ``STORES``, empty."""
        common = {"FRAUD_PSEUDONYM_KEY": "secret", "FRAUD_ACCESS_LOG": "false", "FRAUD_LOG_LEVEL": "warning"}
        if not name.startswith("feast"):
            return common | {
                "FRAUD_FEATURE_STORE": name,
                "FRAUD_REDIS_URL": self.redis.url,
                "FRAUD_REDIS_PREFIX": "{service}:",
                "FRAUD_REDIS_TIMEOUT_MILLISECONDS": "2000",
            }
        return common | {
            "FRAUD_FEATURE_STORE": "feast",
            "FRAUD_FEAST_REPOSITORY": str(self.repository(name, "service")),
            "FRAUD_FEAST_TIMEOUT_MILLISECONDS": "2000",
        }


def waits(store: FeatureStore, items: Sequence[Transaction], *, record: bool) -> list[float]:
    """Milliseconds of each call with one transaction."""

    async def run() -> list[float]:
        found = []
        for item in items:
            before = time.perf_counter()
            rows = await store.lookup_many([item], [record])
            found.append((time.perf_counter() - before) * 1e3)
            if rows.degraded[0]:
                raise RuntimeError(f"a lookup failed: {store.check()}")
        await store.leave()
        return found

    return asyncio.run(run())


def lookups(bench: Bench, name: str, events: pd.DataFrame, calls: int) -> None:
    """Print the times of a store."""
    store = bench.store(name)
    before = time.perf_counter()
    fill_store(store, events, SECRET)
    speed = len(events) / (time.perf_counter() - before)
    start = EVENTS + STORES.index(name) * 3 * calls
    waits(store, transactions(range(start, start + 50), 1), record=True)
    figures = []
    for number, record in enumerate((False, True)):
        first = start + (number + 1) * calls
        found = waits(store, transactions(range(first, first + calls), 2), record=record)
        figures += np.percentile(found, [50, 99]).tolist()
    store.close()
    print(f"{name:<14} {speed:>14,.0f}" + "".join(f" {figure:>9.3f}" for figure in figures), flush=True)


def requests(bench: Bench, name: str, seconds: float) -> None:
    """Print what the service does over a store."""
    home = bench.folder / f"home-{name}"
    make_champion(home)
    file = write_requests(http_requests(bodies(), "flagged"), bench.folder / "requests")
    generator = Generator(bench.folder)
    environ = environment(home, workers=2, **bench.settings(name))
    with running_server(environ, log=bench.folder / f"log-{name}") as server:
        client = Client(int(server.url.rsplit(":", 1)[1]), file, connections=CONNECTIONS)
        generator.closed_loop(client, seconds / 2)
        run = generator.closed_loop(client, seconds)
        health = httpx.get(f"{server.url}/health", timeout=30).json()["status"]
        workers = [child for child in psutil.Process(server.process.pid).children(recursive=True) if child.is_running()]
        memory = max(child.memory_full_info().pss for child in workers) / 1e6
        p50, p99 = np.percentile(run.latencies(), [50, 99]) * 1e3
        figures = (p50, p99, server.seconds_to_ready, memory)
        print(f"{name:<14} {run.per_second:>10,.0f}" + "".join(f" {figure:>9.1f}" for figure in figures), end="")
        print(f"   {health}, {run.counts()}", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, help="that each store holds before")
    parser.add_argument("--calls", type=int, default=1_000, help="lookups of each kind that are timed")
    parser.add_argument("--seconds", type=float, default=6.0, help="of load on the service")
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    arguments = parser.parse_args()
    servers.START_SECONDS = 300.0
    # On a disk, not in memory: SQLite syncs to it.
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name,  # noqa: S108 - made there anew
        running_redis(Path(name)) as redis,
    ):
        bench = Bench(Path(name), redis)
        events = table().tail(arguments.events)
        print(f"{'':<14} {'fill, events/s':>14} {'lookup p50':>9} {'p99 ms':>9} {'update p50':>9} {'p99 ms':>9}")
        for one in arguments.stores:
            lookups(bench, one, events, arguments.calls)
        print(f"\n{'':<14} {'requests/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'ready s':>9} {'PSS MB':>9}")
        for one in arguments.stores:
            requests(bench, one, arguments.seconds)


if __name__ == "__main__":
    main()
