"""Half of capacity, requests due at constant intervals: percentiles of whole answers and of their stages."""

from __future__ import annotations

from typing import Final

import numpy as np

from tests.benchmarks.load.bench import OURS, Bench, milliseconds
from tests.benchmarks.load.generator import Client, Run, constant, poisson
from tests.benchmarks.load.results import Measurement
from tests.benchmarks.load.servers import Started
from tests.benchmarks.load.stages import stage_milliseconds
from tests.benchmarks.load.wrk import run_wrk

__all__ = ["CONNECTIONS", "CONTROLS", "LOADS", "POISSON", "capacity", "measure"]

CONNECTIONS: Final = 64
LOADS: Final = ("explain=none", "explain=all")
POISSON: Final = "explain=none, Poisson arrivals"
#: Driven at the service's own rate: what of its percentiles is the machine's.
CONTROLS: Final = ("FastAPI, onnxruntime", "no-op")
#: Shares of answers that are drawn.
_DRAWN: Final = 1 - np.logspace(0, -5, 101)


def capacity(bench: Bench, server: Started, file: str) -> float:
    """Requests a second of a closed loop with 64 connections."""
    return run_wrk(server.url, bench.requests(file), CONNECTIONS, bench.plan.seconds).per_second


def measure(bench: Bench, repeat: int) -> None:
    """Drive the service with and without reasons, then the controls at the same rate."""
    with bench.running(OURS) as server:
        rate = capacity(bench, server, LOADS[0]) / 2
        _stages(bench, server, LOADS[0], rate, repeat)
        _stages(bench, server, LOADS[1], capacity(bench, server, LOADS[1]) / 2, repeat)
        due = poisson(rate, bench.plan.half_seconds, seed=repeat)
        _drive(bench, server, OURS, POISSON, LOADS[0], due, repeat, {})
    for name in CONTROLS:
        with bench.running(name) as server:
            due = constant(rate, bench.plan.half_seconds)
            _drive(bench, server, name, LOADS[0], "features", due, repeat, {})


def _stages(bench: Bench, server: Started, load: str, rate: float, repeat: int) -> None:
    before = server.metrics()
    due = constant(rate, bench.plan.half_seconds)
    run, cpu = _run(bench, server, load, due)
    stages = stage_milliseconds(before, server.metrics(), 0.99)
    _add(bench, OURS, load, run, cpu, repeat, {f"stage_{name}": value for name, value in stages.items()})


def _drive(
    bench: Bench,
    server: Started,
    name: str,
    load: str,
    file: str,
    due: np.ndarray,
    repeat: int,
    values: dict[str, float],
) -> None:
    run, cpu = _run(bench, server, file, due)
    _add(bench, name, load, run, cpu, repeat, values)


def _run(bench: Bench, server: Started, file: str, due: np.ndarray) -> tuple[Run, float]:
    before = server.cpu_seconds()
    run = bench.generator.open_loop(Client(server.port, bench.requests(file), connections=CONNECTIONS), due)
    return run, server.cpu_seconds() - before


def _add(bench: Bench, name: str, load: str, run: Run, cpu: float, repeat: int, values: dict[str, float]) -> None:
    late = (run.sent - run.due)[~np.isnan(run.sent)] * 1e3
    values = {
        "per_second": run.per_second,
        "offered": len(run.due) / run.seconds,
        **milliseconds(run),
        # How late the generator itself, or a busy connection, sent them; it is part of the latency.
        "late_p99": float(np.percentile(late, 99)),
        "late_p999": float(np.percentile(late, 99.9)),
        "server_cores": cpu / run.seconds,
        "load_cores": run.cpu_seconds / run.seconds,
        **values,
    }
    drawn = np.quantile(run.latencies() * 1e3, _DRAWN).tolist()
    series = {"share": _DRAWN.tolist(), "milliseconds": drawn}
    bench.add(Measurement("half", name, load, CONNECTIONS, repeat, values, run.counts(), series))
