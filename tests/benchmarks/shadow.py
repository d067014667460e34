"""What a challenger in the shadow costs the champion's callers: ``python -m tests.benchmarks.shadow``.

One run, side by side: the same champion without a shadow, with a challenger that gives scores without a model, and with
a real one, which serves another forest of the same size from the same cores. Each is a server of its own with two
workers; all stay up and have their turns one after the other, so that what else runs on the machine touches all alike.
After each turn the server records, and has scored, what is left, before the next one has its turn. A closed loop (wrk)
keeps the workers busy, so that the process which records and sends copies, standing back for them, gets little done
meanwhile; an open loop at a constant rate leaves it the time to do all its work beside the requests. What is shown is
the median over the rounds, and ratios are of the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import grpc
import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bentos.core.artifact import write_artifact
from bentos.protos._generated.fraud.v1.shadow_pb2 import DESCRIPTOR, ScoreRequest, ScoreResponse
from tests.benchmarks.load.generator import Client, Generator, constant, write_requests
from tests.benchmarks.load.traffic import http_requests, transactions
from tests.benchmarks.load.wrk import run_wrk
from tests.fraud.artifacts import CARD, forest_contents, make_champion
from tests.fraud.server import Server, environment, running_server
from tests.ports import free_port

_SERVICE: Final = DESCRIPTOR.services_by_name["ShadowService"].full_name
_WORKERS: Final = 2
_TREES: Final = 100
_DEPTH: Final = 10
_WITHOUT: Final = "without"
_MODES: Final = (_WITHOUT, "no-op challenger", "real challenger")
_SETTLE_SECONDS: Final = 120.0


def _sink(port: int) -> None:
    """Be a challenger that has no model: every score is a half."""

    def score(request: ScoreRequest, _: grpc.ServicerContext) -> ScoreResponse:
        scores = [0.5] * request.rows
        return ScoreResponse(model_name="sink", model_version="0", review=0.3, block=0.8, scores=scores)

    handler = grpc.unary_unary_rpc_method_handler(
        score,
        request_deserializer=ScoreRequest.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[grpc.method_handlers_generic_handler(_SERVICE, {"Score": handler})])
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        server.wait_for_termination()


@contextlib.contextmanager
def _running_sink() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", __spec__.name, "--sink", str(port)])
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def _values(server: Server) -> Mapping[str, float]:
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def _recorder_seconds(server: Server) -> float:
    """Time on a processor of the process that records, and has copies scored."""
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "write" in process.cmdline():
                times = process.cpu_times()
                return float(times.user + times.system)
    return 0.0


def _settle(server: Server) -> None:
    """Wait until nothing waits to be recorded, or to be scored in the shadow."""
    until, before = time.monotonic() + _SETTLE_SECONDS, -1.0
    while time.monotonic() < until:
        seconds = _recorder_seconds(server)
        if not _values(server).get("fraud_log_waiting_bytes") and seconds - before < 0.01:
            return
        before = seconds
        time.sleep(0.5)
    raise RuntimeError("the server does not get on with what it has to record")


@dataclass(frozen=True)
class _Turn:
    """What was measured of one server: requests answered a second, milliseconds."""

    per_second: float
    p50: float
    p99: float


class _Place:
    """One server, and what was measured of it, by how it was asked."""

    def __init__(self, server: Server, generator: Generator, requests: Path) -> None:
        self.server = server
        self.turns: dict[str, list[_Turn]] = {}
        self.recorder_microseconds: list[float] = []
        self._generator = generator
        self._requests = requests

    def closed(self, connections: int, seconds: int) -> None:
        """Have some connections ask without pause."""
        before = _recorder_seconds(self.server)
        run = run_wrk(self.server.url, self._requests, connections, seconds)
        if run.errors:
            raise RuntimeError(f"requests failed: {run.errors}")
        turn = _Turn(run.per_second, run.percentiles["p50"], run.percentiles["p99"])
        self._ended(f"{connections} connections", turn, run.requests, before)

    def open(self, rate: int, seconds: int) -> None:
        """Ask at a constant rate."""
        before = _recorder_seconds(self.server)
        client = Client(int(self.server.url.rpartition(":")[2]), self._requests)
        run = self._generator.open_loop(client, constant(rate, seconds))
        if not run.answered.all():
            raise RuntimeError(f"requests failed: {run.counts()}")
        p50, p99 = (float(np.quantile(run.latencies(), q)) * 1000 for q in (0.5, 0.99))
        self._ended(f"{rate:,} requests/s due", _Turn(run.per_second, p50, p99), len(run.due), before)

    def _ended(self, name: str, turn: _Turn, requests: int, before: float) -> None:
        _settle(self.server)
        self.turns.setdefault(name, []).append(turn)
        self.recorder_microseconds.append((_recorder_seconds(self.server) - before) / requests * 1e6)


def _report(places: Mapping[str, _Place]) -> None:
    for kind, reference in places[_WITHOUT].turns.items():
        print(kind)
        for name, place in places.items():
            turns = place.turns[kind]
            middle = {part: median(getattr(turn, part) for turn in turns) for part in ("per_second", "p50", "p99")}
            line = f"  {name:17} {middle['per_second']:8,.0f} requests/s   p50 {middle['p50']:6.2f} ms"
            line += f"   p99 {middle['p99']:6.2f} ms"
            if name != _WITHOUT:
                pairs = list(zip(turns, reference, strict=True))
                speed = median(turn.per_second / other.per_second for turn, other in pairs)
                late = median(turn.p99 / other.p99 for turn, other in pairs)
                line += f"   requests/s × {speed:.3f}, p99 × {late:.3f}"
            print(line)
    for name, place in places.items():
        found = _values(place.server)
        paired, dropped = (found.get(f"fraud_shadow_{part}_total", 0.0) for part in ("pairs", "dropped"))
        print(
            f"{name:17}  recording process {median(place.recorder_microseconds):5.1f} µs a request"
            f"   predictions {found['fraud_predictions_total']:,.0f}, pairs {paired:,.0f}, dropped {dropped:,.0f}"
        )


def _measure(connections: Sequence[int], rate: int, rounds: int, seconds: int) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Of the feature stores, which would outlive their servers.
        memory = {"FRAUD_FEATURE_MEMORY_FOLDER": stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))}
        requests = write_requests(http_requests(transactions(), "none"), folder / "requests")
        card = CARD.model_copy(update={"version": "8"})
        contents = forest_contents(trees=_TREES, depth=_DEPTH - 1, card=card)
        write_artifact(folder / "challenger" / "champion" / "artifact", contents, private_key=None)
        port = free_port()
        grpc_settings = {"FRAUD_GRPC_HOST": "127.0.0.1", "FRAUD_GRPC_PORT": str(port)}
        environ = environment(folder / "challenger", FRAUD_ROLE="challenger", **grpc_settings, **memory)
        stack.enter_context(running_server(environ))
        ports = dict(zip(_MODES, (None, stack.enter_context(_running_sink()), port), strict=True))
        generator, places = Generator(folder), {}
        for number, (name, port) in enumerate(ports.items()):
            home = folder / f"champion-{number}"
            make_champion(home, trees=_TREES, depth=_DEPTH)
            shadow = {} if port is None else {"FRAUD_SHADOW_URL": f"grpc://127.0.0.1:{port}"}
            environ = environment(home, workers=_WORKERS, **shadow, **memory)
            places[name] = _Place(stack.enter_context(running_server(environ)), generator, requests)
        for place in places.values():
            run_wrk(place.server.url, requests, 16, 2)
            _settle(place.server)
        for turn in range(rounds):
            # Nobody is always the first.
            order = [places[name] for name in (*_MODES[turn % 3 :], *_MODES[: turn % 3])]
            for number in connections:
                for place in order:
                    place.closed(number, seconds)
            for place in order:
                place.open(rate, seconds)
        _report(places)


def main() -> None:
    """Print requests a second and latencies of each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=4, help="of one turn; a round has nine")
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--rate", type=int, default=3000, help="requests a second of the open loop")
    parser.add_argument("--sink", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.sink is not None:
        _sink(chosen.sink)
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f},"
        f" Python {platform.python_version()}; {_TREES} trees of depth {_DEPTH}, {_WORKERS} workers"
    )
    _measure(chosen.connections, chosen.rate, chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
