"""Closed loops: every server at every number of connections, with reasons, and gRPC beside HTTP."""

from __future__ import annotations

from typing import Final

from tests.benchmarks.load.bench import OURS, PEERS, Bench
from tests.benchmarks.load.generator import Client
from tests.benchmarks.load.servers import Started

__all__ = ["GRPC", "HTTP", "MULTIPLEXED", "measure"]

HTTP: Final = "HTTP"
GRPC: Final = "gRPC"
MULTIPLEXED: Final = "gRPC, 16 calls a connection"
_EXPLAINED: Final = (1, 64)
_CALLS: Final = (1, 16, 64)


def measure(bench: Bench, repeat: int) -> None:
    """Drive each server in turn; who begins changes with the repeat."""
    names = [OURS, *PEERS]
    for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
        with bench.running(name) as server:
            file = "explain=none" if name == OURS else PEERS[name][1]
            for connections in bench.plan.connections:
                bench.wrk("throughput", server, name, "predict", file, connections, repeat)
            if name == OURS:
                _explain(bench, server, name, "explain=all", repeat)
                _grpc(bench, server, repeat)
            elif name == "FastAPI, sklearn":
                _explain(bench, server, name, "explained features", repeat)


def _explain(bench: Bench, server: Started, name: str, file: str, repeat: int) -> None:
    for connections in _EXPLAINED:
        bench.wrk("explain", server, name, "reasons on every answer", file, connections, repeat)


def _grpc(bench: Bench, server: Started, repeat: int) -> None:
    http, grpc = bench.requests("explain=none"), bench.requests("grpc")
    for calls in _CALLS:
        bench.closed("grpc", server, OURS, HTTP, Client(server.port, http, connections=calls), repeat)
        bench.closed("grpc", server, OURS, GRPC, Client(server.grpc_port, grpc, "grpc", calls), repeat)
    # As gRPC's own clients do: few connections, many calls on each.
    for connections in (1, 4):
        client = Client(server.grpc_port, grpc, "grpc", connections, streams=16)
        bench.closed("grpc", server, OURS, MULTIPLEXED, client, repeat)
