"""Latency of lookup and update at a fixed rate, speed of a bulk fill, of both feature stores, and what Redis works.

Run with ``python -m tests.benchmarks.store_load [requests_per_second]``. Open loop: each request has its own instant,
and waits are counted from then, so that a slow answer hides none of those behind it (Tene, "How not to measure
latency", 2013). Traffic and the million events that each store holds before are those of :mod:`.store`. Last, time on
the processor for a row of a call with 32, of Redis and of who asks it: after those events, and in a store that was
empty.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from bentos.core.transaction import Transaction
from bentos.fraud.store import EmbeddedStore, FeatureStore
from bentos.fraud.store.bulk import fill_store
from bentos.fraud.store.redis_link import RedisPlace
from bentos.fraud.store.redis_store import RedisStore
from tests.benchmarks.store import CATEGORIES, CUSTOMERS, EVENTS, MERCHANTS, SECRET, SPAN, START, transactions
from tests.servers.redis import running_redis

REQUESTS = 10_000
#: Of a call, as under load.
ROWS = 32


def table() -> pd.DataFrame:
    """The million events that a store holds, as a table."""
    generator = np.random.default_rng(0)
    chosen = {
        "customer_id": ("customer", CUSTOMERS),
        "merchant_id": ("merchant", MERCHANTS),
        "merchant_category": ("merchant_category", CATEGORIES),
    }
    columns = {
        name: np.array([f"{prefix}{n}" for n in range(count)], object)[generator.integers(0, count, EVENTS)]
        for name, (prefix, count) in chosen.items()
    }
    step = pd.Timedelta(SPAN / EVENTS)
    return pd.DataFrame(
        {
            "transaction_id": [f"{number}" for number in range(EVENTS)],
            **columns,
            "amount": generator.lognormal(3, 1, EVENTS),
            "timestamp": pd.date_range(START, periods=EVENTS, freq=step).as_unit("us"),
        }
    )


async def at_rate(store: FeatureStore, items: list[Transaction], per_second: float) -> list[float]:
    """Microseconds from the instant at which each request was due to its answer."""
    waits: list[float] = []
    degraded = 0

    async def one(due: float, item: Transaction) -> None:
        nonlocal degraded
        rows = await store.lookup_many([item], [True])
        waits.append((time.perf_counter() - due) * 1e6)
        degraded += any(rows.degraded)

    await store.lookup_many(items[:1], [False])
    start = time.perf_counter()
    tasks = []
    for number, item in enumerate(items):
        due = start + number / per_second
        while (left := due - time.perf_counter()) > 0:
            # The loop's own timer is a millisecond too coarse.
            await asyncio.sleep(0 if left < 0.002 else left - 0.0015)
        tasks.append(asyncio.create_task(one(due, item)))
    await asyncio.gather(*tasks)
    await store.leave()
    if degraded:
        print(f"{degraded} answers had defaults", file=sys.stderr)
    return waits


async def worked(store: FeatureStore, items: list[Transaction], redis: psutil.Process) -> tuple[float, float]:
    """Microseconds of the processor for a row: of Redis, and of this process."""

    def so_far() -> tuple[float, float]:
        times = redis.cpu_times()
        return times.user + times.system, time.process_time()

    before = so_far()
    for start in range(0, len(items), ROWS):
        part = items[start : start + ROWS]
        await store.lookup_many(part, [True] * len(part))
    after = so_far()
    await store.leave()
    server, worker = ((end - begin) / len(items) * 1e6 for begin, end in zip(before, after, strict=True))
    return server, worker


def main() -> None:
    """Print the tables."""
    per_second = float(sys.argv[1]) if len(sys.argv) > 1 else 1000.0
    events = table()
    print(
        f"{'':<18} {'fill, events/s':>15} {'p50 us':>9} {'p99 us':>9} {'p99.9 us':>9}   at {per_second:.0f} requests/s"
    )
    with tempfile.TemporaryDirectory() as name, running_redis(Path(name), ["--unixsocket", f"{name}/socket"]) as server:
        places = {"Redis, TCP": server.url, "Redis, socket": f"unix://{name}/socket"}
        for title in ("embedded", *places):
            if title == "embedded":
                store: FeatureStore = EmbeddedStore(Path(name) / "features.states", SECRET)
            else:
                store = RedisStore(RedisPlace(places[title], f"{{{title[-3:]}}}:", timeout_seconds=1.0), SECRET)
            before = time.perf_counter()
            fill_store(store, events, SECRET)
            speed = EVENTS / (time.perf_counter() - before)
            items = transactions(range(EVENTS, EVENTS + REQUESTS), 1)
            # As the server does: walking a million events takes the collector 130 ms.
            gc.collect()
            gc.freeze()
            waits = asyncio.run(at_rate(store, items, per_second))
            p50, p99, p999 = np.percentile(waits, [50, 99, 99.9])
            print(f"{title:<18} {speed:>15,.0f} {p50:>9.0f} {p99:>9.0f} {p999:>9.0f}")
            store.close()
        print(f"\n{f'a call of {ROWS} rows':<18} {'Redis, us a row':>15} {'who asks':>9}")
        # The last store's events, and none.
        for past, prefix in (("long past", f"{{{title[-3:]}}}:"), ("short past", "{new}:")):
            asked = RedisStore(RedisPlace(server.url, prefix, timeout_seconds=1.0), SECRET)
            items = transactions(range(EVENTS + REQUESTS, EVENTS + 3 * REQUESTS), 2)
            of_redis, of_worker = asyncio.run(worked(asked, items, psutil.Process(server.pid)))
            print(f"{past:<18} {of_redis:>15.1f} {of_worker:>9.1f}")
            asked.close()


if __name__ == "__main__":
    main()
