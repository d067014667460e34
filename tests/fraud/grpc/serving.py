"""A gRPC server in a thread of its own, for tests that ask it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import uvloop

from bentos.fraud.application import Application, open_application
from bentos.fraud.grpc.health import HealthService
from bentos.fraud.grpc.ledger import Ledger
from bentos.fraud.grpc.methods import Methods
from bentos.fraud.grpc.ports import listen, reserve_port
from bentos.fraud.grpc.server import GrpcServer, start_grpc
from bentos.fraud.observe.exchange import Exchange
from bentos.fraud.settings import ScoringSettings

ResultT = TypeVar("ResultT")

HOST = "127.0.0.1"
SECONDS = 30.0


class LoopThread:
    """An event loop that runs in a thread, as a worker's does."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Do some work in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SECONDS)

    def close(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(SECONDS)
        self.loop.close()


@dataclass
class Counts:
    """What calls were counted as: method and code."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def begin(self, transport: str, request_id: str, _: Mapping[str, str]) -> Exchange:
        return Exchange(transport, request_id, None)

    def end(self, _: Exchange, method: str, code: str) -> None:
        self.seen.append((method, code))


@dataclass(frozen=True)
class Serving:
    """A running server."""

    server: GrpcServer
    loop: LoopThread
    counts: Counts = field(default_factory=Counts)
    application: Application | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{HOST}:{self.server.port}"

    def channel(self, *options: tuple[str, object]) -> grpc.Channel:
        """A client's channel, with a connection of its own."""
        return grpc.insecure_channel(self.address, options=(("grpc.use_local_subchannel_pool", 1), *options))

    def stop(self, grace_seconds: float) -> None:
        """Stop the server."""
        self.loop.run(self.server.stop(grace_seconds))


@contextlib.contextmanager
def serving_methods(methods: Methods, *, port: int = 0, budget_bytes: int = 1 << 30) -> Iterator[Serving]:
    """Serve methods of a test's own."""
    with contextlib.closing(LoopThread()) as loop:
        counts = Counts()

        async def start() -> GrpcServer:
            health = HealthService(["test.Service"])
            server = GrpcServer({**methods, **health.methods()}, health, Ledger(counts, budget_bytes))
            await server.start(listen(HOST, port))
            return server

        serving = Serving(loop.run(start()), loop, counts)
        yield serving
        serving.stop(0)


@contextlib.contextmanager
def serving_application(settings: Callable[[int], ScoringSettings]) -> Iterator[Serving]:
    """Serve a whole worker; its settings are made for a port."""
    with reserve_port(HOST, 0) as reserved, contextlib.closing(LoopThread()) as loop:
        chosen = settings(reserved.getsockname()[1])
        application = open_application(chosen)
        serving = Serving(loop.run(start_grpc(application, chosen)), loop, application=application)
        yield serving
        serving.stop(0)
        loop.run(application.close())
