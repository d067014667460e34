"""Four times what the service can do, for a while, between two stretches of half of it."""

from __future__ import annotations

import threading
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bentos.fraud.settings import ScoringSettings
from tests.benchmarks.load.bench import OURS, Bench, milliseconds
from tests.benchmarks.load.generator import Client, Run, constant
from tests.benchmarks.load.parts.half import capacity
from tests.benchmarks.load.results import Measurement
from tests.benchmarks.load.servers import Memory, Started

__all__ = ["CONNECTIONS", "DEADLINE_MILLISECONDS", "LOAD", "PATIENCE_MILLISECONDS", "TIMES", "measure"]

TIMES: Final = 4
LOAD: Final = f"{TIMES} times capacity"
#: What has to be reached is for the first; the second shows where it ends.
CONNECTIONS: Final = (1024, 4096)
#: The setting's default; the clients say what is left of it when they send.
DEADLINE_MILLISECONDS: Final[int] = ScoringSettings.model_fields["deadline_milliseconds"].default
#: How long a client waits for a free connection.
PATIENCE_MILLISECONDS: Final = 50
_BEFORE_SECONDS: Final = 5.0
_AFTER_SECONDS: Final = 10.0
#: Normal again is a second of answers that all come, in the time that half of capacity is allowed.
_NORMAL_P99_MILLISECONDS: Final = 50.0
_BIN: Final = 0.1
_NORMAL_BINS: Final = 10
_DRAWN_BIN: Final = 0.5


def measure(bench: Bench, repeat: int) -> None:
    """Drive the service, and watch its memory meanwhile."""
    for connections in CONNECTIONS:
        _overload(bench, connections, repeat)


def _overload(bench: Bench, connections: int, repeat: int) -> None:
    with bench.running(OURS) as server:
        most = capacity(bench, server, "explain=none")
        end = _BEFORE_SECONDS + bench.plan.overload_seconds
        due = np.concatenate(
            [
                constant(most / 2, _BEFORE_SECONDS),
                _BEFORE_SECONDS + constant(TIMES * most, bench.plan.overload_seconds),
                end + constant(most / 2, _AFTER_SECONDS),
            ]
        )
        client = Client(
            server.port,
            bench.requests("deadline"),
            connections=connections,
            deadline_milliseconds=DEADLINE_MILLISECONDS,
            patience_milliseconds=PATIENCE_MILLISECONDS,
        )
        with _MemoryWatch(server) as watch:
            run = bench.generator.open_loop(client, due)
    _add(bench, run, most, end, watch, connections, repeat)


class _MemoryWatch:
    """Notes a server's memory every second until the block ends."""

    def __init__(self, server: Started) -> None:
        self.seen: list[tuple[float, Memory]] = []
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> _MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.seen.append((time.monotonic(), self._server.memory()))


def _add(bench: Bench, run: Run, most: float, end: float, watch: _MemoryWatch, connections: int, repeat: int) -> None:
    during = (run.due >= _BEFORE_SECONDS) & (run.due < end)
    part = Run(
        run.due[during],
        run.sent[during],
        run.done[during],
        run.status[during],
        bench.plan.overload_seconds,
        run.start,
        run.cpu_seconds,
        run.reconnected,
    )
    times = np.array([moment - run.start for moment, _ in watch.seen])
    own = np.array([memory.total - memory.files for _, memory in watch.seen]) / 1e6
    files = np.array([memory.files for _, memory in watch.seen]) / 1e6
    within = (times >= _BEFORE_SECONDS + 2) & (times < end)
    accepted = (part.done - part.sent)[part.answered] * 1e3
    values = {
        "capacity": most,
        "offered": len(part.due) / part.seconds,
        "sent": float(np.count_nonzero(~np.isnan(part.sent)) / part.seconds),
        "per_second": float(np.count_nonzero(part.answered) / part.seconds),
        **milliseconds(part),
        # From when they were sent: without their wait for a connection.
        "sent_p99": float(np.percentile(accepted, 99)) if len(accepted) else np.nan,
        "own_start_mb": float(own[within][:3].mean()),
        "own_end_mb": float(own[within][-3:].mean()),
        "files_start_mb": float(files[within][:3].mean()),
        "files_end_mb": float(files[within][-3:].mean()),
        "normal_after": _normal_after(run, end),
        "load_cores": run.cpu_seconds / run.seconds,
    }
    series = {**_timeline(run), "memory_at": times.tolist(), "own_mb": own.tolist(), "files_mb": files.tolist()}
    bench.add(Measurement("overload", OURS, LOAD, connections, repeat, values, part.counts(), series))


def _normal_after(run: Run, end: float) -> float:
    """Seconds after the overload from which on a whole second is normal."""
    good = []
    latency = np.where(run.answered, run.done - run.due, np.inf) * 1e3
    for start in np.arange(end, end + _AFTER_SECONDS - _BIN / 2, _BIN):
        inside = latency[_between(run, start, _BIN)]
        good.append(
            len(inside) > 0 and float(np.quantile(inside, 0.99, method="inverted_cdf")) <= _NORMAL_P99_MILLISECONDS
        )
    for first in range(len(good) - _NORMAL_BINS + 1):
        if all(good[first : first + _NORMAL_BINS]):
            return float(first * _BIN)
    return float("inf")


def _timeline(run: Run) -> dict[str, list[float]]:
    """By half seconds of when requests were due: requests a second of each fate, p50 and p99 of the answered."""
    rows: dict[str, list[float]] = {name: [] for name in ("at", "answered", "shed", "not_sent", "failed", "p50", "p99")}
    shed = (run.status == 429) | (run.status == 503)
    for start in np.arange(0, run.seconds, _DRAWN_BIN):
        inside = _between(run, start, _DRAWN_BIN)
        answered = inside & run.answered
        latencies = (run.done - run.due)[answered] * 1e3
        masks = {"answered": answered, "shed": inside & shed, "not_sent": inside & (run.status == -1)}
        rows["at"].append(float(start))
        for name, mask in masks.items():
            rows[name].append(np.count_nonzero(mask) / _DRAWN_BIN)
        rows["failed"].append(np.count_nonzero(inside) / _DRAWN_BIN - sum(rows[name][-1] for name in masks))
        for name, mark in (("p50", 50), ("p99", 99)):
            rows[name].append(float(np.percentile(latencies, mark)) if len(latencies) else float("nan"))
    return rows


def _between(run: Run, start: float, seconds: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (run.due >= start) & (run.due < start + seconds)
    return inside
