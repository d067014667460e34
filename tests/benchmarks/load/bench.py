"""What the parts of the benchmark share: the plan, the prepared files, one measurement of a closed loop."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.benchmarks.load.generator import Client, Generator, Run, write_requests
from tests.benchmarks.load.models import make_models, make_slow_models
from tests.benchmarks.load.results import Measurement, Results
from tests.benchmarks.load.servers import Server, Started, build_bento, peer, service, stock
from tests.benchmarks.load.traffic import BODIES, feature_requests, grpc_requests, http_requests, transactions
from tests.benchmarks.load.wrk import run_wrk
from tests.fraud.artifacts import training_rows

__all__ = ["OURS", "PEERS", "SLOW_MILLISECONDS", "Bench", "Plan", "milliseconds"]

OURS = "this service"
#: Name to how it is started and what it is sent.
PEERS = {
    "BentoML, stock batching": ("stock", "rows"),
    "FastAPI, sklearn": ("fastapi_sklearn", "features"),
    "FastAPI, onnxruntime": ("fastapi_onnx", "features"),
    "no-op": ("noop", "features"),
}
SLOW_MILLISECONDS = 5.0
_WARM_SECONDS = 2
_WARM_CONNECTIONS = 16


@dataclass(frozen=True)
class Plan:
    """How long everything takes.

    Attributes
    ----------
    seconds
        Of a closed loop.
    half_seconds, overload_seconds
        Of these two.
    connections
        Of closed loops over HTTP.
    """

    seconds: int = 8
    half_seconds: int = 60
    overload_seconds: int = 30
    connections: tuple[int, ...] = (1, 16, 64, 256)


class Bench:
    """Models, requests and servers of a run.

    Parameters
    ----------
    folder
        A temporary one.
    plan
        Durations.
    results
        Where measurements go.
    say
        Tells of progress.
    """

    def __init__(self, folder: Path, plan: Plan, results: Results, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.results = results
        self.say = say
        self.generator = Generator(folder)
        self._folder = folder
        self._home = folder / "home"
        self._models = self._home / "champion"
        self._prepare()

    def _prepare(self) -> None:
        self.say("fitting the forest, exporting it, building the bento")
        self._models.mkdir(parents=True)
        difference = make_models(self._models)
        self.results.about["forest"] = f"onnxruntime and sklearn differ by {difference:.0e} at most"
        slow = make_slow_models(self._models, self._folder / "slow", SLOW_MILLISECONDS)
        self.results.about["slow model"] = f"{slow:.2f} ms a call of one row"
        build_bento(self._home)
        bodies = transactions()
        rows = np.resize(training_rows()[0], (BODIES, 21))
        self._requests = {
            **{f"explain={explain}": http_requests(bodies, explain) for explain in ("none", "all")},
            "deadline": http_requests(bodies, "none", deadline=True),
            "grpc": grpc_requests(bodies, fraud_pb2.Explain.EXPLAIN_NONE),
            "rows": feature_requests(rows, "/predict", "rows", nested=True),
            "features": feature_requests(rows, "/predict", "features"),
            "explained features": feature_requests(rows, "/explain", "features"),
        }
        self._files = {
            name: write_requests(requests, self._folder / f"{name}.requests")
            for name, requests in self._requests.items()
        }

    def requests(self, name: str) -> Path:
        """File of prepared requests."""
        return self._files[name]

    @contextmanager
    def running(self, name: str, *, slow: bool = False, **settings: str) -> Iterator[Started]:
        """A server by its name, warm; for the service, settings and whether it serves the slow model."""
        if slow:
            settings["FRAUD_ARTIFACT"] = str(self._folder / "slow" / "artifact")
        # Its own, and gone afterwards: a line of log for each request fills a disk.
        with tempfile.TemporaryDirectory(dir=self._folder) as text:
            state = Path(text)
            with self._server(name, state, settings).started(state / "server.log") as server:
                file = self.requests("explain=none" if name == OURS else PEERS[name][1])
                run_wrk(server.url, file, _WARM_CONNECTIONS, _WARM_SECONDS)
                yield server

    def _server(self, name: str, state: Path, settings: dict[str, str]) -> Server:
        if name == OURS:
            return service(self._home, state, **settings)
        kind = PEERS[name][0]
        return stock(self._models, state) if kind == "stock" else peer(kind, self._models)

    def wrk(self, part: str, server: Started, name: str, load: str, file: str, connections: int, repeat: int) -> None:
        """Measure a closed loop over HTTP."""
        before = server.cpu_seconds()
        run = run_wrk(server.url, self.requests(file), connections, self.plan.seconds)
        used = server.cpu_seconds() - before
        values = {
            "per_second": run.per_second,
            **run.percentiles,
            "cpu_microseconds": used / max(1, run.requests) * 1e6,
            "server_cores": used / self.plan.seconds,
            "load_cores": run.cpu_seconds / self.plan.seconds,
            **_memory(server),
        }
        self.add(Measurement(part, name, load, connections, repeat, values, run.errors))

    def closed(self, part: str, server: Started, name: str, load: str, client: Client, repeat: int) -> None:
        """Measure a closed loop of our own generator; for gRPC, that is."""
        before = server.cpu_seconds()
        run = self.generator.closed_loop(client, self.plan.seconds)
        used = server.cpu_seconds() - before
        values = {
            "per_second": run.per_second,
            **milliseconds(run),
            "cpu_microseconds": used / max(1, len(run.status)) * 1e6,
            "server_cores": used / self.plan.seconds,
            "load_cores": run.cpu_seconds / self.plan.seconds,
            **_memory(server),
        }
        errors = {name: number for name, number in run.counts().items() if name != "200"}
        self.add(Measurement(part, name, load, client.connections * client.streams, repeat, values, errors))

    def add(self, item: Measurement) -> None:
        """Keep a measurement and tell of it."""
        self.results.measurements.append(item)
        shown = {name: item.values[name] for name in ("p50", "p99", "p999") if name in item.values}
        times = "  ".join(f"{name} {value:8.2f}" for name, value in shown.items())
        self.say(
            f"{item.part:10} {item.server:24} {item.load:28} {item.connections:5}"
            + (f" {item.values['per_second']:9,.0f}/s  {times} ms" if "per_second" in item.values else "")
            + "".join(f"  {kind} {number}" for kind, number in item.counts.items() if kind != "200")
        )


def milliseconds(run: Run) -> dict[str, float]:
    """Percentiles of a run's latencies from when requests were due."""
    latencies = run.latencies() * 1e3
    if not len(latencies):
        return {}
    marks = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}
    return {name: float(np.percentile(latencies, mark)) for name, mark in marks.items()} | {
        "longest": float(latencies.max())
    }


def _memory(server: Started) -> dict[str, float]:
    memory = server.memory()
    return {"pss_mb": memory.total / 1e6, "files_mb": memory.files / 1e6}
