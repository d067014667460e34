"""What it costs to keep predictions and labels: rows a second, labels a second, time taken from the event loop.

Run with ``python -m tests.benchmarks.records``; with ``--postgresql`` too, on a server of its own that syncs to disk.
Prints the event loop's microseconds for a prediction, the recording process's for a record, rows a second of one that
may use a whole core, and labels a second that were acknowledged to 1, 16 and 64 callers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from bentos.fraud.records.encoding import Encoder
from bentos.fraud.records.feedback import FeedbackDesk
from bentos.fraud.records.labels import GivenLabel
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.records.office import open_identifiers
from bentos.fraud.records.recorder import Recorder
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.spool import SpoolWriter, framed, spool_folder
from bentos.fraud.records.writing import Writer
from tests.fraud.records.predicted import MODEL, REASON, Book, opened, predicted
from tests.servers.postgresql import running_postgres

ROWS = 40_000
LABELS = 2_000
REPEATS = 3
#: Predictions that a busy worker frames together, and that fit into its memory.
_TOGETHER = 16
_FRAMED = 10_000


def offered_microseconds() -> float:
    """What one prediction takes from the event loop."""
    with tempfile.TemporaryDirectory() as folder:
        settings = RecordsSettings(home=Path(folder))
        waiting: list[Callable[[], object]] = []
        later: Any = SimpleNamespace(add=waiting.append)
        log = PredictionLog(Encoder(open_identifiers(settings), MODEL, "champion"), settings, later, print)
        row, answer = predicted("t")
        rows, answers = [row], [answer]
        started = time.perf_counter()
        for number in range(_FRAMED):
            log.offer(rows, answers)
            if number % _TOGETHER == 0:
                waiting.pop()()
        return (time.perf_counter() - started) / _FRAMED * 1e6


def written(book: Book, start: int) -> tuple[float, float]:
    """Rows a second of one recorder, and its microseconds for a row."""
    # One in a hundred has reasons; customers and merchants are many, as they are.
    pairs = [
        predicted(
            f"{number * 2654435761 % 2**32:08x}-{number}",
            customer_id=f"customer-{number * 7919 % 50_000}",
            merchant_id=f"merchant-{number * 104_729 % 5_000}",
            decision="approve" if number % 100 else "review",
            reasons=() if number % 100 else (REASON,) * 3,
        )
        for number in range(start, start + ROWS)
    ]
    encoder, writer = Encoder(book.identifiers, MODEL, "champion"), Writer(book.database, book.identifiers)
    spool = SpoolWriter(spool_folder(book.settings.home))
    for first in range(0, ROWS, _TOGETHER):
        rows, answers = zip(*pairs[first : first + _TOGETHER], strict=True)
        spool.append(framed(encoder.encode((time.time_ns() // 1000, rows, answers))))
    spool.close()
    tell: Any = Mock()
    recorder = Recorder(spool_folder(book.settings.home), writer, book.settings.prediction_log_batch_rows, tell)
    started, used = time.perf_counter(), time.thread_time()
    recorder.record()
    return ROWS / (time.perf_counter() - started), (time.thread_time() - used) / ROWS * 1e6


def acknowledged(book: Book, callers: int, name: str) -> float:
    """Labels a second that were on disk before their callers were told, one a call."""
    desk = FeedbackDesk(book.database, book.identifiers, 30.0)

    async def call(numbers: Sequence[int]) -> None:
        for number in numbers:
            await desk.submit([GivenLabel(f"{name}-{number}", "fraud", 1000)])

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(call(range(caller, LABELS, callers)) for caller in range(callers)))
        return LABELS / (time.perf_counter() - started)

    try:
        return asyncio.run(run())
    finally:
        desk.close()


def measure(name: str, settings: RecordsSettings) -> None:
    """Print the figures of one database."""
    with opened(settings) as book:
        runs = [written(book, repeat * ROWS) for repeat in range(REPEATS)]
        print(f"{name}: {max(rate for rate, _ in runs):,.0f} predictions/s", end="")
        print(f", {min(cost for _, cost in runs):.1f} µs of the process each")
        for callers in (1, 16, 64):
            best = max(acknowledged(book, callers, f"{callers}-{repeat}") for repeat in range(REPEATS))
            print(f"{name}: {best:,.0f} labels/s acknowledged to {callers} callers")


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A folder on the disk, not in memory."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", action="store_true", help="measure PostgreSQL too")
    arguments = parser.parse_args()
    print(f"event loop: {min(offered_microseconds() for _ in range(5)):.2f} µs a prediction")
    with home() as folder:
        measure("SQLite", RecordsSettings(home=folder))
    if arguments.postgresql:
        with home() as folder, running_postgres(()) as server:
            measure("PostgreSQL", RecordsSettings(home=folder, records_url=server.new_database()))


if __name__ == "__main__":
    main()
