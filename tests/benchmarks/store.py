"""Microseconds that the feature store takes for a row: looked up, recorded, and made into its 21 features.

Run with ``python -m tests.benchmarks.store``. Traffic of 5,000 customers, 1,000 merchants and 20 categories; the store
holds 1,000,000 events of 60 days before anything is timed. Prints the lone row, the row of a batch, the compiled part
alone, a busy category's, two processes at once on the same file, and bytes a key.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from bentos.core.features import _states
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.window_statistics import WIDTH
from bentos.core.transaction import Transaction
from bentos.fraud.store import EmbeddedStore
from bentos.fraud.store.embedded import ROW

EVENTS = 1_000_000
START = datetime(2026, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=60)
STEP = SPAN / EVENTS
SECRET = Pseudonyms("secret")
CUSTOMERS, MERCHANTS, CATEGORIES = 5_000, 1_000, 20


def open_store(folder: Path) -> EmbeddedStore:
    """The store of all parts of this benchmark."""
    return EmbeddedStore(folder / "features.states", SECRET)


def packed(numbers: Sequence[int], seed: int) -> bytes:
    """Rows as the compiled store takes them; their events follow each other by 5 seconds."""
    generator = np.random.default_rng(seed)
    keys = {
        kind: [SECRET.key(kind, f"{kind.name}{number}") for number in range(count)]
        for kind, count in ((CUSTOMER, CUSTOMERS), (MERCHANT, MERCHANTS), (CATEGORY, CATEGORIES))
    }
    start, step = int(START.timestamp()) * 1_000_000, STEP // timedelta(microseconds=1)
    chosen = [[keys[kind][n] for n in generator.integers(0, len(keys[kind]), len(numbers))] for kind in KINDS]
    amounts = generator.lognormal(3, 1, len(numbers)).tolist()
    return b"".join(
        ROW.pack(*three, SECRET.identity(f"{number}"), start + number * step, amount, True)
        for number, amount, *three in zip(numbers, amounts, *chosen, strict=True)
    )


def transactions(numbers: Sequence[int], seed: int) -> list[Transaction]:
    """The same traffic as callers send it; half of it says where it was."""
    generator = np.random.default_rng(seed)
    result = []
    for number in numbers:
        customer, merchant, category = (generator.integers(count) for count in (CUSTOMERS, MERCHANTS, CATEGORIES))
        names = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
        places = dict(zip(names, generator.uniform(-80, 80, 4).tolist(), strict=True)) if number % 2 else {}
        result.append(
            Transaction(
                transaction_id=f"bench-{seed}-{number}",
                customer_id=f"customer{customer}",
                merchant_id=f"merchant{merchant}",
                merchant_category=f"merchant_category{category}",
                amount=float(generator.lognormal(3, 1)),
                timestamp=START + number * STEP,
                **places,
            )
        )
    return result


def timed(store: EmbeddedStore, items: Sequence[Transaction], size: int) -> list[float]:
    """Microseconds a row of each call with ``size`` rows."""

    async def run() -> list[float]:
        result = []
        for start in range(0, len(items), size):
            part = items[start : start + size]
            before = time.perf_counter()
            await store.lookup_many(part, [True] * len(part))
            result.append((time.perf_counter() - before) / len(part) * 1e6)
        return result

    return asyncio.run(run())


def compiled(states: _states.States, rows: bytes, size: int) -> list[float]:
    """Microseconds a row of the compiled part of such calls."""
    result = []
    now = time.time_ns() // 1000
    step = size * ROW.size
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        count = len(part) // ROW.size
        out, outcomes = np.empty((WIDTH, count)), bytearray(count)
        before = time.perf_counter()
        states.lookup(part, out, outcomes, now)
        result.append((time.perf_counter() - before) / count * 1e6)
    return result


def line(name: str, micros: Sequence[float]) -> None:
    """Print percentiles."""
    p50, p99, p999 = np.percentile(micros, [50, 99, 99.9])
    print(f"{name:<44} {np.mean(micros):>8.2f} {p50:>8.2f} {p99:>8.2f} {p999:>9.2f}")


def _worker(folder: Path, seed: int, results: multiprocessing.Queue[list[float]]) -> None:
    store = open_store(folder)
    items = transactions(range(EVENTS + 100_000, EVENTS + 110_000), seed)
    results.put(timed(store, items, 1))
    store.close()


def two_processes(folder: Path) -> Iterator[list[float]]:
    """Lone rows in two processes on the same file at once."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[float]] = context.Queue()
    workers = [context.Process(target=_worker, args=(folder, seed, results)) for seed in (11, 12)]
    for worker in workers:
        worker.start()
    yield from (results.get() for _ in workers)
    for worker in workers:
        worker.join()


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = open_store(folder)
        states = store.states
        rows = packed(range(EVENTS), 0)
        before = time.perf_counter()
        compiled(states, rows, 1000)
        print(f"{EVENTS:,} events recorded one by one in {time.perf_counter() - before:.2f} s")
        about = store.stats()
        print(
            f"{about['keys']:,} keys, {about['used_bytes'] / 1e6:.1f} MB,"
            f" {about['used_bytes'] / EVENTS / len(KINDS):.1f} bytes an event and key"
        )
        print(f"{'microseconds a row':<44} {'mean':>8} {'p50':>8} {'p99':>8} {'p99.9':>9}")
        numbers = range(EVENTS, EVENTS + 20_000)
        items = transactions(numbers, 1)
        line("lone, whole", timed(store, items[:10_000], 1))
        line("of 32, whole", timed(store, items[10_000:], 32))
        more = packed(range(EVENTS + 20_000, EVENTS + 40_000), 2)
        half = len(more) // 2
        line("lone, compiled part", compiled(states, more[:half], 1))
        line("of 32, compiled part", compiled(states, more[half:], 32))
        for number, micros in enumerate(two_processes(folder)):
            line(f"lone, whole, two processes: {number}", micros)
        store.close()


if __name__ == "__main__":
    main()
